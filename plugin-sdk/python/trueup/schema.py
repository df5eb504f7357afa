"""JSON Schema from Python classes, and what documents are made of.

Types: `str int float bool Any`, `list[T]`, `dict[str, T]`, `T | None` (may be left out), `Literal["a", "b"]`, `Secret`,
`Blob`, and classes with `@record`. What a type cannot say stands in `field(…)`:

| hint | meaning |
|---|---|
| `default` | filled in where it is not declared |
| `description`, `title` | for people |
| `min max min_length max_length min_items max_items pattern` | as in JSON Schema |
| `immutable` | a change means a replacement |
| `computed` | the server's own: never compared |
| `unordered`, `list_key="name"` | a list whose order means nothing; a list merged by this field |
| `lowercase`, `uppercase`, `case="insensitive"` | canonical spelling; comparison without regard to case |
| `secret`, or `sensitive` and `write_only` apart | never shown, never read back. `Secret` is both |
| `blob` | a path in the repository. `Blob` is one |
| `status_from=["spec.a"]` | on an output: changes when that field does |
"""

import copy
import dataclasses
import types
import typing

from . import contract as wit
from . import host
from .errors import Error

_FLAGS = "scope key computed immutable unordered sensitive write_only blob identity".split()
_FLAGS = {it: "x-trueup-" + it.replace("_", "-") for it in _FLAGS}
_VALUES = {
    "min": "minimum",
    "max": "maximum",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_items": "minItems",
    "max_items": "maxItems",
    "pattern": "pattern",
    "list_key": "x-trueup-list-key",
    "case": "x-trueup-case",
    "format": "x-trueup-format",
    "order": "x-trueup-order",
    "status_from": "x-trueup-status-from",
    "title": "title",
    "description": "description",
}
_SPECIAL = ("secret", "lowercase", "uppercase")
_PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number"}


def _keywords(hints):
    found = {}
    for name, value in hints.items():
        if name not in _FLAGS and name not in _VALUES and name not in _SPECIAL:
            raise TypeError(f"unknown hint `{name}`; there are {', '.join([*_FLAGS, *_VALUES, *_SPECIAL])}")
        if name in _VALUES:
            found[_VALUES[name]] = value
        elif value and name in _FLAGS:
            found[_FLAGS[name]] = True
        elif value and name == "secret":
            found |= {"x-trueup-sensitive": True, "x-trueup-write-only": True}
        elif value:
            found["x-trueup-format"] = name
    return found


def field(*, default=dataclasses.MISSING, name=None, **hints) -> typing.Any:
    """A field with hints (see the table of this module); `name` is its name in JSON, where Python cannot have it."""
    metadata = {"name": name, "keywords": _keywords(hints)}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@typing.dataclass_transform(kw_only_default=True, field_specifiers=(field,))
def record(cls):
    """A class whose fields are those of a JSON object: settings, outputs, a part of a document."""
    cls = dataclasses.dataclass(kw_only=True)(cls)
    cls.__trueup__ = Fields(cls)
    return cls


class Fields:
    """What is known of the fields of a class, worked out once."""

    def __init__(self, cls):
        self.cls, self.schema, self.fields = cls, object_schema(cls), []
        hints = typing.get_type_hints(cls)
        for it in dataclasses.fields(cls):
            self.fields.append((it.name, json_name(it), _loader(hints[it.name]), _dumper(hints[it.name]), it))
        self.names = [name for name, *_ in self.fields]
        self.json_names = {name: json for name, json, *_ in self.fields}
        # Where nothing has to be converted or renamed, an object's fields are its JSON.
        self.is_plain = all(dump is None and name == json for name, json, _, dump, _ in self.fields)
        self.defaults = [(name, _default_of(it)) for name, _, _, _, it in self.fields if not _is_required(it)]
        self.required = [name for name, _, _, _, it in self.fields if _is_required(it)]

    def load(self, data):
        """An instance from its JSON, which the engine has held against the schema. What is missing has its default."""
        instance = self.cls.__new__(self.cls)
        values = instance.__dict__
        for name, default in self.defaults:
            values[name] = default()
        for name, json, load, _, _ in self.fields:
            value = data.get(json)
            if value is not None:
                values[name] = value if load is None else load(value)
        for name in self.required:
            if name not in values:
                raise Error.invalid("document.shape", f"the document does not fit its kind: `{name}` is missing")
        return instance

    def dump(self, instance):
        """The JSON of an instance; what is None is left out."""
        values = instance.__dict__
        if self.is_plain:
            return {name: value for name, value in values.items() if value is not None}
        found = {}
        for name, json, _, dump, _ in self.fields:
            value = values.get(name)
            if value is not None:
                found[json] = value if dump is None else dump(value)
        return found


def json_name(field):
    """The name in JSON of a field of a dataclass."""
    return field.metadata.get("name") or field.name


def _is_required(field):
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING and not _is_optional(field.type)


def _default_of(field):
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory
    value = None if field.default is dataclasses.MISSING else field.default
    return lambda: value


def _is_optional(annotation):
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return is_union and type(None) in typing.get_args(annotation)


def _bare(annotation):
    """A type without its `| None`."""
    rest = [it for it in typing.get_args(annotation) if it is not type(None)]
    return rest[0] if _is_optional(annotation) and len(rest) == 1 else annotation


def object_schema(cls):
    """JSON Schema 2020-12 of a dataclass. Its docstring and those of its fields' types describe it."""
    hints = typing.get_type_hints(cls)
    properties, required = {}, []
    for it in dataclasses.fields(cls):
        it.type = hints[it.name]
        schema = type_schema(hints[it.name]) | it.metadata.get("keywords", {})
        default = _default_of(it)()
        if default is not None:
            schema["default"] = default
        properties[json_name(it)] = schema
        if _is_required(it):
            required.append(json_name(it))
    return _described(cls, {"type": "object", "properties": properties, "required": required, "additionalProperties": False})


def _described(cls, schema):
    # A dataclass without a docstring is given its signature.
    text = " ".join((cls.__doc__ or "").split())
    return schema if not text or text.startswith(f"{cls.__name__}(") else schema | {"description": text}


def type_schema(annotation):
    """JSON Schema of a type."""
    annotation = _bare(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in _PLAIN:
        return {"type": _PLAIN[annotation]}
    if annotation is typing.Any:
        return {}
    if annotation is Secret:
        return {"type": "string", "x-trueup-sensitive": True, "x-trueup-write-only": True}
    if annotation is Blob:
        return {"type": "string", "x-trueup-blob": True}
    if origin is typing.Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": type_schema(arguments[0])}
    if origin is dict and arguments[0] is str:
        return {"type": "object", "additionalProperties": type_schema(arguments[1])}
    if hasattr(annotation, "__trueup__"):
        return copy.deepcopy(annotation.__trueup__.schema)
    raise TypeError(f"no schema can be made of `{annotation}`; see the types that `trueup.schema` lists")


def _converter(annotation, of_record, of_special):
    """A function that converts a value of a type; None where it stays as it is."""
    annotation = _bare(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (Secret, Blob):
        return of_special(annotation)
    if hasattr(annotation, "__trueup__"):
        return of_record(annotation.__trueup__)
    inner = _converter(arguments[-1], of_record, of_special) if origin in (list, dict) else None
    if inner is None:
        return None
    if origin is list:
        return lambda value: [inner(it) for it in value]
    return lambda value: {name: inner(it) for name, it in value.items()}


def _loader(annotation):
    return _converter(annotation, lambda it: it.load, lambda it: it.load)


def _dumper(annotation):
    return _converter(annotation, lambda it: it.dump, lambda it: it.dump)


class Secret:
    """A secret, as its handle. It opens within `apply` only, and shows nothing of itself anywhere."""

    __slots__ = ("handle", "_json")

    @classmethod
    def load(cls, value):
        """From a document. Where a secret is written as plain text, that text is the value."""
        secret = cls()
        secret._json = value
        secret.handle = value.get("$secret") if isinstance(value, dict) else None
        return secret

    def dump(self):
        return self._json

    def reveal(self):
        """The value."""
        if self.handle is None:
            return self._json
        try:
            return host.secrets.reveal(self.handle)
        except wit.Err as error:
            case = error.value
        if isinstance(case, wit.SecretError_Denied):
            raise Error("denied", "secret.denied", "a secret was refused to the provider")
        if isinstance(case, wit.SecretError_Missing):
            raise Error("unauthorized", "secret.missing", "a secret has no value")
        raise Error.transient("secret.unavailable", f"a secret cannot be read: {case.value}")

    def __repr__(self):
        return "(secret)"


class Blob:
    """A file of the revision: `sha256` (64 lower-case hex digits) and `size` in bytes."""

    __slots__ = ("sha256", "size")

    @classmethod
    def load(cls, value):
        blob = cls()
        blob.sha256, blob.size = value["$blob"], value["size"]
        return blob

    def dump(self):
        return {"$blob": self.sha256, "size": self.size}

    def read(self, limit):
        """The whole file, if it has at most `limit` bytes. Within `render` and `apply`."""
        if self.size > limit:
            raise Error.invalid("blob.size", f"the file has {self.size} bytes; at most {limit} are taken")
        data = b""
        while len(data) < self.size:
            more = host.blobs.read(self.sha256, len(data), self.size - len(data))
            if not more:
                raise Error.internal("a file that the document names is not in the revision")
            data += more
        return data


def canonicaliser(schema, fill):
    """A function that brings a value into the spelling that its schema wants: defaults filled in where `fill`, texts in lower
    or upper case, fields that are None left out. Markers stay as they are. None where there is nothing to do."""
    if schema.get("x-trueup-format") in ("lowercase", "uppercase"):
        change = str.lower if schema["x-trueup-format"] == "lowercase" else str.upper
        return lambda value: change(value) if isinstance(value, str) else value
    if "items" in schema:
        inner = canonicaliser(schema["items"], fill)
        return inner and (lambda value: [inner(it) for it in value] if isinstance(value, list) else value)
    if schema.get("type") != "object":
        # Of unknown shape: nothing is known of what is in it either, but that None is none of it.
        return None if "type" in schema else _without_none
    properties = schema.get("properties", {})
    known = [(name, canonicaliser(it, fill)) for name, it in properties.items()]
    known = [(name, change) for name, change in known if change]
    defaults = [(name, it["default"]) for name, it in properties.items() if fill and "default" in it]
    others = schema.get("additionalProperties")
    other = canonicaliser(others, fill) if isinstance(others, dict) else None

    def change(value):
        if not isinstance(value, dict) or next(iter(value), "").startswith("$"):
            return value
        value = {name: it for name, it in value.items() if it is not None}
        for name, default in defaults:
            if name not in value:
                value[name] = copy.copy(default)
        for name, change in known:
            if name in value:
                value[name] = change(value[name])
        if other:
            value |= {name: other(it) for name, it in value.items() if name not in properties}
        return value

    return change


def _without_none(value):
    return {name: it for name, it in value.items() if it is not None} if isinstance(value, dict) else value
