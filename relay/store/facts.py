"""The events of messages and contacts: what each one's `data` holds on the wire."""

from datetime import datetime
from typing import Any, Literal, TypeAlias

from relay.model.event import Event, body_of
from relay.model.ids import ContactId, SessionId, TenantId, new_event_id
from relay.store.inbound import NewMessage

ChatKind: TypeAlias = Literal["private", "group", "broadcast", "channel"]
_KINDS: dict[str, ChatKind] = {"g.us": "group", "broadcast": "broadcast", "newsletter": "channel"}


def _sender(message: NewMessage) -> dict[str, Any]:
    """Who wrote it; the account's owner is nobody's contact."""
    contact_id = None if message.origin == "phone" else message.contact_id
    return {"pn": message.sender_pn, "lid": message.sender_lid, "contactId": contact_id}


def chat_kind(jid: str) -> ChatKind:
    return _KINDS.get(jid.rpartition("@")[2], "private")


def _event(row: Any, event_type: str, at: datetime, data: dict[str, Any]) -> Event:
    return Event(
        id=new_event_id(),
        tenant_id=TenantId(row["tenant_id"]),
        type=event_type,
        session_id=SessionId(row["session_id"]),
        contact_id=ContactId(row["contact_id"]) if row["contact_id"] else None,
        chat=f"{row['session_id']}:{row['chat']}",
        body=body_of(event_type, at, data),
    )


def message_received(message: NewMessage, *, offline: bool, history: bool) -> Event:
    """A new message, inbound or written on the phone."""
    kind = "call.received" if message.type == "call" else "message.received"
    data = {
        "messageId": message.id,
        "sessionId": message.session_id,
        "chat": message.chat,
        "chatType": chat_kind(message.chat),
        "contactId": message.contact_id,
        "from": _sender(message),
        "fromMe": message.origin == "phone",
        "senderName": message.sender_name,
        "type": message.type,
        "content": message.content,
        "waMessageId": message.wa_id,
        "replyTo": message.reply_to,
        "mentions": message.mentions,
        "offline": offline,
        "history": history,
        "sentAt": message.sent_at,
    }
    return Event(
        id=new_event_id(),
        tenant_id=TenantId(message.tenant_id),
        type=kind,
        session_id=SessionId(message.session_id),
        contact_id=ContactId(message.contact_id) if message.contact_id else None,
        chat=f"{message.session_id}:{message.chat}",
        body=body_of(kind, message.sent_at, data),
    )


def _about(row: Any) -> dict[str, Any]:
    return {
        "messageId": row["id"],
        "sessionId": row["session_id"],
        "chat": row["chat"],
        "chatType": chat_kind(row["chat"]),
        "contactId": row["contact_id"],
        "waMessageId": row["wa_id"],
    }


def message_status(row: Any, at: datetime) -> Event:
    """An outgoing message moved; `row` is its row of `whatsapp_messages`."""
    data = _about(row) | {"status": row["status"], "error": row["error"], "type": row["type"]}
    return _event(row, "message.status", at, data)


def message_media(row: Any, at: datetime) -> Event:
    """A message's file was fetched, or could not be; `row` is the message, whose content says so."""
    content = row["content"]
    data = _about(row) | {
        "mediaId": content["mediaId"],
        "status": content["mediaStatus"],
        "error": content.get("mediaError"),
        "mimetype": content.get("mimetype"),
        "sizeBytes": content.get("sizeBytes"),
    }
    return _event(row, "message.media", at, data)


def message_edited(row: Any) -> Event:
    return _event(row, "message.edited", row["edited_at"], _about(row) | {"content": row["content"]})


def message_revoked(row: Any) -> Event:
    return _event(row, "message.revoked", row["revoked_at"], _about(row))


def message_reaction(message: NewMessage) -> Event:
    """A reaction is kept as a message of its own; its content names the one it is about."""
    data = {
        "messageId": message.id,
        "sessionId": message.session_id,
        "chat": message.chat,
        "chatType": chat_kind(message.chat),
        "contactId": message.contact_id,
        "from": _sender(message),
        "fromMe": message.origin == "phone",
        "emoji": message.content["emoji"],
        "waMessageId": message.content["waMessageId"],
    }
    row = {
        "tenant_id": message.tenant_id,
        "session_id": message.session_id,
        "contact_id": message.contact_id,
        "chat": message.chat,
    }
    return _event(row, "message.reaction", message.sent_at, data)


def contact_deleted(
    *, at: datetime, tenant_id: TenantId, session_id: SessionId, contact_id: ContactId
) -> Event:
    """It stays when all else of the contact goes, so it holds the id and is not filed under it."""
    return Event(
        id=new_event_id(),
        tenant_id=tenant_id,
        type="contact.deleted",
        session_id=session_id,
        body=body_of("contact.deleted", at, {"sessionId": session_id, "contactId": contact_id}),
    )
