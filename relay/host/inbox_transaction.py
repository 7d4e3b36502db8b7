"""What the inbox writes: one batch, within one transaction.

records ──► contacts met ──► one name for each ──► messages ──► placeholders filled in, files promised
                                                      │
        edits, revokes, receipts ◄────────────────────┘──► chats, events, deliveries, reply tasks
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import assert_never

import msgspec

from relay.engines.engine import (
    Acknowledged,
    Called,
    Edited,
    Entry,
    MediaRef,
    Reacted,
    Received,
    Revoked,
    Undecryptable,
)
from relay.engines.journal_file import Record
from relay.host import arrivals, naming
from relay.host.votes import name_votes
from relay.model.event import Event
from relay.model.ids import MediaId, MessageId, SessionId, TenantId
from relay.store import contacts, early_receipts, facts, inbound, media_fetches, outbox, tenants
from relay.store.contacts import Known
from relay.store.inbound import Change, NewMessage
from relay.store.media_fetches import NewFetch, identity_of
from relay.store.pool import Connection
from relay.store.session_locks import lock_sessions
from relay.vault import Vault

Arrived = tuple[NewMessage, Entry]


class Stored:
    """What one transaction did, for those who wait."""

    def __init__(self) -> None:
        self.owed = False
        self.asked = False
        self.moved = False
        self.promised = False
        """Files that are to be fetched."""
        self.early = False
        """Receipts whose message is not known yet."""
        self.received: Counter[TenantId] = Counter()
        """Messages that people have written just now."""
        self.events: list[Event] = []

    def add(self, other: "Stored") -> None:
        self.owed |= other.owed
        self.asked |= other.asked
        self.moved |= other.moved
        self.promised |= other.promised
        self.early |= other.early
        self.received += other.received
        self.events += other.events


class Transaction:
    """The steps of one transaction of the caller's; `vault` seals where files lie."""

    def __init__(self, conn: Connection, vault: Vault) -> None:
        self._conn = conn
        self._vault = vault
        self._done = Stored()

    async def store(self, records: Sequence[Record]) -> Stored:
        """Everything that `records` say."""
        automated = await lock_sessions(self._conn, {r.session_id for r in records})
        # A session that was deleted meanwhile leaves no trace.
        living = [record for record in records if record.session_id in automated]
        known = await contacts.resolve(self._conn, arrivals.meetings(living))
        named = await self._name(living)
        await self._store_messages(named, known, automated)
        await self._change_messages(named)
        return await self._told()

    async def lift_early(self, *, all_ages: bool) -> Stored:
        """Receipts that had come too early, of messages that are known by now."""
        taken = await early_receipts.take_known(self._conn, all_ages=all_ages)
        await self._lift(taken)
        return await self._told()

    async def _told(self) -> Stored:
        self._done.owed = await outbox.insert_events(self._conn, self._done.events)
        return self._done

    async def _name(self, records: list[Record]) -> list[Record]:
        """Under the names that rows have, once all of the batch is known."""
        lids = naming.bare_lids(records)
        numbers = await contacts.list_numbers(self._conn, lids) if lids else {}
        return [naming.with_numbers(record, numbers) for record in records] if numbers else records

    # --- messages -----------------------------------------------------------------------------------------------

    async def _store_messages(
        self, records: list[Record], known: Known, automated: dict[SessionId, bool]
    ) -> None:
        made = [(new, record.entry) for record in records if (new := arrivals.new_message(record, known))]
        named = await name_votes(self._conn, [new for new, _ in made])
        made = [(new, entry) for new, (_, entry) in zip(named, made, strict=True)]
        fresh = await inbound.insert_messages(self._conn, [new for new, _ in made])
        await inbound.move_chats(self._conn, arrivals.moves([one for one in made if one[0].id in fresh]))
        # Of a placeholder nothing is told; of what takes its place everything.
        told = [one for one in await self._fill_in(made, fresh) if not isinstance(one[1], Undecryptable)]
        await self._promise_files(told)
        self._done.events += [arrivals.event_of(new, entry) for new, entry in told]
        self._done.received.update(TenantId(new.tenant_id) for new, entry in told if arrivals.is_news(entry))
        asked = [
            (n, arrivals.is_offline(entry))
            for n, entry in told
            if automated[SessionId(n.session_id)] and arrivals.asks_for_reply(entry)
        ]
        await inbound.insert_reply_tasks(self._conn, asked)
        self._done.asked = bool(asked)

    async def _fill_in(self, made: list[Arrived], fresh: set[MessageId]) -> list[Arrived]:
        """Those that were new, and those that fill in a placeholder, under its id."""
        again = [new for new, entry in made if new.id not in fresh and isinstance(entry, Received)]
        ids = await inbound.replace_placeholders(self._conn, again)
        return [
            (msgspec.structs.replace(new, id=ids.get(new.id, new.id)), entry)
            for new, entry in made
            if new.id in fresh or new.id in ids
        ]

    async def _promise_files(self, told: list[Arrived]) -> None:
        fetches = [
            await self._fetch_of(new, entry.media, history=entry.history)
            for new, entry in told
            if isinstance(entry, Received) and entry.media is not None
        ]
        await media_fetches.insert_fetches(self._conn, fetches)
        self._done.promised |= bool(fetches)

    async def _fetch_of(self, message: NewMessage, media: MediaRef, *, history: bool) -> NewFetch:
        tenant_id, media_id = TenantId(message.tenant_id), MediaId(message.content["mediaId"])
        key = await tenants.get_data_key(self._conn, self._vault, tenant_id)
        reference = key.seal(msgspec.json.encode(media), identity=identity_of(media_id))
        return NewFetch(
            media_id=media_id,
            tenant_id=tenant_id,
            session_id=SessionId(message.session_id),
            message_id=message.id,
            kind=media.kind,
            reference=reference,
            history=history,
        )

    # --- changes ------------------------------------------------------------------------------------------------

    async def _change_messages(self, records: list[Record]) -> None:
        edits: list[Change] = []
        revokes: list[Change] = []
        receipts: list[Change] = []
        for record in records:
            match record.entry:
                case Edited() as edit:
                    sender = arrivals.sender_of(edit.sender, from_me=edit.from_me)
                    edits.append(arrivals.change(record, edit, edit.wa_id, sender=sender, value=edit.text))
                case Revoked() as revoke:
                    sender = arrivals.sender_of(revoke.sender, from_me=revoke.from_me)
                    revokes.append(arrivals.change(record, revoke, revoke.wa_id, sender=sender, value=""))
                case Acknowledged() as receipt:
                    receipts += [
                        arrivals.change(record, receipt, wa_id, sender="me", value=receipt.status)
                        for wa_id in receipt.wa_ids
                    ]
                case Received() | Undecryptable() | Reacted() | Called():
                    pass
                case _ as never:
                    assert_never(never)
        self._done.events += [
            facts.message_edited(row) for row in await inbound.edit_messages(self._conn, edits)
        ]
        rows = await inbound.revoke_messages(self._conn, revokes)
        self._done.events += [facts.message_revoked(row) for row in rows]
        await self._lift(receipts)

    async def _lift(self, receipts: list[Change]) -> None:
        by_status: defaultdict[str, list[Change]] = defaultdict(list)
        for receipt in receipts:
            by_status[receipt.value].append(receipt)
        for status in ("delivered", "read"):
            moved, unknown = await inbound.lift_messages(self._conn, by_status[status])
            self._done.moved |= bool(moved)
            self._done.events += [facts.message_status(row, receipt.at) for row, receipt in moved]
            await early_receipts.insert_early(self._conn, unknown)
            self._done.early |= bool(unknown)
