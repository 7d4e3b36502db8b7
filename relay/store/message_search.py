"""Messages by their words, newest first, a bounded way back at a time: no tenant has too many of them.

    top ──► ▓▓▓ a window's messages, by the tenant's index or the chat's ▓▓▓ ──► bottom = the next one's top ──► …

A search ends with what was wanted, at the oldest message, after a number of windows, or when its time is over. `looked_to`
is where the next one goes on. What a filter leaves out counts as looked through: it costs as much.
"""

import time
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import astuple

from relay.model.ids import TenantId
from relay.model.message import Message
from relay.store.loose_pattern import loose_pattern
from relay.store.messages import Filter, message_of
from relay.store.pool import Connection

WINDOW = 4000
WINDOWS = 5
SECONDS = 0.1
_ABOVE_ALL = "~"


class Found(Struct, frozen=True, kw_only=True):
    messages: list[Message]
    looked_to: str | None
    """The oldest message that was looked at; None: there is none before it."""


_ANY = "($2::text IS NULL OR session_id = $2) AND ($3::text IS NULL OR chat = $3)"
_ONE_CHAT = "session_id = $2 AND chat = $3"
# Reactions and votes are no words of their own. What a revoked message said is for nobody to find.
_SEARCH = """
    SELECT * FROM whatsapp_messages WHERE tenant_id = $1 AND {chosen} AND id < $10 AND id >= $11
      AND ($4::text IS NULL OR direction = $4) AND ($5::text IS NULL OR type = $5)
      AND ($6::text IS NULL OR status = $6) AND ($7::text IS NULL OR contact_id = $7)
      AND ($8::timestamptz IS NULL OR sent_at >= $8) AND ($9::timestamptz IS NULL OR sent_at < $9)
      AND revoked_at IS NULL AND CASE type
          WHEN 'text' THEN content ->> 'text' ~ $12
          WHEN 'poll' THEN content ->> 'question' ~ $12 OR EXISTS (
              SELECT FROM jsonb_path_query(content, '$.options[*]') AS option WHERE option #>> '{{}}' ~ $12)
          WHEN 'reaction' THEN false
          WHEN 'poll_vote' THEN false
          ELSE content ->> 'caption' ~ $12 OR content ->> 'fileName' ~ $12 OR content ->> 'name' ~ $12
            OR content ->> 'address' ~ $12 OR content ->> 'phone' ~ $12 OR content ->> 'transcript' ~ $12 END
    ORDER BY id DESC LIMIT $13
"""
_SEARCH_ANY = _SEARCH.format(chosen=_ANY)
_SEARCH_CHAT = _SEARCH.format(chosen=_ONE_CHAT)
_BOTTOM = (
    "SELECT id FROM whatsapp_messages WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC OFFSET $3 LIMIT 1"
)
_BOTTOM_OF_CHAT = """
    SELECT id FROM whatsapp_messages WHERE tenant_id = $1 AND session_id = $4 AND chat = $5 AND id < $2
    ORDER BY id DESC OFFSET $3 LIMIT 1
"""


async def search_messages(
    conn: Connection,
    tenant_id: TenantId,
    wanted: Filter,
    *,
    text: str,
    before: str | None,
    limit: int,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """At most `limit`, newest first."""
    pattern, until = loose_pattern(text), clock() + SECONDS
    chat = (wanted.session_id, wanted.chat) if wanted.session_id and wanted.chat else ()
    bottom_sql, search_sql = (_BOTTOM_OF_CHAT, _SEARCH_CHAT) if chat else (_BOTTOM, _SEARCH_ANY)
    found: list[Message] = []
    top: str | None = before or _ABOVE_ALL
    for _ in range(WINDOWS):
        bottom = await conn.fetchval(bottom_sql, tenant_id, top, WINDOW - 1, *chat)
        window = (top, bottom or "", pattern, limit - len(found))
        rows = await conn.fetch(search_sql, tenant_id, *astuple(wanted), *window)
        found += [message_of(row) for row in rows]
        top = bottom
        if top is None or len(found) == limit or clock() >= until:
            break
    return Found(messages=found, looked_to=top)
