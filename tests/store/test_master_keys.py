"""Which master key wraps, and what becomes of what is wrapped: by rotations, and by deletions."""

import asyncio
from pathlib import Path

import pytest

from relay.commands import rotation
from relay.model.errors import NotReady
from relay.model.ids import SessionId, TenantId, new_tenant_id
from relay.model.tenant import Retention
from relay.store import auth_states, sessions, tenants
from relay.store.master_keys import PLACES, count_by_key, get_wrapping_key, name_wrapping_key, rewrap_batch
from relay.store.pool import Connection, Pool
from relay.vault import (
    DataKey,
    SealBroken,
    Vault,
    data_key_identity,
    key_id_of,
    open_vault,
    read_ring,
    write_ring,
)
from tests.accounts import add_session
from tests.locks import until_one_waits

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
TENANTS, _SESSION_KEYS = PLACES
TERM = 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "master.key"
    path.write_text(OLD.hex() + "\n")
    path.chmod(0o600)
    return path


async def add_tenant(conn: Connection, vault: Vault) -> TenantId:
    tenant_id = new_tenant_id()
    await tenants.insert_tenant(conn, vault, tenant_id=tenant_id, name="Acme", retention=Retention())
    return tenant_id


async def add_linked(conn: Connection, vault: Vault, auth: bytes) -> tuple[TenantId, SessionId]:
    """A session with an auth state."""
    tenant_id, session_id = await add_session(conn, tenant_id=await add_tenant(conn, vault))
    await conn.execute("INSERT INTO leases VALUES ($1, 'host', $2, now())", session_id, TERM)
    assert await save(conn, vault, (tenant_id, session_id), auth)
    return tenant_id, session_id


async def save(
    conn: Connection, vault: Vault, owner: tuple[TenantId, SessionId], auth: bytes, term: int = TERM
) -> bool:
    async with conn.transaction():
        return await auth_states.save_auth_state(
            conn, vault, tenant_id=owner[0], session_id=owner[1], auth=auth, term=term
        )


async def find(conn: Connection, vault: Vault, owner: tuple[TenantId, SessionId]) -> bytes | None:
    found = await auth_states.find_auth_state(conn, vault, *owner)
    return None if found is None else found.auth


async def wrapped_of(pool: Pool, tenant_id: TenantId) -> bytes:
    wrapped: bytes = await pool.fetchval("SELECT data_key FROM tenants WHERE id = $1", tenant_id)
    return wrapped


# --- rotations ---------------------------------------------------------------------------------------------------


async def test_a_rotation_wraps_everything_anew(pool: Pool, file: Path) -> None:
    """More than a batch of tenants, sessions, and one from before keys had ids: all open by the new key alone."""
    vault = open_vault(file)
    async with pool.acquire() as conn:
        owner = await add_linked(conn, vault, b"auth")
        ids = [await add_tenant(conn, vault) for _ in range(120)]
        unnamed = DataKey(OLD).seal(b"k" * 32, identity=data_key_identity(ids[0]))
        await conn.execute("UPDATE tenants SET data_key = $2 WHERE id = $1", ids[0], unnamed)
        sealed = (await tenants.get_data_key(conn, vault, ids[1])).seal(b"secret", identity="place")

        done = await rotation.rotate(conn, file)
        assert (done.began, done.rewrapped, done.broken) == (True, 122, [])
        assert done.dropped == [key_id_of(OLD)]
        [key] = read_ring(file)
        assert await count_by_key(conn) == {key_id_of(key): 122}
        fresh = Vault(key)
        for tenant_id in ids:
            await tenants.get_data_key(conn, fresh, tenant_id)
        assert (await tenants.get_data_key(conn, fresh, ids[1])).open(sealed, identity="place") == b"secret"
        assert await find(conn, fresh, owner) == b"auth"


async def test_each_rotation_makes_another_key(pool: Pool, file: Path) -> None:
    """The process that began with the first key opens everything after the third."""
    vault = open_vault(file)
    async with pool.acquire() as conn:
        seen = read_ring(file)
        tenant_id = await add_tenant(conn, vault)
        for _ in range(3):
            await rotation.rotate(conn, file)
            seen += read_ring(file)
            await tenants.get_data_key(conn, vault, tenant_id)
    assert len(set(seen)) == 4


async def test_a_new_key_waits_for_its_copies(pool: Pool, file: Path, tmp_path: Path) -> None:
    """Prepared, it wraps nothing yet, and asking twice makes one; machines without it go on until it is used."""
    elsewhere = tmp_path / "elsewhere.key"
    elsewhere.write_bytes(file.read_bytes())
    elsewhere.chmod(0o600)
    here, there = open_vault(file), open_vault(elsewhere)
    async with pool.acquire() as conn:
        await add_tenant(conn, here)
        key_id = await rotation.prepare(conn, file)
        assert await rotation.prepare(conn, file) == key_id
        assert [key_id_of(key) for key in read_ring(file)] == [key_id, key_id_of(OLD)]
        await tenants.get_data_key(conn, there, await add_tenant(conn, open_vault(file)))

        write_ring(elsewhere, read_ring(file))
        assert (await rotation.rotate(conn, file)).key_id == key_id
        await tenants.get_data_key(conn, here, await add_tenant(conn, there))
        assert set(await count_by_key(conn)) == {key_id}
        assert len(read_ring(elsewhere)) == 2, "there it goes with the next copy"
        finished = await rotation.rotate(conn, elsewhere)
        assert (finished.began, finished.dropped) == (False, [key_id_of(OLD)])


async def test_a_machine_that_was_forgotten_can_do_no_harm(pool: Pool, file: Path, tmp_path: Path) -> None:
    """Without the new key it neither opens nor makes anything, rotates nothing, and says what to do; copied, it works."""
    elsewhere = tmp_path / "elsewhere.key"
    elsewhere.write_bytes(file.read_bytes())
    elsewhere.chmod(0o600)
    there = open_vault(elsewhere)
    async with pool.acquire() as conn:
        tenant_id = await add_tenant(conn, there)
        await rotation.rotate(conn, file)
        with pytest.raises(SealBroken, match="Put the key file here that the other machines have"):
            await tenants.get_data_key(conn, there, tenant_id)
        with pytest.raises(SealBroken, match="Put the key file here"):
            await add_tenant(conn, there)
        with pytest.raises(NotReady, match="Copy the key file here"):
            await rotation.rotate(conn, elsewhere)
        assert await conn.fetchval("SELECT count(*) FROM tenants") == 1
        write_ring(elsewhere, read_ring(file))
        await tenants.get_data_key(conn, there, await add_tenant(conn, there))


async def test_what_changed_meanwhile_is_not_undone(pool: Pool, file: Path) -> None:
    """A data key that another puts in its place between reading and writing stays, and is wrapped in the next round."""
    write_ring(file, [NEW, OLD])
    vault = open_vault(file)
    async with pool.acquire() as conn, pool.acquire() as meddling:
        await name_first(conn, OLD)
        changed, other = await add_tenant(conn, vault), await add_tenant(conn, vault)
        fresh = vault.new_data_key(changed, key_id=key_id_of(OLD))
        async with meddling.transaction():
            await meddling.execute("UPDATE tenants SET data_key = $2 WHERE id = $1", changed, fresh)
            wrapping = asyncio.create_task(
                rewrap_batch(conn, vault, TENANTS, key_id=key_id_of(NEW), after="")
            )
            await until_one_waits(pool, wrapping)
        batch = await wrapping
        assert batch is not None
        assert (batch.rewrapped, batch.broken) == (1, [])
        assert await wrapped_of(pool, changed) == fresh
        await tenants.get_data_key(conn, Vault(NEW), other)

        again = await rewrap_batch(conn, vault, TENANTS, key_id=key_id_of(NEW), after="")
        assert again is not None
        assert (again.last, again.rewrapped) == (changed, 1)
        sealed = vault.unwrap(fresh, changed).seal(b"secret", identity="place")
        data_key = await tenants.get_data_key(conn, Vault(NEW), changed)
        assert data_key.open(sealed, identity="place") == b"secret"


async def name_first(conn: Connection, key: bytes) -> None:
    async with conn.transaction():
        assert await get_wrapping_key(conn, Vault(key)) == key_id_of(key)


async def test_whoever_wraps_is_waited_for(pool: Pool, file: Path) -> None:
    """Another key is named only after the tenant is there that was wrapped by the one before, which is then found."""
    write_ring(file, [NEW, OLD])
    vault = open_vault(file)
    async with pool.acquire() as wrapping, pool.acquire() as naming:
        await name_first(wrapping, OLD)
        async with wrapping.transaction():
            await add_tenant(wrapping, vault)
            named = asyncio.create_task(name_wrapping_key(naming, key_id_of(NEW)))
            await until_one_waits(pool, named)
        await named
        assert set(await count_by_key(naming)) == {key_id_of(OLD)}
        done = await rotation.rotate(naming, file)
        assert (done.rewrapped, done.dropped) == (1, [key_id_of(OLD)])


async def test_the_old_key_stays_while_something_needs_it(pool: Pool, file: Path) -> None:
    """A row that nothing opens is named, and no key is dropped; with it gone the next run finishes."""
    vault = open_vault(file)
    async with pool.acquire() as conn:
        damaged, whole = await add_tenant(conn, vault), await add_tenant(conn, vault)
        await conn.execute("UPDATE tenants SET data_key = $2 WHERE id = $1", damaged, b"\x01" * 61)
        done = await rotation.rotate(conn, file)
        assert (done.broken, done.dropped, done.rewrapped) == ([damaged], [], 1)
        assert len(read_ring(file)) == 2
        await tenants.get_data_key(conn, vault, whole)
        async with conn.transaction():
            await tenants.delete_tenant(conn, damaged)
        again = await rotation.rotate(conn, file)
        assert (again.began, again.key_id, again.dropped) == (False, done.key_id, [key_id_of(OLD)])


# --- a session's own key -----------------------------------------------------------------------------------------


async def test_an_auth_state_is_sealed_by_its_sessions_own_key(pool: Pool, file: Path) -> None:
    """One key for all its versions; neither the tenant's data key nor another session's opens them."""
    vault = open_vault(file)
    async with pool.acquire() as conn:
        owner, other = await add_linked(conn, vault, b"one"), await add_linked(conn, vault, b"other")
        key = await conn.fetchval("SELECT wrapped FROM whatsapp_session_keys WHERE session_id = $1", owner[1])
        assert await save(conn, vault, owner, b"two")
        assert await find(conn, vault, owner) == b"two"
        assert key == await conn.fetchval(
            "SELECT wrapped FROM whatsapp_session_keys WHERE session_id = $1", owner[1]
        )
        sealed = await conn.fetchval("SELECT sealed FROM whatsapp_auth_state WHERE session_id = $1", owner[1])
        data_key = await tenants.get_data_key(conn, vault, owner[0])
        with pytest.raises(SealBroken):
            data_key.open(sealed, identity=f"session/{owner[1]}/auth_state")

        await conn.execute(
            "UPDATE whatsapp_session_keys SET wrapped = $1 WHERE session_id = $2", key, other[1]
        )
        with pytest.raises(SealBroken):
            await find(conn, vault, other)


async def test_an_auth_state_of_before_opens_and_gets_a_key(pool: Pool, file: Path) -> None:
    """Sealed by the tenant's data key: a host whose lease is gone changes nothing, the next save seals it anew."""
    vault = open_vault(file)
    async with pool.acquire() as conn:
        owner = await add_linked(conn, vault, b"new")
        data_key = await tenants.get_data_key(conn, vault, owner[0])
        sealed = data_key.seal(b"before", identity=f"session/{owner[1]}/auth_state")
        await conn.execute("UPDATE whatsapp_auth_state SET sealed = $1", sealed)
        await conn.execute("DELETE FROM whatsapp_session_keys")
        assert await find(conn, vault, owner) == b"before"
        assert not await save(conn, vault, owner, b"stale", term=TERM - 1)
        assert await find(conn, vault, owner) == b"before"
        assert await save(conn, vault, owner, b"after")
        assert await conn.fetchval("SELECT count(*) FROM whatsapp_session_keys") == 1
        assert await find(conn, vault, owner) == b"after"


@pytest.mark.parametrize("how", ["session", "tenant", "logout"])
async def test_a_key_goes_with_what_it_is_for(pool: Pool, file: Path, how: str) -> None:
    """A deleted session's auth state cannot be opened from what lingers of it; linked anew, a session has another key."""
    vault = open_vault(file)
    async with pool.acquire() as conn:
        owner = await add_linked(conn, vault, b"auth")
        lingers = await conn.fetchrow("SELECT * FROM whatsapp_auth_state")
        key = await conn.fetchval("SELECT wrapped FROM whatsapp_session_keys")
        assert lingers is not None
        async with conn.transaction():
            if how == "session":
                await sessions.delete_session(conn, *owner)
            elif how == "tenant":
                await tenants.delete_tenant(conn, owner[0])
            else:
                await auth_states.delete_auth_state(conn, owner[1], term=TERM - 1)
                assert await conn.fetchval("SELECT count(*) FROM whatsapp_session_keys") == 1
                await auth_states.delete_auth_state(conn, owner[1], term=TERM)
        assert await conn.fetchval("SELECT count(*) FROM whatsapp_session_keys") == 0
        if how == "logout":
            assert await save(conn, vault, owner, b"linked anew")
            assert await conn.fetchval("SELECT wrapped FROM whatsapp_session_keys") != key
            await conn.execute("UPDATE whatsapp_auth_state SET sealed = $1", lingers["sealed"])
            with pytest.raises(SealBroken):
                await find(conn, vault, owner)


async def test_after_a_rotation_a_backup_of_before_opens_with_the_old_key_only(
    pool: Pool, file: Path
) -> None:
    """Put back as they were before a deletion and a rotation, a tenant's key and a session's open with what was dropped."""
    vault = open_vault(file)
    async with pool.acquire() as conn:
        owner = await add_linked(conn, vault, b"auth")
        data_key = await wrapped_of(pool, owner[0])
        backup = await conn.fetchval("SELECT wrapped FROM whatsapp_session_keys")
        await rotation.rotate(conn, file)
        await conn.execute("UPDATE whatsapp_session_keys SET wrapped = $1", backup)
        with pytest.raises(SealBroken):
            await find(conn, open_vault(file), owner)
        with pytest.raises(SealBroken):
            open_vault(file).unwrap(data_key, owner[0])
        both = Vault(*read_ring(file), OLD)
        assert await find(conn, both, owner) == b"auth"
        both.unwrap(data_key, owner[0])
