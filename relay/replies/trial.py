"""Rules tried out on a made-up chat: nothing is sent, nobody is called. For `tests:`, `relay rules explain`, the console.

say(given) ─► Situation ─► decide ─► Outcome ─► the chat's and the contact's state for the next say
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from msgspec import Struct, structs

from relay.model.ids import ContactId, SessionId, TenantId, new_message_id
from relay.model.session import BotSettings
from relay.replies import schema
from relay.replies.book import Book, Compiled, compile_set, make_book
from relay.replies.contents import text_of
from relay.replies.decide import decide
from relay.replies.matching.match import digits_of
from relay.replies.matching.text import digest_of
from relay.replies.outcome import (
    AskAction,
    AskCondition,
    AskPlugins,
    BeforeReply,
    Decision,
    HttpAnswer,
    HttpCall,
    Need,
    Outcome,
    PluginAnswer,
    times_of,
)
from relay.replies.said import said
from relay.replies.situation import ChatState, Contact, FlowState, Incoming, Said, Situation
from relay.replies.templates.work import bounded

_MONDAY_NOON = datetime(2026, 1, 5, 12, 0)  # noqa: DTZ001 - in the rule set's own time zone
_GROUP = "120363000000000001@g.us"
_STEP = timedelta(minutes=1)


class TrialState(Struct, frozen=True, kw_only=True, rename="camel"):
    """How the made-up chat stands; given back, the conversation goes on."""

    vars: dict[str, Any] = {}
    tags: list[str] = []
    flow: FlowState | None = None
    fired: dict[str, datetime] = {}
    paused_until: datetime | None = None
    said: list[Said] = []
    last_at: datetime | None = None


class Trial:
    """One chat; `state` changes with every `say`."""

    def __init__(
        self,
        book: Book,
        *,
        session: str = "Trial",
        session_id: str = "ses_trial",
        settings: BotSettings | None = None,
        state: TrialState | None = None,
    ) -> None:
        self.state = state or TrialState()
        self._book = book
        self._session = session
        self._session_id = session_id
        self._settings = settings or BotSettings()

    @classmethod
    def of(cls, rules: schema.RuleSet, *, name: str) -> "Trial":
        """Of one set alone, for whichever session it is."""
        anywhere = structs.replace(rules, sessions=[], enabled=True)
        return cls(make_book([compile_set(anywhere, name=name, version=None, own=True)]))

    def say(self, given: schema.Given, *, http: Any = None) -> Outcome:
        """What the bot makes of a message, with a note for every rule."""
        situation = self._situation(given)
        decision = decide(situation, self._book, explain=True)
        outcome = _drive(decision, _Answers(given.http if http is None else http))
        self.state = _after(self.state, situation, outcome)
        return outcome

    # --- the situation ------------------------------------------------------------------------------------------

    def _zone(self) -> Callable[[datetime], datetime]:
        compiled = next(iter(self._book.sets.values()), None) or Compiled.none()
        return lambda local: local.replace(tzinfo=compiled.calendar.zone)

    def _situation(self, given: schema.Given) -> Situation:
        state = self.state
        at = given.at
        if at is None:
            at = state.last_at + _STEP if state.last_at else _MONDAY_NOON
        if at.tzinfo is None:
            at = self._zone()(at)
        now = at.astimezone(UTC)
        digits = digits_of(given.from_)
        private = given.chat == "private"
        content = _content(given)
        message = Incoming(
            id=new_message_id(),
            tenant_id=TenantId("ten_trial"),
            session_id=SessionId(self._session_id),
            session_name=given.session or self._session,
            session_phone=None,
            chat=f"{digits}@s.whatsapp.net" if private else _GROUP,
            chat_type="private" if private else "group",
            type=given.type,
            text=text_of(content),
            content=content,
            sender_name=given.name,
            mentioned=given.chat == "mentioned",
            by_owner=False,
            offline=False,
            answered=False,
            sent_at=now,
        )
        flow = state.flow if state.flow is not None and state.flow.expires_at > now else None
        contact = Contact(
            id=ContactId("ctc_trial"),
            name=given.name,
            pn=digits,
            lid=None,
            first=given.first_contact,
            tags=frozenset([*state.tags, *given.tags]),
            vars=state.vars | given.vars,
            flow=flow,
            fired=state.fired,
        )
        chat = ChatState(paused_until=state.paused_until, said=tuple(state.said))
        return Situation(message=message, contact=contact, chat=chat, settings=self._settings, now=now)


def _content(given: schema.Given) -> dict[str, Any]:
    text = {"text" if given.type == "text" else "caption": given.text} if given.text else {}
    return text | {name: bounded(value) for name, value in given.content.items()}


def _drive(decision: Decision, answers: "_Answers") -> Outcome:
    try:
        need = next(decision)
        while True:
            need = decision.send(answers.to(need))
    except StopIteration as ended:
        outcome: Outcome = ended.value
        return outcome


class _Answers:
    """What is asked for on the way is answered with what the test gives."""

    def __init__(self, http: Any) -> None:
        self._http = http

    def to(self, need: Need) -> Any:
        match need:
            case HttpCall():
                return self._answer_http()
            case AskCondition():
                return False
            case AskAction() | AskPlugins():
                return PluginAnswer()
            case BeforeReply():
                return need.messages
            case _ as never:
                assert_never(never)

    def _answer_http(self) -> HttpAnswer:
        given = self._http
        if given is None:
            return HttpAnswer(error=said("The trial calls nobody; say what the call answers in `http`."))
        if isinstance(given, Mapping) and set(given) == {"status"}:
            return HttpAnswer(status=int(given["status"]))
        return HttpAnswer(status=200, json=given)


def _after(state: TrialState, situation: Situation, outcome: Outcome) -> TrialState:
    contact = outcome.contact_after(situation.contact)
    flow = outcome.flow
    if flow is None and not outcome.end_flow:
        flow = situation.contact.flow
    paused = None if outcome.resume else outcome.pause_until or state.paused_until
    now = situation.now.timestamp()
    new = [
        Said(at=now, digest=digest_of(message.content.get("text", "")), out_at=times.out_at.timestamp())
        for message, times in zip(outcome.messages, times_of(outcome.messages, situation.now), strict=True)
    ]
    return TrialState(
        vars=contact.vars,
        tags=sorted(contact.tags),
        flow=flow,
        fired=state.fired | dict.fromkeys(outcome.cooldowns, situation.now),
        paused_until=paused,
        said=[*state.said, *new][-60:],
        last_at=situation.now,
    )
