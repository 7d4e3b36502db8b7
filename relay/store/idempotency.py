"""What a request with an Idempotency-Key was answered.

    reserve ──► the handler runs ──► settle (the answer is kept)  or  release (nothing was done)
       └──► somebody's row is there: its answer, or none yet

A row counts for 24 hours. One that was reserved and neither settled nor released (its process died) counts for a
minute. `insert_answers` is for work that knows its answer beforehand and writes it in its own transaction: that one
is exact.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from relay.model.ids import TenantId
from relay.store.pool import Connection


class Place(Struct, frozen=True, kw_only=True, order=True):
    """Where a key counts: the same key on another route or of another tenant is another key."""

    tenant_id: TenantId
    route: str
    key: str


class Answer(Struct, frozen=True, kw_only=True):
    place: Place
    body_hash: bytes
    status_code: int | None
    """None while the first request is still being worked on."""
    body: bytes | None


# What no longer counts is overwritten.
_LAPSED = """
    (i.created_at < now() - interval '24 hours'
     OR i.status_code IS NULL AND i.created_at < now() - interval '60 seconds')
"""
_RESERVE = f"""
    INSERT INTO idempotency_keys AS i (tenant_id, route, key, body_hash) VALUES ($1, $2, $3, $4)
    ON CONFLICT (tenant_id, route, key) DO UPDATE
       SET body_hash = excluded.body_hash, status_code = NULL, body = NULL, created_at = now()
     WHERE {_LAPSED}
    RETURNING created_at
"""
_FIND = """
    SELECT body_hash, status_code, body FROM idempotency_keys WHERE tenant_id = $1 AND route = $2 AND key = $3
"""

_FIND_COUNTING = f"""
    SELECT body_hash, status_code, body FROM idempotency_keys AS i
    WHERE tenant_id = $1 AND route = $2 AND key = $3 AND NOT {_LAPSED}
"""


async def reserve(conn: Connection, place: Place, body_hash: bytes) -> Answer | datetime:
    """The instant that marks our reservation, or the answer that stands there already."""
    reserved_at: datetime | None = await conn.fetchval(
        _RESERVE, place.tenant_id, place.route, place.key, body_hash
    )
    if reserved_at is not None:
        return reserved_at
    row = await conn.fetchrow(_FIND, place.tenant_id, place.route, place.key)
    if row is None:
        # Released between the two statements: as good as still being worked on.
        return Answer(place=place, body_hash=body_hash, status_code=None, body=None)
    return Answer(place=place, **row)


async def find_answer(conn: Connection, place: Place) -> Answer | None:
    """What stands there and counts, for work that is better not begun twice; `insert_answers` decides."""
    row = await conn.fetchrow(_FIND_COUNTING, place.tenant_id, place.route, place.key)
    return None if row is None else Answer(place=place, **row)


_SETTLE = """
    UPDATE idempotency_keys SET status_code = $5, body = $6
    WHERE tenant_id = $1 AND route = $2 AND key = $3 AND created_at = $4 AND status_code IS NULL
"""


async def settle(
    conn: Connection, place: Place, reserved_at: datetime, *, status_code: int, body: bytes
) -> None:
    """Keep the answer; changes nothing when the reservation is no longer ours."""
    await conn.execute(_SETTLE, place.tenant_id, place.route, place.key, reserved_at, status_code, body)


_RELEASE = """
    DELETE FROM idempotency_keys
    WHERE tenant_id = $1 AND route = $2 AND key = $3 AND created_at = $4 AND status_code IS NULL
"""


async def release(conn: Connection, place: Place, reserved_at: datetime) -> None:
    """Nothing was done: the key may be used again."""
    await conn.execute(_RELEASE, place.tenant_id, place.route, place.key, reserved_at)


_INSERT = f"""
    INSERT INTO idempotency_keys AS i (tenant_id, route, key, body_hash, status_code, body)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::int[], $6::bytea[])
    ON CONFLICT (tenant_id, route, key) DO UPDATE
       SET body_hash = excluded.body_hash, status_code = excluded.status_code, body = excluded.body,
           created_at = now()
     WHERE {_LAPSED}
    RETURNING tenant_id, route, key
"""
_LIST = """
    SELECT i.* FROM unnest($1::text[], $2::text[], $3::text[]) AS g (tenant_id, route, key)
    JOIN idempotency_keys i USING (tenant_id, route, key)
"""


async def insert_answers(conn: Connection, answers: Sequence[Answer]) -> list[Answer | None]:
    """Write answers beside the work of the same transaction.

    For each one given: None when it was written (do the work), or the answer that stands there already, from an
    earlier request or from one before it in `answers`.
    """
    first: dict[Place, Answer] = {}
    for answer in answers:
        first.setdefault(answer.place, answer)
    # In one order in every process, or two batches with the same keys wait for each other.
    given = sorted(first.values(), key=lambda answer: answer.place)
    rows = await conn.fetch(
        _INSERT,
        *_places([answer.place for answer in given]),
        [answer.body_hash for answer in given],
        [answer.status_code for answer in given],
        [answer.body for answer in given],
    )
    written = {Place(**row) for row in rows}
    standing = await _list_answers(conn, [answer.place for answer in given if answer.place not in written])
    return [
        None if answer is first[answer.place] and answer.place in written
        else standing.get(answer.place, first[answer.place])
        for answer in answers
    ]  # fmt: skip


async def _list_answers(conn: Connection, places: Sequence[Place]) -> dict[Place, Answer]:
    if not places:
        return {}
    found: dict[Place, Answer] = {}
    for row in await conn.fetch(_LIST, *_places(places)):
        place = Place(tenant_id=row["tenant_id"], route=row["route"], key=row["key"])
        found[place] = Answer(
            place=place, body_hash=row["body_hash"], status_code=row["status_code"], body=row["body"]
        )
    return found


def _places(places: Sequence[Place]) -> tuple[list[str], list[str], list[str]]:
    return ([p.tenant_id for p in places], [p.route for p in places], [p.key for p in places])


_DELETE_EXPIRED = "DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'"


async def delete_expired(conn: Connection) -> None:
    await conn.execute(_DELETE_EXPIRED)
