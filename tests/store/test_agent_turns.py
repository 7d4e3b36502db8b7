"""The table of agents' turns on a real Postgres: quick messages become one question, claims are fenced."""

from collections.abc import AsyncIterator

import pytest

from relay.model import ids
from relay.store import agent_turns
from relay.store.agent_turns import ClaimedTurn, NewTurn
from relay.store.pool import Connection, Pool
from tests.accounts import add_session
from tests.desk import Account

MARIA = "5511912345678@s.whatsapp.net"
JOAO = "5511955554444@s.whatsapp.net"


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.acquire() as conn:
        yield conn


def question(account: Account, *, chat: str = MARIA, debounce_seconds: float = 0.0) -> NewTurn:
    return NewTurn(
        tenant_id=account[0],
        session_id=account[1],
        chat=chat,
        contact_id=None,
        agent="main",
        message_id=ids.new_message_id(),
        debounce_seconds=debounce_seconds,
        fallback=None,
        cause={"rule": "rest"},
    )


async def claim(conn: Connection, account: Account, slots: int = 10) -> list[ClaimedTurn]:
    return await agent_turns.claim_turns(conn, {account[0]: slots}, claim=ids.new_claim(), lease_seconds=30)


async def due_in(conn: Connection) -> float:
    seconds: float = await conn.fetchval("SELECT extract(epoch FROM due_at - now())::float8 FROM agent_turns")
    return seconds


async def test_quick_messages_become_one_question(conn: Connection, account: Account) -> None:
    """Each message moves the time at which the agent is asked; two in one batch are kept in order."""
    turns = [question(account, debounce_seconds=8) for _ in range(3)]
    await agent_turns.upsert_turns(conn, turns[:1])
    await agent_turns.upsert_turns(conn, [*turns[1:], question(account, chat=JOAO)])
    assert [turn.chat for turn in await claim(conn, account)] == [JOAO]
    await conn.execute("UPDATE agent_turns SET due_at = now() WHERE claim IS NULL")
    [turn] = await claim(conn, account)
    assert turn.message_ids == [given.message_id for given in turns]
    assert turn.cause == {"rule": "rest"}


async def test_somebody_who_keeps_writing_is_answered_after_a_minute(
    conn: Connection, account: Account
) -> None:
    """The wait is bounded by the first message, whatever debounce is asked for."""
    await agent_turns.upsert_turns(conn, [question(account, debounce_seconds=3600)])
    assert 59 < await due_in(conn) <= 60
    await conn.execute("UPDATE agent_turns SET since = now() - interval '55 seconds'")
    await agent_turns.upsert_turns(conn, [question(account, debounce_seconds=30)])
    assert 4 < await due_in(conn) <= 5


async def test_what_arrives_while_the_agent_is_called_is_the_next_question(
    conn: Connection, account: Account
) -> None:
    """The claim stays as it is; the rest becomes a turn under another id, due when it has been waited for."""
    first, second = question(account), question(account, debounce_seconds=8)
    await agent_turns.upsert_turns(conn, [first])
    [turn] = await claim(conn, account)
    await agent_turns.upsert_turns(conn, [second])
    assert 29 < await due_in(conn) <= 30
    async with conn.transaction():
        held = await agent_turns.lock_turn(conn, turn)
        assert held == [first.message_id, second.message_id]
        await agent_turns.end_turn(conn, turn, [second.message_id])
    assert 7 < await due_in(conn) <= 8
    await conn.execute("UPDATE agent_turns SET due_at = now()")
    [following] = await claim(conn, account)
    assert following.message_ids == [second.message_id]
    assert following.id != turn.id


async def test_only_the_newest_messages_of_a_flood_are_kept(conn: Connection, account: Account) -> None:
    """A question holds forty messages, however many are written."""
    turns = [question(account) for _ in range(50)]
    await agent_turns.upsert_turns(conn, turns)
    [turn] = await claim(conn, account)
    assert turn.message_ids == [given.message_id for given in turns[-40:]]


async def test_a_claim_that_was_taken_over_can_do_nothing(conn: Connection, account: Account) -> None:
    """Neither renew, nor give back, nor finish."""
    await agent_turns.upsert_turns(conn, [question(account)])
    [stale] = await claim(conn, account)
    assert await claim(conn, account) == []
    await conn.execute("UPDATE agent_turns SET due_at = now() - interval '1 second'")
    [turn] = await claim(conn, account)
    assert turn.attempt == 2
    assert await agent_turns.renew_turns(conn, [stale, turn], lease_seconds=30) == {turn.id}
    assert await agent_turns.renew_turns(conn, [stale], lease_seconds=30) == set()
    await agent_turns.release_turn(conn, stale)
    assert await agent_turns.list_held(conn, [turn]) == {turn.id}
    async with conn.transaction():
        assert await agent_turns.lock_turn(conn, stale) is None
        assert await agent_turns.lock_turn(conn, turn) == turn.message_ids


async def test_two_claimers_share_without_waiting_or_doubling(
    pool: Pool, conn: Connection, account: Account
) -> None:
    """While the first one's transaction is open the second takes the rest (red without SKIP LOCKED)."""
    chats = [f"55119000000{number:02}@s.whatsapp.net" for number in range(6)]
    await agent_turns.upsert_turns(conn, [question(account, chat=chat) for chat in chats])
    async with pool.acquire() as other:
        await other.execute("SET lock_timeout = '2s'")
        async with conn.transaction():
            first = await claim(conn, account, 4)
            second = await claim(other, account, 4)
    assert (len(first), len(second)) == (4, 2)
    assert sorted(turn.chat for turn in [*first, *second]) == chats


async def test_a_person_who_answers_ends_the_turn(conn: Connection, account: Account) -> None:
    """Of this chat only; the claim finds nothing any more."""
    await agent_turns.upsert_turns(conn, [question(account), question(account, chat=JOAO)])
    turns = await claim(conn, account)
    await agent_turns.delete_turns(conn, {(account[1], MARIA)})
    held = await agent_turns.list_held(conn, turns)
    assert held == {turn.id for turn in turns if turn.chat == JOAO}


async def test_every_tenant_with_something_waiting_is_found(conn: Connection, account: Account) -> None:
    """With the seconds until its first turn is due, however many turns it has."""
    other = await add_session(conn)
    await agent_turns.upsert_turns(conn, [question(account), question(account, chat=JOAO)])
    await agent_turns.upsert_turns(conn, [question(other, debounce_seconds=20)])
    waiting = await agent_turns.list_waiting_tenants(conn)
    assert waiting[account[0]] <= 0
    assert 19 < waiting[other[0]] <= 20
