"""What the host and an engine process say to each other: frames of `length(4) | msgpack` on a socket pair.

    host ──► Start, Stop, Call, Ping ──► engine process ──► Answer, Said, Journaled, Trouble ──► host

`Answer` goes with the question of the same number. What people write never travels here: an engine process puts that
in the journal itself, and rings with `Journaled`.
"""

import struct
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from relay.engines.engine import Signal
from relay.model.ids import SessionId, TenantId

LENGTH = struct.Struct("<I")


class Start(Struct, frozen=True, kw_only=True, tag=True):
    """Drive an account, from the auth state in `path`. What follows comes as signals."""

    number: int
    session_id: SessionId
    tenant_id: TenantId
    path: str
    proxy: str | None
    link_method: str
    """`qr` or `code` when the account is to be linked, which ends the process; empty to resume."""
    link_phone: str | None


class Stop(Struct, frozen=True, kw_only=True, tag=True):
    """Disconnect, hand over what is still arriving, then stop."""

    number: int
    session_id: SessionId


class Call(Struct, frozen=True, kw_only=True, tag=True):
    """Call a method of the session's engine."""

    number: int
    session_id: SessionId
    method: str
    arguments: dict[str, Any]


class Ping(Struct, frozen=True, kw_only=True, tag=True):
    """Answer; and leave WhatsApp when no later one has come for `lasts_seconds`: somebody else may be next."""

    number: int
    lasts_seconds: float


Question: TypeAlias = Start | Stop | Call | Ping


class Answer(Struct, frozen=True, kw_only=True, tag=True):
    number: int
    result: Any = None
    error: str | None = None
    """Its name in `model/errors.py`, when it failed; None when it did not."""
    code: str = ""
    detail: str = ""


class Said(Struct, frozen=True, kw_only=True, tag=True):
    session_id: SessionId
    signal: Signal


class Journaled(Struct, frozen=True, kw_only=True, tag=True):
    """The journal has grown."""


class Trouble(Struct, frozen=True, kw_only=True, tag=True):
    """Something went wrong that nobody asked about; `error` is the name of an exception, never its words."""

    session_id: SessionId | None
    what: str
    error: str


Telling: TypeAlias = Answer | Said | Journaled | Trouble

_encode = msgspec.msgpack.Encoder().encode
decode_question = msgspec.msgpack.Decoder(Question).decode
decode_telling = msgspec.msgpack.Decoder(Telling).decode


def frame(message: Question | Telling) -> bytes:
    """As it goes over the socket."""
    packed = _encode(message)
    return LENGTH.pack(len(packed)) + packed
