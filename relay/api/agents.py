"""Agents: what a company's messages are handed to, tried out, and what they have cost.

create (address, prompt, settings checked) ──► an API key goes in and never comes out; a signing secret is shown once
try ──► the same call as a chat's, counted the same, and nothing is sent
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec import UNSET, UnsetType

from relay.api.agent_settings import check_settings, merged
from relay.api.agent_view import (
    AgentCallList,
    AgentIn,
    AgentList,
    AgentOut,
    AgentPatch,
    AgentSecretOut,
    AgentUsageOut,
    NewAgentOut,
    RotateAgentSecretIn,
    SpokenOut,
    TriedOut,
    TryIn,
    agent_fields,
    agent_out,
    call_out,
    day_out,
    used_out,
)
from relay.api.auth import requires, tenant_of
from relay.api.owner import Company, owner_of
from relay.api.paging import Cursor, Limit, Page
from relay.api.request import Request
from relay.model.agent import AnySettings, Kind
from relay.model.errors import InvalidInput
from relay.model.ids import AgentId, MessageId, TenantId, new_turn_id
from relay.model.tenant import Scope
from relay.replies.agents.question import Line, Question, within
from relay.store import agent_calls, agents, tenants
from relay.store.agent_questions import ToldMessage

_RULES = requires(Scope.RULES)
_DAYS_MOST = 366

Days = Annotated[int, QueryParameter(ge=1, le=_DAYS_MOST, description="How many, today among them.")]


def _check_key(kind: Kind, api_key: str | UnsetType | None) -> None:
    if kind == "http" and isinstance(api_key, str):
        raise InvalidInput("An agent of the kind http has a signing secret, no API key.", path="apiKey")


@post("/agents", opt=_RULES, summary="Make an agent; the signing secret of an `http` one is shown this once")
async def create_agent(request: Request, data: JSONBody[AgentIn]) -> NewAgentOut:
    services = request.services
    tenant_id = tenant_of(request.principal, data.company_id)
    _check_key(data.kind, data.api_key)
    settings = check_settings(services.guard, data.kind, data.settings)
    secret = agents.new_signing_secret() if data.kind == "http" else None
    async with services.pool.acquire() as conn:
        agent = await agents.insert_agent(
            conn,
            await tenants.get_data_key(conn, services.vault, tenant_id),
            tenant_id=tenant_id,
            name=data.name,
            kind=data.kind,
            enabled=data.enabled,
            settings=settings,
            secret=secret or data.api_key,
        )
    return NewAgentOut(secret=secret, **agent_fields(agent))


@get("/agents", opt=_RULES, summary="List agents, newest first")
async def list_agents(
    request: Request, company_id: Company = None, limit: Limit = 50, cursor: Cursor = None
) -> AgentList:
    page = Page.of(limit, cursor)
    tenant_id = tenant_of(request.principal, company_id)
    async with request.services.pool.acquire() as conn:
        rows = await agents.list_agents(conn, tenant_id, before=page.before, limit=page.fetch)
    shown, next_cursor = page.cut(rows, lambda agent: agent.id)
    return AgentList(agents=[agent_out(agent) for agent in shown], next_cursor=next_cursor)


@get("/agents/{agent_id:str}", opt=_RULES, summary="Read an agent")
async def read_agent(request: Request, agent_id: FromPath[str]) -> AgentOut:
    async with request.services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, agent_id)
        return agent_out(await agents.get_agent(conn, tenant_id, agent_id))


@patch("/agents/{agent_id:str}", opt=_RULES, summary="Change an agent; calls under way end as they began")
async def update_agent(request: Request, agent_id: FromPath[str], data: JSONBody[AgentPatch]) -> AgentOut:
    services = request.services
    async with services.pool.acquire() as conn, conn.transaction():
        tenant_id = await owner_of(request, conn, agent_id)
        agent = await agents.get_agent(conn, tenant_id, agent_id, lock=True)
        _check_key(agent.kind, data.api_key)
        settings = None
        if data.settings is not UNSET:
            settings = check_settings(services.guard, agent.kind, merged(agent.settings, data.settings))
        changed = await agents.update_agent(
            conn,
            await tenants.get_data_key(conn, services.vault, tenant_id),
            tenant_id,
            agent_id,
            name=None if data.name is UNSET else data.name,
            enabled=None if data.enabled is UNSET else data.enabled,
            settings=settings,
            secret=None if data.api_key is UNSET else data.api_key or False,
        )
    return agent_out(changed)


@delete("/agents/{agent_id:str}", opt=_RULES, summary="Remove an agent; questions in hand get their fallback")
async def delete_agent(request: Request, agent_id: FromPath[str]) -> None:
    async with request.services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, agent_id)
        await agents.delete_agent(conn, tenant_id, agent_id)


@post(
    "/agents/{agent_id:str}/rotate-secret",
    opt=_RULES,
    status_code=HTTP_200_OK,
    summary="Make a new signing secret of an `http` agent; the one before signs beside it for a while",
)
async def rotate_agent_secret(
    request: Request, agent_id: FromPath[str], data: JSONBody[RotateAgentSecretIn | None] = None
) -> AgentSecretOut:
    services = request.services
    overlap = timedelta(seconds=(data or RotateAgentSecretIn()).overlap_seconds)
    async with services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, agent_id)
        key = await tenants.get_data_key(conn, services.vault, tenant_id)
        secret = await agents.rotate_secret(conn, key, tenant_id, agent_id, overlap=overlap)
    return AgentSecretOut(secret=secret)


@post(
    "/agents/{agent_id:str}/try",
    opt=_RULES,
    status_code=HTTP_200_OK,
    summary="Ask an agent; it counts as any call, and nothing is sent",
)
async def try_agent(request: Request, agent_id: FromPath[str], data: JSONBody[TryIn]) -> TriedOut:
    services = request.services
    async with services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, agent_id)
        opened = await agents.get_opened(conn, services.vault, tenant_id, AgentId(agent_id))
    # From here on without a connection: it may take a minute.
    question = _question(tenant_id, data, opened.agent.settings)
    asked = await services.agent_trials.ask(opened, question)
    return TriedOut(
        outcome=asked.call.outcome,
        messages=[SpokenOut(type=one.type, content=one.content) for one in asked.speech.messages],
        handoff=asked.speech.handoff,
        note=asked.speech.note,
        detail=asked.detail,
        status_code=asked.call.status_code,
        usage=used_out(asked.call),
        duration_seconds=asked.call.duration_seconds,
    )


def _question(tenant_id: TenantId, data: TryIn, settings: AnySettings) -> Question:
    now = datetime.now(UTC)
    history = [Line(ours=one.role == "assistant", text=one.text, at=now) for one in data.history]
    return Question(
        key=new_turn_id(),
        tenant_id=tenant_id,
        session=None,
        session_id=None,
        chat="",
        asker=None,
        messages=[
            ToldMessage(
                id=MessageId(""),
                ours=False,
                sender_name=None,
                type="text",
                content={"text": data.text},
                sent_at=now,
            )
        ],
        history=within(history[-settings.history_messages :], tokens=settings.history_tokens)
        if settings.history_messages
        else [],
        now=now,
    )


@get(
    "/agents/{agent_id:str}/calls",
    opt=_RULES,
    summary="List an agent's calls, newest first, without their texts",
)
async def list_agent_calls(
    request: Request, agent_id: FromPath[str], limit: Limit = 50, cursor: Cursor = None
) -> AgentCallList:
    page = Page.of(limit, cursor)
    async with request.services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, agent_id)
        agent = await agents.get_agent(conn, tenant_id, agent_id)
        rows = await agent_calls.list_calls(conn, tenant_id, agent.id, before=page.before, limit=page.fetch)
    shown, next_cursor = page.cut(rows, lambda call: call.id)
    return AgentCallList(calls=[call_out(call) for call in shown], next_cursor=next_cursor)


@get(
    "/agents/usage", opt=_RULES, summary="What a company's agents have used, day by day (UTC), and its budget"
)
async def read_agent_usage(request: Request, company_id: Company = None, days: Days = 30) -> AgentUsageOut:
    tenant_id = tenant_of(request.principal, company_id)
    config = request.services.config.agents
    async with request.services.pool.acquire() as conn:
        usage = await agent_calls.list_usage(conn, tenant_id, days=days)
    return AgentUsageOut(
        days=[day_out(day) for day in usage],
        calls_per_day=config.calls_per_day,
        tokens_per_day=config.tokens_per_day,
    )
