"""In whose rows a call looks: a company's key in its own; the operator's by `companyId`, or by the id itself."""

from typing import Annotated, TypeAlias

from litestar.params import QueryParameter

from relay.api.request import Request
from relay.model.errors import NotFound
from relay.model.ids import TenantId
from relay.store.owners import find_owner
from relay.store.pool import Connection

Company: TypeAlias = Annotated[
    str | None,
    QueryParameter(name="companyId", description="The operator names the company; a company's key need not."),
]


async def owner_of(request: Request, conn: Connection, object_id: str) -> TenantId:
    """The company in whose rows `object_id` is looked for. Raises NotFound."""
    tenant_id = request.principal.tenant_id or await find_owner(conn, object_id)
    if tenant_id is None:
        raise NotFound("There is nothing with this id.")
    return tenant_id
