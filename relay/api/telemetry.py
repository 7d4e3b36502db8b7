"""What the server counts of itself, as Prometheus reads it.

    requests ──► middleware ──► counters, a histogram ─┐
    Postgres ──► figures, remembered for 5 s ──────────┼──► registry ──► text
    the process (memory, CPU) ─────────────────────────┘

Numbers over all tenants only: no label names a tenant, a session or an endpoint, so the page holds no secret and
its size does not grow with the business.
"""

import logging
import time
from collections.abc import Iterator
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from relay import __version__
from relay.api.remembered import Remembered
from relay.store import figures
from relay.store.figures import Figures
from relay.store.pool import DATABASE_AWAY, Pool

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_FIGURES_SECONDS = 5.0
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Telemetry:
    """One for an app: its middleware counts, `render` shows."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._figures = Remembered(self._look, seconds=_FIGURES_SECONDS)
        # When a series was first counted interests nobody, and doubles the page.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._shown = _Shown()
        self._registry.register(self._shown)
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "relay_http_requests",
            "Requests by route and status.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "relay_http_request_duration_seconds",
            "From a request's arrival to the head of its answer.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """Count the requests of `app`, each when the head of its answer goes out: streams last for hours."""

        async def handle(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            started = time.perf_counter()

            async def count(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._count(scope, message["status"], time.perf_counter() - started)
                await send(message)

            await app(scope, receive, count)

        return handle

    def _count(self, scope: Any, status: int, seconds: float) -> None:
        key = (scope["method"], scope.get("path_template", ""), status)
        series = self._series.get(key)
        if series is None:
            method, route, _ = key
            series = self._requests.labels(*key), self._seconds.labels(method, route)
            self._series[key] = series
        requests, durations = series
        requests.inc()
        durations.observe(seconds)

    async def render(self) -> bytes:
        self._shown.figures = await self._figures.get()
        return generate_latest(self._registry)

    async def _look(self) -> Figures | None:
        """None where the database cannot be asked: the page is wanted then most of all."""
        try:
            async with self._pool.acquire(timeout=2) as conn:
                return await figures.get_figures(conn)
        except DATABASE_AWAY as error:
            log.warning("metrics.database_away", extra={"error": type(error).__name__})
            return None


class _Shown(Collector):
    """The figures of the last look."""

    figures: Figures | None = None

    def describe(self) -> Iterator[Metric]:
        """Nothing to ask of the database at registration."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("relay_build", "The version that runs.", value={"version": __version__})
        up = self.figures is not None
        yield GaugeMetricFamily("relay_database_up", "Whether the database answers.", value=float(up))
        if self.figures is None:
            return
        now = self.figures
        by_status = GaugeMetricFamily("relay_sessions", "Sessions by status.", labels=["status"])
        for status, count in now.sessions.items():
            by_status.add_metric([status.value], count)
        yield by_status
        yield GaugeMetricFamily("relay_hosts", "Hosts that hold a session.", value=now.hosts)
        yield GaugeMetricFamily(
            "relay_deliveries_owed",
            "Deliveries that are owed; above 10,000 an estimate.",
            value=now.owed,
        )
        yield GaugeMetricFamily(
            "relay_deliveries_oldest_due_seconds",
            "For how long the delivery that waits longest has been due, at endpoints that are enabled.",
            value=now.oldest_due_seconds,
        )
        yield GaugeMetricFamily(
            "relay_messages_queued",
            "Messages accepted and not yet sent; above 10,000 it says 10,000.",
            value=now.queued,
        )
        yield GaugeMetricFamily(
            "relay_replies_waiting",
            "Messages that no bot has looked at yet; above 10,000 it says 10,000.",
            value=now.replies,
        )
        yield GaugeMetricFamily(
            "relay_replies_oldest_seconds",
            "The age of the oldest message that no bot has looked at yet.",
            value=now.oldest_reply_seconds,
        )
        yield GaugeMetricFamily(
            "relay_agent_questions",
            "Questions that agents have in hand or will get; above 10,000 it says 10,000.",
            value=now.agent_questions,
        )
