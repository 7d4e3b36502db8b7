"""Everything that can go wrong by name.

    RelayError
    ├── ConfigError              a setting is wrong; the start stops
    ├── NotReady                 the database is old, locked or gone; the sentence says what to run
    ├── InvalidInput             the caller's words are wrong; `path` names the field
    ├── Unauthenticated          no key, or one we do not know
    ├── Forbidden                a key without the scope
    ├── NotFound                 no such thing, or another tenant's
    ├── Conflict                 the thing is not in a state that allows it
    │   └── NotYet               it is under way; `retry_after_seconds` says when to ask again
    ├── RateLimited              too many; `retry_after_seconds` says when again
    ├── NotSupported             the engine cannot do it
    └── EngineError              what WhatsApp (or the engine) answered
        ├── NotConnected         there was no connection: surely nothing was sent
        ├── SendRejected         it said no: the message has failed
        └── OutcomeUnknown       nobody can say whether it was sent

Each carries a stable `code` for programs and a sentence for people. `api/errors.py` maps families to HTTP. A
customer's failing endpoint is not here: it is the result of an attempt.
"""


class RelayError(Exception):
    """Base of the tree: `code` for programs, `detail` for people."""

    code = "error"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code


class ConfigError(RelayError):
    code = "config_invalid"


class NotReady(RelayError):
    code = "not_ready"


class InvalidInput(RelayError):
    """`path` is the field's path in the body or query, as `content.url`."""

    code = "invalid_input"

    def __init__(self, detail: str, *, path: str | None = None, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.path = path


class Unauthenticated(RelayError):
    code = "unauthenticated"


class Forbidden(RelayError):
    code = "forbidden"


class NotFound(RelayError):
    code = "not_found"


class Conflict(RelayError):
    code = "conflict"


class NotYet(Conflict):
    code = "not_yet"

    def __init__(self, detail: str, *, retry_after_seconds: float, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after_seconds = retry_after_seconds


class RateLimited(RelayError):
    code = "rate_limited"

    def __init__(self, detail: str, *, retry_after_seconds: float, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after_seconds = retry_after_seconds


class NotSupported(RelayError):
    code = "not_supported"


class EngineError(RelayError):
    code = "engine_error"


class NotConnected(EngineError):
    code = "session_not_connected"


class SendRejected(EngineError):
    code = "send_rejected"


class OutcomeUnknown(EngineError):
    code = "outcome_unknown"
