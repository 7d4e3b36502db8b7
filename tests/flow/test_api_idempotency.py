"""`Idempotency-Key`: one request, one effect, one answer."""

import asyncio

import pytest

from relay.model.ids import TenantId
from relay.store import idempotency
from relay.store.idempotency import Answer, Place
from relay.store.pool import Pool
from tests.api_client import Api

KEYS = "/api/v1/admin/keys"
BODY = {"name": "crm", "scopes": ["rules"]}


async def _count(pool: Pool) -> int:
    """Keys beside the caller's own."""
    count: int = await pool.fetchval("SELECT count(*) FROM api_keys WHERE name <> 'test'")
    return count


async def test_the_same_request_is_answered_the_same(api: Api, pool: Pool) -> None:
    """Status and body are the first ones', the header says so, and nothing is done twice."""
    caller = await api.as_tenant()
    first, again = [await caller.post(KEYS, json=BODY, headers={"Idempotency-Key": "a b"}) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert await _count(pool) == 1


async def test_a_stored_answer_is_sealed(api: Api, pool: Pool) -> None:
    """It may hold a new key: the row shows none of it."""
    caller = await api.as_tenant()
    text = (await caller.post(KEYS, json=BODY, headers={"Idempotency-Key": "a"})).json()["key"]
    stored = await pool.fetchval("SELECT body FROM idempotency_keys")
    assert text.encode() not in stored
    assert b"crm" not in stored


async def test_another_request_with_the_same_key_is_refused(api: Api, pool: Pool) -> None:
    """Another body, another query or another path is another request; nothing is done."""
    caller = await api.as_tenant()
    headers = {"Idempotency-Key": "a"}
    key_id = (await caller.post(KEYS, json=BODY, headers=headers)).json()["id"]
    other = await caller.post(KEYS, json={**BODY, "name": "other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (await caller.post(f"{KEYS}?x=1", json=BODY, headers=headers)).status_code == 422
    assert (await caller.post(f"{KEYS}/{key_id}/rotate", headers=headers)).status_code == 201
    assert (await caller.post(f"{KEYS}/key_x/rotate", headers=headers)).status_code == 422
    assert await _count(pool) == 2


async def test_companies_do_not_share_keys(api: Api, pool: Pool) -> None:
    """The same key of another company is another key."""
    for name in ("one", "two"):
        caller = await api.as_tenant(name)
        made = await caller.post(KEYS, json=BODY, headers={"Idempotency-Key": "a"})
        assert made.json()["companyId"] == caller.company_id
    assert await _count(pool) == 2


async def test_the_operator_s_keys_count_for_the_company_that_is_named(api: Api, pool: Pool) -> None:
    """By the body, or by the thing in the path; what belongs to no company is done each time."""
    company_id = await api.make_tenant()
    headers = {"Idempotency-Key": "a"}
    answers = [
        await api.post(KEYS, json={**BODY, "companyId": company_id}, headers=headers) for _ in range(2)
    ]
    assert answers[0].content == answers[1].content
    rotated = [await api.post(f"{KEYS}/{answers[0].json()['id']}/rotate", headers=headers) for _ in range(2)]
    assert rotated[0].json() == rotated[1].json()
    made = [await api.post("/api/v1/admin/tenants", json={"name": "x"}, headers=headers) for _ in range(2)]
    assert [(each.status_code, "Idempotent-Replayed" in each.headers) for each in made] == [(201, False)] * 2
    unnamed = await api.post("/api/v1/webhooks/endpoints", json={"url": "https://x.example"}, headers=headers)
    assert (unnamed.status_code, unnamed.json()["code"]) == (400, "company_required")
    unknown = await api.post(KEYS, json={**BODY, "companyId": "ten_x"}, headers=headers)
    assert unknown.status_code == 404


async def test_a_refused_request_leaves_its_key_free(api: Api, pool: Pool) -> None:
    """Nothing was done, so the corrected request may take the same key."""
    caller = await api.as_tenant()
    headers = {"Idempotency-Key": "a"}
    for refused in ({"name": 1}, {**BODY, "expiresAt": "2001-01-01T00:00:00Z"}):
        assert (await caller.post(KEYS, json=refused, headers=headers)).status_code == 400
        assert await pool.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    assert (await caller.post(KEYS, json=BODY, headers=headers)).status_code == 201
    weak = await api.as_tenant("weak", "rules")
    assert (await weak.post(KEYS, json=BODY, headers=headers)).status_code == 403
    nobody = await api.with_key(None).post(KEYS, json=BODY, headers=headers)
    assert nobody.status_code == 401


async def test_a_request_being_worked_on_is_a_conflict_until_its_reservation_lapses(
    api: Api, pool: Pool
) -> None:
    """A process that died holds a key for a minute, not for a day; an answer is forgotten after a day."""
    caller = await api.as_tenant()
    headers = {"Idempotency-Key": "a"}
    first = await caller.post(KEYS, json=BODY, headers=headers)
    await pool.execute("UPDATE idempotency_keys SET status_code = NULL, body = NULL")
    busy = await caller.post(KEYS, json=BODY, headers=headers)
    assert (busy.status_code, busy.json()["code"]) == (409, "idempotency_in_progress")
    await pool.execute("UPDATE idempotency_keys SET created_at = now() - interval '61 seconds'")
    second = await caller.post(KEYS, json=BODY, headers=headers)
    assert second.json()["id"] != first.json()["id"]
    await pool.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    assert (await caller.post(KEYS, json={**BODY, "name": "third"}, headers=headers)).status_code == 201
    assert await _count(pool) == 3


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"\xc3\xa9", b"a\tb"])
async def test_a_strange_key_is_refused(api: Api, pool: Pool, key: bytes) -> None:
    """1 to 255 printable ASCII characters; anything else does nothing."""
    caller = await api.as_tenant()
    response = await caller.post(KEYS, json=BODY, headers=[(b"Idempotency-Key", key)])
    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_invalid")
    assert await _count(pool) == 0


def _answer(tenant: str, key: str, body: bytes = b"{}") -> Answer:
    place = Place(tenant_id=TenantId(tenant), route="POST /send", key=key)
    return Answer(place=place, body_hash=b"hash of " + body, status_code=202, body=body)


async def test_answers_written_beside_their_work_are_exact(api: Api, pool: Pool) -> None:
    """In a batch: new ones are ours; repeated ones, here or earlier, show the answer that stands."""
    tenant = await api.make_tenant()
    first, other = _answer(tenant, "b", b"1"), _answer(tenant, "a", b"2")
    repeated = _answer(tenant, "b", b"3")
    async with pool.acquire() as conn:
        assert await idempotency.insert_answers(conn, [first, other, repeated]) == [None, None, first]
        assert await idempotency.insert_answers(conn, [repeated, _answer(tenant, "c")]) == [first, None]
        await conn.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
        assert await idempotency.insert_answers(conn, [repeated]) == [None]
        await idempotency.delete_expired(conn)
        assert await conn.fetchval("SELECT count(*) FROM idempotency_keys") == 1


async def test_two_transactions_with_one_key_are_one_effect(api: Api, pool: Pool) -> None:
    """The second waits for the first's commit and sees its answer."""
    tenant = await api.make_tenant()
    async with pool.acquire() as one, pool.acquire() as two:
        transaction = one.transaction()
        await transaction.start()
        assert await idempotency.insert_answers(one, [_answer(tenant, "a", b"1")]) == [None]
        waiting = asyncio.create_task(idempotency.insert_answers(two, [_answer(tenant, "a", b"2")]))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        await transaction.commit()
        assert await waiting == [_answer(tenant, "a", b"1")]
