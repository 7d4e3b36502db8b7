"""What plugins keep: apart by company and by plugin, bounded, and gone with the contact it is about."""

from datetime import timedelta

import pytest

from relay.model.ids import TenantId
from relay.plugin import StorageFull, storage
from relay.plugin.storage import MemoryStorage, Storage
from relay.plugin.testing import AT
from relay.store import plugin_values
from relay.store.contacts import Meeting, resolve
from relay.store.plugin_values import StoredValues
from relay.store.pool import Pool
from tests.accounts import add_session
from tests.desk import Account


async def add_contact(pool: Pool, account: Account, pn: str = "5511999990001") -> str:
    async with pool.acquire() as conn, conn.transaction():
        meeting = Meeting(session_id=account[1], tenant_id=account[0], pn=pn, lid=None)
        return (await resolve(conn, [meeting]))[account[1], pn]


@pytest.fixture(params=["postgres", "memory"])
async def values(request: pytest.FixtureRequest, pool: Pool, account: Account) -> Storage:
    """Both kinds keep the same rules, so that a test in memory says something of the server."""
    return StoredValues(pool, account[0], "bot") if request.param == "postgres" else MemoryStorage(lambda: AT)


async def test_values_are_put_found_listed_and_deleted(values: Storage) -> None:
    """Whatever JSON can say, under keys that are listed in order."""
    assert await values.get("a/1") is None
    assert await values.get("a/1", 7) == 7
    for key in ("a/2", "a/1", "b%_", "A/3"):
        await values.set(key, {"key": key, "list": [1, None, "é"]})
    await values.set("a/2", "second")
    assert await values.list("a/") == {"a/1": {"key": "a/1", "list": [1, None, "é"]}, "a/2": "second"}
    assert list(await values.list("a/", limit=1)) == ["a/1"]
    assert list(await values.list("b%")) == ["b%_"]
    assert list(await values.list("%")) == []
    assert [await values.delete("a/2"), await values.delete("a/2")] == [True, False]


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("", 1, ValueError),
        ("k" * 201, 1, ValueError),
        ("a\0b", 1, ValueError),
        ("a", "x" * 65_536, ValueError),
        ("a", "a\0b", ValueError),
        ("a", object(), TypeError),
    ],
)
async def test_what_cannot_be_kept_is_refused(
    values: Storage, key: str, value: object, error: type[Exception]
) -> None:
    """With a sentence, and before the database sees it."""
    with pytest.raises(error):
        await values.set(key, value)


async def test_a_plugin_keeps_so_many_and_no_more(values: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new key is refused, an old one may still change."""
    for module in (storage, plugin_values):
        monkeypatch.setattr(module, "MOST_KEYS", 2)
    await values.set("a", 1)
    await values.set("b", 1)
    with pytest.raises(StorageFull):
        await values.set("c", 1)
    await values.set("b", 2)
    assert await values.list() == {"a": 1, "b": 2}


async def test_each_company_and_each_plugin_sees_its_own(pool: Pool, account: Account) -> None:
    """Nothing of another's is read, listed, overwritten or deleted."""
    async with pool.acquire() as conn:
        other, _session = await add_session(conn)
    mine = StoredValues(pool, account[0], "bot")
    await mine.set("key", "mine")
    for foreign in (StoredValues(pool, other, "bot"), StoredValues(pool, account[0], "bot2")):
        assert await foreign.get("key") is None
        assert await foreign.list() == {}
        assert not await foreign.delete("key")
        await foreign.set("key", "theirs")
    assert await mine.get("key") == "mine"


async def test_what_has_expired_is_not_there(pool: Pool, account: Account) -> None:
    """Neither found nor listed nor in the way, and swept in the end."""
    values = StoredValues(pool, account[0], "bot")
    await values.set("old", 1, expires_seconds=0)
    await values.set("young", 1, expires_seconds=3600)
    assert await values.get("old") is None
    assert list(await values.list()) == ["young"]
    async with pool.acquire() as conn:
        assert await plugin_values.delete_expired(conn, limit=10) == 1
    await values.set("young", 2)
    left = await pool.fetchval("SELECT expires_at FROM plugin_values")
    assert left is None


async def test_expired_ones_make_room(pool: Pool, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that lets its values expire is never full of them."""
    monkeypatch.setattr(plugin_values, "MOST_KEYS", 1)
    values = StoredValues(pool, account[0], "bot")
    await values.set("old", 1, expires_seconds=0)
    await values.set("new", 1)
    assert await values.list() == {"new": 1}


async def test_it_goes_with_the_contact(pool: Pool, account: Account) -> None:
    """And can be about nobody that another company knows."""
    contact = await add_contact(pool, account)
    values = StoredValues(pool, account[0], "bot")
    await values.set("about", 1, contact_id=contact)
    await values.set("else", 1)
    async with pool.acquire() as conn:
        other, _session = await add_session(conn)
    with pytest.raises(ValueError, match="no such contact"):
        await StoredValues(pool, TenantId(other), "bot").set("about", 1, contact_id=contact)
    await pool.execute("DELETE FROM whatsapp_contacts WHERE id = $1", contact)
    assert await values.list() == {"else": 1}


async def test_in_memory_it_goes_with_time_and_contact() -> None:
    """As in Postgres, by the test's own clock."""
    now = [AT]
    values = MemoryStorage(lambda: now[0])
    await values.set("short", 1, expires_seconds=60)
    await values.set("about", 1, contact_id="ctc_1")
    now[0] += timedelta(seconds=60)
    assert list(await values.list()) == ["about"]
    values.forget("ctc_1")
    assert await values.list() == {}
