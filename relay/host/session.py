"""One session on this host: its engine, its state machine, its deadlines.

    start ──► engine.start ──signals──► handle ──► whatsapp_sessions (fenced by the lease's term) + session.status
                                          │
                     lost ──► back off 5, 10, 20 … s ──► engine.start      (5 attempts, then `failed`)

Everything here runs one step after the other (the host keeps a mailbox a session). Nothing hangs in `connecting`: every
start has a deadline, every silence ends a connection. The row is the only truth that others see; when a write
finds the lease gone, the engine is stopped first and nothing more is written.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import assert_never

from relay.config import Sessions as Settings
from relay.egress.guard import AddressBlocked
from relay.engines import engine as says
from relay.engines.engine import Engine, Signal
from relay.host.ledger import LeaseLost, Ledger
from relay.model.errors import EngineError, NotSupported
from relay.model.session import SessionStatus
from relay.store.auth_states import AuthState
from relay.store.pool import DATABASE_AWAY
from relay.store.sessions import Request, StatusChange

log = logging.getLogger(__name__)

_STOP_SECONDS = 15.0
_SNAPSHOT_SECONDS = 60.0
_AFTER_CRASH_SECONDS = 0.5


class Session:
    """Runs one session while this host holds its lease."""

    def __init__(
        self,
        request: Request,
        ledger: Ledger,
        make_engine: Callable[["Session", AuthState | None], Awaitable[Engine]],
        settings: Settings,
        *,
        forget: Callable[[Request], Awaitable[None]],
        monotonic: Callable[[], float],
    ) -> None:
        self.request = request
        self.status = SessionStatus.CONNECTING
        self.degraded = False
        self.banned_until: datetime | None = request.banned_until
        self.over = False
        """The host has nothing more to do for it: the lease can go."""
        self._ledger = ledger
        self._make_engine = make_engine
        self._forget = forget
        self._settings = settings
        self._monotonic = monotonic
        self._engine: Engine | None = None
        self._attempts = 0
        self._is_linked = False
        """The account knows this device, as far as we know."""
        self._reason: str | None = None
        self._deadline: float | None = None
        self._retry_at: float | None = None
        self._snapshot_at: float | None = None
        self._anew_at: float | None = None
        self._is_stored = False
        """The row says what we are."""

    # --- what the host asks -------------------------------------------------------------------------------------

    @property
    def term(self) -> int:
        """The lease's, under which all of this session is written."""
        return self._ledger.term

    @property
    def engine(self) -> Engine | None:
        """The engine, while it may be called."""
        return self._engine if self.status is SessionStatus.CONNECTED else None

    def may_send(self) -> bool:
        """Whether a message would go out now."""
        return self.status is SessionStatus.CONNECTED and not self.degraded

    async def start(self) -> None:
        """The lease is ours: bring the session up (or, to log it out, up once more)."""
        if self.banned_until is not None and self.banned_until > datetime.now(UTC):
            await self._wait_out_ban(self.banned_until)
            return
        reason = "starting" if self.request.status is not SessionStatus.CONNECTED else "host_lost"
        await self._write(StatusChange(status=SessionStatus.CONNECTING, reason=reason))
        await self._start_engine()

    async def change(self, request: Request) -> None:
        """The tenant wants something else, or changed a setting."""
        before, self.request = self.request, request
        if request.logout:
            await self._log_out()
        elif request.wanted == "down":
            await self._stop_engine()
            await self._give_up(SessionStatus.DISCONNECTED, "requested")
        elif before.wanted_at != request.wanted_at:
            # A stop and a connect that were seen as one, or another way to link.
            await self._stop_engine()
            self._attempts = 0
            await self.start()
        elif before.proxy != request.proxy:
            await self._restart(reason="reconnecting")

    async def stop(self) -> None:
        """Stop the engine; the row is left for the next holder."""
        self.over = True
        await self._stop_engine()

    def broke(self) -> None:
        """A step ended in an error of ours: what it left half done is let go after a while, to be begun anew."""
        if self._engine is None or not self._is_stored:
            self._anew_at = self._monotonic() + self._settings.start_timeout_seconds

    async def handle(self, engine: Engine, signal: Signal) -> None:
        """What `engine` has said. A word of one that was stopped meanwhile means nothing any more."""
        if engine is self._engine:
            await self._handle(signal)

    async def tick(self) -> None:
        """Look at the deadlines."""
        now = self._monotonic()
        if self._anew_at is not None and now >= self._anew_at:
            await self.stop()
        elif self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            await self._start_engine()
        elif self._deadline is not None and now >= self._deadline:
            await self._too_late()
        elif self._is_silent(now):
            await self._lost("reconnecting")
        elif self._snapshot_at is not None and now >= self._snapshot_at:
            self._snapshot_at = now + _SNAPSHOT_SECONDS
            if self._engine is not None:
                await self._keep_auth(self._engine)

    async def _too_late(self) -> None:
        if self._reason in {"waiting_for_scan", "waiting_for_code"}:
            await self._stop_engine()
            await self._give_up(SessionStatus.DISCONNECTED, "qr_expired")
        else:
            await self._lost("connect_timeout")

    def is_due(self) -> bool:
        """Whether a deadline has passed; cheap, asked often."""
        now = self._monotonic()
        deadlines = (self._retry_at, self._deadline, self._snapshot_at, self._anew_at)
        passed = any(at is not None and now >= at for at in deadlines)
        return passed or self._is_silent(now)

    def _is_silent(self, now: float) -> bool:
        if self.status is not SessionStatus.CONNECTED or self._engine is None:
            return False
        return now - self._engine.last_sign_of_life_at() > self._settings.silence_seconds

    # --- the engine ---------------------------------------------------------------------------------------------

    async def _start_engine(self) -> None:
        self._deadline = self._monotonic() + self._settings.start_timeout_seconds
        try:
            auth = await self._ledger.find_auth(self.request)
        except DATABASE_AWAY:
            await self._lost("reconnecting")
            return
        self._is_linked = auth is not None
        if self.request.logout and auth is None:
            await self._logged_out("requested")
            return
        try:
            self._engine = await self._make_engine(self, auth)
        except (KeyError, NotSupported):
            await self._give_up(SessionStatus.FAILED, "engine_unavailable")
            return
        except (AddressBlocked, ValueError):
            # What was allowed when the tenant set it may lead elsewhere now.
            await self._give_up(SessionStatus.FAILED, "proxy_refused")
            return
        except DATABASE_AWAY:
            # Or whoever knows the proxy's name.
            await self._lost("reconnecting")
            return
        try:
            async with asyncio.timeout(self._settings.start_timeout_seconds):
                await self._engine.start()
        except Exception as error:  # noqa: BLE001 - whatever an engine throws is a failed start
            log.warning(
                "engine.start_failed", extra={"session": self.request.id, "error": type(error).__name__}
            )
            await self._lost("engine_crashed")

    async def _stop_engine(self, *, keep: bool = True) -> None:
        """Stop it; with `keep`, its auth state is kept as it is then."""
        engine, self._engine = self._engine, None
        self._deadline = self._retry_at = self._snapshot_at = None
        if engine is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await engine.stop()
        if keep:
            await self._keep_last_auth(engine)

    async def _keep_last_auth(self, engine: Engine) -> None:
        """A state that cannot be kept must not keep the session from what comes next; the live file is still there."""
        try:
            await self._keep_auth(engine)
        except LeaseLost:
            # Whoever holds it by now keeps its own.
            return
        except Exception as error:  # noqa: BLE001 - a step that ended here would leave the session without a deadline
            fields = {"session": self.request.id, "error": type(error).__name__}
            log.error("session.auth_not_kept", extra=fields)

    async def _keep_auth(self, engine: Engine) -> None:
        """Raises LeaseLost."""
        auth = await engine.snapshot()
        if auth is not None:
            await self._ledger.save_auth(self.request, auth)

    async def _restart(self, *, reason: str) -> None:
        await self._stop_engine()
        await self._write(StatusChange(status=SessionStatus.CONNECTING, reason=reason))
        await self._start_engine()

    async def _log_out(self) -> None:
        """With WhatsApp's knowledge where it can be had; else the phone goes on listing the device until it tires of it."""
        if self._engine is not None and self._is_linked and self.status is SessionStatus.CONNECTING:
            # On its way, and with a deadline: once it is connected, or has failed, it is logged out.
            return
        if self._engine is not None and self.status is SessionStatus.CONNECTED:
            with suppress(EngineError, TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._engine.logout()
        await self._logged_out("requested")

    async def _logged_out(self, reason: str) -> None:
        await self._stop_engine(keep=False)
        # Where the lease is lost, the write that follows says so.
        with suppress(LeaseLost):
            await self._ledger.erase_auth(self.request)
        await self._forget(self.request)
        await self._give_up(SessionStatus.DISCONNECTED, reason)

    async def _lost(self, reason: str) -> None:
        """The connection is gone: try again later, or no more."""
        await self._stop_engine()
        if self.request.logout:
            await self._logged_out("requested")
            return
        self._attempts += 1
        if self._attempts > self._settings.reconnect_attempts:
            last = reason if reason == "connect_timeout" else "attempts_exhausted"
            await self._give_up(SessionStatus.FAILED, last)
            return
        delay = self._settings.reconnect_base_seconds * 2 ** (self._attempts - 1) * random.uniform(0.8, 1.2)  # noqa: S311
        if reason == "engine_crashed" and self._attempts == 1:
            # Its process died, which may have been another session's doing.
            delay = _AFTER_CRASH_SECONDS
        self._retry_at = self._monotonic() + delay
        await self._write(StatusChange(status=SessionStatus.CONNECTING, reason=reason))

    # --- signals ------------------------------------------------------------------------------------------------

    async def _handle(self, signal: Signal) -> None:
        match signal:
            case says.QrShown() | says.CodeShown() | says.LinkExpired() | says.Linked() | says.AuthChanged():
                await self._handle_linking(signal)
            case says.Connected():
                await self._connected(signal)
            case says.Degraded():
                self.degraded = True
                await self._write(StatusChange(status=self.status, reason="degraded"))
            case says.Restored():
                self.degraded = False
                await self._write(StatusChange(status=self.status))
            case says.Disconnected(will_retry=True):
                self._deadline = self._monotonic() + self._settings.start_timeout_seconds
                await self._write(StatusChange(status=SessionStatus.CONNECTING, reason="reconnecting"))
            case says.Disconnected():
                await self._lost("reconnecting")
            case says.TemporarilyBanned():
                await self._wait_out_ban(signal.until)
            case says.Crashed():
                await self._lost("engine_crashed")
            case says.StreamReplaced() | says.LoggedOut() | says.ClientOutdated() | says.ConnectFailed():
                await self._handle_end(signal)
            case _ as never:
                assert_never(never)

    async def _wait_out_ban(self, until: datetime) -> None:
        """Every attempt before `until` would end the same way, and none is counted."""
        await self._stop_engine()
        if self.request.logout:
            await self._logged_out("requested")
            return
        self.banned_until = until
        self._retry_at = self._monotonic() + max(0.0, (until - datetime.now(UTC)).total_seconds())
        await self._write(StatusChange(status=SessionStatus.CONNECTING, reason="temporary_ban"))

    async def _handle_linking(
        self, signal: says.QrShown | says.CodeShown | says.LinkExpired | says.Linked | says.AuthChanged
    ) -> None:
        connecting = SessionStatus.CONNECTING
        match signal:
            case says.QrShown():
                self._await_phone()
                await self._write(
                    StatusChange(
                        status=connecting,
                        reason="waiting_for_scan",
                        qr=signal.text,
                        qr_expires_at=signal.expires_at,
                    )
                )
            case says.CodeShown():
                self._await_phone()
                await self._write(
                    StatusChange(
                        status=connecting,
                        reason="waiting_for_code",
                        pairing_code=signal.code,
                        qr_expires_at=signal.expires_at,
                    )
                )
            case says.LinkExpired():
                await self._stop_engine()
                await self._give_up(SessionStatus.DISCONNECTED, "qr_expired")
            case says.Linked():
                self._is_linked = True
                self._deadline = self._monotonic() + self._settings.start_timeout_seconds
                await self._write(
                    StatusChange(status=connecting, reason="linked", phone=signal.phone, lid=signal.lid)
                )
            case says.AuthChanged():
                await self._ledger.save_auth(self.request, signal.auth)
            case _ as never:
                assert_never(never)

    def _await_phone(self) -> None:
        """One deadline for all the codes of a link."""
        if self._reason not in {"waiting_for_scan", "waiting_for_code"}:
            self._deadline = self._monotonic() + self._settings.link_timeout_seconds

    async def _handle_end(
        self, signal: says.StreamReplaced | says.LoggedOut | says.ClientOutdated | says.ConnectFailed
    ) -> None:
        match signal:
            case says.StreamReplaced():
                await self._stop_engine()
                await self._give_up(SessionStatus.DISCONNECTED, "stream_replaced")
            case says.LoggedOut():
                await self._logged_out("banned" if signal.banned else "logged_out")
            case says.ClientOutdated():
                # Every account of this engine will be refused at its next connect.
                log.critical("engine.outdated", extra={"engine": self.request.engine})
                await self._stop_engine()
                await self._give_up(SessionStatus.FAILED, "client_outdated")
            case says.ConnectFailed():
                await self._stop_engine()
                await self._give_up(SessionStatus.FAILED, signal.reason)
            case _ as never:
                assert_never(never)

    async def _connected(self, signal: says.Connected) -> None:
        self._deadline = None
        # Those that connect together are not to be kept together.
        self._snapshot_at = self._monotonic() + _SNAPSHOT_SECONDS * random.uniform(1, 2)  # noqa: S311
        self._attempts = 0
        self.degraded = False
        self.banned_until = None
        await self._write(StatusChange(status=SessionStatus.CONNECTED, phone=signal.phone, lid=signal.lid))
        if self.request.logout:
            await self._log_out()

    # --- the row ------------------------------------------------------------------------------------------------

    async def _give_up(self, status: SessionStatus, reason: str) -> None:
        await self._write(StatusChange(status=status, reason=reason, gives_up=True))
        self.over = True

    async def _write(self, change: StatusChange) -> None:
        """Put it in the row and tell the tenant. Raises LeaseLost, with the engine stopped."""
        changed = self.status is not change.status or self._reason != change.reason
        self.status, self._reason = change.status, change.reason
        self._is_stored = False
        try:
            await self._ledger.write(self.request, change, banned_until=self.banned_until, tell=changed)
            self._is_stored, self._anew_at = True, None
        except LeaseLost:
            await self._stop_engine()
            self.over = True
            raise
