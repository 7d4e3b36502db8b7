"""The events of bots: what each one's `data` holds on the wire."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from relay.model.event import Event, body_of
from relay.model.ids import ContactId, SessionId, TenantId, new_event_id
from relay.store.facts import chat_kind


def automation_event(
    event_type: str,
    *,
    at: datetime,
    tenant_id: TenantId,
    session_id: SessionId,
    chat: str,
    contact_id: ContactId | None,
    data: Mapping[str, Any],
) -> Event:
    """`automation.*`, about one chat; `data` is what its type tells, and of who decided (see `about`) what applies."""
    about = {
        "sessionId": session_id,
        "chat": chat,
        "chatType": chat_kind(chat),
        "contactId": contact_id,
        "messageId": None,
        "ruleSet": None,
        "rule": None,
        "agent": None,
    }
    return Event(
        id=new_event_id(),
        tenant_id=tenant_id,
        type=event_type,
        session_id=session_id,
        contact_id=contact_id,
        chat=f"{session_id}:{chat}",
        body=body_of(event_type, at, about | dict(data)),
    )
