"""What tenants ask of their sessions, and how it meets what is under way: connect, disconnect, log out, in any order."""

from typing import Any

import pytest

from relay.model.errors import Conflict
from relay.model.sandbox import ScanIn
from relay.store import leases, sessions
from relay.store.pool import Pool
from tests.engines.sandbox_phones import SandboxPhones
from tests.hosting import Account, Hosting


async def test_disconnect_keeps_the_link_and_logout_ends_it(
    hosting: Hosting, account: Account, pool: Pool
) -> None:
    """After a disconnect the account resumes without a phone; after a logout it does not."""
    await hosting.link(account)
    async with pool.acquire() as conn:
        await sessions.request_disconnect(conn, *account, logout=False)
    await hosting.reaches(account, "disconnected", "requested")
    await hosting.connect(account)
    await hosting.reaches(account, "connected")
    async with pool.acquire() as conn:
        await sessions.request_disconnect(conn, *account, logout=True)
    await hosting.reaches(account, "disconnected", "requested")
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_auth_state") == 0


async def test_logout_of_a_session_that_is_down(hosting: Hosting, account: Account, pool: Pool) -> None:
    """It is brought up once more, so that the phone learns of it, and then it is gone."""
    await hosting.link(account)
    async with pool.acquire() as conn:
        await sessions.request_disconnect(conn, *account, logout=False)
    await hosting.reaches(account, "disconnected", "requested")
    async with pool.acquire() as conn:
        await sessions.request_disconnect(conn, *account, logout=True)

    async def logged_out() -> bool:
        return not await pool.fetchval("SELECT logout FROM whatsapp_sessions WHERE id = $1", account[1])

    await hosting.until(logged_out)
    await hosting.reaches(account, "disconnected", "requested")
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_auth_state") == 0


async def test_a_stop_and_a_connect_seen_as_one(hosting: Hosting, account: Account, pool: Pool) -> None:
    """A host that was held up sees both at once: what the connect wrote into the row comes true."""
    await hosting.link(account)
    async with pool.acquire() as conn:
        await sessions.request_disconnect(conn, *account, logout=False)
    await hosting.connect(account)
    assert (await hosting.session(account)).reason == "starting"
    await hosting.reaches(account, "connected")
    told = [(event["status"], event["reason"]) for event in await hosting.events("session.status")]
    assert told[-3:] == [("connected", None), ("connecting", "starting"), ("connected", None)]


async def test_a_connect_while_the_stop_is_being_written(
    hosting: Hosting, account: Account, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the connect wrote is not overwritten by the stop before it: nobody reads `disconnected` after it."""
    set_status, seen = sessions.set_status, []

    async def connect_before(conn: Any, session_id: Any, change: Any, **how: Any) -> bool:
        monkeypatch.undo()
        await hosting.connect(account)
        done = await set_status(conn, session_id, change, **how)
        seen.append((change.status, await conn.fetchval("SELECT status FROM whatsapp_sessions")))
        return done

    await hosting.link(account)
    async with pool.acquire() as conn:
        await sessions.request_disconnect(conn, *account, logout=False)
    monkeypatch.setattr(sessions, "set_status", connect_before)

    async def was_written() -> bool:
        return bool(seen)

    await hosting.until(was_written)
    assert seen == [("disconnected", "connecting")]
    await hosting.reaches(account, "connected")


@pytest.mark.parametrize("asked", [(leases, "renew_sessions"), (sessions, "list_requests")])
async def test_a_session_let_go_while_the_host_asks(
    hosting: Hosting, account: Account, pool: Pool, monkeypatch: pytest.MonkeyPatch, asked: tuple[Any, str]
) -> None:
    """Its stop ends while the database is asked about it: nobody stumbles, and the next connect is heard."""
    module, name = asked
    ask = getattr(module, name)
    await hosting.link(account)
    held = hosting.host._held[account[1]]
    async with pool.acquire() as conn:
        await sessions.request_disconnect(conn, *account, logout=False)

    async def answer_late(conn: Any, *args: Any, **how: Any) -> Any:
        monkeypatch.undo()
        hosting.host.post(held, held.session.stop)
        assert held.task is not None
        await held.task
        return await ask(conn, *args, **how)

    monkeypatch.setattr(module, name, answer_late)
    await hosting.host.work()
    assert held.session.over
    await hosting.connect(account)
    await hosting.reaches(account, "connected")


async def test_no_connect_forgets_a_logout(hosting: Hosting, account: Account, pool: Pool) -> None:
    """While the phone is still to be told, a connect is refused; afterwards it links anew."""
    await hosting.link(account)
    async with pool.acquire() as conn:
        await sessions.request_disconnect(conn, *account, logout=True)
    with pytest.raises(Conflict) as refused:
        await hosting.connect(account)
    assert refused.value.code == "logout_pending"
    await hosting.reaches(account, "disconnected", "requested")
    await hosting.connect(account)
    await hosting.reaches(account, "connecting", "waiting_for_scan")


async def test_another_way_to_link(hosting: Hosting, account: Account) -> None:
    """While a QR code waits, a pairing code can be asked for, and another number's; what is connected stays so."""
    await hosting.connect(account)
    await hosting.reaches(account, "connecting", "waiting_for_scan")
    await hosting.connect(account, method="code", phone="5511988887777", switch=True)
    first = (await hosting.reaches(account, "connecting", "waiting_for_code")).pairing_code
    await hosting.connect(account, method="code", phone="5511988887777", switch=True)
    await hosting.turn()
    assert (await hosting.session(account)).pairing_code == first
    await hosting.ask(account, ScanIn())
    await hosting.reaches(account, "connected")
    await hosting.connect(account, method="qr", switch=True)
    assert (await hosting.session(account)).status == "connected"


async def test_logout_on_the_way(
    hosting: Hosting, account: Account, pool: Pool, phones: SandboxPhones
) -> None:
    """Asked while it is connecting, it is carried out once the phone can be told."""
    told: list[bool] = []
    make = phones.engine

    def engine(*given: Any) -> Any:
        made = make(*given)
        logout = made.logout

        async def log_out() -> None:
            told.append(True)
            await logout()

        made.logout = log_out  # type: ignore[method-assign]
        return made

    phones.engine = engine  # type: ignore[method-assign,assignment]
    hosting.host._engines["sandbox"] = engine  # type: ignore[index]
    await hosting.link(account)
    async with pool.acquire() as conn:
        await sessions.request_disconnect(conn, *account, logout=False)
    await hosting.reaches(account, "disconnected", "requested")
    await hosting.connect(account)
    await hosting.host.work()
    async with pool.acquire() as conn:
        await sessions.request_disconnect(conn, *account, logout=True)
    await hosting.reaches(account, "disconnected", "requested")
    assert told == [True]
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_auth_state") == 0
