"""Plugins are told of what has happened: in order, each at its own pace, at least once."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from relay.model import ids
from relay.model.event import Event, body_of
from relay.model.ids import TenantId
from relay.plugin.calling import Caller
from relay.replies.plugin_events import PluginEvents, follow_events
from relay.store import outbox
from relay.store.pool import Pool
from tests.desk import Account
from tests.owing import add_tenant
from tests.plugin_samples import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


LISTENS = """
told = []
failing = []
def note(kind, what, context):
    told.append((kind, what, context.tenant_id))
    if kind in failing: raise RuntimeError
@hook
async def message_sent(message, context): note("sent", message.id, context)
@hook
async def session_status(session, context): note("status", session.status + " " + str(session.reason), context)
@hook
async def delete_contact(contact_id, context): note("delete", contact_id, context)
"""


async def tell(pool: Pool, tenant_id: TenantId, event_type: str, **data: Any) -> None:
    at = datetime.now(UTC)
    body = body_of(event_type, at, {"sessionId": "ses_1", **data})
    event = Event(id=ids.new_event_id(), tenant_id=tenant_id, type=event_type, body=body)
    async with pool.acquire() as conn:
        await outbox.insert_events(conn, [event])


async def status(pool: Pool, tenant_id: TenantId, message_id: str, state: str = "sent") -> None:
    await tell(pool, tenant_id, "message.status", messageId=message_id, chat="c", type="text", status=state)


_SETTLED = "SELECT NOT EXISTS (SELECT FROM events WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()))"


async def follow(follower: PluginEvents) -> None:
    # Where tests share a server, another one's transaction may hold the log up for a moment.
    while not await follower._pool.fetchval(_SETTLED):
        await asyncio.sleep(0.01)
    while await follower.work():
        pass


def told(caller: Caller) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = list(caller.loaded.plugins[0].module.told)
    caller.loaded.plugins[0].module.told.clear()
    return found


async def test_each_hook_is_told_of_its_events(pool: Pool, account: Account, shelf: Shelf) -> None:
    """Sent messages (and not what becomes of them later), status changes, deleted contacts; each once where all goes well."""
    shelf.write("bot", LISTENS)
    caller = shelf.load()
    [follower] = follow_events(pool, caller)
    tenant_id = account[0]
    await follow(follower)
    await status(pool, tenant_id, "msg_1")
    await status(pool, tenant_id, "msg_1", "read")
    await tell(pool, tenant_id, "session.status", status="connected", reason=None)
    await tell(pool, tenant_id, "message.received")
    await tell(pool, tenant_id, "contact.deleted", contactId="ctc_1")
    await follow(follower)
    assert told(caller) == [
        ("sent", "msg_1", tenant_id),
        ("status", "connected None", tenant_id),
        ("delete", "ctc_1", tenant_id),
    ]
    await status(pool, tenant_id, "msg_2")
    await follow(follower)
    # Another process goes on where this one stopped.
    [other] = follow_events(pool, caller)
    await follow(other)
    assert told(caller) == [("sent", "msg_2", tenant_id)]


async def test_only_who_wants_to_be_told_is_followed(pool: Pool, shelf: Shelf) -> None:
    """A plugin without such a hook costs nothing."""
    shelf.write("bot", "@hook\ndef message_received(): pass")
    assert follow_events(pool, shelf.load()) == []


async def test_many_events_are_all_told(pool: Pool, account: Account, shelf: Shelf) -> None:
    """Page by page, in their order."""
    shelf.write("bot", LISTENS)
    caller = shelf.load()
    [follower] = follow_events(pool, caller)
    await follow(follower)
    for number in range(25):
        await status(pool, account[0], f"msg_{number}")
    await follow(follower)
    assert [what for _, what, _ in told(caller)] == [f"msg_{number}" for number in range(25)]


async def test_companies_that_a_plugin_does_not_serve(pool: Pool, account: Account, shelf: Shelf) -> None:
    """It is told of those that are named in plugins.tenants, and of no other."""
    async with pool.acquire() as conn:
        other, _key = await add_tenant(conn)
    shelf.write("bot", LISTENS)
    caller = shelf.load(tenants={"bot": (account[0],)})
    [follower] = follow_events(pool, caller)
    for tenant_id in (account[0], other):
        await status(pool, tenant_id, f"msg_of_{tenant_id}")
    await follow(follower)
    assert {tenant for _, _, tenant in told(caller)} == {account[0]}


async def test_deleting_is_asked_for_until_it_works(pool: Pool, account: Account, shelf: Shelf) -> None:
    """A failure elsewhere is passed over; here the cursor waits, and what comes after waits with it."""
    shelf.write("bot", LISTENS)
    caller = shelf.load()
    [follower] = follow_events(pool, caller)
    module, tenant_id = caller.loaded.plugins[0].module, account[0]
    await follow(follower)
    module.failing.extend(["sent", "delete"])
    await status(pool, tenant_id, "msg_1")
    await tell(pool, tenant_id, "contact.deleted", contactId="ctc_1")
    await status(pool, tenant_id, "msg_2")
    await follow(follower)
    assert [kind for kind, _, _ in told(caller)] == ["sent", "delete"]
    # It rests for a while.
    await follow(follower)
    assert told(caller) == []
    await pool.execute("UPDATE plugin_cursors SET due_at = now()")
    module.failing.clear()
    await follow(follower)
    assert [what for _, what, _ in told(caller)] == ["ctc_1", "msg_2"]


async def test_a_resting_plugin_misses_nothing(pool: Pool, account: Account, shelf: Shelf) -> None:
    """While its breaker is open its cursors stay, and it is told afterwards."""
    shelf.write("bot", LISTENS)
    caller = shelf.load()
    [follower] = follow_events(pool, caller)
    module = caller.loaded.plugins[0].module
    await follow(follower)
    module.failing.append("sent")
    for number in range(8):
        await status(pool, account[0], f"msg_{number}")
    await follow(follower)
    assert len(told(caller)) == 5
    assert caller.rests("bot")
    module.failing.clear()
    shelf.seconds = 60
    await pool.execute("UPDATE plugin_cursors SET due_at = now()")
    await follow(follower)
    # The fifth once more: nobody knows whether it was done.
    assert [what for _, what, _ in told(caller)] == ["msg_4", "msg_5", "msg_6", "msg_7"]


async def test_a_crash_tells_again(pool: Pool, account: Account, shelf: Shelf) -> None:
    """What was claimed and not moved on is claimed again when the lease is over; the late one changes nothing."""
    shelf.write("bot", LISTENS)
    caller = shelf.load()
    [follower] = follow_events(pool, caller)
    await follow(follower)
    await status(pool, account[0], "msg_1")
    await follow(follower)
    await pool.execute(
        "UPDATE plugin_cursors SET xid = '0', event_id = '', claim = 'clm_dead', due_at = now()"
    )
    await follow(follower)
    assert [what for _, what, _ in told(caller)] == ["msg_1", "msg_1"]


async def test_a_new_company_is_told_of_from_its_beginning(
    pool: Pool, account: Account, shelf: Shelf
) -> None:
    """One that was there long before the plugin is told of from now on."""
    async with pool.acquire() as conn:
        old, _key = await add_tenant(conn)
    await pool.execute("UPDATE tenants SET created_at = now() - interval '1 day' WHERE id = $1", old)
    for tenant_id in (account[0], old):
        await status(pool, tenant_id, "msg_before")
    shelf.write("bot", LISTENS)
    caller = shelf.load()
    [follower] = follow_events(pool, caller)
    await follow(follower)
    assert told(caller) == [("sent", "msg_before", account[0])]
