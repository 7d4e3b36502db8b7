"""What the API asks of a running session's engine, and its answers.

    API: insert ──► open ──take──► taken ──answer──► read by the API     (over when it expires)

A request is for somebody who waits: it is taken once, never again, and nobody takes it after it has expired.
"""

from datetime import datetime
from typing import Any

from msgspec import Struct

from relay.model.ids import SessionId, TenantId
from relay.store.pool import Connection

_INSERT = """
    INSERT INTO engine_requests (tenant_id, session_id, body, expires_at) VALUES ($1, $2, $3, $4) RETURNING id
"""


async def insert_request(
    conn: Connection,
    *,
    tenant_id: TenantId,
    session_id: SessionId,
    body: dict[str, Any],
    expires_at: datetime,
) -> int:
    """Ring `requests` after the commit, and wait for that bell."""
    request_id: int = await conn.fetchval(_INSERT, tenant_id, session_id, body, expires_at)
    return request_id


class Asked(Struct, frozen=True, kw_only=True):
    id: int
    session_id: SessionId
    body: dict[str, Any]


_TAKE = """
    UPDATE engine_requests SET taken = true
    WHERE id = ANY (ARRAY (
        SELECT id FROM engine_requests WHERE session_id = ANY ($1) AND NOT taken AND expires_at > now()
        ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED))
    RETURNING id, session_id, body
"""


async def take_requests(conn: Connection, sessions: list[SessionId]) -> list[Asked]:
    """The open requests of `sessions`, oldest first."""
    rows = await conn.fetch(_TAKE, sessions)
    return sorted((Asked(**row) for row in rows), key=lambda asked: asked.id)


_ANSWER = "UPDATE engine_requests SET answer = $2 WHERE id = $1"


async def answer_request(conn: Connection, request_id: int, answer: dict[str, Any]) -> None:
    """`{"result": …}` or `{"error": {"code", "detail"}}`. Ring `requests` after the commit."""
    await conn.execute(_ANSWER, request_id, answer)


_FIND_ANSWER = "SELECT answer FROM engine_requests WHERE id = $1"


async def find_answer(conn: Connection, request_id: int) -> dict[str, Any] | None:
    answer: dict[str, Any] | None = await conn.fetchval(_FIND_ANSWER, request_id)
    return answer


_DELETE_EXPIRED = "DELETE FROM engine_requests WHERE expires_at < now() - interval '10 minutes'"


async def delete_expired(conn: Connection) -> None:
    await conn.execute(_DELETE_EXPIRED)
