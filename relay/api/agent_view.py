"""Agents on the wire: what a caller gives and is shown. An API key goes in and never comes out."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from relay.api.wire import In, Out
from relay.model.agent import Agent, AgentCall, AgentName, CallOutcome, DayUsage, Kind
from relay.model.ids import AgentId, CallId, MessageId, SessionId, TenantId

ApiKey = Annotated[str, Meta(min_length=1, max_length=4096, pattern=r"^[\x21-\x7e]+$")]
SettingsIn = Annotated[dict[str, Any], Meta(description="See docs/agents.md; each kind has its own.")]


class AgentIn(In, frozen=True, kw_only=True):
    company_id: str | None = None
    name: AgentName
    kind: Kind
    enabled: bool = True
    settings: SettingsIn
    api_key: ApiKey | None = None
    """Of the kind `openai`; it is never shown again."""


class AgentPatch(In, frozen=True, kw_only=True):
    name: AgentName | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    settings: SettingsIn | UnsetType = UNSET
    """Only what is to change; null is the default again."""
    api_key: ApiKey | UnsetType | None = UNSET
    """Null removes it."""


class RotateAgentSecretIn(In, frozen=True, kw_only=True):
    overlap_seconds: Annotated[int, Meta(ge=0, le=30 * 86_400)] = 86_400
    """How long the secret before still signs beside the new one."""


class AgentOut(Out, frozen=True, kw_only=True):
    id: AgentId
    company_id: TenantId
    name: str
    kind: Kind
    enabled: bool
    settings: dict[str, Any]
    """All of them, defaults included."""
    has_api_key: bool
    created_at: datetime
    updated_at: datetime


class NewAgentOut(AgentOut, frozen=True, kw_only=True):
    secret: str | None
    """What signs the calls of an `http` agent; shown this once."""


class AgentList(Out, frozen=True, kw_only=True):
    agents: list[AgentOut]
    next_cursor: str | None


class AgentSecretOut(Out, frozen=True, kw_only=True):
    secret: str
    """Shown this once."""


class Said(In, frozen=True, kw_only=True):
    role: Literal["user", "assistant"]
    text: Annotated[str, Meta(min_length=1, max_length=65_536)]


class TryIn(In, frozen=True, kw_only=True):
    text: Annotated[str, Meta(min_length=1, max_length=65_536)]
    history: Annotated[list[Said], Meta(max_length=100)] = field(default_factory=list)
    """What was said before, oldest first."""


class SpokenOut(Out, frozen=True, kw_only=True):
    type: str
    content: dict[str, Any]


class UsedOut(Out, frozen=True, kw_only=True):
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None


class TriedOut(Out, frozen=True, kw_only=True):
    outcome: CallOutcome
    messages: list[SpokenOut]
    handoff: bool
    note: str | None
    """Why it wants a person."""
    detail: str | None
    """Why it came to nothing."""
    status_code: int | None
    usage: UsedOut
    duration_seconds: float


class AgentCallOut(Out, frozen=True, kw_only=True):
    id: CallId
    session_id: SessionId | None
    message_id: MessageId | None
    """The last message of the question; null where the agent was only tried."""
    outcome: CallOutcome
    status_code: int | None
    duration_seconds: float
    usage: UsedOut
    at: datetime


class AgentCallList(Out, frozen=True, kw_only=True):
    calls: list[AgentCallOut]
    next_cursor: str | None


class DayUsageOut(Out, frozen=True, kw_only=True):
    day: date
    calls: int
    tokens: int
    cost: float


class AgentUsageOut(Out, frozen=True, kw_only=True):
    """`calls` are requests: a question may take several."""

    days: list[DayUsageOut]
    """The newest first; a day without calls is left out."""
    calls_per_day: int
    tokens_per_day: int


def agent_out(agent: Agent) -> AgentOut:
    return AgentOut(**agent_fields(agent))


def agent_fields(agent: Agent) -> dict[str, Any]:
    return {
        "id": agent.id,
        "company_id": agent.tenant_id,
        "name": agent.name,
        "kind": agent.kind,
        "enabled": agent.enabled,
        "settings": msgspec.to_builtins(agent.settings),
        "has_api_key": agent.kind == "openai" and agent.has_secret,
        "created_at": agent.created_at,
        "updated_at": agent.updated_at,
    }


def used_out(call: AgentCall) -> UsedOut:
    return UsedOut(
        requests=call.requests,
        prompt_tokens=call.prompt_tokens,
        completion_tokens=call.completion_tokens,
        cost=None if call.cost is None else float(call.cost),
    )


def call_out(call: AgentCall) -> AgentCallOut:
    return AgentCallOut(
        id=call.id,
        session_id=call.session_id,
        message_id=call.message_id,
        outcome=call.outcome,
        status_code=call.status_code,
        duration_seconds=call.duration_seconds,
        usage=used_out(call),
        at=call.at,
    )


def day_out(usage: DayUsage) -> DayUsageOut:
    return DayUsageOut(day=usage.day, calls=usage.calls, tokens=usage.tokens, cost=float(usage.cost))
