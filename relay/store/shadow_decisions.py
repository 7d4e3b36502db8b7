"""What shadow rules would have said: recorded, never sent. Kept as long as events are."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct, structs

from relay.model.ids import TenantId, new_shadow_decision_id
from relay.store.pool import Connection


class ShadowDecision(Struct, frozen=True, kw_only=True):
    tenant_id: str
    session_id: str
    chat: str
    contact_id: str | None
    message_id: str
    """The message that it would have answered."""
    cause: dict[str, Any]
    messages: list[dict[str, Any]]
    """`[{type, content}, …]`"""


class ShadowDecisionRow(ShadowDecision, frozen=True, kw_only=True):
    id: str
    at: datetime


# A session may be removed while its last messages are decided on.
_INSERT = """
    INSERT INTO shadow_decisions (id, tenant_id, session_id, chat, contact_id, message_id, cause, messages)
    SELECT r.id, r.tenant_id, r.session_id, r.chat, r.contact_id, r.message_id, r.cause, r.messages
    FROM jsonb_to_recordset($1) AS r (id text, tenant_id text, session_id text, chat text, contact_id text,
                                      message_id text, cause jsonb, messages jsonb)
    WHERE EXISTS (SELECT FROM whatsapp_sessions s WHERE s.id = r.session_id AND s.tenant_id = r.tenant_id)
"""


async def insert_decisions(conn: Connection, rows: Sequence[ShadowDecision]) -> None:
    if rows:
        given = [{"id": new_shadow_decision_id(), **structs.asdict(row)} for row in rows]
        await conn.execute(_INSERT, given)


_LIST = """
    SELECT * FROM shadow_decisions
    WHERE tenant_id = $1 AND ($2::text IS NULL OR id < $2) AND ($3::text IS NULL OR cause ->> 'ruleSet' = $3)
      AND ($4::text IS NULL OR session_id = $4)
    ORDER BY id DESC LIMIT $5
"""


async def list_decisions(
    conn: Connection,
    tenant_id: TenantId,
    *,
    rule_set: str | None,
    session_id: str | None,
    before: str | None,
    limit: int,
) -> list[ShadowDecisionRow]:
    """Newest first."""
    rows = await conn.fetch(_LIST, tenant_id, before, rule_set, session_id, limit)
    return [msgspec.convert(dict(row), ShadowDecisionRow) for row in rows]


_DELETE_BEFORE = """
    DELETE FROM shadow_decisions WHERE id IN (
        SELECT id FROM shadow_decisions WHERE tenant_id = $1 AND id < $2 ORDER BY id LIMIT $3)
"""


async def delete_before(conn: Connection, tenant_id: TenantId, oldest: str, *, limit: int) -> int:
    """Retention: remove up to `limit` of them with ids below `oldest`; answers how many."""
    done = await conn.execute(_DELETE_BEFORE, tenant_id, oldest, limit)
    return int(done.rpartition(" ")[2])
