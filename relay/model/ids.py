"""Identifiers: a prefix that names the kind, then 26 characters that sort by time.

    evt_ 0dv5m0k8w2qj 7h3n…
         │            └ 14 characters: 70 random bits
         └ 12 characters: microseconds since 1970 (60 bits)

The alphabet is Crockford's base 32 in lower case, so text order (``COLLATE "C"``) is time order. Events and
attempts are partitioned by these ids, a day a partition: `floor` gives a day's bound.
"""

import time
from datetime import UTC, datetime
from random import getrandbits
from typing import NewType

TenantId = NewType("TenantId", str)
KeyId = NewType("KeyId", str)
SessionId = NewType("SessionId", str)
ContactId = NewType("ContactId", str)
MessageId = NewType("MessageId", str)
MediaId = NewType("MediaId", str)
EventId = NewType("EventId", str)
EndpointId = NewType("EndpointId", str)
DeliveryId = NewType("DeliveryId", str)
AgentId = NewType("AgentId", str)
TurnId = NewType("TurnId", str)
CallId = NewType("CallId", str)
ShadowDecisionId = NewType("ShadowDecisionId", str)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_VALUES = {char: value for value, char in enumerate(_ALPHABET)}
_RANDOM_BITS = 70


def _encode(value: int) -> str:
    """130 bits as 26 characters."""
    p = _PAIRS
    # Written out: two ids a message are made, and a loop takes twice as long.
    return (
        f"{p[value >> 120]}{p[value >> 110 & 1023]}{p[value >> 100 & 1023]}{p[value >> 90 & 1023]}"
        f"{p[value >> 80 & 1023]}{p[value >> 70 & 1023]}{p[value >> 60 & 1023]}{p[value >> 50 & 1023]}"
        f"{p[value >> 40 & 1023]}{p[value >> 30 & 1023]}{p[value >> 20 & 1023]}{p[value >> 10 & 1023]}"
        f"{p[value & 1023]}"
    )


def _new(prefix: str) -> str:
    # To be told apart, not to be unguessable: what guards a row is its tenant.
    random = getrandbits(_RANDOM_BITS)
    return prefix + _encode(time.time_ns() // 1000 << _RANDOM_BITS | random)


def new_tenant_id() -> TenantId:
    return TenantId(_new("ten_"))


def new_key_id() -> KeyId:
    return KeyId(_new("key_"))


def new_session_id() -> SessionId:
    return SessionId(_new("ses_"))


def new_contact_id() -> ContactId:
    return ContactId(_new("ctc_"))


def new_message_id() -> MessageId:
    return MessageId(_new("msg_"))


def new_media_id() -> MediaId:
    return MediaId(_new("med_"))


def new_event_id() -> EventId:
    return EventId(_new("evt_"))


def new_endpoint_id() -> EndpointId:
    return EndpointId(_new("ep_"))


def new_agent_id() -> AgentId:
    return AgentId(_new("agt_"))


def new_turn_id() -> TurnId:
    return TurnId(_new("trn_"))


def new_call_id() -> CallId:
    return CallId(_new("cal_"))


def new_shadow_decision_id() -> ShadowDecisionId:
    return ShadowDecisionId(_new("dec_"))


def new_claim() -> str:
    """A fencing token for one claim of work."""
    return _new("clm_")


def floor(prefix: str, at: datetime) -> str:
    """The smallest id with `prefix` (``evt_``) made at or after `at`."""
    return prefix + _encode(int(at.timestamp() * 1_000_000) << _RANDOM_BITS)[:12]


def made_at(identifier: str) -> datetime:
    """When an id was made. Raises ValueError on text that is not one of ours."""
    _, _, body = identifier.partition("_")
    if len(body) != 26 or not all(char in _VALUES for char in body):
        raise ValueError("not an id")
    value = 0
    for char in body[:12]:
        value = value << 5 | _VALUES[char]
    return datetime.fromtimestamp(value / 1_000_000, UTC)
