"""How sends ended, stored: the messages, whom and which chats they went to, the events and what these owe.

a batch ──► one transaction ──refused──► each alone ──refused──► each alone, without its WhatsApp id and chat
"""

import logging
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from relay.host.arrivals import party_of
from relay.store import contacts, facts, inbound, outbox, outgoing
from relay.store.contacts import Meeting
from relay.store.inbound import ChatMove, Row
from relay.store.outgoing import Claimed, Settlement
from relay.store.pool import REFUSED, Connection, Pool
from relay.store.session_locks import lock_sessions

log = logging.getLogger(__name__)

Ended: TypeAlias = tuple[Settlement, Claimed]
"""How a send ended, and what was sent."""


async def store(pool: Pool, batch: Sequence[Ended]) -> tuple[list[Row], bool]:
    """Answers the rows that moved, and whether their events owe something. One that is refused holds up no other."""
    try:
        return await _store(pool, batch)
    except REFUSED:
        rows: list[Row] = []
        owes = False
        for settlement, message in batch:
            moved, owed = await _store_alone(pool, settlement, message)
            rows += moved
            owes |= owed
        return rows, owes


async def _store_alone(pool: Pool, settlement: Settlement, message: Claimed) -> tuple[list[Row], bool]:
    nameless = msgspec.structs.replace(settlement, wa_id=None, chat=None)
    for attempt in (settlement, nameless):
        try:
            return await _store(pool, [(attempt, message)])
        except REFUSED as error:
            fields = {"id": settlement.id, "error": type(error).__name__}
            log.error("sender.settlement_refused", extra=fields)
    return [], False


async def _store(pool: Pool, batch: Sequence[Ended]) -> tuple[list[Row], bool]:
    async with pool.acquire() as conn, conn.transaction():
        living = await lock_sessions(conn, {message.session_id for _, message in batch})
        await contacts.resolve(conn, [one for one in _met(batch) if one.session_id in living])
        rows = await outgoing.settle_messages(conn, [settlement for settlement, _ in batch])
        await _note_chats(conn, rows)
        events = [facts.message_status(row, row["sent_at"]) for row in rows if row["status"] != "queued"]
        return rows, await outbox.insert_events(conn, events)


def _met(batch: Sequence[Ended]) -> list[Meeting]:
    """Whom these were sent to, groups left out."""
    found = []
    for settlement, message in batch:
        party = party_of(settlement.chat or message.chat)
        if settlement.status == "sent" and party:
            met = Meeting(
                session_id=message.session_id, tenant_id=message.tenant_id, pn=party.pn, lid=party.lid
            )
            found.append(met)
    return found


async def _note_chats(conn: Connection, rows: list[Row]) -> None:
    """A message that went out is the last of its chat."""
    latest = {(row["session_id"], row["chat"]): row for row in rows if row["status"] == "sent"}
    await inbound.move_chats(
        conn,
        [
            ChatMove(
                tenant_id=row["tenant_id"],
                session_id=session_id,
                jid=chat,
                name=None,
                contact_id=row["contact_id"],
                last_message_id=row["id"],
                last_message_at=row["sent_at"],
                last_inbound_at=None,
                unread=0,
            )
            for (session_id, chat), row in latest.items()
        ],
    )
