"""What is wrong and what to do, a sentence each: for companies about their own, for the operator about all of it."""

from datetime import datetime
from typing import Literal

from litestar import get
from msgspec import Struct, structs

from relay.api.auth import requires
from relay.api.health import whose
from relay.api.owner import Company
from relay.api.request import Request
from relay.api.wire import Out
from relay.model.ids import TenantId
from relay.model.session import REASONS
from relay.model.tenant import Scope
from relay.store import problems
from relay.store.problems import Problem

_MOST = 100

Severity = Literal["error", "warning"]


class _Words(Struct, frozen=True):
    severity: Severity
    detail: str
    mend: str


PROBLEMS: dict[str, _Words] = {
    "no_host": _Words(
        "error",
        "No host process runs, and sessions should: {count}.",
        "Start one: `relay serve` runs every role, `relay run host` this one.",
    ),
    "partitions_missing": _Words(
        "error",
        "Tables of today or of the coming days are missing: {name}.",
        "Run `relay migrate`, and see that a dispatcher runs: its janitor makes them ahead.",
    ),
    "hosts_full": _Words(
        "error",
        "Sessions that should run have no host: {count}.",
        "Start one more `relay run host`, or raise host.sessions; a host that has just died is replaced within seconds.",
    ),
    "session_without_host": _Words(
        "error",
        "No process of the server runs the session «{name}».",
        "Tell whoever runs the server; it goes on by itself once a host has room.",
    ),
    "account_banned": _Words(
        "error",
        "WhatsApp has banned the account of «{name}».",
        "Ask for a review in WhatsApp on the phone, or link another number.",
    ),
    "session_failed": _Words(
        "error", "The session «{name}» has failed: {reason}", "When the cause is gone, connect it again."
    ),
    "session_banned": _Words(
        "error",
        "WhatsApp has restricted the account of «{name}» until {until}.",
        "Wait: sends go on by themselves then. Send more slowly afterwards, and to people who know you.",
    ),
    "session_logged_out": _Words(
        "error",
        "The phone has removed «{name}» from its linked devices.",
        "Link it again with a new QR code.",
    ),
    "session_replaced": _Words(
        "error",
        "Another program has taken over the connection of «{name}».",
        "Stop that program, then connect the session again.",
    ),
    "endpoint_disabled": _Words(
        "error",
        "The webhook «{name}» is switched off because it failed; it is owed {count}.",
        "Mend the receiver, then switch the webhook on: what it is owed is delivered.",
    ),
    "endpoint_failing": _Words(
        "error",
        "The webhook «{name}» has been failing for {duration}; it is owed {count}.",
        "Look at its last attempts, and mend the receiver: what is owed is tried again by itself.",
    ),
    "deliveries_late": _Words(
        "error",
        "Deliveries that are due have waited for {duration}.",
        "See that a `dispatcher` role runs, or start one more. Where you do not run the server, tell who does.",
    ),
    "replies_late": _Words(
        "error",
        "Messages have waited for {duration} to be looked at by a bot: {count}.",
        "See that a `responder` role runs, or start one more. Where you do not run the server, tell who does.",
    ),
    "agent_failing": _Words(
        "error",
        "The agent «{name}» fails: {count} times in the last hour, the last one with `{reason}`.",
        "Look at its calls; check its address, key and model, and try it out.",
    ),
    "agent_budget_used_up": _Words(
        "warning",
        "The agent «{name}» was not asked: today's budget of calls or tokens is used up.",
        "It goes on at midnight UTC. Whoever runs the server can raise agents.calls_per_day and tokens_per_day.",
    ),
    "messages_waiting": _Words(
        "warning",
        "Messages wait at «{name}», which was disconnected on request: {count}.",
        "Connect the session: they go out by themselves then.",
    ),
    "budget_used_up": _Words(
        "warning",
        "The day's budget of «{name}» is used up; messages wait until {until}: {count}.",
        "Wait, or raise the session's limits with care: WhatsApp bans accounts that write too much.",
    ),
    "session_not_linked": _Words(
        "warning", "Nobody has linked «{name}» in time.", "Connect it for a new code, and scan that."
    ),
    "session_degraded": _Words(
        "warning",
        "WhatsApp has stopped answering «{name}»; sends wait.",
        "Wait a little; if it stays so, disconnect the session and connect it again.",
    ),
    "session_connecting": _Words(
        "warning",
        "«{name}» has been connecting for {duration}: {reason}",
        "If it stays so, look at the phone's connection and at the session's proxy, then connect it again.",
    ),
}
"""Every `code` with what is wrong and what to do, the gravest first."""

_RANKS = {code: rank for rank, code in enumerate(PROBLEMS)}


class ProblemOut(Out, frozen=True, kw_only=True, omit_defaults=True):
    """What does not apply is left out."""

    code: str
    severity: Severity
    detail: str
    """What is wrong, for people."""
    mend: str
    """What to do about it."""
    company_id: TenantId | None = None
    company_name: str | None = None
    """For the operator."""
    session_id: str | None = None
    endpoint_id: str | None = None
    agent: str | None = None
    """Its id."""
    name: str | None = None
    """Of the session, the endpoint or the agent."""
    reason: str | None = None
    count: int | None = None
    """Of what waits or has failed; 1,000 may be more."""
    seconds: float | None = None
    """For how long."""
    until: datetime | None = None


class ProblemsOut(Out, frozen=True, kw_only=True):
    problems: list[ProblemOut]
    """The gravest first; at most 100."""


@get(
    "/api/v1/whatsapp/health/problems",
    opt=requires(Scope.SESSIONS),
    summary="What is wrong and what to do; a company's own, the operator's of all",
    tags=["health"],
)
async def list_problems(request: Request, company_id: Company = None) -> ProblemsOut:
    services, tenant_id = request.services, whose(request, company_id)
    async with services.pool.acquire() as conn:
        found = await problems.list_problems(conn, tenant_id, now=services.now())
        found = sorted(found, key=_gravity)[:_MOST]
        names = await problems.list_tenant_names(conn, found) if request.principal.tenant_id is None else {}
    return ProblemsOut(problems=[_out(problem, names) for problem in found])


def _gravity(problem: Problem) -> tuple[int, float, int]:
    return _RANKS[problem.code], -(problem.seconds or 0.0), -(problem.count or 0)


def _out(problem: Problem, names: dict[TenantId, str]) -> ProblemOut:
    words = PROBLEMS[problem.code]
    values = {
        "name": problem.name,
        "reason": REASONS.get(problem.reason or "", problem.reason or "unknown"),
        "count": problem.count,
        "duration": _duration(problem.seconds or 0.0),
        "until": None if problem.until is None else f"{problem.until:%Y-%m-%d %H:%M} UTC",
    }
    told = structs.asdict(problem)
    company_id = told.pop("tenant_id")
    return ProblemOut(
        severity=words.severity,
        detail=words.detail.format_map(values) + _waiting(problem, words),
        mend=words.mend,
        company_id=company_id,
        company_name=names.get(company_id),
        **told,
    )


def _waiting(problem: Problem, words: _Words) -> str:
    """What waits for a session, where its problem says nothing of it."""
    if problem.session_id is None or not problem.count or "{count}" in words.detail:
        return ""
    return f" Messages wait for it: {problem.count}."


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
