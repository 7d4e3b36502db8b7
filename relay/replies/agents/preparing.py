"""What a claimed turn comes with: its session, its agent, its question; or the reason why nothing is to be said."""

import logging
from datetime import datetime, timedelta

from msgspec import Struct

from relay.replies.agents.files import any_awaited
from relay.replies.agents.question import Question, is_stopped, load_question
from relay.store import agent_questions, agent_turns, agents, bot_states
from relay.store.agent_questions import AskedSession
from relay.store.agent_turns import ClaimedTurn
from relay.store.agents import OpenedAgent
from relay.store.pool import Connection
from relay.vault import Vault

log = logging.getLogger(__name__)

_FILE_WAIT_SECONDS = 20.0
_FILE_LOOK_SECONDS = 1.0


class Prepared(Struct, frozen=True, kw_only=True):
    session: AskedSession
    opened: OpenedAgent | None
    """None where it is gone or switched off: there is only the fallback to say."""
    question: Question


async def prepare(conn: Connection, vault: Vault, turn: ClaimedTurn, *, now: datetime) -> Prepared | None:
    """None where there is nothing to answer (the turn is ended), or not yet (it is given back)."""
    session = await agent_questions.find_session(conn, turn.tenant_id, turn.session_id)
    if session is None or not await bot_states.may_speak(
        conn, turn.tenant_id, turn.session_id, turn.contact_id
    ):
        await _drop(conn, turn)
        return None
    opened = await _find_agent(conn, vault, turn)
    settings = None if opened is None else opened.agent.settings
    question = await load_question(conn, turn, session, settings, now=now)
    if question is None:
        await _drop(conn, turn, all_of_it=False)
        return None
    if is_stopped(question.messages, settings.stop_words if settings else ()):
        await _drop(conn, turn)
        return None
    if settings is not None and any_awaited(question.messages, settings):
        waited = now - question.messages[0].sent_at
        if waited < timedelta(seconds=_FILE_WAIT_SECONDS):
            await agent_turns.release_turn(conn, turn, wait_seconds=_FILE_LOOK_SECONDS)
            return None
    return Prepared(session=session, opened=opened, question=question)


async def _find_agent(conn: Connection, vault: Vault, turn: ClaimedTurn) -> OpenedAgent | None:
    opened = await agents.find_opened(conn, vault, turn.tenant_id, turn.agent)
    if opened is None or not opened.agent.enabled:
        log.warning("agent.missing", extra={"session": turn.session_id, "agent": turn.agent})
        return None
    return opened


async def _drop(conn: Connection, turn: ClaimedTurn, *, all_of_it: bool = True) -> None:
    """Nothing is said, and nothing follows; or, not `all_of_it`, what has arrived since the claim."""
    async with conn.transaction():
        held = await agent_turns.lock_turn(conn, turn)
        if held is not None:
            rest = [] if all_of_it else [one for one in held if one not in turn.message_ids]
            await agent_turns.end_turn(conn, turn, rest)
