"""The Python SDK for `trueup` providers: classes for what people declare, a few functions for what the service does. The
engine compares, plans, orders, retries, remembers and shows.

Standard library only. What is imported must be imported at the top of a module: in a component there is no file system to
import from later.
"""

from . import host, http
from .errors import Error
from .kind import Found, Page, Pending, Target, health, kind, pick
from .provider import Item, provider
from .schema import Blob, Secret, field, record

__all__ = [
    "Blob", "Error", "Found", "Item", "Page", "Pending", "Secret", "Target",
    "field", "health", "host", "http", "kind", "pick", "provider", "record",
]  # fmt: skip
