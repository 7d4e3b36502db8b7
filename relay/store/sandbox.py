"""The sandbox's phone network at rest: `sandbox_commands` asked of it, `sandbox_outbox` received by its phones.

A command is deleted when it was carried out and what came of it is durable. The outbox keeps everything a session
has sent, and knows which messages' receipts are still owed.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from relay.model.ids import SessionId, TenantId
from relay.model.sandbox import Command
from relay.store.pool import Connection, Pool


class CommandRow(Struct, frozen=True, kw_only=True):
    id: int
    session_id: SessionId
    command: Command | None
    """None when another version of Relay wrote what this one cannot read."""
    created_at: datetime


class OutboxRow(Struct, frozen=True, kw_only=True):
    """What a virtual phone received: `body` holds its `kind`, `chat`, `at` and the kind's own fields."""

    id: int
    session_id: SessionId
    body: dict[str, Any]


class OutboxEntry(Struct, frozen=True, kw_only=True):
    """A row to be written. `receipts_owed`: its delivered and read receipts have yet to be told."""

    tenant_id: TenantId
    session_id: SessionId
    body: dict[str, Any]
    receipts_owed: bool = False


_INSERT_COMMAND = """
    INSERT INTO sandbox_commands (tenant_id, session_id, body) VALUES ($1, $2, $3) RETURNING id
"""


async def insert_command(
    conn: Connection, *, tenant_id: TenantId, session_id: SessionId, body: dict[str, Any]
) -> int:
    """Ask the phone network; `body` is `command_of(…)`. Ring `sandbox` after the commit."""
    command_id: int = await conn.fetchval(_INSERT_COMMAND, tenant_id, session_id, body)
    return command_id


_HAS_COMMANDS = "SELECT EXISTS (SELECT FROM sandbox_commands)"


async def has_commands(conn: Connection | Pool) -> bool:
    """Whether anybody asked for anything: what an idle host asks instead of naming its thousand sessions."""
    has: bool = await conn.fetchval(_HAS_COMMANDS)
    return has


# The host serves many tenants: the sessions whose engines it runs are its to read.
_LIST_COMMANDS = """
    SELECT id, session_id, body, created_at FROM sandbox_commands
    WHERE session_id = ANY ($1::text[]) OR (session_id = ANY ($2::text[]) AND NOT body ? 'inbound')
    ORDER BY id LIMIT $3
"""


async def list_commands(
    conn: Connection | Pool, *, every: Sequence[str], but_inbound: Sequence[str], limit: int
) -> list[CommandRow]:
    """The oldest commands of the sessions in `every`, and those of `but_inbound` that are not traffic."""
    rows = await conn.fetch(_LIST_COMMANDS, every, but_inbound, limit)
    return [
        CommandRow(
            id=row["id"],
            session_id=row["session_id"],
            command=_command(row["body"]),
            created_at=row["created_at"],
        )
        for row in rows
    ]


def _command(body: dict[str, Any]) -> Command | None:
    try:
        return msgspec.convert(body, Command)
    except msgspec.ValidationError:
        return None


_LAST_COMMAND = """
    SELECT coalesce(max(id), 0) FROM sandbox_commands WHERE tenant_id = $1 AND session_id = $2
"""


async def get_last_command_id(conn: Connection | Pool, tenant_id: TenantId, session_id: SessionId) -> int:
    """The newest command's id, 0 when none waits."""
    last: int = await conn.fetchval(_LAST_COMMAND, tenant_id, session_id)
    return last


# Done again, neither harms; so neither waits for the disk.
_DELETE_COMMANDS = """
    DELETE FROM sandbox_commands USING set_config('synchronous_commit', 'off', true) WHERE id = ANY ($1::bigint[])
"""


async def delete_commands(conn: Connection | Pool, command_ids: Sequence[int]) -> None:
    await conn.execute(_DELETE_COMMANDS, command_ids)


# Ids are given in the order of the subquery, whatever the order of RETURNING.
_INSERT_OUTBOX = """
    INSERT INTO sandbox_outbox (tenant_id, session_id, body, receipts_owed)
    SELECT tenant_id, session_id, body, receipts_owed
    FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::boolean[])
         WITH ORDINALITY AS g (tenant_id, session_id, body, receipts_owed, place)
    ORDER BY place
    RETURNING id
"""


async def insert_outbox(conn: Connection | Pool, entries: Sequence[OutboxEntry]) -> list[int]:
    """Write `entries`; answers their ids in the same order."""
    rows = await conn.fetch(
        _INSERT_OUTBOX,
        [entry.tenant_id for entry in entries],
        [entry.session_id for entry in entries],
        [entry.body for entry in entries],
        [entry.receipts_owed for entry in entries],
    )
    return sorted(row["id"] for row in rows)


_SETTLE_RECEIPTS = """
    UPDATE sandbox_outbox SET receipts_owed = false FROM set_config('synchronous_commit', 'off', true)
    WHERE id = ANY ($1::bigint[])
"""


async def settle_receipts(conn: Connection | Pool, outbox_ids: Sequence[int]) -> None:
    """These messages' receipts have all been told."""
    await conn.execute(_SETTLE_RECEIPTS, outbox_ids)


_LIST_OWED = """
    SELECT id, session_id, body FROM sandbox_outbox
    WHERE tenant_id = $1 AND session_id = $2 AND receipts_owed ORDER BY id
"""


async def list_owed_receipts(
    conn: Connection | Pool, tenant_id: TenantId, session_id: SessionId
) -> list[OutboxRow]:
    """Messages whose receipts an earlier connection did not live to tell."""
    rows = await conn.fetch(_LIST_OWED, tenant_id, session_id)
    return [OutboxRow(id=row["id"], session_id=row["session_id"], body=row["body"]) for row in rows]


_LIST_OUTBOX = """
    SELECT id, session_id, body FROM sandbox_outbox
    WHERE tenant_id = $1 AND session_id = $2 AND id > $3 ORDER BY id LIMIT $4
"""


async def list_outbox(
    conn: Connection | Pool, *, tenant_id: TenantId, session_id: SessionId, after: int, limit: int
) -> list[OutboxRow]:
    """What the virtual phones received from a session after row `after`, oldest first."""
    rows = await conn.fetch(_LIST_OUTBOX, tenant_id, session_id, after, limit)
    return [OutboxRow(id=row["id"], session_id=row["session_id"], body=row["body"]) for row in rows]


_DELETE_OLD = "DELETE FROM sandbox_outbox WHERE created_at < now() - interval '7 days'"


async def delete_old(conn: Connection) -> None:
    """Virtual phones forget what they received a week ago."""
    await conn.execute(_DELETE_OLD)
