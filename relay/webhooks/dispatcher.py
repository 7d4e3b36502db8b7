"""The dispatcher: what is owed goes out.

    doorbell ─┐                 ┌─────────── slots ───────────┐
    poll ─────┴─► work: lanes ──┴► claim ─► bodies ─► tasks: sign, POST ─► settle: one statement a batch
                  (skip scan)      (one query)        (no transaction)     (settler.py)

Two loops: `work` claims as many as there are free slots, the settler records what came back. A crash anywhere leaves
leases that run out, and what was claimed is due again. Any number of dispatchers share the work.
"""

import asyncio
import logging
import random as _random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Literal, Self

import aiohttp

from relay import __version__
from relay.config import Config
from relay.egress.guard import UNREACHABLE, AddressGuard
from relay.egress.post import Answer, post, webhook_client
from relay.loops import Loop, run_until
from relay.model import ids
from relay.model.delivery import DeliveryStatus, Outcome
from relay.model.ids import EndpointId
from relay.store import deliveries
from relay.store.deliveries import Claimed, Result
from relay.store.doorbell import Doorbell
from relay.store.kept import KeptConnection
from relay.store.pool import Connection, Pool
from relay.store.rates import Count, uncounted
from relay.vault import Vault
from relay.webhooks.lanes import Lanes
from relay.webhooks.retry import Schedule, Verdict
from relay.webhooks.settler import Settler
from relay.webhooks.targets import Destination, Targets

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_GAP_SECONDS = 0.005
"""Claims are batches: this long apart they are large enough to be cheap."""
_SCAN_REST = 9
"""While there is something to claim, one part of the time goes into looking for more lanes, nine into claiming."""
_REFUSED_SECONDS = 5.0
_RESPONSE_CHARACTERS = 512
_CONNECT_SECONDS = 10.0
_UNFILTERED = "A plugin that changes what is sent has failed, so nothing was sent."

FilterBody = Callable[[Claimed, bytes], Awaitable[bytes | None]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Dispatcher:
    """Open it with `async with`: leaving it records what came back and gives back what is still in flight.

    `filter_body`: what plugins leave of a body; None where it must not be sent now.
    """

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        doorbell: Doorbell,
        guard: AddressGuard,
        config: Config,
        *,
        filter_body: FilterBody | None = None,
        count: Count = uncounted,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _utc_now,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._pool = pool
        self._claiming = KeptConnection(pool)
        self._doorbell = doorbell
        self._guard = guard
        self._config = config.webhooks
        self._drain_seconds = config.server.drain_seconds
        self._filter_body = filter_body
        self._now = now
        hooks = config.webhooks
        self._schedule = Schedule(hooks.schedule_seconds, jitter=hooks.jitter, random=random, now=now)
        self._lanes = Lanes(
            concurrency=hooks.concurrency, per_endpoint=hooks.concurrency_per_endpoint, clock=clock
        )
        self._targets = Targets(vault, clock=clock)
        self._due: dict[EndpointId, Literal["none", "chat"]] = {}
        """Lanes that had something due when last looked at."""
        self._claim_at = self._tidy_at = 0.0
        self._scanned_at = self._scan_seconds = 0.0
        self._sending: dict[asyncio.Task[None], Claimed] = {}
        self._work_loop = Loop(
            "dispatcher.work", self.work, poll_seconds=_POLL_SECONDS, bell=doorbell.bell("deliveries")
        )
        self._settler = Settler(
            pool, doorbell, hooks, now=now, on_chats_freed=self._work_loop.bell.ring, count=count
        )
        self._open = AsyncExitStack()
        self._http: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._http = await self._open.enter_async_context(
            webhook_client(
                self._guard,
                connect_timeout_seconds=min(_CONNECT_SECONDS, self._config.timeout_seconds),
                total_timeout_seconds=self._config.timeout_seconds,
                # The lanes are the limit: nobody waits for a connection with its deadline running.
                limit=0,
                limit_per_host=0,
                user_agent=f"Relay/{__version__}",
            )
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._open:
            self._open.push_async_callback(self._claiming.close)
            self._open.push_async_callback(self._settler.close)
            await self._give_back()
            self._doorbell.drop("deliveries", self._work_loop.bell)

    async def run(self, stopping: asyncio.Event) -> None:
        """Claim, send and settle until `stopping` is set, then let what is in flight finish."""
        drained = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_until([self._settler.loop], drained), name="dispatcher.settling")
            await run_until([self._work_loop], stopping)
            await self.finish_sending()
            drained.set()

    async def settle(self) -> bool:
        """Record what came back; True when there is more."""
        return await self._settler.work()

    async def work(self) -> bool:
        """Claim what is due and send it off; True when there is more to claim now."""
        await asyncio.sleep(max(0.0, self._claim_at + _GAP_SECONDS - time.monotonic()))
        self._claim_at = time.monotonic()
        if self._lanes.free <= 0 or self._settler.waiting > 2 * self._config.concurrency:
            # Full; or the database is behind: what is sent and not settled would be sent again after a crash.
            return False
        async with self._claiming.use() as conn:
            grants = self._lanes.grant(self._due)
            look = time.monotonic() >= self._scanned_at + self._scan_seconds * (_SCAN_REST if grants else 1)
            if look:
                await self._scan(conn)
                grants = self._lanes.grant(self._due)
            claimed = await self._claim(conn, grants) if grants else []
            if claimed:
                await self._prepare(conn, claimed)
        # Without a look there may be what nobody has seen yet.
        return bool(self._due) if claimed else not look

    async def _scan(self, conn: Connection) -> None:
        started = time.monotonic()
        found = await deliveries.list_due_lanes(conn)
        self._due = {endpoint_id: order for endpoint_id, order in found.items() if order is not None}
        orphaned = [endpoint_id for endpoint_id, order in found.items() if order is None]
        if orphaned:
            await deliveries.cancel_orphans(conn, orphaned)
        self._scanned_at = time.monotonic()
        self._scan_seconds = self._scanned_at - started
        if self._scanned_at >= self._tidy_at:
            self._tidy_at = self._scanned_at + 60
            self._lanes.forget_idle()
            self._targets.forget_idle()

    async def _claim(self, conn: Connection, grants: dict[EndpointId, int]) -> list[Claimed]:
        token, lease = ids.new_claim(), self._config.lease_seconds
        plain = {lane: slots for lane, slots in grants.items() if self._due[lane] == "none"}
        ordered = {lane: slots for lane, slots in grants.items() if self._due[lane] == "chat"}
        claimed: list[Claimed] = []
        if plain:
            claimed += await deliveries.claim_deliveries(conn, plain, claim=token, lease_seconds=lease)
        if ordered:
            claimed += await deliveries.claim_heads(conn, ordered, claim=token, lease_seconds=lease)
        counts = dict.fromkeys(grants, 0)
        for delivery in claimed:
            counts[delivery.endpoint_id] += 1
        for lane, count in counts.items():
            if count < grants[lane]:
                del self._due[lane]
        return claimed

    async def _prepare(self, conn: Connection, claimed: list[Claimed]) -> None:
        """Find what each needs, and send it off; what cannot be sent is given back or ends here."""
        await self._targets.load(conn, {delivery.endpoint_id for delivery in claimed})
        bodies = await deliveries.list_bodies(conn, list({delivery.event_id for delivery in claimed}))
        refused = []
        for delivery in claimed:
            destination = self._targets.find(delivery.endpoint_id)
            body = bodies.get(delivery.event_id)
            if body is None:
                self._settler.add(_cancelled(delivery))
            elif destination is None:
                refused.append(delivery)
            else:
                self._lanes.begin(delivery.endpoint_id)
                task = asyncio.create_task(self._send(delivery, destination, body))
                self._sending[task] = delivery
                task.add_done_callback(self._sent)
        if refused:
            # Disabled in this moment, or its secret does not open.
            for delivery in refused:
                self._lanes.pause(delivery.endpoint_id, _REFUSED_SECONDS)
            await deliveries.release(conn, refused)

    async def _send(self, delivery: Claimed, destination: Destination, body: bytes) -> None:
        answer = await self._post(delivery, destination, body)
        verdict = self._schedule.judge(
            tries=delivery.tries,
            outcome=answer.outcome,
            status=answer.status,
            retry_after=answer.retry_after,
        )
        self._count(delivery, answer, verdict)
        _log_attempt(delivery, answer)
        self._settler.add(
            Result(
                delivery=delivery,
                outcome=answer.outcome,
                status_code=answer.status,
                duration_seconds=answer.duration_seconds,
                response=_excerpt(answer),
                final=verdict.final,
                delay_seconds=verdict.delay_seconds,
            ),
            gone=verdict.gone,
        )

    async def _post(self, delivery: Claimed, destination: Destination, body: bytes) -> Answer:
        try:
            if self._filter_body is not None:
                filtered = await self._filter_body(delivery, body)
                if filtered is None:
                    return Answer(outcome=Outcome.BLOCKED, duration_seconds=0.0, error=_UNFILTERED)
                body = filtered
            at = int(self._now().timestamp())
            return await post(
                self._http,
                destination.url,
                body=body,
                headers=destination.headers(delivery.event_id, at, body),
                timeout_seconds=self._config.timeout_seconds,
            )
        except Exception:
            # Ours, not the customer's; without a result it would be tried for ever and nobody would see it.
            log.exception("webhook.post_failed", extra={"delivery": delivery.id})
            return Answer(outcome=Outcome.UNREACHABLE, duration_seconds=0.0, error=UNREACHABLE)

    def _count(self, delivery: Claimed, answer: Answer, verdict: Verdict) -> None:
        if answer.outcome is Outcome.SUCCEEDED:
            self._lanes.succeed(delivery.endpoint_id, seconds=answer.duration_seconds)
        else:
            self._lanes.fail(
                delivery.endpoint_id,
                seconds=answer.duration_seconds,
                shrink=verdict.throttled or answer.outcome is not Outcome.REJECTED,
                pause_seconds=verdict.retry_after_seconds if verdict.throttled else 0.0,
            )

    def _sent(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]
        if self._due:
            self._work_loop.bell.ring()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("webhook.send_failed", exc_info=error)

    async def finish_sending(self) -> None:
        """Wait until nothing is in flight, at most as long as the server may take to stop."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=self._drain_seconds)

    async def _give_back(self) -> None:
        unfinished = dict(self._sending)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        while await self.settle():
            pass
        if unfinished:
            async with self._pool.acquire() as conn:
                await deliveries.release(conn, list(unfinished.values()))


def _cancelled(delivery: Claimed) -> Result:
    """Its event is no longer kept: removed with its session, or too old."""
    return Result(delivery=delivery, outcome=Outcome.CANCELLED, final=DeliveryStatus.CANCELLED)


def _excerpt(answer: Answer) -> str:
    """What the tenant may see of the answer; Postgres text holds no NUL."""
    if answer.error is not None:
        return answer.error
    return (
        answer.body[: _RESPONSE_CHARACTERS * 4]
        .decode(errors="replace")
        .replace("\0", "�")[:_RESPONSE_CHARACTERS]
    )


def _log_attempt(delivery: Claimed, answer: Answer) -> None:
    """The canonical line of an attempt; successes come by the thousand a second."""
    level = logging.DEBUG if answer.outcome is Outcome.SUCCEEDED else logging.INFO
    if log.isEnabledFor(level):
        log.log(
            level,
            "webhook.attempted",
            extra={
                "endpoint": delivery.endpoint_id,
                "delivery": delivery.id,
                "event_type": delivery.event_type,
                "attempt": delivery.attempt,
                "outcome": answer.outcome.value,
                "status": answer.status,
                "duration_ms": round(answer.duration_seconds * 1000),
                "detail": answer.detail,
            },
        )
