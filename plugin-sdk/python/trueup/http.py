"""Requests in a few words, and what their failures mean.

    http.put(url).credential("token").json({"text": "hello"}).send().ok().json()

| answer | fault |
|---|---|
| 400, 422, other 4xx | invalid |
| 401, 403 | unauthorized |
| 404, 410 | not-found |
| 405, 501 | unsupported |
| 409, 412 | conflict |
| 429 | throttled, with `Retry-After` |
| 408, 5xx | transient, with `Retry-After` |
| unreachable | transient: nothing was sent |
| interrupted, timed out, too large | transient |

A request that writes and was interrupted, timed out, or met a 500, 502 or 504 may have taken effect: its error is
`unsettled`, and so is the change that it was made for.
"""

import json as _json
import re

from . import contract as wit
from . import host
from .errors import Error

_READS = ("GET", "HEAD", "OPTIONS")
_EXCERPT = 300  # Longest part of an answer that stands in an error, in bytes.
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")
_STATUS = {401: "unauthorized", 403: "unauthorized", 404: "not-found", 410: "not-found", 405: "unsupported"}
_STATUS |= {501: "unsupported", 409: "conflict", 412: "conflict", 429: "throttled", 408: "transient"}

_written = 0


def written():
    """How many requests that write were sent by this instance so far."""
    return _written


def escape(text):
    """Percent-encodes all but unreserved characters (RFC 3986): for one part of a path, or one value of a query."""
    if _UNRESERVED.fullmatch(text):
        return text
    return "".join(it if _UNRESERVED.fullmatch(it) else "".join(f"%{byte:02X}" for byte in it.encode()) for it in text)


class Request:
    """A request to be; every method but `send` returns it again."""

    __slots__ = ("_method", "_url", "_headers", "_body", "_credential", "_timeout")

    def __init__(self, method, url):
        """`url` is absolute, or `slot:<credential>/path`."""
        self._method, self._url, self._headers = method, url, []
        self._body = self._credential = self._timeout = None

    def query(self, name, value):
        """Adds a query parameter, escaped; none where `value` is None."""
        if value is not None:
            sign = "&" if "?" in self._url else "?"
            self._url = f"{self._url}{sign}{escape(name)}={escape(str(value))}"
        return self

    def header(self, name, value):
        """Adds a header."""
        self._headers.append((name, value))
        return self

    def credential(self, slot):
        """Lets the engine add what this credential slot holds."""
        self._credential = slot
        return self

    def idempotency_key(self, token):
        """The token of a change, as the key under which the server recognises another try."""
        return self.header("idempotency-key", token or "")

    def if_match(self, version):
        """Only if the object still is this version; no condition where it is None."""
        return self if version is None else self.header("if-match", version)

    def if_none_match(self, version):
        """Only if the object is no longer this version; see `Response.not_modified`."""
        return self if version is None else self.header("if-none-match", version)

    def timeout(self, millis):
        """Milliseconds; never longer than the call's budget."""
        self._timeout = millis
        return self

    def body(self, content_type, data):
        """A body of any type, as bytes."""
        self._body = data
        return self.header("content-type", content_type)

    def json(self, value):
        """A body of JSON."""
        return self.body("application/json", _json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())

    def send(self):
        """Sends it. An answer of any status is one; raises `Error` where there is none."""
        try:
            answer = wit.Ok(host.http.send(self._request()))
        except wit.Err as error:
            answer = error
        return self._answer(answer)

    def _request(self):
        global _written
        _written += self._method not in _READS
        return wit.Request(self._method, self._url, self._headers, self._body, self._credential, self._timeout, None, [])

    def _answer(self, answer):
        # The query is left out: it may hold a token of a page.
        what, writes = f"{self._method} {self._url.partition('?')[0]}", self._method not in _READS
        if type(answer) is wit.Ok:
            return Response(answer.value, what, writes)
        error, sent, fault, text = answer.value, False, "transient", getattr(answer.value, "value", None)
        if isinstance(error, wit.HttpError_Denied):
            fault, code = "denied", "http.denied"
        elif isinstance(error, wit.HttpError_Unreachable):
            code = "http.unreachable"
        elif isinstance(error, wit.HttpError_Interrupted):
            code, sent = "http.interrupted", True
        elif isinstance(error, wit.HttpError_TimedOut):
            code, sent, text = "http.timed-out", True, "no answer in time"
        elif isinstance(error, wit.HttpError_TooLarge):
            code, sent, text = "http.too-large", True, f"the answer is above the limit of {text} bytes"
        else:
            fault, code = "internal", "http.malformed"
        raise Error(fault, code, f"{what}: {text}", unsettled=sent and writes)


def get(url):
    """A GET request."""
    return Request("GET", url)


def head(url):
    """A HEAD request."""
    return Request("HEAD", url)


def post(url):
    """A POST request."""
    return Request("POST", url)


def put(url):
    """A PUT request."""
    return Request("PUT", url)


def patch(url):
    """A PATCH request."""
    return Request("PATCH", url)


def delete(url):
    """A DELETE request."""
    return Request("DELETE", url)


def send_all(requests, parallel=0):
    """Sends many requests at once, at most `parallel` at a time (0: as many as the grant allows); in their order, a
    `Response` or an `Error` for each."""
    answers = host.http.send_all([it._request() for it in requests], parallel) if requests else []
    results = []
    for request, answer in zip(requests, answers, strict=True):
        try:
            results.append(request._answer(answer))
        except Error as error:
            results.append(error)
    return results


class Response:
    """An answer, of any status."""

    __slots__ = ("status", "headers", "bytes", "_what", "_writes")

    def __init__(self, response, what, writes):
        self.status, self.headers, self.bytes = response.status, response.headers, response.body
        self._what, self._writes = what, writes

    def header(self, name):
        """The first header of this name, in any case; None without."""
        name = name.lower()
        return next((value for it, value in self.headers if it.lower() == name), None)

    @property
    def etag(self):
        """The entity tag."""
        return self.header("etag")

    @property
    def not_modified(self):
        """Whether the server says that nothing changed (304)."""
        return self.status == 304

    def link(self, relation):
        """The address behind `rel="next"` (or another relation) of the `Link` header."""
        for link in (self.header("link") or "").split(","):
            address, *parameters = link.split(";")
            if any(it.strip() == f'rel="{relation}"' for it in parameters):
                return address.strip().removeprefix("<").removesuffix(">")
        return None

    def json(self):
        """The body as JSON. Where it is none, the error holds nothing of it."""
        try:
            return _json.loads(self.bytes)
        except (ValueError, RecursionError) as error:
            place = f" at line {error.lineno}, column {error.colno}" if isinstance(error, _json.JSONDecodeError) else ""
            raise Error(
                "internal", "sdk.internal", f"{self._what} answered what is not JSON{place}", unsettled=self._writes
            ) from None

    def found(self):
        """None where the object is not there (404 or 410); else as `ok`."""
        return None if self.status in (404, 410) else self.ok()

    def ok(self):
        """This answer, if it is a success; else an `Error` as the table of this module says."""
        status = self.status
        if 200 <= status < 300:
            return self
        fault = _STATUS.get(status) or ("transient" if 500 <= status < 600 else "invalid" if 400 <= status < 500 else "internal")
        raise Error(
            fault,
            "http.status",
            f"{self._what} answered {status}",
            detail=_excerpt(self.bytes),
            wait=self._wait() if fault in ("throttled", "transient") else None,
            unsettled=self._writes and status in (408, 500, 502, 504),
        )

    def _wait(self):
        after = (self.header("retry-after") or "").strip()
        # A wait of more than 2^64 milliseconds is none that the contract can carry.
        return int(after) * 1000 if after.isascii() and after.isdigit() and len(after) < 16 else None


def _excerpt(body):
    """The beginning of a body that is text, on one line."""
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        return None
    line = "".join(" " if ord(it) < 32 or 127 <= ord(it) < 160 else it for it in text)
    return line.encode()[:_EXCERPT].decode(errors="ignore") or None
