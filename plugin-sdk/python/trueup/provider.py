"""From services of kinds to the exports of the contract.

    provider("notes", version="0.1.0", config=Conf, kinds={Note: Notes}, hosts=["config.server"]).export(__name__)

A service is a class made with the provider's settings. The functions that it has decide what the manifest promises:

| function | answers | meaning |
|---|---|---|
| `find(target)` | `Found` or None | the object, if it is there. An error is never absence |
| `create(target, desired)` | `Found` or `Pending` | creates it, and answers with what the server now has |
| `update(target, desired)` | `Found` or `Pending` | brings it to `desired`, on the condition of `target.version` |
| `delete(target)` | None or `Pending` | deletes it; `not-found` counts as done |
| `poll(operation, info)` | `Found`, None (gone) or `Pending` | looks after what was `Pending` |
| `scan(query, info)` | `Page` | all objects of a scope, page by page |
| `apply(scope, items, info)` | a list of `Found`, None or `Error` | many changes at once, in place of create, update, delete |
| `refine(candidate, info)` | a verdict of the contract, None to accept | a say in the plan |
| `cancel(operation, info)` | | gives up what was `Pending` |
| `scopes(info)` | a list of texts | scopes that exist |
| `upgrade(stored)` (static) | a document | of an older schema version, as JSON both |
| `render(declared)` (static) | the contract's list of `Desired` | in place of the SDK's own |
"""

import json
import sys

from . import contract as wit
from . import http
from .errors import Error, caught
from .kind import Found, Page, Pending, Target, to_json

_FEATURES = {"planning": "refine", "operations": "poll", "discovery": "scopes", "migration": "upgrade"}


def provider(
    name,
    *,
    version,
    kinds,
    config=None,
    hosts=(),
    credentials=None,
    secrets=False,
    dns=False,
    dirs=False,
    reads=(),
    parallel=4,
):
    """A provider. `kinds`: the service of each kind. `config`: a record of the settings. `hosts`: origins that it asks for,
    `config.server` for what that field holds. `credentials`: schemes by slot, `{"token": ["bearer"]}`. `secrets`: opens
    secrets. `reads`: requests beyond GET that only read. `parallel`: calls that may run at a time."""
    rest = {"hosts": list(hosts), "dirs": dirs, "dns": dns, "secrets": secrets, "reads": list(reads), "parallel": parallel}
    rest["credentials"] = {slot: {"schemes": list(schemes)} for slot, schemes in (credentials or {}).items()}
    return Provider(name, version, config, kinds, rest)


class Item:
    """One change of a batch: `change` whole, for its token, mark and prior object; `desired` is None to delete it."""

    __slots__ = ("change", "desired")

    def __init__(self, change, desired):
        self.change, self.desired = change, desired


class Provider:
    """Serves the exports of the contract: each method is one of its functions, under its name."""

    def __init__(self, name, version, config, kinds, rest):
        self._config, self._rest = config, {"name": name, "version": version} | rest
        self._kinds = {cls.__kind__.name: (cls.__kind__, service) for cls, service in kinds.items()}
        self._services = None
        for kind, service in self._kinds.values():
            if not hasattr(service, "find") and not hasattr(service, "scan"):
                raise TypeError(f"objects of kind `{kind.name}` are never observed: write `find` or `scan`")
            if not hasattr(service, "create") and not hasattr(service, "apply"):
                raise TypeError(f"objects of kind `{kind.name}` are never changed: write `create`, `update`, `delete` or `apply`")

    def export(self, module):
        """Makes `module` a component of this provider: its exports are looked for there, each as a class."""
        target = sys.modules[module]
        for interface in (
            "Lifecycle",
            "Rendering",
            "Planning",
            "Operations",
            "Schemas",
            "Discovery",
            "Migration",
            "HealthChecks",
        ):
            setattr(target, interface, lambda: self)
        target.trueup_provider = self
        return self

    def manifest(self):
        """What `describe` says, as JSON."""
        services = [service for _, service in self._kinds.values()]
        features = [it for it, function in _FEATURES.items() if any(hasattr(service, function) for service in services)]
        kinds = {}
        for name, (kind, service) in self._kinds.items():
            kinds[name] = kind.manifest("scan" if hasattr(service, "scan") else "read")
        # Where settings are described nothing but what is described is taken.
        none = {"type": "object", "additionalProperties": False}
        config = self._config.__trueup__.schema if self._config else none
        fixed = {"format": 1, "config": config, "apiVersions": "own", "yaml": "core"}
        return fixed | self._rest | {"features": ["rendering", *features], "kinds": kinds}

    def describe(self):
        return to_json(self.manifest())

    def configure(self, config, kinds):
        try:
            settings = self._config.__trueup__.load(json.loads(config)) if self._config else None
            self._services = {name: service(settings) for name, (_, service) in self._kinds.items()}
        except Exception as error:
            raise wit.Err(caught(error).failure()) from None

    def _serving(self, name, function):
        """The kind and the service's function, or an error that says that there is none."""
        if self._services is None:
            raise Error.internal("called before `configure`")
        found = getattr(self._services.get(name), function, None)
        if found is None:
            raise Error.unsupported(f"kind `{name}` is not served that way by this provider")
        return self._kinds[name][0], found

    def scan(self, queries, info):
        return [_result(lambda it=it: self._scan(it, info)) for it in queries]

    def _scan(self, query, info):
        kind, scan = self._serving(query.kind, "scan")
        page = scan(query, info)
        if type(page) is not Page:
            raise Error.internal(f"the provider answered {type(page).__name__} where a page (`Page`) is wanted")
        objects, coverage = [kind.remote(it) for it in page.objects], wit.Coverage[page.coverage.upper()]
        return wit.Snapshot(objects, page.next, page.version, coverage, page.gone, [], [])

    def read(self, lookups, info):
        return [self._read(it, info) for it in lookups]

    def _read(self, lookup, info):
        try:
            kind, find = self._serving(lookup.address.kind, "find")
            # A desired document may hold values that are not known yet: then the look goes by address alone.
            known = lookup.desired is not None and '"$unknown"' not in lookup.desired
            desired = kind.parse(lookup.desired) if known else None
            found = find(Target(lookup.address, lookup.identity, desired, lookup.mark, lookup.token, lookup.since, info))
            remote = None if found is None else kind.remote(found, lookup.address)
        except Exception as error:
            error = caught(error)
            return wit.Observation_Absent() if error.fault == "not-found" else wit.Observation_Failed(error.failure())
        if remote is None:
            return wit.Observation_Absent()
        is_known = remote.version is not None and remote.version == lookup.since
        return wit.Observation_Unchanged() if is_known else wit.Observation_Found(remote)

    def apply(self, changes, info):
        groups, answers = {}, [None] * len(changes)
        for at, change in enumerate(changes):
            groups.setdefault(change.address.kind, []).append(at)
        for name, group in groups.items():
            service = self._kinds.get(name, (None, None))[1]
            carry_out = self._apply_batch if hasattr(service, "apply") else self._apply_each
            for at, outcome in zip(group, carry_out(name, [changes[it] for it in group], info), strict=True):
                answers[at] = outcome
        return answers

    def _apply_each(self, name, changes, info):
        return [_outcome(lambda it=it: self._change(name, it, info)) for it in changes]

    def _change(self, name, change, info):
        action = change.action.name.lower()
        kind, function = self._serving(name, action)
        prior, address = change.prior, change.address
        desired = None if change.desired is None else kind.parse(change.desired)
        identity, version = (prior.identity, prior.version) if prior else (None, None)
        target = Target(address, identity, desired, change.mark, change.token, version, info)
        if action == "delete":
            return _settled(kind, name, self._delete(name, function, target), address)
        if desired is None:
            raise Error.internal("the change has no desired document")
        if action == "create" and change.unsettled and hasattr(self._services[name], "find"):
            # An earlier try may have made it: look, and finish what is there.
            made = _unsettled(lambda: self._services[name].find(target))
            if made is not None:
                target.identity, target.version = made.identity or None, made.version
                if kind.is_as_declared(made, desired):
                    return _settled(kind, name, made, address)
                function = self._serving(name, "update")[1]
        return _settled(kind, name, function(target, desired), address)

    def _delete(self, name, delete, target):
        try:
            return delete(target)
        except Error as error:
            if error.fault == "not-found":
                return None
            if error.fault != "conflict" or not hasattr(self._services[name], "find"):
                raise
            # A precondition fails on what is gone, too (RFC 9110, `If-Match`).
            try:
                is_gone = self._services[name].find(target) is None
            except Error:
                is_gone = False
            if not is_gone:
                raise
            return None

    def _apply_batch(self, name, changes, info):
        answers, items = [None] * len(changes), []
        for at, change in enumerate(changes):
            try:
                kind, apply = self._serving(name, "apply")
                items.append((at, Item(change, None if change.desired is None else kind.parse(change.desired))))
            except Exception as error:
                answers[at] = _failed(caught(error))
        if len(items) < len(changes) and self._kinds[name][0].options.get("batch", {}).get("atomic"):
            together = Error.invalid("batch.atomic", "another change that must go together with this one is wrong")
            return [it or _failed(together) for it in answers]
        before, results = http.written(), []
        try:
            results = list(apply(changes[0].address.scope, [it for _, it in items], info)) if items else []
        except Exception as error:
            results = [_blamed(error, before)] * len(items)
        missing = Error("internal", "sdk.internal", "the provider left this change out of its answer", unsettled=True)
        results += [missing] * (len(items) - len(results))
        for (at, item), result in zip(items, results, strict=False):
            answers[at] = _outcome(lambda item=item, result=result: _batched(kind, name, item, result))
        return answers

    def poll(self, handles, info):
        return [self._poll(it, info) for it in handles]

    def _poll(self, handle, info):
        name, _, operation = handle.partition(" ")
        try:
            kind, poll = self._serving(name, "poll")
            return _settled(kind, name, poll(operation, info), None)
        except Exception as error:
            error = caught(error)
            if error.fault in ("throttled", "transient"):
                # It could not be asked, which says nothing of the change: it is asked again.
                return _settled(None, name, Pending(operation, error.wait or 1000, error.message), None)
            error.unsettled = True
            return _failed(error)

    def cancel(self, handles, info):
        for handle in handles:
            name, _, operation = handle.partition(" ")
            try:
                self._serving(name, "cancel")[1](operation, info)
            except Exception:
                pass  # Best effort; a `poll` follows.

    def render(self, items):
        return [self._render(it) for it in items]

    def _render(self, item):
        try:
            kind, service = self._kinds.get(item.address.kind, (None, None))
            if kind is None:
                raise Error.unsupported(f"kind `{item.address.kind}` is not served by this provider")
            own = getattr(service, "render", None)
            return wit.Rendered([kind.render(item)] if own is None else own(item), [])
        except Exception as error:
            return wit.Rendered([], [caught(error).diagnostic()])

    def refine(self, candidates, info):
        return [self._refine(it, info) for it in candidates]

    def _refine(self, candidate, info):
        try:
            if not hasattr(self._kinds[candidate.address.kind][1], "refine"):
                return wit.Verdict_Accept()
            return self._serving(candidate.address.kind, "refine")[1](candidate, info) or wit.Verdict_Accept()
        except Exception as error:
            return wit.Verdict_Refuse(caught(error).failure())

    def scopes(self, kind, info):
        try:
            return list(self._serving(kind, "scopes")[1](info))
        except Exception as error:
            raise wit.Err(caught(error).failure()) from None

    def discover(self, since, info):
        raise wit.Err(Error.unsupported("the manifest names every kind of this provider").failure())

    def upgrade(self, items):
        return [_result(lambda it=it: self._upgrade(it)) for it in items]

    def _upgrade(self, stored):
        kind, service = self._kinds.get(stored.kind, (None, None))
        if not hasattr(service, "upgrade"):
            return stored
        doc = service.upgrade(json.loads(stored.doc), stored.schema_version)
        return wit.Stored(stored.kind, kind.options["schemaVersion"], stored.identity, to_json(doc))

    def assess(self, objects):
        return [wit.Health(wit.HealthState.UNKNOWN, "") for _ in objects]


def _result(ask):
    try:
        return wit.Ok(ask())
    except Exception as error:
        return wit.Err(caught(error).failure())


def _outcome(ask):
    before = http.written()
    try:
        return ask()
    except Exception as error:
        return _failed(_blamed(error, before))


def _blamed(error, before):
    """An exception as an error of a change: one that nobody foresaw leaves a change unsettled that has sent something."""
    if isinstance(error, Error):
        return error
    error = Error.unexpected(error)
    error.unsettled = http.written() != before
    return error


def _unsettled(ask):
    try:
        return ask()
    except Exception as error:
        error = caught(error)
        error.unsettled = True
        raise error from None


def _failed(error):
    case = wit.Settlement_Unsettled if error.unsettled else wit.Settlement_Rejected
    return wit.Outcome(case(error.failure()), None, [], [])


def _settled(kind, name, answer, address):
    """The outcome of what a function answered: done, or under way."""
    found = answer.found if type(answer) is Pending else answer
    # From here on the change is made, whatever is wrong with the answer.
    remote = None if found is None else _unsettled(lambda: kind.remote(found, address))
    if type(answer) is Pending:
        pending = wit.Pending(f"{name} {answer.operation}", answer.after, answer.message, [])
        return wit.Outcome(wit.Settlement_Pending(pending), remote, [], [])
    return wit.Outcome(wit.Settlement_Settled(), remote, [], [])


def _batched(kind, name, item, result):
    if isinstance(result, Error):
        if result.fault == "not-found" and item.desired is None:
            return wit.Outcome(wit.Settlement_Settled(), None, [], [])
        raise result
    if result is not None and type(result) not in (Found, Pending):
        error = Error.internal(f"the provider answered {type(result).__name__} where an object (`Found`) is wanted")
        error.unsettled = True
        raise error
    return _settled(kind, name, result, item.change.address)
