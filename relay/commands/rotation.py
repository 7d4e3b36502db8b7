"""A rotation of the master key, step by step; killed between any two, all that is sealed opens, and the next run goes on.

    key file      [old] ─► [new, old] ─────────────────────────────► [new]
    database             names old ─► names new ─► all wrapped by new
                         waiting      under way                      done

The order in the file tells how far it came: keys above the one that the database names wait to be used, those below
it are old and stay until nothing needs them.
"""

from pathlib import Path

from msgspec import Struct

from relay.model.errors import NotReady
from relay.store.master_keys import PLACES, count_by_key, get_wrapping_key, name_wrapping_key, rewrap_batch
from relay.store.pool import Connection
from relay.vault import Vault, fresh_key, key_id_of, name_of, open_vault, read_ring, write_ring


class Ring(Struct, frozen=True, kw_only=True):
    """The key file, as the database sees it."""

    waiting: list[bytes]
    wrapping: bytes
    old: list[bytes]


async def read(conn: Connection, path: Path) -> Ring:
    """Raises ConfigError, and NotReady where the file is not the database's."""
    keys = read_ring(path)
    named = await find_named(conn, keys)
    ids = [key_id_of(key) for key in keys]
    if named not in ids:
        raise NotReady(
            f"The database's secrets are wrapped by the master key {name_of(named)}, which {path} does not hold. Copy "
            "the key file here from the machine where it was rotated, or from your backup."
        )
    place = ids.index(named)
    return Ring(waiting=keys[:place], wrapping=keys[place], old=keys[place + 1 :])


async def find_named(conn: Connection, keys: list[bytes]) -> bytes:
    """The id of the key that wraps."""
    async with conn.transaction():
        return await get_wrapping_key(conn, Vault(*keys))


async def prepare(conn: Connection, path: Path) -> bytes:
    """Have a new key wait in the file; answers its id. One that waits already is the one."""
    ring = await read(conn, path)
    if ring.waiting:
        return key_id_of(ring.waiting[0])
    key = fresh_key()
    write_ring(path, [key, ring.wrapping, *ring.old])
    return key_id_of(key)


class Rotated(Struct, frozen=True, kw_only=True):
    key_id: bytes
    """What wraps now."""
    began: bool
    """False: an earlier rotation was finished, and no key is new."""
    rewrapped: int
    broken: list[str]
    """What no key of the file opens; the old keys stay because of it."""
    dropped: list[bytes]


async def rotate(conn: Connection, path: Path) -> Rotated:
    """Finish a rotation that is under way, or else do one. The rotations' lock must be held."""
    ring = await read(conn, path)
    began = bool(ring.waiting) or not ring.old
    key_id = await prepare(conn, path) if began else key_id_of(ring.wrapping)
    if began:
        await name_wrapping_key(conn, key_id)
    rewrapped, broken = await _rewrap_all(conn, open_vault(path), key_id)
    dropped = await _drop_others(conn, path, key_id)
    return Rotated(key_id=key_id, began=began, rewrapped=rewrapped, broken=broken, dropped=dropped)


async def _rewrap_all(conn: Connection, vault: Vault, key_id: bytes) -> tuple[int, list[str]]:
    """Again and again until a round finds nothing to do: what changed under our hands comes round once more."""
    total = 0
    while True:
        done, broken = 0, []
        for place in PLACES:
            after = ""
            while batch := await rewrap_batch(conn, vault, place, key_id=key_id, after=after):
                after = batch.last
                done += batch.rewrapped
                broken += batch.broken
        total += done
        if not done:
            return total, broken


async def _drop_others(conn: Connection, path: Path, key_id: bytes) -> list[bytes]:
    """Take the other keys out of the file, if nothing is wrapped by them; answers their ids."""
    keys = read_ring(path)
    async with conn.transaction():
        # Held until the file is written: nobody names another key meanwhile.
        named = await get_wrapping_key(conn, Vault(*keys))
        if named != key_id or set(await count_by_key(conn)) - {key_id}:
            return []
        others = [key for key in keys if key_id_of(key) != key_id]
        if others:
            write_ring(path, [key for key in keys if key not in others])
    return [key_id_of(key) for key in others]
