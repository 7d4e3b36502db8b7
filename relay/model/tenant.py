"""A tenant, its keys and what a key may do."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from relay.model.ids import KeyId, TenantId


class Scope(StrEnum):
    SESSIONS = "sessions"
    MESSAGES_READ = "messages:read"
    MESSAGES_SEND = "messages:send"
    WEBHOOKS = "webhooks"
    RULES = "rules"
    ADMIN = "admin"
    """The operator: tenants and keys, and every tenant's rows by `companyId`."""


class Retention(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How long a tenant's rows are kept, in days; None takes the server's setting."""

    message_days: int | None = None
    event_days: int | None = None
    media_days: int | None = None


class Tenant(Struct, frozen=True, kw_only=True):
    id: TenantId
    name: str
    retention: Retention
    created_at: datetime


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key at rest: its hash finds it, its text is never stored. An operator's key has no tenant."""

    id: KeyId
    tenant_id: TenantId | None
    name: str
    scopes: frozenset[Scope]
    hint: str
    """The first characters, to recognise a key in a list."""
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """To about a minute; None: not since Relay keeps it."""


class Principal(Struct, frozen=True, kw_only=True):
    """Who is calling: a tenant by one of its keys, or the operator (no tenant)."""

    key_id: KeyId
    tenant_id: TenantId | None
    scopes: frozenset[Scope]
    expires_at: datetime | None = None
    console: bool = False
    """A person who has signed in at the console with that key."""


OPERATOR = Principal(key_id=KeyId("operator"), tenant_id=None, scopes=frozenset({Scope.ADMIN}))
"""Who comes with RELAY_OPERATOR_KEY."""
