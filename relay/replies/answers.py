"""What decisions come to, written: one transaction of the caller's for all of it.

bot_chats (said, paused) ─► agent_turns ─► contacts ─► messages queued, or taken back ─► events, deliveries
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from relay.model.event import Event
from relay.model.ids import ContactId, MessageId, SessionId, TenantId, new_message_id
from relay.replies.events import automation_event
from relay.replies.matching.text import digest_of
from relay.replies.outcome import Cause, Outcome, Planned, times_of
from relay.replies.situation import Situation
from relay.store import agent_turns, bot_chats, bot_states, facts, outbox, outgoing, shadow_decisions
from relay.store.agent_turns import NewTurn
from relay.store.bot_states import ChatSaid, ContactChange
from relay.store.doorbell import Channel, Doorbell
from relay.store.outgoing import Accepted
from relay.store.pool import Connection
from relay.store.shadow_decisions import ShadowDecision

log = logging.getLogger(__name__)


class Answered(Struct, frozen=True, kw_only=True):
    """A message and what is to be done about it."""

    situation: Situation
    outcome: Outcome
    expired: Sequence[str] = ()
    """Variables of the contact that are over."""
    forgotten: Sequence[str] = ()
    """Rules of `fired` that are over."""


class Rung:
    """What is to be rung once the transaction has committed."""

    def __init__(self) -> None:
        self.channels: set[Channel] = set()

    def ring(self, doorbell: Doorbell) -> None:
        for channel in sorted(self.channels):
            doorbell.ring(channel)


async def write(conn: Connection, answered: Sequence[Answered]) -> Rung:
    """Everything that the decisions come to; the caller ends their tasks in the same transaction."""
    rung = Rung()
    events: list[Event] = []
    await bot_states.add_said(conn, [said for one in answered for said in _said(one)])
    for one in answered:
        events += await _change_chat(conn, one)
    await _change_turns(conn, answered, rung)
    await bot_states.change_contacts(conn, [change for one in answered for change in _contact_change(one)])
    for one in answered:
        await _end_flows(conn, one)
    await shadow_decisions.insert_decisions(conn, [row for one in answered for row in _shadow(one)])
    for one in answered:
        if one.outcome.takeover:
            events += await _take_back(conn, one.situation, rung)
        events += [_event(one, emitted.type, emitted.data) for emitted in one.outcome.events]
    await _queue(conn, answered, rung)
    if events:
        rung.channels.add("events")
        if await outbox.insert_events(conn, events):
            rung.channels.add("deliveries")
    return rung


# --- the chat -------------------------------------------------------------------------------------------------------


def _said(one: Answered) -> Iterable[ChatSaid]:
    if one.outcome.messages:
        message = one.situation.message
        yield said_of(
            message.tenant_id, message.session_id, message.chat, one.outcome.messages, one.situation.now
        )


def said_of(
    tenant_id: TenantId, session_id: SessionId, chat: str, messages: Sequence[Planned], now: datetime
) -> ChatSaid:
    """One answer, however many messages it has: they share an instant."""
    texts = [str(planned.content.get("text") or planned.content.get("caption") or "") for planned in messages]
    digests = [digest_of(text) if text else "" for text in texts]
    said = [
        [now.timestamp(), digest, times.out_at.timestamp()]
        for digest, times in zip(digests, times_of(messages, now), strict=True)
    ]
    return ChatSaid(tenant_id=tenant_id, session_id=session_id, chat=chat, said=said)


async def _change_chat(conn: Connection, one: Answered) -> list[Event]:
    message, outcome = one.situation.message, one.outcome
    if outcome.pause_until is not None:
        handed_off = any(event.type == "automation.handoff" for event in outcome.events)
        await bot_chats.pause_chat(
            conn,
            tenant_id=message.tenant_id,
            session_id=message.session_id,
            chat=message.chat,
            until=outcome.pause_until,
            reason="person" if outcome.takeover else "handoff" if handed_off else "rule",
        )
    elif outcome.resume and await bot_chats.resume_chat(
        conn,
        tenant_id=message.tenant_id,
        session_id=message.session_id,
        chat=message.chat,
        now=one.situation.now,
    ):
        return [_event(one, "automation.resumed", {})]
    return []


async def _end_flows(conn: Connection, one: Answered) -> None:
    """Where the chat is paused, of everybody in it: a group's others, and whom the owner has answered."""
    message, outcome = one.situation.message, one.outcome
    if outcome.pause_until is not None and outcome.flow is None:
        await bot_states.end_flows(conn, message.tenant_id, message.session_id, message.chat)


async def _change_turns(conn: Connection, answered: Sequence[Answered], rung: Rung) -> None:
    ended = [
        (one.situation.message.session_id, one.situation.message.chat)
        for one in answered
        if one.outcome.stop_agent and one.outcome.agent is None
    ]
    if ended:
        await agent_turns.delete_turns(conn, ended)
    turns = [turn for one in answered for turn in _turn(one)]
    if turns:
        await agent_turns.upsert_turns(conn, turns)
    if turns or ended:
        rung.channels.add("replies")


def _turn(one: Answered) -> Iterable[NewTurn]:
    agent, message = one.outcome.agent, one.situation.message
    if agent is not None:
        yield NewTurn(
            tenant_id=message.tenant_id,
            session_id=message.session_id,
            chat=message.chat,
            contact_id=one.situation.contact.id,
            agent=agent.agent,
            message_id=message.id,
            debounce_seconds=agent.debounce_seconds,
            fallback=agent.fallback,
            cause=msgspec.to_builtins(agent.cause),
        )


async def _take_back(conn: Connection, situation: Situation, rung: Rung) -> list[Event]:
    """What the bot had queued in the chat: a person speaks now."""
    rows = await bot_chats.cancel_answers(conn, situation.message.session_id, situation.message.chat)
    if rows:
        rung.channels |= {"messages", "outgoing"}
    return [facts.message_status(row, situation.now) for row in rows]


def _event(one: Answered, event_type: str, data: dict[str, Any]) -> Event:
    message, cause = one.situation.message, one.outcome.cause
    about = {"messageId": message.id, "ruleSet": cause.rule_set, "rule": cause.rule}
    return automation_event(
        event_type,
        at=one.situation.now,
        tenant_id=message.tenant_id,
        session_id=message.session_id,
        chat=message.chat,
        contact_id=one.situation.contact.id or None,
        data=about | data,
    )


# --- the contact ----------------------------------------------------------------------------------------------------


def _contact_change(one: Answered) -> Iterable[ContactChange]:
    outcome, situation = one.outcome, one.situation
    now = situation.now.timestamp()
    change = ContactChange(
        contact_id=situation.contact.id,
        session_id=situation.message.session_id,
        tenant_id=situation.message.tenant_id,
        chat=situation.message.chat,
        set=_kept(outcome, situation.now),
        unset=[*outcome.unset, *one.expired],
        tag=outcome.tag,
        untag=outcome.untag,
        flow=None if outcome.flow is None else msgspec.to_builtins(outcome.flow),
        end_flow=outcome.end_flow and situation.contact.flow is not None,
        fired={key: [now, until.timestamp()] for key, until in outcome.cooldowns.items()},
        forget=one.forgotten,
    )
    changes = (
        change.set,
        outcome.unset,
        change.tag,
        change.untag,
        change.flow,
        change.end_flow,
        change.fired,
    )
    if situation.contact.id and any(changes):
        yield change


def _kept(outcome: Outcome, now: datetime) -> dict[str, Any]:
    until = now + timedelta(seconds=outcome.remember_seconds)
    return {name: {"value": value, "expires_at": until.isoformat()} for name, value in outcome.set.items()}


def _shadow(one: Answered) -> Iterable[ShadowDecision]:
    """One row for each shadow rule that would have fired, with what it would have said."""
    message = one.situation.message
    for cause in one.outcome.shadow_causes:
        yield ShadowDecision(
            tenant_id=message.tenant_id,
            session_id=message.session_id,
            chat=message.chat,
            contact_id=one.situation.contact.id or None,
            message_id=message.id,
            cause=msgspec.to_builtins(cause),
            messages=[
                {"type": planned.type, "content": planned.content}
                for planned in one.outcome.shadow
                if (planned.cause.rule_set, planned.cause.rule) == (cause.rule_set, cause.rule)
            ],
        )


# --- messages -------------------------------------------------------------------------------------------------------


async def _queue(conn: Connection, answered: Sequence[Answered], rung: Rung) -> None:
    messages = [
        message
        for one in answered
        for message in accepted_of(
            one.outcome.messages,
            task=one.situation.message.id,
            tenant_id=one.situation.message.tenant_id,
            session_id=one.situation.message.session_id,
            chat=one.situation.message.chat,
            now=one.situation.now,
        )
    ]
    if messages:
        await outgoing.insert_accepted(conn, messages)
        rung.channels.add("outgoing")


def accepted_of(
    planned: Sequence[Planned],
    *,
    task: str,
    tenant_id: TenantId,
    session_id: SessionId,
    chat: str,
    now: datetime,
) -> list[Accepted]:
    """Rows to be queued, in order; `task` is what they answer."""
    made: list[Accepted] = []
    last = MessageId("")
    for number, (one, times) in enumerate(zip(planned, times_of(planned, now), strict=True)):
        # A chat is sent in the order of its ids, and two that are made in one microsecond have none.
        while (message_id := new_message_id()) <= last:
            pass
        last = message_id
        made.append(
            Accepted(
                id=message_id,
                tenant_id=tenant_id,
                session_id=session_id,
                chat=chat,
                origin="bot",
                type=one.type,
                content=one.content,
                reply_to=one.cause.message_id if one.quote else None,
                mentions=[],
                budgeted=False,
                at=now,
                automation=msgspec.to_builtins(one.cause),
                answers=task,
                answer_number=number,
                typing_seconds=one.typing_seconds,
                due_at=times.due_at,
            )
        )
    return made


async def say(
    conn: Connection,
    *,
    tenant_id: TenantId,
    session_id: SessionId,
    chat: str,
    contact_id: ContactId | None,
    task: str,
    messages: Sequence[Planned],
    now: datetime,
) -> bool:
    """Queue an agent's answer; False, and nothing written, where the bot may not speak in the chat by now.

    In the caller's transaction, which ends the agent's turn; ring `outgoing` after its commit.
    """
    standing = await bot_states.lock_chat(conn, tenant_id, session_id, chat)
    if standing is None or (standing.paused_until is not None and standing.paused_until > now):
        return False
    if not await bot_states.may_speak(conn, tenant_id, session_id, contact_id):
        return False
    if not messages:
        return True
    await bot_states.add_said(conn, [said_of(tenant_id, session_id, chat, messages, now)])
    rows = accepted_of(messages, task=task, tenant_id=tenant_id, session_id=session_id, chat=chat, now=now)
    return bool(await outgoing.insert_accepted(conn, rows))


def cause_of(given: dict[str, Any]) -> Cause:
    """As it was stored with an agent's turn."""
    return msgspec.convert(given, Cause)


def log_outcome(one: Answered) -> None:
    """The canonical line of a message that a bot has dealt with; most come by the hundred a second."""
    outcome, message = one.outcome, one.situation.message
    broken = [note.code for note in outcome.notes if note.code in _TROUBLE]
    level = logging.WARNING if broken else logging.DEBUG
    if log.isEnabledFor(level):
        fields = {
            "id": message.id,
            "session": message.session_id,
            "verdict": outcome.verdict,
            "rule_set": outcome.cause.rule_set,
            "rule": outcome.cause.rule,
            "trouble": ",".join(broken) or None,
        }
        log.log(level, "reply.decided", extra=fields)


_TROUBLE = frozenset({"template_failed", "http_failed", "flow.circle", "too_many", "file_failed"})
