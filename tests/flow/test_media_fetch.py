"""Inbound files, from the journal to the tenant: real TLS, a real proxy, real Postgres, a clock that tests push."""

import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from relay.engines.engine import MediaRef, Received, Revoked, Undecryptable
from relay.engines.whatsapp_media import MediaDamaged
from relay.host.media_download import url_of
from relay.host.media_fetch import MediaFetcher
from relay.model.ids import SessionId
from relay.model.message import MessageType
from relay.store import contact_removal, media_fetches, sessions
from relay.store.blobs import Blobs
from relay.store.pool import Pool
from relay.vault import DataKey
from tests.accounts import AT, MARIA, MARIA_CHAT, add_session, received
from tests.desk import Account, Desk
from tests.media_files import NAME, PLAIN, MediaServer, Reply, file_of, seal, serve_media
from tests.owing import VAULT, add_endpoint

MAX_BYTES = 200_000


class Fetching:
    """A desk, a media server, and a fetcher that holds the sessions in `held`."""

    def __init__(self, desk: Desk, media: MediaServer, folder: Path) -> None:
        self.desk = desk
        self.pool = desk.pool
        self.media = media
        self.blobs = Blobs(folder / "media", max_bytes=MAX_BYTES)
        self.held: dict[SessionId, int] = {}
        self.fetcher = self.another()

    def another(self, held: dict[SessionId, int] | None = None) -> MediaFetcher:
        """A fetcher, of another host where `held` says what that one holds."""

        async def proxy_of(session_id: SessionId) -> str | None:
            return self.media.proxy

        return MediaFetcher(
            self.pool,
            VAULT,
            self.desk.doorbell,
            self.blobs,
            terms=lambda: self.held if held is None else held,
            proxy_of=proxy_of,
        )

    async def account(self) -> Account:
        """One more session, held under term 1."""
        async with self.pool.acquire() as conn:
            account = await add_session(conn)
        self.held[account[1]] = 1
        return account

    async def turn(self) -> None:
        """Everything that is due is fetched."""
        while await self.fetcher.work():
            await self.fetcher.drain()

    async def receive(self, account: Account, wa_id: str, ref: MediaRef, **given: Any) -> None:
        await self.desk.take(account, pictured(wa_id, ref, **given))

    async def pass_time(self) -> float:
        """Make what was put off due; answers how long it would have waited."""
        waits = "SELECT extract(epoch FROM max(due_at) - now())::float FROM media_fetches WHERE error IS NULL"
        seconds: float = await self.pool.fetchval(waits)
        await self.pool.execute("UPDATE media_fetches SET due_at = now() WHERE error IS NULL")
        return seconds

    async def content(self, wa_id: str) -> dict[str, Any]:
        content: dict[str, Any] = await self.pool.fetchval(
            "SELECT content FROM whatsapp_messages WHERE wa_id = $1", wa_id
        )
        return content

    async def told(self) -> list[dict[str, Any]]:
        return [event["data"] for event in await self.desk.events("message.media")]

    def files(self) -> list[Path]:
        return [path for path in self.blobs.path("x").parent.parent.rglob("*") if path.is_file()]

    async def count(self, table: str) -> int:
        number: int = await self.pool.fetchval(f"SELECT count(*) FROM {table}")
        return number


def pictured(wa_id: str, ref: MediaRef, **given: Any) -> Received:
    fields: dict[str, Any] = {"type": MessageType.IMAGE, "content": {"caption": "o recibo"}, "media": ref}
    return received(wa_id, **fields | given)


@pytest.fixture
async def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MediaServer]:
    async with serve_media(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
        yield server


@pytest.fixture
async def fetching(pool: Pool, url: str, tmp_path: Path, media: MediaServer) -> AsyncIterator[Fetching]:
    fetching = Fetching(Desk(pool, url, tmp_path / "slot"), media, tmp_path)
    yield fetching
    await fetching.fetcher.stop()


async def test_a_file_is_promised_then_stored_then_told(fetching: Fetching) -> None:
    """The message comes at once, its file follows: bytes, row, content, event, what is owed; and nothing else is left."""
    account = await fetching.account()
    async with fetching.pool.acquire() as conn:
        await add_endpoint(conn, tenant=(account[0], DataKey(b"k" * 32)))
    ref, sealed = file_of(PLAIN)
    ref = structs.replace(ref, file_name="../../o recibo.png")
    fetching.media.lay(ref, Reply(body=sealed))
    await fetching.receive(account, "W1", ref)
    promised = await fetching.content("W1")
    (first,) = await fetching.desk.events()
    assert first["data"]["content"] == promised
    assert (promised["mediaStatus"], promised["caption"], promised["sizeBytes"]) == (
        "pending",
        "o recibo",
        len(PLAIN),
    )
    await fetching.turn()
    content = await fetching.content("W1")
    assert content == promised | {"mediaStatus": "stored"}
    async with fetching.pool.acquire() as conn:
        blob = await fetching.blobs.get(conn, account[0], content["mediaId"])
    assert blob.path.read_bytes() == PLAIN
    assert (blob.mimetype, blob.file_name, blob.session_id) == ("image/png", "o recibo.png", account[1])
    (told,) = await fetching.told()
    (message,) = await fetching.desk.messages(account)
    assert told == {
        "messageId": message.id,
        "sessionId": account[1],
        "chat": MARIA_CHAT,
        "chatType": "private",
        "contactId": message.sender.contact_id,
        "waMessageId": "W1",
        "mediaId": blob.id,
        "status": "stored",
        "error": None,
        "mimetype": "image/png",
        "sizeBytes": len(PLAIN),
    }
    assert await fetching.count("deliveries") == 2
    assert await fetching.count("media_fetches") == 0
    assert fetching.media.tunnels == [f"{NAME}:443"]
    assert fetching.media.asked == [url_of(ref).raw_path.decode()]
    assert fetching.media.asked[0].startswith("/v/t62/1?ccb=1&hash=")
    assert fetching.media.asked[0].endswith("&mms-type=image&__wa-mms=")


async def test_where_a_file_lies_is_sealed(fetching: Fetching) -> None:
    """Neither path nor key of the file stand in clear in any row, and another row's seal does not open."""
    account = await fetching.account()
    refs = [file_of(PLAIN, path=f"/secret/path{number}?")[0] for number in (1, 2)]
    for ref in refs:
        await fetching.receive(account, f"W{ref.direct_path[-2]}", ref)
    rows = await fetching.pool.fetch("SELECT media_id, reference FROM media_fetches ORDER BY media_id")
    assert not any(b"secret" in row["reference"] or refs[0].key in row["reference"] for row in rows)
    texts = await fetching.pool.fetch(
        "SELECT content::text AS t FROM whatsapp_messages UNION SELECT body FROM events"
    )
    assert not any("secret" in row["t"] for row in texts)
    swap = "UPDATE media_fetches SET reference = $2 WHERE media_id = $1"
    await fetching.pool.execute(swap, rows[0]["media_id"], rows[1]["reference"])
    await fetching.turn()
    assert [target[:14] for target in fetching.media.asked] == ["/secret/path2?"]


async def test_a_placeholder_s_file_is_fetched(fetching: Fetching) -> None:
    """A photo that could not be read at first."""
    account = await fetching.account()
    ref, sealed = file_of(PLAIN)
    fetching.media.lay(ref, Reply(body=sealed))
    await fetching.desk.take(
        account, Undecryptable(wa_id="W1", chat=MARIA_CHAT, sender=MARIA, sent_at=AT), pictured("W1", ref)
    )
    await fetching.receive(account, "W1", ref)
    await fetching.turn()
    assert (await fetching.content("W1"))["mediaStatus"] == "stored"
    assert len(await fetching.told()) == await fetching.count("media") == 1


def tampered(ref: MediaRef, sealed: bytes) -> MediaRef:
    """As if the sender had meant these bytes."""
    return structs.replace(ref, encrypted_sha256=hashlib.sha256(sealed).digest())


@pytest.mark.parametrize("what", ["changed", "wrong code"])
async def test_a_damaged_file_is_never_kept(fetching: Fetching, what: str) -> None:
    """Tried once more, then failed for all to see; no byte of it stays, and its key is forgotten."""
    account = await fetching.account()
    ref, sealed = file_of(PLAIN)
    wrong = sealed[:-1] + bytes([sealed[-1] ^ 1])
    if what == "wrong code":
        ref = tampered(ref, wrong)
    fetching.media.lay(ref, Reply(body=wrong))
    await fetching.receive(account, "W1", ref)
    await fetching.turn()
    assert (await fetching.content("W1"))["mediaStatus"] == "pending"
    assert 4 < await fetching.pass_time() < 6
    await fetching.turn()
    content = await fetching.content("W1")
    assert (content["mediaStatus"], content["mediaError"]) == ("failed", "media_damaged")
    assert [(told["status"], told["error"]) for told in await fetching.told()] == [
        ("failed", "media_damaged")
    ]
    assert fetching.files() == []
    assert await fetching.count("media") == 0
    assert await fetching.pool.fetchval("SELECT reference FROM media_fetches") is None
    await fetching.turn()
    assert len(fetching.media.asked) == 2


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_file_that_is_gone_fails_soon(fetching: Fetching, status: int) -> None:
    """After one more try."""
    account = await fetching.account()
    ref, _ = file_of(PLAIN)
    fetching.media.lay(ref, Reply(status=status))
    await fetching.receive(account, "W1", ref)
    await fetching.turn()
    await fetching.pass_time()
    await fetching.turn()
    assert [(told["status"], told["error"]) for told in await fetching.told()] == [("failed", "media_gone")]


async def test_trouble_is_tried_again_for_a_day(fetching: Fetching) -> None:
    """5, 30, 120, 600 s, then hourly, whatever the trouble is; then it is told."""
    account = await fetching.account()
    ref, sealed = file_of(PLAIN)
    moved = Reply(status=302, headers={"Location": "https://127.0.0.1/"})
    fetching.media.lay(
        ref, Reply(status=503), moved, Reply(body=sealed, cut=True, length=len(sealed)), Reply(status=500)
    )
    await fetching.receive(account, "W1", ref)
    waits = []
    for _ in range(27):
        await fetching.turn()
        waits.append(round(await fetching.pass_time()))
    assert waits == [5, 30, 120, 600, *[3600] * 23]
    assert await fetching.told() == []
    await fetching.turn()
    assert [told["error"] for told in await fetching.told()] == ["media_unavailable"]
    assert set(fetching.media.tunnels) == {f"{NAME}:443"}


async def test_it_comes_after_trouble(fetching: Fetching) -> None:
    account = await fetching.account()
    ref, sealed = file_of(PLAIN)
    fetching.media.lay(ref, Reply(status=503), Reply(body=sealed))
    await fetching.receive(account, "W1", ref)
    await fetching.turn()
    await fetching.pass_time()
    await fetching.turn()
    assert [told["status"] for told in await fetching.told()] == ["stored"]


async def test_a_server_that_nobody_vouches_for_is_not_believed(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the authority in SSL_CERT_FILE nothing is asked: the certificate decides, not the name."""
    monkeypatch.delenv("SSL_CERT_FILE")
    account = await fetching.account()
    ref, sealed = file_of(PLAIN)
    fetching.media.lay(ref, Reply(body=sealed))
    await fetching.receive(account, "W1", ref)
    stranger = fetching.another()
    await stranger.work()
    await stranger.drain()
    assert fetching.media.asked == []
    assert (await fetching.content("W1"))["mediaStatus"] == "pending"


@pytest.mark.parametrize("announced", [True, False])
async def test_too_large(fetching: Fetching, announced: bool) -> None:
    """By its announced length, or once it has grown past the limit; at once, and nothing of it stays."""
    account = await fetching.account()
    ref, sealed = file_of(bytes(MAX_BYTES + 1))
    fetching.media.lay(ref, Reply(body=sealed if announced else [sealed]))
    await fetching.receive(account, "W1", ref)
    await fetching.turn()
    assert [told["error"] for told in await fetching.told()] == ["media_too_large"]
    assert fetching.files() == []


async def test_just_small_enough(fetching: Fetching) -> None:
    account = await fetching.account()
    ref, sealed = file_of(bytes(MAX_BYTES))
    fetching.media.lay(ref, Reply(body=sealed))
    await fetching.receive(account, "W1", ref)
    await fetching.turn()
    assert [told["status"] for told in await fetching.told()] == ["stored"]


async def test_a_large_file_is_never_whole_in_memory(fetching: Fetching) -> None:
    """24 MB come through in a few."""
    account = await fetching.account()
    fetching.blobs.max_bytes = 2**30
    piece = bytes(65_536)

    def pieces() -> Iterator[bytes]:
        return (piece for _ in range(384))

    plain, outside = hashlib.sha256(), hashlib.sha256()
    small, _ = file_of(PLAIN)
    for chunk in pieces():
        plain.update(chunk)
    for chunk in seal(pieces(), key=small.key, kind="image"):
        outside.update(chunk)
    ref = structs.replace(small, sha256=plain.digest(), encrypted_sha256=outside.digest())
    fetching.media.lay(ref, Reply(body=seal(pieces(), key=small.key, kind="image")))
    await fetching.receive(account, "W1", ref)
    tracemalloc.start()
    await fetching.turn()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [told["sizeBytes"] for told in await fetching.told()] == [384 * 65_536]
    assert peak < 6_000_000


async def test_four_at_once_and_one_of_each_session(fetching: Fetching) -> None:
    """Six sessions with two files each; a session with a slow file holds up no other."""
    go = asyncio.Event()
    for number in range(6):
        account = await fetching.account()
        for part in ("a", "b"):
            ref, sealed = file_of(PLAIN, path=f"/{number}{part}?")
            fetching.media.lay(ref, Reply(body=sealed, held=go if part == "a" else None))
            await fetching.receive(account, f"W{number}{part}", ref)
    assert await fetching.fetcher.work()
    assert not await fetching.fetcher.work()
    await _until(lambda: fetching.media.at_once == 4)
    assert {target[2] for target in fetching.media.asked} == {"a"}
    assert len({target[1] for target in fetching.media.asked}) == 4
    go.set()
    await fetching.fetcher.drain()
    await fetching.turn()
    assert fetching.media.most_at_once == 4
    assert await fetching.count("media") == 12


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.002)


async def test_what_is_new_goes_before_the_past(fetching: Fetching) -> None:
    """A history of files does not keep a customer's picture waiting."""
    account = await fetching.account()
    for number in range(4):
        ref, sealed = file_of(PLAIN, path=f"/{number}?")
        fetching.media.lay(ref, Reply(body=sealed))
        await fetching.receive(account, f"W{number}", ref, history=number < 3)
    await fetching.turn()
    assert [target[1] for target in fetching.media.asked] == ["3", "0", "1", "2"]


async def test_a_look_reads_what_it_takes(fetching: Fetching) -> None:
    """Many files that wait for another try, or that failed, are not read to find the one that is due."""
    account = await fetching.account()
    await fetching.receive(account, "W1", file_of(PLAIN)[0])
    await fetching.pool.execute(
        "INSERT INTO media_fetches (media_id, tenant_id, session_id, message_id, kind, reference, history, due_at, error)"
        " SELECT 'med_' || n, tenant_id, session_id, message_id, 'image', CASE WHEN n % 2 = 0 THEN ''::bytea END, true,"
        " now() + interval '1 hour', CASE WHEN n % 2 = 1 THEN 'media_gone' END"
        " FROM media_fetches, generate_series(1, 10000) AS n"
    )
    await fetching.pool.execute("ANALYZE media_fetches")
    read = "SELECT pg_stat_get_xact_tuples_returned('media_fetches'::regclass)"
    async with fetching.pool.acquire() as conn, conn.transaction():
        for found in (1, 0):
            before = await conn.fetchval(read)
            claimed = await media_fetches.claim_fetches(
                conn, fetching.held, limit=4, claim="c", lasts=timedelta(minutes=1)
            )
            assert (len(claimed), await conn.fetchval(read) - before) == (found, 0)


async def test_only_who_holds_the_session_fetches(fetching: Fetching) -> None:
    """Files of a session that another host holds are left alone; who takes it over waits for no dead claim."""
    account = await fetching.account()
    never = asyncio.Event()
    ref, sealed = file_of(PLAIN)
    fetching.media.lay(ref, Reply(body=sealed, held=never), Reply(body=sealed))
    await fetching.receive(account, "W1", ref)
    assert not await fetching.another({}).work()
    assert await fetching.fetcher.work()
    await _until(lambda: fetching.media.at_once == 1)
    same_term = fetching.another({account[1]: 1})
    assert not await same_term.work()
    heir = fetching.another({account[1]: 2})
    assert await heir.work()
    await heir.drain()
    assert [told["status"] for told in await fetching.told()] == ["stored"]
    # The one that was thought dead has the file too, and nothing comes of it.
    never.set()
    await fetching.fetcher.drain()
    assert len(await fetching.told()) == await fetching.count("media") == 1
    (path,) = fetching.files()
    assert path.read_bytes() == PLAIN


@pytest.mark.parametrize("ends", ["stored", "too large", "trouble"])
async def test_a_claim_that_was_taken_over_says_nothing(fetching: Fetching, ends: str) -> None:
    """However it ends for the one that was thought dead, it is for the heir to say."""
    account = await fetching.account()
    go, later = asyncio.Event(), asyncio.Event()
    ref, sealed = file_of(PLAIN)
    too_large = Reply(body=[bytes(MAX_BYTES + 1000)], held=go)
    first = {
        "stored": Reply(body=sealed, held=go),
        "too large": too_large,
        "trouble": Reply(status=503, held=go),
    }[ends]
    fetching.media.lay(ref, first, Reply(body=sealed, held=later))
    await fetching.receive(account, "W1", ref)
    await fetching.fetcher.work()
    await _until(lambda: fetching.media.at_once == 1)
    heir = fetching.another({account[1]: 2})
    await heir.work()
    await _until(lambda: fetching.media.at_once == 2)
    before = await fetching.pool.fetch("SELECT * FROM media_fetches")
    go.set()
    await fetching.fetcher.drain()
    assert await fetching.pool.fetch("SELECT * FROM media_fetches") == before
    assert (await fetching.told(), await fetching.count("media")) == ([], 0)
    later.set()
    await heir.drain()
    assert [told["status"] for told in await fetching.told()] == ["stored"]


async def _revoke(fetching: Fetching, account: Account) -> None:
    await fetching.desk.take(account, Revoked(wa_id="W1", chat=MARIA_CHAT, sender=MARIA, at=AT))


async def _delete_contact(fetching: Fetching, account: Account) -> None:
    contact = await fetching.pool.fetchval("SELECT id FROM whatsapp_contacts")
    async with fetching.pool.acquire() as conn:
        hidden = await contact_removal.hide_contact(conn, account[0], contact)
        await contact_removal.delete_contact(conn, hidden, at=AT)


async def _delete_session(fetching: Fetching, account: Account) -> None:
    async with fetching.pool.acquire() as conn, conn.transaction():
        await sessions.delete_session(conn, *account)


@pytest.mark.parametrize("remove", [_revoke, _delete_contact, _delete_session])
async def test_a_file_that_nobody_wants_any_more_is_not_kept(
    fetching: Fetching, remove: Callable[[Fetching, Account], Awaitable[None]]
) -> None:
    """Its message, contact or session goes while it is on its way: no file, no row, no word of it."""
    account = await fetching.account()
    go = asyncio.Event()
    ref, sealed = file_of(PLAIN)
    fetching.media.lay(ref, Reply(body=sealed, held=go))
    await fetching.receive(account, "W1", ref)
    await fetching.fetcher.work()
    await _until(lambda: fetching.media.at_once == 1)
    await remove(fetching, account)
    go.set()
    await fetching.fetcher.drain()
    assert fetching.files() == []
    assert await fetching.count("media") == await fetching.count("media_fetches") == 0
    assert await fetching.told() == []


async def test_a_stop_leaves_the_file_for_the_next(fetching: Fetching) -> None:
    """A fetch that is broken off leaves nothing behind, and who holds the session next begins anew."""
    account = await fetching.account()
    ref, sealed = file_of(PLAIN)
    fetching.media.lay(ref, Reply(body=sealed, held=asyncio.Event()), Reply(body=sealed))
    await fetching.receive(account, "W1", ref)
    await fetching.fetcher.work()
    await _until(lambda: fetching.media.at_once == 1)
    await fetching.fetcher.stop()
    assert fetching.files() == []
    fetching.held[account[1]] = 2
    await fetching.turn()
    assert [told["status"] for told in await fetching.told()] == ["stored"]


async def test_a_stranger_s_words_become_no_header(fetching: Fetching) -> None:
    """A media type with a line break in it is not repeated by our downloads."""
    account = await fetching.account()
    ref, sealed = file_of(PLAIN, mimetype="image/png\r\nSet-Cookie: a=b")
    fetching.media.lay(ref, Reply(body=sealed))
    await fetching.receive(account, "W1", structs.replace(ref, file_name="a\r\nb\\c.png"))
    await fetching.turn()
    row = await fetching.pool.fetchrow("SELECT mimetype, file_name FROM media")
    assert row is not None
    assert (row["mimetype"], row["file_name"]) == ("application/octet-stream", "c.png")


async def test_another_company_s_fetch_is_not_found(fetching: Fetching) -> None:
    """How it stands is told to its own company only, and a settle of another's message changes nothing."""
    account, other = await fetching.account(), await fetching.account()
    ref, _ = file_of(PLAIN)
    await fetching.receive(account, "W1", ref)
    media_id = (await fetching.content("W1"))["mediaId"]
    async with fetching.pool.acquire() as conn:
        assert await media_fetches.find_standing(conn, account[0], media_id) is not None
        assert await media_fetches.find_standing(conn, other[0], media_id) is None


@pytest.mark.parametrize(
    "path",
    [
        "",
        "v/1",
        "@evil.example/1",
        "//evil.example\\@x",
        ".evil.example/",
        "/a b",
        "/a\r\nHost: x",
        "/a#b",
        "/ä",
        ":1/",
    ],
)
def test_a_path_never_leads_elsewhere(path: str) -> None:
    """What is no path is refused."""
    ref, _ = file_of(PLAIN, path=path)
    with pytest.raises(MediaDamaged):
        url_of(ref)


@pytest.mark.parametrize(
    "path", ["/v/1", "/v/1?a=b", "//evil.example/1?", "/../../1", "/@evil.example/", "/1?u=https://x"]
)
def test_a_path_stays_with_the_host(path: str) -> None:
    """However it looks, the host is WhatsApp's; what is asked for is joined on as WhatsApp's clients do."""
    ref, _ = file_of(PLAIN, path=path, kind="sticker")
    url = url_of(ref)
    assert (url.scheme, url.host, url.port) == ("https", NAME, None)
    assert dict(url.params)["mms-type"] == "image"
    assert url.params["hash"]
