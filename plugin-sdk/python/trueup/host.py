"""What the engine offers a provider: the imports of the contract. In a component these are the imports themselves, anywhere
else the double of the test that runs.

Every function that takes a list is one call to the engine however long the list is: gather first, then ask once. What
`http`, `Secret` and `Blob` do not cover is used as the bindings have it: `host.files.list_all([...])`,
`host.dns.exchange_all([...], 0)`, `host.signing.sign(...)`.
"""

from . import contract as wit

if wit.IS_COMPONENT:
    from wit_world.imports import blobs, cache, dns, files, http, log, secrets, signing  # noqa: F401
else:
    from .double import imports

    blobs, cache, dns, files, http, log, secrets, signing = imports()


def write_log(level, message, **fields):
    """One line of the log: `write_log("info", "listed", queue="support")`. Known secrets are masked, but do not rely on it."""
    log.write(getattr(wit.Level, level.upper()), message, [(name, str(value)) for name, value in fields.items()])


def cached(key):
    """What was put under `key`, as bytes, if it is still there. The store may lose anything at any time."""
    return cache.get(key)


def remember(key, value, ttl):
    """Keeps bytes for at most `ttl` milliseconds."""
    cache.put(key, value, ttl)
