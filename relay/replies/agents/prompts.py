"""System prompts: templates as those of rules, which see the contact, the session and the time."""

from relay.model.agent import CallOutcome
from relay.model.ids import ContactId, SessionId
from relay.model.session import BotSettings
from relay.replies import schema
from relay.replies.agents.failure import CallFailed
from relay.replies.agents.question import Question
from relay.replies.hours import Calendar
from relay.replies.situation import ChatState, Contact, Incoming, Situation
from relay.replies.templates import TemplateFailed, Templates, values_of

_DEFAULTS = schema.Defaults()
_CALENDAR = Calendar(_DEFAULTS, schema.Holidays())
_TEMPLATES = Templates({})


def render_prompt(prompt: str, question: Question) -> str:
    """Raises CallFailed where the template does."""
    if "{" not in prompt:
        return prompt.strip()
    values = values_of(
        _situation(question), calendar=_CALENDAR, match={}, answers={}, language=_DEFAULTS.language
    )
    try:
        return _TEMPLATES.render(prompt, values).strip()
    except TemplateFailed as error:
        raise CallFailed(CallOutcome.FAILED, f"The prompt's template fails: {error.detail}") from None


def _situation(question: Question) -> Situation:
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
