"""Poll votes: the options' names in place of their hashes."""

import hashlib
from typing import Any

from relay.engines.engine import Received
from relay.model.message import MessageType
from relay.store.pool import Pool
from tests.accounts import add_session, received
from tests.desk import Account, Desk, sent


def poll(wa_id: str, *options: str) -> Received:
    return received(wa_id, type=MessageType.POLL, content={"question": "Quando?", "options": list(options)})


def vote(wa_id: str, poll_id: str, *options: str) -> Received:
    hashes = [hashlib.sha256(option.encode()).hexdigest() for option in options]
    return received(
        wa_id, type=MessageType.POLL_VOTE, content={"waMessageId": poll_id, "optionHashes": hashes}
    )


async def content_of(desk: Desk, wa_id: str) -> dict[str, Any]:
    (event,) = [e for e in await desk.events() if e["data"]["waMessageId"] == wa_id]
    content: dict[str, Any] = event["data"]["content"]
    return content


async def test_a_vote_names_its_options(desk: Desk, pool: Pool, account: Account) -> None:
    """In our own poll and in theirs, in the poll's own batch and later; one that was taken back names none."""
    asked = {"question": "Quando?", "options": ["hoje", "amanhã"], "selectable": 2}
    ours = await sent(pool, account, "P1", type="poll", content=asked)
    await desk.take(
        account, vote("V1", "P1", "amanhã", "hoje"), poll("P2", "sim", "não"), vote("V2", "P2", "não")
    )
    await desk.take(account, vote("V3", "P2"))
    theirs = next(message.id for message in await desk.messages(account) if message.wa_id == "P2")
    assert await content_of(desk, "V1") == {
        "waMessageId": "P1",
        "messageId": ours,
        "options": ["amanhã", "hoje"],
    }
    assert await content_of(desk, "V2") == {"waMessageId": "P2", "messageId": theirs, "options": ["não"]}
    assert await content_of(desk, "V3") == {"waMessageId": "P2", "messageId": theirs, "options": []}


async def test_what_cannot_be_named_stays(desk: Desk, pool: Pool, account: Account) -> None:
    """A hash that no option has stays; a vote in a poll of another chat or nobody's stays as it came, one unread too."""
    await desk.take(account, poll("P1", "sim"), vote("V1", "P1", "sim", "talvez"), vote("V2", "P9", "sim"))
    unread = received("V3", type=MessageType.POLL_VOTE, content={"waMessageId": "P1"})
    elsewhere = vote("V4", "P1", "sim")
    await desk.take(account, unread)
    await desk.take(
        account,
        Received(**{f: getattr(elsewhere, f) for f in elsewhere.__struct_fields__} | {"chat": "1@g.us"}),
    )
    known = (await content_of(desk, "V1"))["messageId"]
    talvez = hashlib.sha256(b"talvez").hexdigest()
    assert (await content_of(desk, "V1"))["options"] == ["sim"]
    assert (await content_of(desk, "V1"))["optionHashes"] == [talvez]
    assert await content_of(desk, "V2") == vote("V2", "P9", "sim").content
    assert await content_of(desk, "V3") == {"waMessageId": "P1", "messageId": known}
    assert await content_of(desk, "V4") == elsewhere.content


async def test_a_vote_that_makes_no_sense_holds_up_nobody(desk: Desk, pool: Pool, account: Account) -> None:
    """What stands where hashes should (the sandbox lets anything in) blocks neither its own session nor another's."""
    async with pool.acquire() as conn:
        other = await add_session(conn)
    nonsense = received("V1", type=MessageType.POLL_VOTE, content={"waMessageId": "P1", "optionHashes": 5})
    listed = received("V2", type=MessageType.POLL_VOTE, content={"waMessageId": "P1", "optionHashes": [[1]]})
    await desk.take(account, poll("P1", "sim"), nonsense, listed)
    await desk.take(other, received("W1"))
    assert [message.wa_id for message in await desk.messages(other)] == ["W1"]
    assert [message.wa_id for message in await desk.messages(account)] == ["P1", "V1", "V2"]
