"""What handlers work with: built once by the composition root, the same for every request."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property

import httpx
from msgspec import Struct, field

from relay.api.accept import Acceptor
from relay.api.agent_trials import AgentTrials
from relay.api.console.files import PageFile, shipped_files
from relay.api.event_feeds import EventFeeds
from relay.api.key_use import KeyUse
from relay.api.readiness import Readiness
from relay.api.remembered import Remembered
from relay.api.rule_checks import RuleChecks
from relay.api.telemetry import Telemetry
from relay.config import Config
from relay.egress.fetch import http_client
from relay.egress.guard import AddressGuard
from relay.replies.agents.caller import Caller
from relay.replies.library import Library
from relay.replies.reading.rule_files import RuleFiles
from relay.store.blobs import Blobs
from relay.store.doorbell import Doorbell
from relay.store.pool import Pool
from relay.vault import Vault

_LOOK_SECONDS = 2.0


def utc_now() -> datetime:
    return datetime.now(UTC)


class Services(Struct, frozen=True, kw_only=True, dict=True):
    config: Config
    pool: Pool
    vault: Vault
    doorbell: Doorbell
    blobs: Blobs
    guard: AddressGuard
    operator_key: str | None = None
    """RELAY_OPERATOR_KEY, which opens what a stored operator's key opens."""
    now: Callable[[], datetime] = utc_now
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the process is told to stop: readiness goes off, streams end."""

    @cached_property
    def acceptor(self) -> Acceptor:
        """Takes messages to be sent, in batches."""
        return Acceptor(self.pool, self.doorbell)

    @cached_property
    def telemetry(self) -> Telemetry:
        """What this process counts of itself."""
        return Telemetry(self.pool)

    @cached_property
    def console_files(self) -> dict[str, PageFile]:
        """The console's page, as it was at the first look."""
        return shipped_files()

    @cached_property
    def event_feeds(self) -> EventFeeds:
        """What streams of events are told."""
        return EventFeeds(self.pool, self.doorbell, self.draining)

    @cached_property
    def key_use(self) -> KeyUse:
        """When each key was last used, as far as this process knows."""
        return KeyUse(self.pool)

    @cached_property
    def readiness(self) -> Readiness:
        return Readiness(self.pool, self.draining)

    @cached_property
    def fetcher(self) -> httpx.AsyncClient:
        """Fetches media by URL, where the guard allows; `aclose` closes it."""
        timeout_seconds = self.config.media.fetch_timeout_seconds
        return http_client(self.guard, timeout_seconds=timeout_seconds, max_answer_bytes=None)

    @cached_property
    def rule_checks(self) -> RuleChecks:
        """Threads that read and try rules."""
        return RuleChecks()

    @cached_property
    def library(self) -> Library:
        """The rules in force, to be explained; nobody is answered from here."""
        return Library(RuleFiles(self.config.rules_folder))

    @cached_property
    def rules_looked_at(self) -> Remembered[bool]:
        """Ask before `library`: it sees then what has changed in the operator's files."""
        return Remembered(self.library.look, seconds=_LOOK_SECONDS)

    @cached_property
    def agent_trials(self) -> AgentTrials:
        """Asks agents that somebody tries."""
        return AgentTrials(Caller(self.pool, self.guard, self.blobs, self.config.agents))

    async def aclose(self) -> None:
        if "rule_checks" in self.__dict__:
            self.rule_checks.close()
        if "fetcher" in self.__dict__:
            await self.fetcher.aclose()
        if "agent_trials" in self.__dict__:
            await self.agent_trials.aclose()
