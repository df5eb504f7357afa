"""Errors of a provider: what the engine should do, and what a person should read."""

from . import contract as wit

_FAULTS = {
    "invalid": "Invalid",
    "unauthorized": "Unauthorized",
    "denied": "Denied",
    "not-found": "NotFound",
    "conflict": "Conflict",
    "throttled": "Throttled",
    "transient": "Transient",
    "unsupported": "Unsupported",
    "internal": "Internal",
}


class Error(Exception):
    """One failure. The message is for people: lower case, no full stop, what and where and what to do next, never a secret.

    `fault` says what the engine does about it: `invalid` (the document is wrong), `unauthorized`, `denied`, `not-found`,
    `conflict` (changed since it was observed, or another's), `throttled` and `transient` (tried again, after `wait`
    milliseconds where the service said so), `unsupported`, `internal` (a bug of the plugin). `code` is stable and for
    machines: `http.status`. `unsettled`: the change may have taken effect. `path` is a JSON pointer into the document.
    """

    def __init__(self, fault, code, message, *, detail=None, path=None, wait=None, unsettled=False):
        if fault not in _FAULTS:
            raise ValueError(f"unknown fault `{fault}`; there are {', '.join(_FAULTS)}")
        super().__init__(message)
        self.fault, self.code, self.message = fault, code, message
        self.detail, self.path, self.wait, self.unsettled = detail, path, wait, unsettled

    @classmethod
    def invalid(cls, code, message, *, path=None):
        """The document is wrong. Not tried again until Git changes."""
        return cls("invalid", code, message, path=path)

    @classmethod
    def conflict(cls, code, message):
        """The object changed since it was observed, or has another owner."""
        return cls("conflict", code, message)

    @classmethod
    def transient(cls, code, message, *, wait=None):
        """A later try may succeed with nobody doing anything."""
        return cls("transient", code, message, wait=wait)

    @classmethod
    def unsupported(cls, message):
        """This provider does not do that."""
        return cls("unsupported", "sdk.unsupported", message)

    @classmethod
    def internal(cls, message):
        """A bug in the plugin."""
        return cls("internal", "sdk.internal", message)

    @classmethod
    def unexpected(cls, error):
        """An exception that nobody caught: its type and place, without its text, which may quote a secret."""
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f" at {place.tb_frame.f_code.co_filename.rpartition('/')[2]}:{place.tb_lineno}" if place else ""
        return cls.internal(f"the provider raised {type(error).__name__}{where}")

    def diagnostic(self):
        """As one finding of the contract."""
        return wit.Diagnostic(wit.Severity.ERROR, self.code, self.message, self.detail, self.path)

    def failure(self):
        """As a failure of the contract."""
        case = getattr(wit, f"Fault_{_FAULTS[self.fault]}")
        fault = case(self.wait) if self.fault in ("throttled", "transient") else case()
        return wit.Failure(fault, [self.diagnostic()])


def caught(error):
    """Any exception as an `Error`."""
    return error if isinstance(error, Error) else Error.unexpected(error)
