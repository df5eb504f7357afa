"""Kinds as Python classes, and what is said of an object.

@kind(scope="board", key="title", status=NoteStatus)
class Note:
    board: str = field(lowercase=True)
    title: str
    stars: int = field(default=1, min=1, max=5)
"""

import dataclasses
import json
import re
import typing

from . import contract as wit
from .errors import Error
from .schema import canonicaliser, field, record

_RECOVER = ("key", "token", "mark", "conditional", "none")
_REPLACE = ("create-first", "delete-first")


def _encoder():
    """As `json.dumps` without spaces. The encoder in C is made once: making it costs as much as a small document."""
    from json import encoder

    if encoder.c_make_encoder is None:
        return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

    def refuse(value):
        raise TypeError(f"{type(value).__name__} is nothing that JSON has")

    encode = encoder.c_make_encoder(None, refuse, encoder.c_encode_basestring, None, ":", ",", False, False, False)
    return lambda value: "".join(encode(value, 0))


to_json = _encoder()
HEALTHY = wit.Health(wit.HealthState.HEALTHY, "")


def health(state, message=""):
    """Health of an object: `healthy`, `progressing`, `degraded`, `suspended`, `unknown`."""
    return wit.Health(getattr(wit.HealthState, state.upper()), message)


@dataclasses.dataclass(slots=True)
class Found:
    """One object as the remote system has it: `spec` is an instance of its kind (see `pick`), `status` one of the kind's
    outputs. Without `identity` it is named by its key. `version`: entity tag, resource version or serial. `mark`: the
    engine's mark that was found on it. `address`: where it is not to be taken from the spec."""

    spec: typing.Any
    identity: str = ""
    version: str | None = None
    status: typing.Any = None
    mark: str | None = None
    health: typing.Any = dataclasses.field(default_factory=lambda: HEALTHY)
    address: typing.Any = None


@dataclasses.dataclass(slots=True)
class Pending:
    """A change that was accepted and is under way: answered in place of what the function answers when it is done. After
    `after` milliseconds `poll` is given `operation`, which must hold all that a fresh instance needs. `found`: the object as
    far as known, so that its identity is not lost."""

    operation: str
    after: int = 1000
    message: str = "under way"
    found: Found | None = None


@dataclasses.dataclass(slots=True)
class Target:
    """What is asked for, or about to be changed. `identity`: what the remote system calls it, where that is known. `desired`:
    as declared, where it is. `mark` and `token` are those of the change, `version` the one that was observed: the
    precondition of an update or delete."""

    address: typing.Any
    identity: str | None = None
    desired: typing.Any = None
    mark: str | None = None
    token: str | None = None
    version: str | None = None
    info: typing.Any = None

    @property
    def name(self):
        """What names the object: its identity, else its key."""
        return self.identity or self.address.key

    @property
    def scope(self):
        return self.address.scope

    @property
    def key(self):
        return self.address.key


@dataclasses.dataclass(slots=True)
class Page:
    """A page of a scope: all of its objects, if no page follows. `next`: the cursor of the page after. `version`: state of the
    scope as of this answer, given back as `query.since`. `coverage`: `whole`, `delta` (with `gone`), `partial`."""

    objects: list
    next: str | None = None
    version: str | None = None
    coverage: str = "whole"
    gone: list = dataclasses.field(default_factory=list)

    @classmethod
    def unchanged(cls):
        """Nothing changed since `query.since`."""
        return cls([], coverage="unchanged")


def pick(cls, data, **more):
    """An instance of a kind or record from what a server answered: fields that the class does not have are passed over, and
    what is missing is None, so that nothing is claimed that the server did not say."""
    instance = cls.__new__(cls)
    values = {name: data.get(json) for name, json in cls.__trueup__.json_names.items()}
    values.update(more)
    instance.__dict__ = values
    return instance


@typing.dataclass_transform(kw_only_default=True, field_specifiers=(field,))
def kind(
    cls=None,
    *,
    name=None,
    scope=None,
    key=None,
    status=None,
    batch=0,
    bytes=1048576,
    atomic=False,
    recover=None,
    settle=0,
    replace="delete-first",
    version=1,
):
    """The type of a kind's `spec`.

    | part | meaning |
    |---|---|
    | `name="Note"` | as documents write it, with the group where it has one; by default the class's name |
    | `scope="zone"`, `key="{subname}/{rtype}"` | the address, from fields; by default no scope, and the document's name as key |
    | `status=NoteStatus` | a record of the outputs |
    | `batch=500`, `bytes=65536`, `atomic=True` | limits of one `apply`, for services that have one |
    | `recover="key"` | or `token`, `mark`, `conditional` (as `key`, and a create makes the whole object where none is, or nothing), `none`: what finds an object whose create was interrupted |
    | `settle=5000` | milliseconds for which absence proves nothing after an interrupted create |
    | `replace="create-first"` | or `delete-first` |
    | `version=2` | of the schema |
    """

    def decorate(cls):
        made = record(cls)
        made.__kind__ = Kind(made, name or cls.__name__, scope, key, status)
        made.__kind__.options = {
            "schemaVersion": version,
            "recover": _one_of("recover", recover or ("key" if key else "none"), _RECOVER),
            "settleTime": settle,
            "replace": _one_of("replace", replace, _REPLACE),
        }
        if batch:
            made.__kind__.options["batch"] = {"items": batch, "bytes": bytes, "atomic": atomic}
        return made

    return decorate if cls is None else decorate(cls)


def _one_of(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(allowed)}")
    return value


class Kind:
    """What is known of a kind, worked out once: what is done for each object does not look at fields again."""

    def __init__(self, cls, name, scope, key, status):
        self.cls, self.name, self.fields, self.status = cls, name, cls.__trueup__, status
        self.scope, self.key = _template(self.fields, scope), _template(self.fields, key)
        self.schema = self.fields.schema
        for template, keyword in ((self.scope, "x-trueup-scope"), (self.key, "x-trueup-key")):
            if isinstance(template, str):
                self.schema["properties"][template][keyword] = True
        self._declare = canonicaliser(self.schema, True)
        changes = ((name, canonicaliser(it, False)) for name, it in self.schema["properties"].items())
        self._observed = [(name, change) for name, change in changes if change]
        self.options = {}

    def manifest(self, observe):
        """The manifest of the kind."""
        properties = {"spec": self.schema}
        if self.status is not None:
            properties["status"] = self.status.__trueup__.schema
        schema = {"type": "object", "properties": properties, "required": ["spec"], "additionalProperties": False}
        return {"schema": schema, "observe": observe} | self.options

    def render(self, item):
        """The canonical form of one declaration: defaults and spelling as the schema says, the address from its fields."""
        doc = json.loads(item.doc)
        if not isinstance(doc.get("spec"), dict):
            raise Error.invalid("document.spec", "`spec` is missing")
        doc["spec"] = self._declare(doc["spec"])
        return wit.Desired(self.address(doc["spec"], item.address), to_json(doc), [], [])

    def parse(self, doc):
        """A desired document as an instance."""
        spec = json.loads(doc).get("spec")
        if not isinstance(spec, dict):
            raise Error.invalid("document.spec", "`spec` is missing")
        return self.fields.load(spec)

    def observed(self, instance):
        """The canonical JSON of an instance."""
        spec = self.fields.dump(instance)
        for name, change in self._observed:
            if name in spec:
                spec[name] = change(spec[name])
        return spec

    def remote(self, found, known=None):
        """The contract's record. `known` is the address for which it was asked."""
        if type(found) is not Found:
            raise Error.internal(f"the provider answered {type(found).__name__} where an object (`Found`) is wanted")
        spec = self.observed(found.spec)
        address = found.address or known or self.address(spec, None)
        status = found.status
        outputs = "{}" if status is None else to_json(status.__trueup__.dump(status))
        return wit.Remote(
            address,
            found.identity or address.key,
            to_json({"spec": spec}),
            outputs,
            found.version,
            found.mark,
            found.health,
            [],
            [],
        )

    def is_as_declared(self, found, desired):
        """Whether every field that is declared has the declared value."""
        found, desired = self.observed(found.spec), self.observed(desired)
        return all(found.get(name) == value for name, value in desired.items())

    def address(self, spec, before):
        """The address that the fields make, else what it was."""
        scope = _part(self.scope, spec) if self.scope else before.scope if before else ""
        key = _part(self.key, spec) if self.key else before.key if before else ""
        return wit.Address(self.name, scope, key)


def _template(fields, text):
    """`{subname}/{rtype}` as pieces of text and names of fields in turn, text first; a bare name of a field as itself."""
    if text is None:
        return None
    if text in fields.json_names:
        return fields.json_names[text]
    pieces = re.split(r"\{(\w+)\}", text)
    if len(pieces) == 1:
        raise ValueError(f"`{text}` names no field; write `{{field}}`")
    for at in range(1, len(pieces), 2):
        if pieces[at] not in fields.json_names:
            raise ValueError(f"there is no field `{pieces[at]}`")
        pieces[at] = fields.json_names[pieces[at]]
    return pieces[1] if len(pieces) == 3 and not pieces[0] and not pieces[2] else pieces


def _part(template, spec):
    if type(template) is str:
        value = spec.get(template)
        return value if type(value) is str else _text(template, spec)
    return "".join(_text(it, spec) if at % 2 else it for at, it in enumerate(template))


def _text(name, spec):
    value = spec.get(name)
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return to_json(value)
    why = "is missing" if value is None else "must be known before apply: it is part of the address"
    raise Error.invalid("document.address", f"`{name}` {why}", path=f"/spec/{name}")
