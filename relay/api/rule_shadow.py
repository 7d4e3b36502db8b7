"""What rules in shadow mode would have said: decided and recorded, never sent."""

from datetime import datetime
from typing import Annotated, Any

from litestar import get
from litestar.params import QueryParameter

from relay.api.auth import requires, tenant_of
from relay.api.owner import Company
from relay.api.paging import Cursor, Limit, Page
from relay.api.request import Request
from relay.api.wire import Out
from relay.model.tenant import Scope
from relay.store import shadow_decisions
from relay.store.shadow_decisions import ShadowDecisionRow


class ShadowMessageOut(Out, frozen=True, kw_only=True):
    type: str
    content: dict[str, Any]


class ShadowDecisionOut(Out, frozen=True, kw_only=True):
    id: str
    session_id: str
    chat: str
    contact_id: str | None
    message_id: str
    """The message that would have been answered."""
    automation: dict[str, Any]
    """Which rule it was, as a message that a bot has sent says it."""
    messages: list[ShadowMessageOut]
    at: datetime


class ShadowDecisionList(Out, frozen=True, kw_only=True):
    decisions: list[ShadowDecisionOut]
    next_cursor: str | None


def _out(row: ShadowDecisionRow) -> ShadowDecisionOut:
    return ShadowDecisionOut(
        id=row.id,
        session_id=row.session_id,
        chat=row.chat,
        contact_id=row.contact_id,
        message_id=row.message_id,
        automation=row.cause,
        messages=[ShadowMessageOut(type=one["type"], content=one["content"]) for one in row.messages],
        at=row.at,
    )


@get(
    "/rules/shadow",
    opt=requires(Scope.RULES),
    summary="List what rules in shadow mode would have said, newest first",
)
async def list_shadow_decisions(
    request: Request,
    *,
    company_id: Company = None,
    rule_set: Annotated[str | None, QueryParameter(name="ruleSet")] = None,
    session_id: Annotated[str | None, QueryParameter(name="sessionId")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ShadowDecisionList:
    page = Page.of(limit, cursor)
    tenant_id = tenant_of(request.principal, company_id)
    async with request.services.pool.acquire() as conn:
        rows = await shadow_decisions.list_decisions(
            conn,
            tenant_id,
            rule_set=rule_set,
            session_id=session_id,
            before=page.before,
            limit=page.fetch,
        )
    shown, next_cursor = page.cut(rows, lambda row: row.id)
    return ShadowDecisionList(decisions=[_out(row) for row in shown], next_cursor=next_cursor)
