"""Calling an agent once: within its time and the tenant's budget, and logged whatever comes of it.

ask ──► openai_agent | http_agent ──┬─► Speech ──► answered, empty, handoff
             │ each request metered ├─► CallFailed ──► timeout, refused, throttled, failed, nonsense, budget_exhausted
             └──────────────────────┴─► cancelled: somebody else has answered
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, TypeAlias

from msgspec import Struct

from relay.config import Agents
from relay.egress.fetch import http_client
from relay.egress.guard import AddressGuard
from relay.model.agent import AgentCall, CallOutcome, HttpSettings
from relay.model.ids import SessionId, TenantId, new_call_id
from relay.plugin import Tool
from relay.replies.agents.failure import CallFailed, Patience
from relay.replies.agents.files import Files
from relay.replies.agents.http_agent import HttpAgent
from relay.replies.agents.meter import Meter
from relay.replies.agents.question import Question
from relay.replies.agents.speech import Speech
from relay.store import agent_calls
from relay.store.agents import OpenedAgent
from relay.store.blobs import Blobs
from relay.store.pool import Pool

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 300.0
"""Between two reads: the deadline of the question is what counts."""


class Asked(Struct, frozen=True, kw_only=True):
    """What came of a question."""

    call: AgentCall
    speech: Speech
    detail: str | None
    """Why it came to nothing, for the tenant."""

    @property
    def failed(self) -> bool:
        return self.call.outcome not in (CallOutcome.ANSWERED, CallOutcome.EMPTY, CallOutcome.HANDOFF)


ListTools: TypeAlias = Callable[[TenantId, SessionId | None], Sequence[Tool]]


def no_tools(_tenant_id: TenantId, _session_id: SessionId | None) -> Sequence[Tool]:
    return ()


class Caller:
    """One in a process; `aclose` closes its connections."""

    def __init__(
        self,
        pool: Pool,
        guard: AddressGuard,
        blobs: Blobs,
        config: Agents,
        *,
        tools: ListTools = no_tools,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pool = pool
        self._config = config
        self._files = Files(pool, blobs)
        self._tools = tools
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._http = http_client(
            guard,
            timeout_seconds=_SILENCE_SECONDS,
            connect_timeout_seconds=_CONNECT_SECONDS,
            # The loop's slots are the limit: nobody waits for a connection with its deadline running.
            limit=config.concurrency,
        )
        self._openai: Any = None
        self._exhausted: set[tuple[TenantId, str]] = set()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def ask(
        self, opened: OpenedAgent, question: Question, *, most_seconds: float | None = None
    ) -> Asked:
        """Never raises for what the agent does; cancelled, it is logged as that."""
        settings = opened.agent.settings
        seconds = min(settings.timeout_seconds, most_seconds or settings.timeout_seconds)
        meter = Meter(self._pool, question.tenant_id, settings, self._config)
        started = self._clock()
        patience = Patience(
            retries=settings.retries, until=started + seconds, clock=self._clock, sleep=self._sleep
        )
        speech, failed, outcome = Speech(), None, CallOutcome.CANCELLED
        try:
            async with asyncio.timeout(seconds):
                speech = await self._answer(opened, question, meter, patience)
            outcome = _outcome_of(speech)
        except TimeoutError:
            failed = CallFailed(CallOutcome.TIMEOUT, f"There was no answer within {seconds:g} seconds.")
        except CallFailed as error:
            failed = error
        finally:
            if failed is not None:
                outcome = failed.outcome
            seconds = self._clock() - started
            call = self._call(opened, question, meter, outcome=outcome, failed=failed, seconds=seconds)
            await asyncio.shield(self._record(opened, call))
        return Asked(call=call, speech=speech, detail=None if failed is None else failed.detail)

    async def _answer(
        self, opened: OpenedAgent, question: Question, meter: Meter, patience: Patience
    ) -> Speech:
        settings = opened.agent.settings
        if isinstance(settings, HttpSettings):
            return await HttpAgent(
                opened, settings, http=self._http, meter=meter, patience=patience, now=self._now
            ).answer(question)
        if self._openai is None:
            # The SDK takes longer to import than all the rest together, and nobody may want it.
            self._openai = await asyncio.to_thread(import_module, "relay.replies.agents.openai_agent")
        agent = self._openai.OpenAiAgent(
            opened,
            settings,
            http=self._http,
            files=self._files,
            tools=self._tools(question.tenant_id, question.session_id),
            meter=meter,
            patience=patience,
        )
        speech: Speech = await agent.answer(question)
        return speech

    def _call(
        self,
        opened: OpenedAgent,
        question: Question,
        meter: Meter,
        *,
        outcome: CallOutcome,
        failed: CallFailed | None,
        seconds: float,
    ) -> AgentCall:
        return AgentCall(
            id=new_call_id(),
            tenant_id=question.tenant_id,
            agent_id=opened.agent.id,
            session_id=question.session_id,
            message_id=question.messages[-1].id if question.session_id is not None else None,
            outcome=outcome,
            requests=meter.requests,
            status_code=None if failed is None else failed.status,
            duration_seconds=seconds,
            prompt_tokens=meter.used.prompt,
            completion_tokens=meter.used.completion,
            cost=meter.cost,
            at=self._now(),
        )

    async def _record(self, opened: OpenedAgent, call: AgentCall) -> None:
        """The canonical line of a call, and its row."""
        log.info(
            "agent.called",
            extra={
                "agent": call.agent_id,
                "kind": opened.agent.kind,
                "session": call.session_id,
                "outcome": call.outcome.value,
                "status": call.status_code,
                "requests": call.requests,
                "tokens": call.prompt_tokens + call.completion_tokens,
                "duration_ms": round(call.duration_seconds * 1000),
            },
        )
        if call.outcome is CallOutcome.BUDGET_EXHAUSTED:
            self._tell_exhausted(call)
        async with self._pool.acquire() as conn:
            await agent_calls.insert_call(conn, call)

    def _tell_exhausted(self, call: AgentCall) -> None:
        """Once a day for each tenant."""
        told = (call.tenant_id, f"{call.at:%Y-%m-%d}")
        if told not in self._exhausted:
            self._exhausted = {one for one in self._exhausted if one[1] == told[1]} | {told}
            log.warning("agent.budget_exhausted", extra={"tenant": call.tenant_id})


def _outcome_of(speech: Speech) -> CallOutcome:
    if speech.handoff:
        return CallOutcome.HANDOFF
    return CallOutcome.ANSWERED if speech.messages else CallOutcome.EMPTY
