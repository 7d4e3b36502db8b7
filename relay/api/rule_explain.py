"""What the bot would make of a message, and why: nothing is sent, nobody is called, nothing is remembered.

    message, state ──► a trial of the draft in `source`, or of the rules in force ──► answers, reasons, the next state

`state` goes back and forth: given with the next message, the conversation goes on.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from litestar import Response, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta, field, structs

from relay.api.auth import requires, tenant_of
from relay.api.language import language_of
from relay.api.request import Request
from relay.api.wire import In, Out
from relay.model.errors import InvalidInput
from relay.model.ids import TenantId
from relay.model.session import Session
from relay.model.tenant import Scope
from relay.replies import schema
from relay.replies.book import Book, compile_set, make_book
from relay.replies.outcome import Note, Outcome, Planned, Verdict
from relay.replies.reading.check import read_rules
from relay.replies.reading.scalars import read_instant
from relay.replies.said import Language, in_language
from relay.replies.trial import Trial, TrialState
from relay.store import sessions, tenants

_YEARS = range(1970, 2200)
_DRAFT = "draft"
_Short: TypeAlias = Annotated[str, Meta(max_length=200)]


class ExplainIn(In, frozen=True, kw_only=True):
    """A message, and what was before it; see `given` of a rule set's tests."""

    company_id: str | None = None
    text: Annotated[str, Meta(max_length=65_536)] = ""
    type: _Short = "text"
    content: dict[str, Any] = field(default_factory=dict)
    """As webhooks have it: of a location its `latitude` and `longitude`."""
    at: _Short | None = None
    """As `2026-01-05T10:00`: without an offset it is in the rule set's time zone."""
    from_: _Short = field(name="from", default="+55 11 91234-5678")
    name: _Short = "Maria"
    chat: Literal["private", "group", "mentioned"] = "private"
    session_id: str | None = None
    """Whose rules and settings count; left out: those for any session."""
    vars: dict[str, Any] = field(default_factory=dict)
    tags: Annotated[list[_Short], Meta(max_length=200)] = field(default_factory=list)
    first_contact: bool = False
    http: Any = None
    """What every HTTP call answers, as JSON; `{"status": 500}` alone: that it fails."""
    source: str | None = None
    """YAML that is not in force yet; left out: the rules in force."""
    state: TrialState | None = None
    """As the call before answered it."""


class ReplyOut(Out, frozen=True, kw_only=True):
    type: str
    content: dict[str, Any]
    quote: bool
    typing_seconds: float
    wait_seconds: float


class ExplainedEventOut(Out, frozen=True, kw_only=True):
    type: str
    data: dict[str, Any]


class ExplainOut(Out, frozen=True, kw_only=True):
    verdict: Verdict
    rule_set: str | None
    rule: str | None
    flow: str | None
    step: str | None
    replies: list[ReplyOut]
    shadow: list[ReplyOut]
    """What rules in shadow mode would have said."""
    vars: dict[str, Any]
    """Of the contact, afterwards."""
    tags: list[str]
    handoff: bool
    agent: str | None
    """Who would be asked."""
    events: list[ExplainedEventOut]
    notes: list[Note]
    """Each rule that was looked at, and how it came out."""
    state: TrialState
    """To be given with the next message."""


@post(
    "/rules/explain",
    opt=requires(Scope.RULES),
    status_code=HTTP_200_OK,
    summary="What the bot would answer, and why",
)
async def explain_rules(request: Request, data: JSONBody[ExplainIn]) -> Response[ExplainOut]:
    tenant_id = tenant_of(request.principal, data.company_id)
    given = _given(data)
    _check(data)
    session = await _find_session(request, tenant_id, data.session_id)
    book = None if data.source is not None else await _book_in_force(request, tenant_id)
    trial, outcome = await request.services.rule_checks.run(
        tenant_id, lambda: _try(data, given, book, session), alone=book is not None
    )
    language = language_of(request)
    return Response(_out(outcome, trial.state, language), headers={"Content-Language": language})


def _try(
    data: ExplainIn, given: schema.Given, book: Book | None, session: Session | None
) -> tuple[Trial, Outcome]:
    """Raises RulesInvalid on a draft that cannot be read."""
    trial = _trial(book or _draft(data.source or "", for_any=session is None), session, data.state)
    return trial, trial.say(given)


def _check(data: ExplainIn) -> None:
    if isinstance(data.http, dict) and data.http.keys() == {"status"}:
        status = data.http["status"]
        if not isinstance(status, int) or not 100 <= status <= 599:
            raise InvalidInput("Give a status from 100 to 599.", path="http.status")
    for instant in _instants(data.state or TrialState()):
        if instant.tzinfo is None or instant.year not in _YEARS:
            raise InvalidInput("Give `state` back as it was answered.", path="state")


def _at(text: str | None) -> datetime | None:
    if text is None:
        return None
    at = read_instant(text)
    if at is None or at.year not in _YEARS:
        raise InvalidInput("Give an instant such as 2026-01-05T10:00.", path="at")
    return at


def _instants(state: TrialState) -> Iterator[datetime]:
    yield from state.fired.values()
    expires_at = None if state.flow is None else state.flow.expires_at
    yield from (instant for instant in (state.paused_until, state.last_at, expires_at) if instant is not None)


async def _find_session(request: Request, tenant_id: TenantId, session_id: str | None) -> Session | None:
    if session_id is None:
        return None
    async with request.services.pool.acquire() as conn:
        return await sessions.get_session(conn, tenant_id, session_id)


async def _book_in_force(request: Request, tenant_id: TenantId) -> Book:
    services = request.services
    await services.rules_looked_at.get()
    async with services.pool.acquire() as conn:
        tenant = await tenants.get_tenant(conn, tenant_id)
        version = await tenants.get_rules_version(conn, tenant_id)
        return await services.library.book_of(conn, tenant_id, tenant_name=tenant.name, rules_version=version)


def _draft(source: str, *, for_any: bool) -> Book:
    rules = structs.replace(read_rules(source, operator=False), enabled=True)
    if for_any:
        rules = structs.replace(rules, sessions=[])
    return make_book([compile_set(rules, name=_DRAFT, version=None, own=True)])


def _trial(book: Book, session: Session | None, state: TrialState | None) -> Trial:
    if session is None:
        return Trial(book, state=state)
    return Trial(book, session=session.name, session_id=session.id, settings=session.bot, state=state)


def _given(data: ExplainIn) -> schema.Given:
    """Raises InvalidInput."""
    return schema.Given(
        text=data.text,
        type=data.type,
        content=data.content,
        at=_at(data.at),
        chat=data.chat,
        from_=data.from_,
        name=data.name,
        vars=data.vars,
        tags=data.tags,
        first_contact=data.first_contact,
        http=data.http,
    )


def _out(outcome: Outcome, state: TrialState, language: Language) -> ExplainOut:
    cause = outcome.cause
    return ExplainOut(
        verdict=outcome.verdict,
        rule_set=cause.rule_set,
        rule=cause.rule,
        flow=cause.flow,
        step=cause.step,
        replies=[_reply(planned) for planned in outcome.messages],
        shadow=[_reply(planned) for planned in outcome.shadow],
        vars=state.vars,
        tags=state.tags,
        handoff=any(event.type == "automation.handoff" for event in outcome.events),
        agent=None if outcome.agent is None else outcome.agent.agent,
        events=[ExplainedEventOut(type=event.type, data=event.data) for event in outcome.events],
        notes=[structs.replace(note, detail=in_language(note.detail, language)) for note in outcome.notes],
        state=state,
    )


def _reply(planned: Planned) -> ReplyOut:
    return ReplyOut(
        type=planned.type,
        content=planned.content,
        quote=planned.quote,
        typing_seconds=planned.typing_seconds,
        wait_seconds=planned.wait_seconds,
    )
