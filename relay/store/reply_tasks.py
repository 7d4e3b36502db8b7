"""Reply tasks: which inbound messages a bot is to look at, written with them, gone when it has."""

from relay.store.pool import Connection

# An answer a day late is no answer.
_DELETE_STALE = "DELETE FROM reply_tasks WHERE due_at < now() - interval '1 day'"


async def delete_stale(conn: Connection) -> None:
    """Drop what nobody has looked at within a day."""
    await conn.execute(_DELETE_STALE)
