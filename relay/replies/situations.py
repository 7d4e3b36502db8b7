"""From a task's row to the situation that is decided on."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from relay.model.ids import ContactId, SessionId
from relay.model.session import BotSettings
from relay.replies.contents import text_of
from relay.replies.situation import ChatState, Contact, FlowState, Incoming, Said, Situation
from relay.store.facts import chat_kind
from relay.store.reply_tasks import TaskRow

_SAID_SECONDS = 3600.0


class Seen(Struct, frozen=True, kw_only=True):
    """A situation, and what of the contact's memory is over and may go."""

    situation: Situation
    expired: list[str]
    forgotten: list[str]


def seen(row: TaskRow, now: datetime) -> Seen:
    stamp = now.timestamp()
    variables = {name: kept for name, kept in (row.vars or {}).items() if _until(kept) > now}
    fired = {key: kept for key, kept in (row.fired or {}).items() if kept[1] > stamp}
    contact = Contact(
        id=ContactId(row.contact_id or ""),
        name=row.contact_name or row.sender_name,
        pn=row.pn or row.sender_pn,
        lid=row.lid or row.sender_lid,
        first=row.first and not row.chat.endswith("@g.us"),
        ignored=bool(row.ignored),
        tags=frozenset(row.tags or ()),
        vars={name: kept["value"] for name, kept in variables.items()},
        flow=_flow(row, now),
        fired={key: datetime.fromtimestamp(kept[0], now.tzinfo) for key, kept in fired.items()},
    )
    situation = Situation(
        message=_incoming(row), contact=contact, chat=_chat(row, stamp), settings=_settings(row.bot), now=now
    )
    return Seen(
        situation=situation,
        expired=[name for name in row.vars or {} if name not in variables],
        forgotten=[key for key in row.fired or {} if key not in fired],
    )


def _until(kept: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(kept["expires_at"])


def _settings(stored: dict[str, Any]) -> BotSettings:
    return msgspec.convert(stored, BotSettings)


def _flow(row: TaskRow, now: datetime) -> FlowState | None:
    stored = (row.flows or {}).get(row.chat)
    if stored is None:
        return None
    flow = msgspec.convert(stored, FlowState)
    return flow if flow.expires_at > now else None


def _chat(row: TaskRow, stamp: float) -> ChatState:
    said = msgspec.convert(row.said or [], list[Said])
    lately = sorted((one for one in said if stamp - one.at < _SAID_SECONDS), key=lambda one: one.at)
    return ChatState(paused_until=row.paused_until, said=tuple(lately), agent=row.agent)


def _incoming(row: TaskRow) -> Incoming:
    return Incoming(
        id=row.message_id,
        tenant_id=row.tenant_id,
        session_id=SessionId(row.session_id),
        session_name=row.session_name,
        session_phone=row.session_phone,
        chat=row.chat,
        chat_type=chat_kind(row.chat),
        type=row.type,
        text=text_of(row.content),
        content=row.content,
        sender_name=row.sender_name,
        mentioned=row.answers_us or _mentions_us(row),
        by_owner=row.origin in ("phone", "person"),
        offline=row.offline,
        answered=row.answered,
        sent_at=row.sent_at,
    )


def _mentions_us(row: TaskRow) -> bool:
    ours = {name for name in (row.session_phone, row.session_lid) if name}
    return any(mention.partition("@")[0] in ours for mention in row.mentions)
