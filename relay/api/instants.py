"""Instants in a query: RFC 3339 and nothing else; a framework's lenient reading takes numbers and fails on some."""

from datetime import UTC, datetime
from typing import Annotated, TypeAlias

import msgspec
from litestar.openapi.spec import OpenAPIFormat
from litestar.params import QueryParameter

from relay.model.errors import InvalidInput

_EPOCH = datetime.fromtimestamp(0, UTC)

Since: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        name="since",
        description="From then on, as 2030-01-31T00:00:00Z.",
        max_length=40,
        format=OpenAPIFormat.DATE_TIME,
    ),
]
Until: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        name="until",
        description="Up to then, not including it.",
        max_length=40,
        format=OpenAPIFormat.DATE_TIME,
    ),
]


def parse_instant(text: str | None, *, path: str) -> datetime | None:
    """The instant; UTC where it says nothing else. Raises InvalidInput."""
    if text is None:
        return None
    try:
        given = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        raise InvalidInput("Give an instant such as 2030-01-31T00:00:00Z.", path=path) from None
    return clamp(given if given.tzinfo else given.replace(tzinfo=UTC))


def clamp(instant: datetime) -> datetime:
    """Not before 1970: ids count from there."""
    return max(instant, _EPOCH)
