"""The database: reached, of an age, its schema and its days, the key to its secrets, and the work that waits in it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg

from relay.commands.checkup.finding import Finding, ok, warn, wrong
from relay.logs import mask
from relay.model.errors import NotReady
from relay.store import diagnosis, figures, migrate
from relay.store.pool import Connection, connect
from relay.vault import SealBroken, Vault

_CONNECT_SECONDS = 10
_OLDEST_SERVER = 140000
_DAYS_AHEAD = 2
_SKEW_WARN_SECONDS, _SKEW_WRONG_SECONDS = 1.0, 30.0
_OVERDUE_SECONDS = 60.0


async def check_database(url: str, vault: Vault | None) -> AsyncIterator[Finding]:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            conn = await connect(url, name="doctor")
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = mask(str(error)) or type(error).__name__
        mend = "See that PostgreSQL runs and that database.url has the right host, name and password."
        yield wrong("database", f"The database cannot be reached: {reason}.", mend)
        return
    try:
        async for finding in _check_all(conn, vault):
            yield finding
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        sentence = f"The database answers, but not to this question: {mask(str(error))}."
        yield wrong(
            "database", sentence, "See that it goes on running, and that Relay's user owns its tables."
        )
    finally:
        await conn.close()


async def _check_all(conn: Connection, vault: Vault | None) -> AsyncIterator[Finding]:
    server = await diagnosis.read_server(conn)
    if server.version_number < _OLDEST_SERVER:
        mend = "Point database.url at PostgreSQL 14 or newer."
        yield wrong("database", f"PostgreSQL {server.version} is too old.", mend)
        return
    yield ok("database", f"PostgreSQL {server.version} answers.")
    yield check_skew((server.now - datetime.now(UTC)).total_seconds())
    try:
        await migrate.require_current(conn)
    except NotReady as error:
        yield wrong("schema", error.detail, "The sentence says it.")
        return
    yield ok("schema", "The schema is the one of this version.")
    yield await _check_partitions(conn)
    yield await _check_seal(conn, vault)
    yield await _check_hosts(conn)
    yield await _check_due(conn)
    yield await _check_endpoints(conn)


def check_skew(seconds: float) -> Finding:
    """`seconds`: how far the database's clock is ahead of ours."""
    sentence = f"The database's clock and this machine's are {abs(seconds):.1f} s apart."
    mend = "Set both clocks by NTP: signatures carry this machine's time, leases the database's."
    if abs(seconds) >= _SKEW_WRONG_SECONDS:
        return wrong("clock", sentence, mend)
    return warn("clock", sentence, mend) if abs(seconds) >= _SKEW_WARN_SECONDS else ok("clock", sentence)


async def _check_partitions(conn: Connection) -> Finding:
    today = datetime.now(UTC).date()
    days = [today + timedelta(days=offset) for offset in range(_DAYS_AHEAD + 1)]
    missing = await diagnosis.list_missing_partitions(conn, ("events", "attempts"), days)
    if missing:
        sentence = f"The tables of coming days are missing: {', '.join(missing)}."
        return wrong("partitions", sentence, "Run `relay migrate`, or start Relay again: both make them.")
    return ok("partitions", f"The tables of today and the next {_DAYS_AHEAD} days are there.")


async def _check_seal(conn: Connection, vault: Vault | None) -> Finding:
    found = await diagnosis.find_sealed_key(conn)
    if found is None:
        return ok("secrets", "There is no company yet, so nothing is sealed.")
    mend = "Put the master key that belongs to this database back from your backup: no other opens it."
    if vault is None:
        return wrong("secrets", "The database holds sealed secrets, and the master key is not there.", mend)
    tenant_id, sealed = found
    try:
        vault.unwrap(sealed, tenant_id)
    except SealBroken:
        return wrong("secrets", "The master key is not the one that sealed this database's secrets.", mend)
    return ok("secrets", "The master key opens what is sealed.")


async def _check_hosts(conn: Connection) -> Finding:
    hosts = await diagnosis.read_hosts(conn)
    if hosts.orphaned:
        return warn(
            "hosts",
            f"Sessions that should run and that no host holds: {hosts.orphaned}.",
            "See that a `host` role runs (`relay serve`, or `relay run host`); one takes them within seconds.",
        )
    return ok(
        "hosts", f"Every session that should run has a host (sessions: {hosts.held}, hosts: {hosts.hosts})."
    )


async def _check_due(conn: Connection) -> Finding:
    seconds = await figures.find_oldest_due_seconds(conn, None)
    if seconds is None:
        return ok("deliveries", "No delivery is due.")
    sentence = f"The oldest due delivery has waited for {seconds:.0f} s."
    if seconds < _OVERDUE_SECONDS:
        return ok("deliveries", sentence)
    mend = "See that a `dispatcher` role runs; if it does, an endpoint fails and is given a rest."
    return warn("deliveries", sentence, mend)


async def _check_endpoints(conn: Connection) -> Finding:
    count = await diagnosis.count_switched_off(conn)
    if not count:
        return ok("endpoints", "No endpoint was switched off for failing.")
    return warn(
        "endpoints",
        f"Endpoints switched off because they failed: {count}; what they are owed is kept.",
        "Mend the receiver, then enable the endpoint again: PATCH its status.",
    )
