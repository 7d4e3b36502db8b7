"""What an account leaves behind: no key in clear on a disk, in the database or the logs; nothing at all once it is gone."""

import base64
import re
import sqlite3
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from relay.engines.live_files import open_folder
from relay.model.ids import SessionId, TenantId
from relay.store import sessions, tenants
from relay.store.pool import Connection, connect
from relay.vault import open_vault
from tests.flow.ledger import when
from tests.flow.serving import Relay, make_tenant, serving
from tests.flow.whatsapp import SESSIONS, Phones, engine_pids, open_phones, shows_code, stands

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Qual é o segredo da casa?"
ANSWER = "Só a cozinheira sabe."
_KEYS = "SELECT noise_key, identity_key, signed_pre_key FROM whatsmeow_device"
# Stands in each QR code, which is the tenant's to show, and is worth nothing once that was scanned.
_QR_SECRET = "SELECT adv_key FROM whatsmeow_device"
_PREKEYS = "SELECT key FROM whatsmeow_pre_keys LIMIT 50"
_TABLES = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public'"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def phones() -> AsyncIterator[Phones]:
    async with open_phones() as phones:
        yield phones


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(phones: Phones, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    """Nothing is masked in its logs, and all is logged; private networks are forbidden."""
    folder: Path = tmp_path_factory.mktemp("traces")
    settings = {
        **phones.settings,
        "logs__level": "debug",
        "logs__mask": False,
        "webhooks__allow_networks": [],
    }
    async with serving(folder, **settings) as relay:
        yield relay


@pytest_asyncio.fixture(loop_scope="module")
async def caller(relay: Relay) -> AsyncIterator[httpx.AsyncClient]:
    async with await make_tenant(relay) as caller:
        yield caller


def live_files(relay: Relay, session: str) -> list[Path]:
    return list(open_folder(data_of(relay)).glob(f"{session}.*"))


def live_database(relay: Relay, session: str) -> Path:
    return open_folder(data_of(relay)) / f"{session}.db"


def data_of(relay: Relay) -> Path:
    return relay.errors.parent / "data"


def secrets_of(relay: Relay, session: str) -> list[bytes]:
    """The account's private keys, as they are while it runs."""
    with closing(sqlite3.connect(live_database(relay, session))) as db:
        (keys,) = db.execute(_KEYS).fetchall()
        prekeys = [row[0] for row in db.execute(_PREKEYS)]
    assert all(len(key) == 32 for key in [*keys, *prekeys])
    return [*keys, *prekeys]


def holds_database(place: bytes) -> bool:
    """Whether there is a database in it, packed, which would hide its keys from a search."""
    for at in (match.start() for match in re.finditer(b"\x78[\x01\x5e\x9c\xda]", place)):
        with suppress(zlib.error):
            if zlib.decompressobj().decompress(place[at:], 100).startswith(b"SQLite format"):
                return True
    return b"SQLite format" in place


def qr_secret_of(relay: Relay, session: str) -> bytes:
    with closing(sqlite3.connect(live_database(relay, session))) as db:
        return bytes(db.execute(_QR_SECRET).fetchone()[0])


def spellings(secret: bytes) -> Iterator[bytes]:
    """Raw, in hex, and in base64, also where it stands in the middle of something."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret)
        inner = encoded[(before * 8 + 5) // 6 : (before + len(secret)) * 8 // 6]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")


def found_in(place: bytes, needles: list[bytes]) -> bool:
    return any(needle in place for needle in needles)


async def dump(conn: Connection) -> bytes:
    """All rows of all tables as text; bytes in it are in hex."""
    rows = []
    for table in await conn.fetch(_TABLES):
        rows += [row[0] for row in await conn.fetch(f"SELECT t::text FROM {table[0]} t")]
    return "\n".join(rows).encode()


def told_by_the_system(relay: Relay) -> Iterator[bytes]:
    """Command lines and environments of all its processes."""
    assert engine_pids(relay)
    for pid in [relay.process.pid, *(one.pid for one in relay.family()), *engine_pids(relay)]:
        with suppress(FileNotFoundError, ProcessLookupError):
            for name in ("cmdline", "environ"):
                yield Path(f"/proc/{pid}/{name}").read_bytes()


async def link(phones: Phones, caller: httpx.AsyncClient) -> tuple[str, str]:
    """A new session, connected; its id and its phone's number."""
    made = await caller.post(SESSIONS, json={"name": "shop"})
    session = str(made.json()["sessionId"])
    account = phones.account()
    await account.scan(await shows_code(caller, session))
    await stands(caller, session, "connected")
    return session, account.pn.user


async def test_no_key_is_in_clear_and_no_log_tells_who_said_what(
    relay: Relay, phones: Phones, caller: httpx.AsyncClient
) -> None:
    """After linking, talking, resuming: the keys are in memory and nowhere else; the logs have no number and no word."""
    session, number = await link(phones, caller)
    account = phones.network.accounts[number]
    maria = phones.person("Mariazinha")
    await maria.say(account, text=TEXT)
    body = {"sessionId": session, "to": maria.pn.user, "type": "text", "content": ANSWER}
    assert (await caller.post("/api/v1/whatsapp/send", json=body)).status_code == 202
    await maria.inbox.first(lambda posted: posted.text == ANSWER)
    secrets = secrets_of(relay, session)
    qr_needles = list(spellings(qr_secret_of(relay, session)))
    await caller.post(f"{SESSIONS}/{session}/disconnect")
    await caller.post(f"{SESSIONS}/{session}/connect")
    await stands(caller, session, "connected")

    needles = [spelling for secret in secrets for spelling in spellings(secret)]
    assert all(
        any(path.read_bytes().count(secret) for path in live_files(relay, session)) for secret in secrets
    )
    conn = await connect(relay.database_url(), name="tests")
    rows = await dump(conn)
    kept = await conn.fetchval("SELECT sealed FROM whatsapp_auth_state WHERE session_id = $1", session)
    assert not holds_database(kept)
    assert holds_database(b"before" + zlib.compress(live_database(relay, session).read_bytes(), 1))
    await conn.execute("CHECKPOINT")
    await conn.close()
    assert session.encode() in rows
    assert TEXT.encode() in rows
    assert not found_in(rows, needles)
    other_rows = b"\n".join(row for row in rows.splitlines() if b",session.qr," not in row)
    assert not found_in(other_rows, qr_needles)
    files = [path for path in data_of(relay).rglob("*") if path.is_file()]
    assert len(files) > 500
    for path in files:
        with suppress(FileNotFoundError):
            assert not found_in(path.read_bytes(), needles), path
    said = relay.log.encode() + "\n".join(relay.lines).encode()
    assert session.encode() in said
    people = [number, account.lid.user, maria.pn.user, maria.lid.user, "Mariazinha", TEXT, ANSWER]
    for place in (said, *told_by_the_system(relay)):
        assert not found_in(place, [*needles, *qr_needles])
        assert not found_in(place, [word.encode() for word in people])


async def test_the_library_prints_nothing(relay: Relay) -> None:
    """Standard output has our own lines, standard error our own log."""
    starts = ("ready", "Relay starts", "operator key", "demo ")
    assert all(line.startswith(starts) for line in relay.lines if line)
    for line in relay.log.splitlines():
        assert line[:4].isdigit(), line


async def test_a_session_that_is_deleted_leaves_nothing(
    relay: Relay, phones: Phones, caller: httpx.AsyncClient
) -> None:
    """The phone's list of devices is shorter by one; neither a live file nor a sealed state is left."""
    session, number = await link(phones, caller)
    assert live_files(relay, session)
    assert (await caller.delete(f"{SESSIONS}/{session}")).status_code == 204
    assert live_files(relay, session) == []
    assert await count_kept(relay, session) == 0
    await phones.network.accounts[number].disconnected()


async def test_a_logout_leaves_the_session_and_nothing_of_the_account(
    relay: Relay, phones: Phones, caller: httpx.AsyncClient
) -> None:
    """The next connect shows a QR code."""
    session, _ = await link(phones, caller)
    answer = await caller.post(f"{SESSIONS}/{session}/logout")
    assert (answer.json()["status"], answer.json()["phone"]) == ("disconnected", None)
    await when(lambda: not live_files(relay, session), seconds=5, what="its files are gone")
    assert await count_kept(relay, session) == 0
    await caller.post(f"{SESSIONS}/{session}/connect")
    await shows_code(caller, session)


async def test_a_session_that_was_deleted_behind_its_host(
    relay: Relay, phones: Phones, caller: httpx.AsyncClient
) -> None:
    """The API does not wait for ever: a host that was slow hears of it with its lease, and removes the files then."""
    session, number = await link(phones, caller)
    conn = await connect(relay.database_url(), name="tests")
    owner = await conn.fetchval("SELECT tenant_id FROM whatsapp_sessions WHERE id = $1", session)
    async with conn.transaction():
        await sessions.delete_session(conn, TenantId(owner), SessionId(session))
    await conn.close()
    await phones.network.accounts[number].disconnected(within_seconds=10)
    await when(lambda: not live_files(relay, session), seconds=10, what="its files are gone")


async def test_a_tenants_proxy_is_looked_at_at_each_start(
    relay: Relay, phones: Phones, caller: httpx.AsyncClient
) -> None:
    """A change restarts the session; what leads inside is refused, though the operator's own proxy is there as well."""
    session, number = await link(phones, caller)
    port = phones.network.proxy_url.rpartition(":")[2]
    refused = await caller.patch(f"{SESSIONS}/{session}", json={"proxy": f"http://127.0.0.1:{port}"})
    assert (refused.status_code, refused.json()["code"]) == (400, "proxy_invalid")
    await set_proxy(relay, session, f"http://localhost:{port}")
    await stands(caller, session, "failed", "proxy_refused")
    await phones.network.accounts[number].disconnected()
    assert (await caller.patch(f"{SESSIONS}/{session}", json={"proxy": None})).status_code == 200
    await caller.post(f"{SESSIONS}/{session}/connect")
    await stands(caller, session, "connected")


async def set_proxy(relay: Relay, session: str, url: str) -> None:
    """As if its name had led elsewhere when the API was told of it."""
    conn = await connect(relay.database_url(), name="tests")
    owner = TenantId(await conn.fetchval("SELECT tenant_id FROM whatsapp_sessions WHERE id = $1", session))
    key = await tenants.get_data_key(conn, open_vault(data_of(relay) / "master.key"), owner)
    await sessions.update_session(
        conn,
        owner,
        SessionId(session),
        name=None,
        limits=None,
        automation=None,
        bot=None,
        change_proxy=True,
        sealed_proxy=key.seal(url.encode(), identity=f"session/{session}/proxy"),
    )
    await conn.close()


async def count_kept(relay: Relay, session: str) -> int:
    conn = await connect(relay.database_url(), name="tests")
    try:
        kept: int = await conn.fetchval(
            "SELECT (SELECT count(*) FROM whatsapp_auth_state WHERE session_id = $1)"
            " + (SELECT count(*) FROM whatsapp_session_keys WHERE session_id = $1)",
            session,
        )
    finally:
        await conn.close()
    return kept
