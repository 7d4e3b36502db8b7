"""The API as tests call it: the app over an in-process HTTP transport, real Postgres behind it."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx

from relay.api.app import create_app
from relay.api.services import Services
from relay.config import Config
from relay.egress.guard import AddressGuard
from relay.store.blobs import Blobs
from relay.store.doorbell import Doorbell
from relay.store.pool import Pool
from relay.vault import Vault

OPERATOR_KEY = "an-operator-key-for-tests-only"
MASTER_KEY = bytes(range(32))
ALL_SCOPES = ["sessions", "messages:read", "messages:send", "webhooks", "rules", "admin"]


def make_services(
    pool: Pool, url: str, folder: Path, *, config: Config | None = None, **changes: Any
) -> Services:
    """Services on a test's own database; the doorbell rings in this process only until its `run` is started."""
    config = config or Config()
    return Services(
        **{
            "config": config,
            "pool": pool,
            "vault": Vault(MASTER_KEY),
            "doorbell": Doorbell(url, name="tests"),
            "blobs": Blobs(folder, max_bytes=config.media.max_bytes),
            "guard": AddressGuard(allow_networks=config.webhooks.allow_networks),
            "operator_key": OPERATOR_KEY,
            **changes,
        }
    )


class Api(httpx.AsyncClient):
    """An HTTP client of the app; `key` is sent as a bearer."""

    def __init__(self, services: Services, key: str | None = None, *, app: Any = None) -> None:
        self.services = services
        self.app = app if app is not None else cast("Any", create_app(services))
        super().__init__(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://relay.test",
            headers={"Authorization": f"Bearer {key}"} if key else {},
        )

    def with_key(self, key: str | None) -> "Api":
        """Another caller of the same app."""
        return Api(self.services, key, app=self.app)

    async def make_tenant(self, name: str = "Acme") -> str:
        """A company, made by the operator; its companyId."""
        response = await self.with_key(OPERATOR_KEY).post("/api/v1/admin/tenants", json={"name": name})
        assert response.status_code == 201, response.text
        return str(response.json()["companyId"])

    async def make_key(self, company_id: str, *scopes: str, **fields: Any) -> str:
        """The text of a new key, with every scope unless some are named."""
        body = {"companyId": company_id, "name": "test", "scopes": list(scopes) or ALL_SCOPES, **fields}
        response = await self.with_key(OPERATOR_KEY).post("/api/v1/admin/keys", json=body)
        assert response.status_code == 201, response.text
        return str(response.json()["key"])

    async def as_tenant(self, name: str = "Acme", *scopes: str) -> "Api":
        """A caller with a key of a company of its own; `company_id` names it."""
        company_id = await self.make_tenant(name)
        caller = self.with_key(await self.make_key(company_id, *scopes))
        caller.company_id = company_id
        return caller

    company_id: str = ""


@asynccontextmanager
async def serve_api(
    pool: Pool, url: str, *, config: Config | None = None, **changes: Any
) -> AsyncIterator[Api]:
    """The app for one test, called by the operator."""
    with tempfile.TemporaryDirectory(prefix="relay-media-") as folder:
        services = make_services(pool, url, Path(folder), config=config, **changes)
        async with Api(services, OPERATOR_KEY) as api:
            yield api
