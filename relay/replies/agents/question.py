"""A question to an agent: quick messages of one chat as one, with what was said before them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from relay.model.agent import AnySettings
from relay.model.ids import ContactId, SessionId, TenantId
from relay.model.session import BotSettings
from relay.replies.matching.text import fold
from relay.replies.situation import ChatState, Contact, Incoming, Situation
from relay.store import agent_questions
from relay.store.agent_questions import AskedSession, Asker, ToldMessage
from relay.store.agent_turns import ClaimedTurn
from relay.store.pool import Connection

_CHARACTERS_MOST = 65_536
_LINE_TOKENS = 4
"""What a message costs besides its words."""


class Line(Struct, frozen=True, kw_only=True):
    """Something that was said before."""

    ours: bool
    text: str
    at: datetime


class Question(Struct, frozen=True, kw_only=True):
    key: str
    """The same when a crash makes the call happen again."""
    tenant_id: TenantId
    session: AskedSession | None
    """None: somebody is trying the agent."""
    session_id: SessionId | None
    chat: str
    asker: Asker | None
    messages: Sequence[ToldMessage]
    """Oldest first; at least one."""
    history: Sequence[Line]
    now: datetime

    @property
    def text(self) -> str:
        """All of it, a line each."""
        return "\n".join(text_of(message) for message in self.messages)[:_CHARACTERS_MOST]


async def load_question(
    conn: Connection, turn: ClaimedTurn, session: AskedSession, settings: AnySettings | None, *, now: datetime
) -> Question | None:
    """None where all of it was deleted meanwhile. Without settings there is no agent, and no history."""
    messages = await agent_questions.list_asked(conn, turn.tenant_id, turn.message_ids)
    if not messages:
        return None
    history = await agent_questions.list_history(
        conn,
        turn.tenant_id,
        turn.session_id,
        turn.chat,
        asked=turn.message_ids,
        limit=settings.history_messages if settings is not None else 0,
    )
    return Question(
        key=turn.id,
        tenant_id=turn.tenant_id,
        session=session,
        session_id=turn.session_id,
        chat=turn.chat,
        asker=await agent_questions.find_asker(conn, turn.tenant_id, turn.contact_id, now=now),
        messages=messages,
        history=within(
            [Line(ours=told.ours, text=text_of(told), at=told.sent_at) for told in history],
            tokens=settings.history_tokens if settings is not None else 0,
        ),
        now=now,
    )


def situation_of(question: Question) -> Situation:
    """The question as a bot sees a message; whoever tries an agent is nobody, in no session."""
    newest, session, asker = question.messages[-1], question.session, question.asker
    return Situation(
        message=Incoming(
            id=newest.id,
            tenant_id=question.tenant_id,
            session_id=session.id if session is not None else SessionId(""),
            session_name=session.name if session is not None else "",
            session_phone=session.phone if session is not None else None,
            chat=question.chat,
            chat_type="group" if newest.in_group else "private",
            type=newest.type,
            text=question.text,
            content=newest.content,
            sender_name=newest.sender_name,
            mentioned=False,
            by_owner=False,
            offline=False,
            answered=False,
            sent_at=newest.sent_at,
        ),
        contact=Contact(
            id=asker.id if asker is not None else ContactId(""),
            name=asker.name if asker is not None else newest.sender_name,
            pn=asker.pn if asker is not None else None,
            lid=asker.lid if asker is not None else None,
            first=not question.history,
            tags=frozenset(asker.tags) if asker is not None else frozenset(),
            vars=asker.vars if asker is not None else {},
        ),
        chat=ChatState(),
        settings=session.bot if session is not None else BotSettings(),
        now=question.now,
    )


def within(history: Sequence[Line], *, tokens: int) -> list[Line]:
    """The newest lines that fit into so many tokens, oldest first."""
    kept: list[Line] = []
    for line in reversed(history):
        tokens -= tokens_of(line.text) + _LINE_TOKENS
        if tokens < 0:
            break
        kept.append(line)
    return kept[::-1]


def tokens_of(text: str) -> int:
    """Roughly: four bytes are a token."""
    return len(text.encode(errors="replace")) // 4 + 1


def is_stopped(messages: Iterable[ToldMessage], words: Sequence[str]) -> bool:
    """Whether one of the messages is a stop word."""
    stops = {fold(word) for word in words}
    return bool(stops) and any(fold(words_of(message.type, message.content)) in stops for message in messages)


def text_of(message: ToldMessage) -> str:
    """A message in words: what it says, or what it is; in a group with who wrote it."""
    words = words_of(message.type, message.content)
    named = message.sender_name if not message.ours else None
    return f"{named}: {words}" if named and message.in_group else words


def words_of(kind: str, content: dict[str, Any]) -> str:
    match kind:
        case "text":
            return str(content.get("text", ""))
        case "location":
            place = ", ".join(str(content[key]) for key in ("name", "address") if content.get(key))
            return (
                f"[location: {content.get('latitude')}, {content.get('longitude')}{place and f' – {place}'}]"
            )
        case "contact":
            return f"[contact: {content.get('name') or 'a card'}]"
        case "poll":
            return f"[poll: {content.get('question')} – {' / '.join(_texts(content.get('options')))}]"
        case "poll_vote":
            return ", ".join(_texts(content.get("options")))
        case "reaction":
            return str(content.get("emoji", ""))
        case _:
            return _file_words(kind, content)


def _file_words(kind: str, content: dict[str, Any]) -> str:
    if kind == "audio" and content.get("transcript"):
        return str(content["transcript"])
    name = content.get("fileName")
    what = "voice message" if kind == "audio" and content.get("voice") else kind
    label = f"[{what}: {name}]" if name else f"[{what}]"
    caption = content.get("caption")
    return f"{label} {caption}" if caption else label


def _texts(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
