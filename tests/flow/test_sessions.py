"""Sessions on a host: every state with its reason, every deadline, every way a lease can go."""

import socket
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from relay.config import Config, Sessions
from relay.egress.guard import AddressBlocked
from relay.engines.engine import Crashed, Engine, LoggedOut
from relay.host import ledger
from relay.host.session import Session
from relay.store import sessions
from relay.store.auth_states import AuthState
from relay.store.pool import Pool
from relay.store.sessions import StatusChange
from tests.accounts import add_session
from tests.engines.sandbox_phones import SandboxPhones
from tests.hosting import Account, Hosting


async def test_from_connect_to_connected(hosting: Hosting, account: Account) -> None:
    """Connect shows a QR code, a scan links, and the tenant is told each change once."""
    session = await hosting.link(account)
    assert session.phone is not None
    assert session.phone.isdigit()
    assert session.qr is None
    told = [(event["status"], event["reason"]) for event in await hosting.events("session.status")]
    assert told == [
        ("connecting", "starting"),
        ("connecting", "waiting_for_scan"),
        ("connecting", "linked"),
        ("connected", None),
    ]
    assert len(await hosting.events("session.qr")) == 1


async def test_a_connected_session_was_active_a_minute_ago_at_most(
    hosting: Hosting, account: Account, pool: Pool
) -> None:
    """`lastActive` moves while the session is connected, and stands still when it is not."""
    await hosting.link(account)
    await pool.execute("UPDATE whatsapp_sessions SET last_active_at = NULL")
    await hosting.pass_time(62)
    assert (await hosting.session(account)).last_active_at is not None
    await hosting.fault(account, "logout")
    await hosting.reaches(account, "disconnected", "logged_out")
    await pool.execute("UPDATE whatsapp_sessions SET last_active_at = NULL")
    await hosting.pass_time(62)
    assert (await hosting.session(account)).last_active_at is None


async def test_a_pairing_code_links_too(hosting: Hosting, account: Account) -> None:
    """With method `code` a pairing code is on show instead of a QR code."""
    await hosting.connect(account, method="code", phone="5511988887777")
    session = await hosting.reaches(account, "connecting", "waiting_for_code")
    assert session.pairing_code
    assert session.qr is None


async def test_codes_that_nobody_scans_end(hosting: Hosting, account: Account) -> None:
    """The QR code renews, then the session is down with its reason, and a new connect starts again."""
    await hosting.connect(account)
    first = (await hosting.reaches(account, "connecting", "waiting_for_scan")).qr
    await hosting.pass_time(61)
    second = (await hosting.reaches(account, "connecting", "waiting_for_scan")).qr
    assert first != second
    await hosting.pass_time(110)
    session = await hosting.reaches(account, "disconnected", "qr_expired")
    assert session.qr is None
    await hosting.connect(account)
    await hosting.reaches(account, "connecting", "waiting_for_scan")


async def test_a_dropped_connection_comes_back(hosting: Hosting, account: Account) -> None:
    """The session reconnects by itself after its back-off, with the auth state that was sealed at linking."""
    phone = (await hosting.link(account)).phone
    await hosting.fault(account, "drop")
    await hosting.reaches(account, "connecting", "reconnecting")
    await hosting.pass_time(7)
    assert (await hosting.reaches(account, "connected")).phone == phone


async def test_attempts_are_used_up_in_the_end(hosting: Hosting, account: Account) -> None:
    """5, 10, 20, 40, 80 s, then `failed`; a connect after that starts anew."""
    await hosting.link(account)
    await hosting.fault(account, "drop", seconds=3600)
    await hosting.reaches(account, "connecting", "reconnecting")
    await hosting.pass_time(100)
    assert (await hosting.session(account)).status == "connecting"
    await hosting.pass_time(100)
    await hosting.reaches(account, "failed", "attempts_exhausted")
    await hosting.fault(account, "clear")
    await hosting.turn()
    await hosting.connect(account)
    await hosting.reaches(account, "connected")


@pytest.mark.parametrize(
    ("kind", "given", "status", "reason"),
    [
        ("logout", {}, "disconnected", "logged_out"),
        ("replaced", {}, "disconnected", "stream_replaced"),
        ("outdated", {}, "failed", "client_outdated"),
        ("ban", {"permanent": True}, "failed", "banned"),
    ],
)
async def test_ends_that_are_not_retried(
    hosting: Hosting, account: Account, *, kind: str, given: dict[str, bool], status: str, reason: str
) -> None:
    """The session is down with its reason, and stays down until the tenant connects again."""
    await hosting.link(account)
    await hosting.fault(account, kind, **given)
    await hosting.reaches(account, status, reason)
    await hosting.pass_time(60)
    assert (await hosting.session(account)).reason == reason


async def test_a_logout_by_the_phone_erases_the_auth_state(
    hosting: Hosting, account: Account, pool: Pool
) -> None:
    """What the phone has removed is worthless: the next connect asks for a new scan."""
    await hosting.link(account)
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_auth_state") == 1
    await hosting.fault(account, "logout")
    session = await hosting.reaches(account, "disconnected", "logged_out")
    assert session.phone is None
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_auth_state") == 0
    await hosting.connect(account)
    await hosting.reaches(account, "connecting", "waiting_for_scan")


async def test_a_logout_outlives_a_database_that_is_away(
    hosting: Hosting, account: Account, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The phone removes the device while Postgres is away: what is to be erased is erased when it is back."""
    monkeypatch.setattr(ledger, "_AWAY_SECONDS", 0)
    await hosting.link(account)
    session = hosting.host._held[account[1]].session
    assert session.engine is not None
    session._ledger._pool = Away(pool, times=2)  # type: ignore[assignment]
    await session.handle(session.engine, LoggedOut())
    assert (await hosting.session(account)).reason == "logged_out"
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_auth_state") == 0


class Away:
    """A pool that cannot be reached at first."""

    def __init__(self, pool: Pool, *, times: int) -> None:
        self._pool = pool
        self._times = times

    def acquire(self) -> Any:
        if self._times:
            self._times -= 1
            raise ConnectionRefusedError
        return self._pool.acquire()


async def test_nothing_hangs_in_connecting(
    pool: Pool, url: str, tmp_path: Path, phones: SandboxPhones, account: Account
) -> None:
    """An engine that never says a word is given up at its deadline, again and again, and then for good."""

    class Mute:
        async def start(self) -> None: ...
        async def stop(self) -> None: ...
        async def snapshot(self) -> None: ...
        def last_sign_of_life_at(self) -> float:
            return 0.0

    phones.engine = lambda *_: Mute()  # type: ignore[method-assign,assignment]
    settings = Sessions(start_timeout_seconds=10, reconnect_attempts=2, reconnect_base_seconds=1)
    hosting = Hosting(pool, url, tmp_path, phones, config=Config(sessions=settings))
    await hosting.connect(account)
    await hosting.reaches(account, "connecting", "starting")
    await hosting.pass_time(16)
    await hosting.reaches(account, "connecting", "connect_timeout")
    await hosting.pass_time(40)
    await hosting.reaches(account, "failed", "connect_timeout")
    await hosting.stop()


@pytest.mark.parametrize("broken", ["connecting", "connected"])
async def test_a_step_that_breaks_hangs_nothing(
    hosting: Hosting, account: Account, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """An error of ours in the middle of a step: what is half done is let go, and begun anew from the row."""
    set_status = sessions.set_status
    breaks = [RuntimeError("ours")]

    async def break_once(conn: Any, session_id: Any, change: StatusChange, **how: Any) -> bool:
        if change.status == broken and breaks:
            raise breaks.pop()
        return await set_status(conn, session_id, change, **how)

    await hosting.link(account)
    monkeypatch.setattr(sessions, "set_status", break_once)
    await hosting.fault(account, "drop")

    async def has_broken() -> bool:
        await hosting.phones.advance(0.5)
        return not breaks

    await hosting.until(has_broken)
    await hosting.pass_time(hosting.config.sessions.start_timeout_seconds + 4)
    await hosting.reaches(account, "connected")
    [held] = hosting.host._held.values()
    assert held.session.may_send()


async def test_a_silent_connection_is_degraded_then_made_anew(hosting: Hosting, account: Account) -> None:
    """WhatsApp stops answering: sends wait at once, and after `silence_seconds` the connection is replaced."""
    await hosting.link(account)
    await hosting.fault(account, "silent")
    await hosting.reaches(account, "connected", "degraded")
    sent = await hosting.queue(account, "Bom dia")
    for _ in range(5):
        await hosting.turn()
    assert await hosting.statuses(sent) == ["queued"]
    await hosting.fault(account, "clear")
    await hosting.reaches(account, "connected")
    await hosting.settled(sent, "sent")


async def test_an_engine_that_is_not_there_fails_its_session(
    hosting: Hosting, account: Account, pool: Pool
) -> None:
    """A session of an engine that this server lacks says so, and no other session suffers."""
    await pool.execute("UPDATE whatsapp_sessions SET engine = 'cloud' WHERE id = $1", account[1])
    async with pool.acquire() as conn:
        other = await add_session(conn)
    await hosting.connect(account)
    await hosting.reaches(account, "failed", "engine_unavailable")
    await hosting.link(other)


async def test_a_session_that_no_host_takes_says_so(hosting: Hosting, account: Account, pool: Pool) -> None:
    """Every host is full, or none runs: after a while the reason says it, and it is gone once a host has room."""
    await hosting.connect(account)
    assert (await hosting.session(account)).reason == "starting"
    await pool.execute("UPDATE whatsapp_sessions SET wanted_at = now() - interval '1 minute'")
    assert (await hosting.session(account)).reason == "no_host"
    await hosting.reaches(account, "connecting", "waiting_for_scan")


async def test_two_hosts_share_and_one_takes_over(
    pool: Pool, url: str, tmp_path: Path, phones: SandboxPhones, account: Account
) -> None:
    """A dead host's session is seen as `host_lost`, taken over after its lease, and the term has risen."""
    first = Hosting(pool, url, tmp_path / "a", phones)
    await first.link(account)
    term = await pool.fetchval("SELECT term FROM leases")
    first.die()
    second_phones = SandboxPhones(pool)
    second = Hosting(pool, url, tmp_path / "b", second_phones)
    for _ in range(3):
        await second.turn()
    assert await pool.fetchval("SELECT term FROM leases") == term
    await pool.execute("UPDATE leases SET expires_at = now() - interval '1 second'")
    assert (await second.session(account)).reason == "host_lost"
    await second.reaches(account, "connected")
    assert await pool.fetchval("SELECT term FROM leases") == term + 1
    await second.stop()


async def test_the_same_slot_takes_back_its_own_at_once(
    pool: Pool, url: str, tmp_path: Path, phones: SandboxPhones, account: Account
) -> None:
    """A host process that is started again need not wait for the lease of the one that died."""
    first = Hosting(pool, url, tmp_path, phones)
    await first.link(account)
    first.die()
    phones.crash()
    again = Hosting(pool, url, tmp_path, phones)
    await again.host.recover()
    await again.reaches(account, "connected")
    await again.stop()


async def test_a_host_without_its_lease_writes_nothing(
    pool: Pool, url: str, tmp_path: Path, phones: SandboxPhones, account: Account
) -> None:
    """Another host holds the session: the first one's news change no row, and its engine is stopped."""
    first = Hosting(pool, url, tmp_path, phones)
    await first.link(account)
    await pool.execute("UPDATE leases SET term = term + 1, holder = 'another'")
    await first.fault(account, "outdated")

    async def let_go() -> bool:
        return not first.host._held

    await first.until(let_go)
    assert (await first.session(account)).status == "connected"
    assert await pool.fetchval("SELECT holder FROM leases") == "another"
    await first.stop()


async def test_a_host_that_cannot_renew_stops_its_engines_first(
    hosting: Hosting, account: Account, pool: Pool
) -> None:
    """By its own clock the lease is nearly over: the engine stops while nobody else may have the session yet."""
    await hosting.link(account)
    stopped = hosting.host._held[account[1]].session
    hosting.phones.monotonic += 11
    await hosting.host.tick()
    ends = [stopped.over]
    hosting.phones.monotonic += 2
    await hosting.host.tick()
    ends.append(stopped.over)
    assert ends == [False, True]
    await hosting.reaches(account, "connected")


async def test_a_crash_is_followed_by_a_start_at_once_and_then_with_patience(
    hosting: Hosting, account: Account
) -> None:
    """Its process may have died of another session; one that keeps dying waits 10, 20, 40 s."""
    await hosting.link(account)
    session = hosting.host._held[account[1]].session
    broken = Broken(session._make_engine)
    session._make_engine = broken.make
    assert session.engine is not None
    await session.handle(session.engine, Crashed())
    for delay in (0.5, 10, 20):
        due = session._retry_at
        assert due is not None
        assert due - hosting.phones.monotonic == pytest.approx(delay, rel=0.21, abs=0.001)
        await hosting.pass_time(due - hosting.phones.monotonic)
    broken.is_broken = False
    await hosting.pass_time(50)
    await hosting.reaches(account, "connected")


async def test_an_auth_state_that_cannot_be_read_holds_up_nothing(hosting: Hosting, account: Account) -> None:
    """Its file is damaged when the engine has crashed: the session still knows when to start again, and does."""
    await hosting.link(account)
    session = hosting.host._held[account[1]].session
    engine = session.engine
    assert engine is not None

    async def snapshot() -> bytes:
        raise sqlite3.DatabaseError

    engine.snapshot = snapshot  # type: ignore[method-assign]
    await session.handle(engine, Crashed())
    await hosting.pass_time(1)
    await hosting.reaches(account, "connected")


class Broken:
    """Makes engines that do not start."""

    def __init__(self, make: Callable[[Session, AuthState | None], Awaitable[Engine]]) -> None:
        self.is_broken = True
        self._make = make

    async def make(self, session: Session, auth: AuthState | None) -> Engine:
        engine = await self._make(session, auth)
        if self.is_broken:

            async def start() -> None:
                raise ConnectionResetError

            engine.start = start  # type: ignore[method-assign]
        return engine


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (AddressBlocked("10.0.0.1: not a global address"), "failed", "proxy_refused"),
        (ValueError("no port"), "failed", "proxy_refused"),
        (socket.gaierror("try again"), "connecting", "reconnecting"),
        (ConnectionRefusedError(), "connecting", "reconnecting"),
    ],
)
async def test_a_proxy_that_is_refused_and_one_that_cannot_be_looked_at(
    hosting: Hosting, account: Account, error: Exception, status: str, reason: str
) -> None:
    """What is forbidden stays so; while nobody can say, because of the database or the name service, it is tried again."""
    await hosting.link(account)
    session = hosting.host._held[account[1]].session
    make = session._make_engine
    session._make_engine = Refusing(error).make
    assert session.engine is not None
    await session.handle(session.engine, Crashed())
    await hosting.phones.advance(1)
    await hosting.reaches(account, status, reason)
    if status == "connecting":
        session._make_engine = make
        await hosting.pass_time(15)
        await hosting.reaches(account, "connected")


class Refusing:
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def make(self, session: Session, auth: AuthState | None) -> Engine:
        raise self._error
