"""The end of a turn, in one transaction: what is said is queued, the turn is gone, or becomes the next one.

session, bot_chats locked ─► the turn locked by its claim (gone: nothing is written; a stop word since: it ends) ─► messages ─► handoff ─► turn ended
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import structs

from relay.model.agent import CallOutcome
from relay.model.ids import MessageId
from relay.replies import answers
from relay.replies.agents.caller import Asked
from relay.replies.agents.preparing import Prepared
from relay.replies.agents.question import is_stopped
from relay.replies.agents.speech import Spoken, plan
from relay.replies.events import automation_event
from relay.replies.outcome import Cause, Planned
from relay.store import agent_questions, agent_turns, bot_chats, bot_states, outbox
from relay.store.agent_turns import ClaimedTurn
from relay.store.doorbell import Channel
from relay.store.pool import Connection
from relay.store.session_locks import lock_sessions


async def write_answer(
    conn: Connection,
    turn: ClaimedTurn,
    prepared: Prepared,
    asked: Asked | None,
    planned: Sequence[Planned],
    *,
    now: datetime,
) -> set[Channel]:
    """In the caller's transaction; the channels are to be rung after its commit. `asked` is None where nobody was.

    `outgoing` is among them where something was said.
    """
    # In the order of everybody: the session, bot_chats, agent_turns, messages.
    await lock_sessions(conn, [turn.session_id])
    await bot_states.lock_chat(conn, turn.tenant_id, turn.session_id, turn.chat)
    held = await agent_turns.lock_turn(conn, turn)
    if held is None:
        return set()
    rest = [message_id for message_id in held if message_id not in turn.message_ids]
    if await _is_stopped(conn, turn, prepared, rest):
        await agent_turns.end_turn(conn, turn, [])
        return set()
    said = await _say(conn, turn, planned, now)
    channels: set[Channel] = {"outgoing"} if said and planned else set()
    quiet = not said
    if said and asked is not None and asked.speech.handoff:
        channels |= await _hand_off(conn, turn, prepared, note=asked.speech.note, now=now)
        quiet = True
    await agent_turns.end_turn(conn, turn, [] if quiet else rest)
    return channels


def words_of(turn: ClaimedTurn, prepared: Prepared, asked: Asked | None) -> list[Planned]:
    """What it said, or the fallback where it failed."""
    cause = _cause_of(turn)
    if prepared.opened is None:
        return (
            []
            if turn.fallback is None
            else [Planned(type="text", content={"text": turn.fallback}, cause=cause)]
        )
    agent = prepared.opened.agent
    if asked is not None and not _is_lost(asked, agent.kind):
        return plan(asked.speech.messages, agent.settings, cause)
    fallback = turn.fallback or agent.settings.fallback
    return plan([Spoken(content={"text": fallback})], agent.settings, cause) if fallback else []


def _cause_of(turn: ClaimedTurn) -> Cause:
    return structs.replace(answers.cause_of(turn.cause), agent=turn.agent)


def _is_lost(asked: Asked, kind: str) -> bool:
    """A model that says nothing has failed; a tenant's own automation may have nothing to say."""
    return asked.failed or (kind == "openai" and asked.call.outcome is CallOutcome.EMPTY)


async def _is_stopped(
    conn: Connection, turn: ClaimedTurn, prepared: Prepared, rest: Sequence[MessageId]
) -> bool:
    """Whether one of the messages that arrived during the call is a stop word."""
    words = prepared.opened.agent.settings.stop_words if prepared.opened is not None else ()
    if not words or not rest:
        return False
    return is_stopped(await agent_questions.list_asked(conn, turn.tenant_id, rest), words)


async def _say(conn: Connection, turn: ClaimedTurn, planned: Sequence[Planned], now: datetime) -> bool:
    """False where the bot may not speak in the chat any more."""
    return await answers.say(
        conn,
        tenant_id=turn.tenant_id,
        session_id=turn.session_id,
        chat=turn.chat,
        task=turn.id,
        messages=planned,
        now=now,
        contact_id=turn.contact_id,
    )


async def _hand_off(
    conn: Connection,
    turn: ClaimedTurn,
    prepared: Prepared,
    *,
    note: str | None,
    now: datetime,
) -> set[Channel]:
    """A person is wanted: the bot keeps quiet in the chat, its flow is over, and an event says so."""
    cause = _cause_of(turn)
    until = now + timedelta(seconds=prepared.session.bot.pause_seconds)
    await bot_chats.pause_chat(
        conn,
        tenant_id=turn.tenant_id,
        session_id=turn.session_id,
        chat=turn.chat,
        until=until,
        reason="handoff",
    )
    await bot_states.end_flows(conn, turn.tenant_id, turn.session_id, turn.chat)
    event = automation_event(
        "automation.handoff",
        at=now,
        tenant_id=turn.tenant_id,
        session_id=turn.session_id,
        chat=turn.chat,
        contact_id=turn.contact_id or None,
        data={
            "messageId": turn.message_ids[-1],
            "ruleSet": cause.rule_set,
            "rule": cause.rule,
            "agent": turn.agent,
            "note": note,
            "pausedUntil": until,
        },
    )
    owed = await outbox.insert_events(conn, [event])
    return {"events", "deliveries"} if owed else {"events"}
