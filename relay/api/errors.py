"""What went wrong, as RFC 9457 problems.

    handler ──raises──► one of the families of model/errors.py ──FAMILIES──► status ──► application/problem+json
                        Litestar's own 404, 405 …
                        a database that is away ───────────────────────────► 503, Retry-After
                        anything else ─────────────────────────────────────► 500, logged with its trace

A caller reads `code` (for programs), `detail` (for people) and, for bad input, the `path` of the field.
"""

import logging
import math
import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from litestar import Response
from litestar.connection import Request
from litestar.exceptions import HTTPException, ValidationException
from msgspec import UNSET, Struct, UnsetType, structs

from relay.api.language import language_of
from relay.model.errors import (
    Conflict,
    EngineError,
    Forbidden,
    InvalidInput,
    NotFound,
    NotReady,
    NotSupported,
    NotYet,
    RateLimited,
    RelayError,
    Unauthenticated,
)
from relay.replies.reading.problems import RulesInvalid
from relay.replies.said import Language, Said, in_language
from relay.store.pool import DATABASE_AWAY

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(Struct, frozen=True, kw_only=True):
    """An error's body."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    path: str | UnsetType = UNSET
    """The field that is wrong, as `content.url`."""
    errors: list[dict[str, Any]] | UnsetType = UNSET
    """Of rules: everything that is wrong, one by one."""


class BodyTooLarge(RelayError):
    code = "body_too_large"


class BodyTooSlow(RelayError):
    code = "body_too_slow"


class BodyIncomplete(RelayError):
    """The caller hung up; nobody reads the answer."""

    code = "body_incomplete"


class KeyReused(RelayError):
    """An Idempotency-Key that was used with another body."""

    code = "idempotency_key_reused"


class RulesRefused(RelayError):
    """Rules that can be read and still are not put in force; `errors` says what is wrong, one by one."""

    def __init__(self, detail: str, *, code: str, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(detail, code=code)
        self.errors = [dict(error) for error in errors]


FAMILIES: dict[type[RelayError], int] = {
    InvalidInput: 400,
    BodyIncomplete: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    BodyTooSlow: 408,
    Conflict: 409,
    BodyTooLarge: 413,
    KeyReused: 422,
    RulesInvalid: 422,
    RulesRefused: 422,
    RateLimited: 429,
    NotSupported: 501,
    EngineError: 502,
    NotReady: 503,
}

_RETRY_SECONDS = "2"

# Values that Postgres cannot hold: a number beyond bigint, a date beyond its calendar, half a surrogate pair.
_VALUE_REFUSED = (asyncpg.DataError, UnicodeEncodeError)


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Litestar's handler for every exception."""
    if isinstance(error, RelayError):
        return _answer_relay_error(error, language_of(request))
    if isinstance(error, HTTPException):
        return _answer_http(error)
    if isinstance(error, _VALUE_REFUSED):
        # Not the exception itself: its text repeats the value.
        log.warning("request.value_refused", extra={"route": _route(request), "at": _place(error)})
        return problem(400, "invalid_input", "A value is beyond what can be stored.")
    if isinstance(error, (*DATABASE_AWAY, asyncpg.TransactionRollbackError)):
        log.warning("request.database_away", extra={"route": _route(request), "error": type(error).__name__})
        detail = "The database cannot do it just now. Nothing was changed; try again."
        return problem(503, "database_unavailable", detail, headers={"Retry-After": _RETRY_SECONDS})
    log.error("request.failed", extra={"route": _route(request)}, exc_info=error)
    return problem(500, "internal", "Something broke on our side; it has been logged.")


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    path: str | UnsetType = UNSET,
    errors: list[dict[str, Any]] | UnsetType = UNSET,
    headers: dict[str, str] | None = None,
) -> Response[Problem]:
    body = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        path=path,
        errors=errors,
    )
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def _answer_relay_error(error: RelayError, language: Language = "en") -> Response[Problem]:
    status = next((FAMILIES[cls] for cls in type(error).__mro__ if cls in FAMILIES), 500)
    if status == 500:
        log.error("request.failed", exc_info=error)
        return problem(500, "internal", "Something broke on our side; it has been logged.")
    headers: dict[str, str] = {}
    path: str | UnsetType = UNSET
    if isinstance(error, InvalidInput) and error.path:
        path = error.path
    elif isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    elif isinstance(error, RateLimited | NotYet):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    elif isinstance(error, NotReady):
        headers["Retry-After"] = _RETRY_SECONDS
    elif isinstance(error, BodyTooSlow | BodyTooLarge):
        # What was not read cannot be told from a next request.
        headers["Connection"] = "close"
    if isinstance(error.detail, Said):
        headers["Content-Language"] = language
    detail = _sentence(in_language(error.detail, language))
    return problem(status, error.code, detail, path=path, errors=_errors_in(error, language), headers=headers)


def _errors_in(error: RelayError, language: Language) -> list[dict[str, Any]] | UnsetType:
    errors: list[dict[str, Any]] = []
    if isinstance(error, RulesInvalid):
        errors = [structs.asdict(problem) for problem in error.problems]
    elif isinstance(error, RulesRefused):
        errors = error.errors
    return [one | {"detail": in_language(one["detail"], language)} for one in errors] or UNSET


def _answer_http(error: HTTPException) -> Response[Problem]:
    """What Litestar itself refuses: an unknown path, a wrong method, a parameter of the wrong type."""
    if isinstance(error, ValidationException):
        return _answer_relay_error(_from_validation(error))
    status = error.status_code
    if status >= 500:
        log.error("request.failed", exc_info=error)
        return problem(status, "internal", "Something broke on our side; it has been logged.")
    phrase = HTTPStatus(status).phrase
    detail = {404: "There is nothing at this path.", 405: "This path does not take that method."}.get(
        status, phrase + "."
    )
    return problem(status, phrase.lower().replace(" ", "_"), detail, headers=dict(error.headers or {}))


def _from_validation(error: ValidationException) -> InvalidInput:
    extra = error.extra if isinstance(error.extra, list) else []
    first: dict[str, str] = next(iter(extra), {})
    field = first.get("key")
    if field == "data":
        return InvalidInput("This call needs a JSON body.", code="body_missing")
    # Litestar's sentence ends with the whole URL.
    sentence = first.get("message") or error.detail.split(" for path ")[0]
    return InvalidInput(_sentence(sentence), path=field)


def from_msgspec(error: msgspec.DecodeError) -> InvalidInput:
    """A body that is no JSON, or JSON of the wrong shape, with the path of the field."""
    if not isinstance(error, msgspec.ValidationError):
        return InvalidInput(_sentence(f"The body is not valid JSON: {error}"), code="json_malformed")
    sentence, _, where = str(error).partition(" - at `$")
    path = where.rstrip("`").lstrip(".")
    if " field `" in sentence:
        # An unknown or missing field is named in the sentence; the path leads only to its owner.
        field = sentence.rpartition(" field `")[2].partition("`")[0]
        path = f"{path}.{field}" if path else field
    return InvalidInput(_sentence(sentence), path=path or None)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else text + "."


def _place(error: Exception) -> str:
    """The line of ours that led to `error`."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "relay" in Path(frame.filename).parts]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""


def _route(request: Request[Any, Any, Any]) -> str:
    """The route's template, never the path: it may hold a number."""
    return f"{request.method} {request.scope.get('path_template', '')}"
