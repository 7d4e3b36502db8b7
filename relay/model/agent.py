"""An agent: what messages are handed to, and what became of each call of it.

`openai` is any server that speaks OpenAI's chat completions, `http` the tenant's own automation. `settings` are kept
as the API takes them, so that what is stored is what was said.
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct, field

from relay.model.ids import AgentId, CallId, MessageId, SessionId, TenantId

Kind = Literal["openai", "http"]
AgentName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
OPENAI_BASE_URL = "https://api.openai.com/v1"
DEBOUNCE_MOST_SECONDS = 60
"""A question waits no longer than this after its first message, however many follow."""

_Url = Annotated[str, Meta(min_length=1, max_length=2048)]
_Price = Annotated[float, Meta(ge=0, le=1_000_000)]


class CallOutcome(StrEnum):
    ANSWERED = "answered"
    EMPTY = "empty"
    """It had nothing to say."""
    HANDOFF = "handoff"
    """It asked for a person."""
    CANCELLED = "cancelled"
    """Somebody else answered before it did."""
    TIMEOUT = "timeout"
    REFUSED = "refused"
    """A status of the 400s: a wrong key, model or URL."""
    THROTTLED = "throttled"
    """429, for longer than there was time."""
    FAILED = "failed"
    """A status of the 500s, or no connection."""
    NONSENSE = "nonsense"
    """An answer that is none."""
    BUDGET_EXHAUSTED = "budget_exhausted"
    """The tenant's calls or tokens of the day are used up: it was not asked."""


class Settings(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What both kinds know."""

    stop_words: Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=50)] = (
        field(default_factory=list)
    )
    """A message that is one of these ends the turn, and nothing is said; case and accents do not matter."""
    fallback: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    """Said where the agent fails and the rule has no fallback of its own."""
    max_messages: Annotated[int, Meta(ge=1, le=10)] = 4
    typing: bool = True
    """Shown before each message, by its length."""
    history_messages: Annotated[int, Meta(ge=0, le=100)] = 20
    history_tokens: Annotated[int, Meta(ge=0, le=200_000)] = 4000
    timeout_seconds: Annotated[float, Meta(ge=1, le=300)] = 60
    """For the whole answer, retries and tools among it."""
    retries: Annotated[int, Meta(ge=0, le=5)] = 2


class OpenAiSettings(Settings, frozen=True, kw_only=True):
    base_url: _Url = OPENAI_BASE_URL
    model: Annotated[str, Meta(min_length=1, max_length=200)]
    prompt: Annotated[str, Meta(max_length=32_768)] = ""
    """The system prompt; a template, as those of rules."""
    timezone: Annotated[str, Meta(min_length=1, max_length=64)] = "America/Sao_Paulo"
    """Of `now` in the prompt."""
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=100_000)] = 1024
    """Of one answer."""
    stream: bool = False
    tools: bool = True
    """`handoff` and what plugins register; some small models refuse a request that has any."""
    vision: bool = False
    """Pictures are passed on."""
    transcribe: bool = False
    """Voice notes become text first."""
    transcription_model: Annotated[str, Meta(min_length=1, max_length=200)] = "whisper-1"
    price_per_million_input: _Price | None = None
    price_per_million_output: _Price | None = None


class HttpSettings(Settings, frozen=True, kw_only=True):
    url: _Url


AnySettings: TypeAlias = OpenAiSettings | HttpSettings


def settings_of(kind: Kind, given: dict[str, Any]) -> AnySettings:
    """Raises msgspec.ValidationError."""
    if kind == "openai":
        return msgspec.convert(given, OpenAiSettings)
    return msgspec.convert(given, HttpSettings)


class Agent(Struct, frozen=True, kw_only=True):
    id: AgentId
    tenant_id: TenantId
    name: str
    kind: Kind
    enabled: bool
    settings: AnySettings
    has_secret: bool
    """An API key (`openai`), or a signing secret (`http`)."""
    created_at: datetime
    updated_at: datetime


class Tokens(Struct, frozen=True, kw_only=True):
    """What a call has used."""

    prompt: int = 0
    completion: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(prompt=self.prompt + other.prompt, completion=self.completion + other.completion)


def cost_of(settings: AnySettings, used: Tokens) -> Decimal | None:
    """In whatever currency the prices are; None without prices."""
    if isinstance(settings, HttpSettings):
        return None
    prices = (settings.price_per_million_input, settings.price_per_million_output)
    if prices == (None, None):
        return None
    paid = [Decimal(str(price or 0)) for price in prices]
    return (paid[0] * used.prompt + paid[1] * used.completion) / 1_000_000


class AgentCall(Struct, frozen=True, kw_only=True):
    """What became of one question, without its text."""

    id: CallId
    tenant_id: TenantId
    agent_id: AgentId
    session_id: SessionId | None
    message_id: MessageId | None
    outcome: CallOutcome
    requests: int
    """How many it took: retries, tools and transcriptions among them."""
    status_code: int | None
    duration_seconds: float
    prompt_tokens: int
    completion_tokens: int
    cost: Decimal | None
    at: datetime


class DayUsage(Struct, frozen=True, kw_only=True):
    """What a tenant has used on one day (UTC)."""

    day: date
    calls: int
    """Requests, as the budget counts them."""
    tokens: int
    cost: Decimal
