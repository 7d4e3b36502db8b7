"""An endpoint: a tenant's URL that is owed events, and how it stands."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from relay.model.ids import EndpointId, TenantId


class EndpointStatus(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"
    """Nothing is sent; what is owed is kept and goes out when it is enabled again."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """`secret`, `previous_secret` and `headers` are sealed at rest; see `store/endpoints.py`."""

    id: EndpointId
    tenant_id: TenantId
    url: str
    description: str
    events: list[str]
    """Event types; empty means all. `message.*` means every type that starts so."""
    sessions: list[str]
    """Session ids; empty means all."""
    order: Literal["none", "chat"]
    status: EndpointStatus
    disabled_reason: str | None
    failing_since: datetime | None
    succeeded: int
    """Attempts that were answered with 2xx, counted when they settle."""
    failed: int
    created_at: datetime
