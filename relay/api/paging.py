"""Cursor-paged lists: `?limit=50&cursor=…`, newest first; `nextCursor` is null on the last page.

    page = Page.of(limit, cursor)
    rows = await list_things(conn, tenant_id, before=page.before, limit=page.fetch)
    rows, next_cursor = page.cut(rows, lambda row: row.id)

A cursor is the last id of the page before, made opaque: its meaning is ours to change.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Self, TypeAlias, TypeVar

from litestar.params import QueryParameter
from msgspec import Struct

from relay.model.errors import InvalidInput

T = TypeVar("T")

MOST = 200

Limit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=MOST, description="How many on a page.")]
Cursor: TypeAlias = Annotated[
    str | None, QueryParameter(description="`nextCursor` of the page before.", max_length=200)
]


class Page(Struct, frozen=True, kw_only=True):
    before: str | None
    limit: int

    @classmethod
    def of(cls, limit: int, cursor: str | None) -> Self:
        """Raises InvalidInput on a cursor that is not one of ours."""
        return cls(before=_decode(cursor) if cursor else None, limit=limit)

    @property
    def fetch(self) -> int:
        """One more than asked for: it tells whether a next page is there."""
        return self.limit + 1

    def cut(
        self, rows: Sequence[T], id_of: Callable[[T], str], *, looked_to: str | None = None
    ) -> tuple[list[T], str | None]:
        """The page's rows and its `nextCursor`; `looked_to`: a search stopped there, with less than a page or more."""
        shown = list(rows[: self.limit])
        last = id_of(shown[-1]) if len(rows) > self.limit else looked_to
        return shown, _encode(last) if last else None


def _encode(identifier: str) -> str:
    return urlsafe_b64encode(identifier.encode()).decode().rstrip("=")


def _decode(cursor: str) -> str:
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if not text.isprintable() or _encode(text) != cursor:
        raise InvalidInput(
            "Take the cursor from `nextCursor` as it is.", path="cursor", code="cursor_invalid"
        )
    return text
