"""The double of the engine, for tests without Wasm: the same provider code runs under `python -m unittest`, its imports
answered from memory.

    engine = Engine(tickets.trueup_provider, {"server": "https://tickets.example"})
    engine.double.serve(lambda request: double.respond(200, body=b"{}"))
    made = engine.bring(None, engine.render("Ticket", "first", {"spec": {...}}).objects[0])

`Engine` plays the engine's part and is where a test begins; `Double` is the world behind the imports. Both keep the rules of
the contract that a provider could break: nothing but `log` and `blobs` in a PURE call, no request that writes and no secret
outside `apply`, answers in the shape and length that the contract wants. The newest double is asked.
"""

import copy
import dataclasses
import hashlib
import json

from . import contract as wit

READS = ("GET", "HEAD", "OPTIONS")
_current = None


def imports():
    """The imports of the contract, each sent on to the newest double."""
    names = ("blobs", "cache", "dns", "files", "http", "log", "secrets", "signing")
    return [_Import(it) for it in names]


class _Import:
    def __init__(self, name):
        self._name = name

    def __getattr__(self, function):
        return lambda *arguments: (_current or Double())._ask(self._name, function, arguments)


def respond(status, headers=None, body=b""):
    """An answer of the server; `body` is bytes, or anything else to be sent as JSON."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return wit.Response(status, list((headers or {}).items()), body, False)


class Failure(Exception):
    """What `Engine` raises where a function of the contract answered with a failure: `fault` and `message`."""

    def __init__(self, failure):
        self.fault, self.message = fault_of(failure), failure.diagnostics[0].summary
        super().__init__(f"{self.fault}: {self.message}")


def fault_of(failure):
    """The name of a failure's fault: `conflict`, or `throttled 7000` where it holds a wait."""
    case = type(failure.fault).__name__.partition("_")[2]
    name = "".join(f"-{it.lower()}" if it.isupper() else it for it in case).removeprefix("-")
    wait = getattr(failure.fault, "value", None)
    return name if wait is None else f"{name} {wait}"


class Double:
    """The world behind the imports. The clock stands at 2026-01-01."""

    def __init__(self):
        global _current
        _current = self
        self.phase, self.now = "observe", 1_767_225_600_000
        self.lines, self._calls = [], []
        self._server, self._others = None, {}
        self._blobs, self._secrets, self._cache = {}, {}, {}

    def serve(self, server):
        """Answers HTTP requests: `server(request)` gives an answer (`respond`), or a case of `HttpError` to fail with. A request
        that writes outside `apply` does not reach it."""
        self._server = server

    def provide(self, name, imported):
        """Answers `files`, `dns` or `signing` with an object that has their functions."""
        self._others[name] = imported

    def blob(self, data):
        """Adds a file to the revision; what stands for it in a document."""
        digest = hashlib.sha256(data).hexdigest()
        self._blobs[digest] = data
        return {"$blob": digest, "size": len(data)}

    def secret(self, handle, value):
        """Grants a secret; what stands for it in a document."""
        self._secrets[handle] = value
        return {"$secret": handle}

    def lose_cache(self):
        """Loses what the provider cached, as the engine may at any time."""
        self._cache.clear()

    def advance(self, millis):
        """Lets time pass."""
        self.now += millis

    def take_calls(self):
        """What the provider asked for since the last time this was called: `http PUT https://…`."""
        calls, self._calls = self._calls, []
        return calls

    def _ask(self, name, function, arguments):
        if self.phase == "pure" and name not in ("log", "blobs"):
            raise AssertionError(f"`{name}` was asked in a PURE call, where the engine denies it")
        if name in self._others:
            return getattr(self._others[name], function)(*arguments)
        return getattr(self, f"_{name}_{function}")(*arguments)

    def _http_send(self, request):
        misfit = wit.misfit(request, "Request", "request")
        if misfit:
            raise AssertionError(misfit)
        self._calls.append(f"http {request.method} {request.url}")
        if request.method not in READS and self.phase != "apply":
            raise wit.Err(wit.HttpError_Denied(f"{request.method} is no read, and this is no apply"))
        # Names as the engine hands them on.
        answer = self._server(request) if self._server else wit.HttpError_Unreachable("the test serves nothing")
        if type(answer) is not wit.Response:
            raise wit.Err(answer)
        return dataclasses.replace(answer, headers=[(name.lower(), value) for name, value in answer.headers])

    def _http_send_all(self, requests, parallel):
        answers = []
        for request in requests:
            try:
                answers.append(wit.Ok(self._http_send(request)))
            except wit.Err as error:
                answers.append(error)
        return answers

    def _log_write(self, level, message, fields):
        self.lines.append(" ".join([level.name.lower(), message, *(f"{name}={value}" for name, value in fields)]))

    def _cache_get(self, key):
        return self._cache.get(key)

    def _cache_put(self, key, value, ttl):
        self._cache[key] = value

    def _blobs_read(self, digest, offset, length):
        data = self._blobs.get(digest)
        return None if data is None else data[offset : offset + length]

    def _secrets_reveal(self, handle):
        if self.phase != "apply":
            raise wit.Err(wit.SecretError_Denied())
        if handle not in self._secrets:
            raise wit.Err(wit.SecretError_Missing())
        return self._secrets[handle]


class Engine:
    """One configured provider and the world around it."""

    def __init__(self, provider, config):
        self.provider, self.double, self._tokens = provider, Double(), 0
        self.restart(config)

    def restart(self, config):
        """Configures a new instance in the same world, as the engine may between two calls."""
        self.double.phase = "pure"
        try:
            self.provider.configure(json.dumps(config), None)
        except wit.Err as error:
            raise Failure(error.value) from None

    def manifest(self):
        """What the provider says of itself."""
        self.double.phase = "pure"
        return json.loads(self.provider.describe())

    def _call(self, phase, function, items, wanted, *more):
        self.double.phase = phase
        info = () if phase == "pure" else (wit.CallInfo(self.double.now, 30_000, "", []),)
        # Copies, as what crosses the border is.
        answers = getattr(self.provider, function)(copy.deepcopy(items), *info)
        assert len(answers) == len(items), f"`{function}` answered {len(answers)} of {len(items)} items"
        for answer in answers:
            held, kind = (answer.value, wanted) if type(answer) is wit.Ok else (answer, wanted)
            if type(answer) is wit.Err:
                held, kind = answer.value, "Failure"
            misfit = wit.misfit(held, kind, function)
            assert misfit is None, misfit
        return answers

    def render(self, kind, name, doc):
        """Renders one declaration whose address has the default key."""
        return self._call("pure", "render", [wit.Declared(wit.Address(kind, "", name), json.dumps(doc), [])], "Rendered")[0]

    def scan(self, kind, scope, since=None):
        """Scans a scope to its last page; the snapshot, with the objects of all pages."""
        whole = self.scan_page(self.query(kind, scope, since=since))
        while whole.next is not None:
            page = self.scan_page(self.query(kind, scope, since=since, cursor=whole.next))
            whole.objects += page.objects
            whole.gone += page.gone
            whole.next, whole.version = page.next, page.version
        return whole

    def query(self, kind, scope, *, cursor=None, since=None, limit=10_000):
        """A query for one page of a scope."""
        return wit.ScopeQuery(kind, scope, cursor, since, limit, 0, [])

    def scan_page(self, query):
        """One page."""
        answer = self._call("observe", "scan", [query], "Snapshot")[0]
        if type(answer) is wit.Err:
            raise Failure(answer.value)
        return answer.value

    def read(self, address, *, identity=None, desired=None, since=None):
        """Looks at one object: an observation of the contract."""
        desired = None if desired is None else json.dumps(desired)
        lookup = wit.Lookup(address, identity, desired, None, None, since, [])
        return self._call("observe", "read", [lookup], "Observation")[0]

    def change(self, prior, desired):
        """A change to try, with a token of its own. `edits` are what differs between the two documents."""
        self._tokens += 1
        action = wit.Action.CREATE if prior is None else wit.Action.DELETE if desired is None else wit.Action.UPDATE
        edits = []
        if desired is not None:
            _differences("", json.loads(prior.doc) if prior else None, json.loads(desired.doc), edits)
        mark = "0123456789abcdef0123456789abcdef/test/0123456789abcdef0123456789abcdef"
        doc, token = desired and desired.doc, f"token-{self._tokens}"
        return wit.Change(action, (prior or desired).address, token, 0, False, mark, doc, prior, edits, [])

    def apply(self, changes):
        """Carries changes out in one call."""
        return self._call("apply", "apply", changes, "Outcome")

    def bring(self, prior, desired):
        """Brings one object from `prior` to `desired`: creates, updates or deletes it, and follows what is pending."""
        return self.follow(self.apply([self.change(prior, desired)])[0])

    def follow(self, outcome):
        """Polls until nothing is pending any more; the clock is moved on, and nobody waits."""
        for _ in range(100):
            if type(outcome.settlement) is not wit.Settlement_Pending:
                return outcome
            self.double.advance(outcome.settlement.value.after)
            outcome = self.poll(outcome.settlement.value.operation)
        raise AssertionError("still pending after a hundred polls")

    def poll(self, operation):
        """Asks once for a pending change."""
        return self._call("apply", "poll", [operation], "Outcome")[0]

    def refine(self, prior, desired):
        """Asks the provider about one planned change."""
        it = self.change(prior, desired)
        candidate = wit.Candidate(it.action, it.address, it.desired, it.prior, it.edits, [])
        return self._call("observe", "refine", [candidate], "Verdict")[0]


def _differences(path, before, after, edits):
    """What differs between two documents, members that are only in `before` excepted: nobody declared them."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in after.items():
            at = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
            if name in before:
                _differences(at, before[name], value, edits)
            else:
                edits.append(wit.Edit(wit.EditOp.ADD, at, json.dumps(value)))
    elif before != after:
        edits.append(wit.Edit(wit.EditOp.REPLACE, path, json.dumps(after)))
