"""What phones, and WhatsApp, got from neonize, in the order in which it came, as the sandbox's outbox tells it.

<message> ─┐                      ┌─ the addressee's inbox
<receipt> ─┼─► handler, and then: ┼─ the stand-in's activity    ──► a row
<iq> …    ─┘                      └─ pictures and names
"""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.phone_network.accounts import Account as Phone
from tests.phone_network.activity import READ, Online, Read, Rejected, Typing
from tests.phone_network.connection import Connection
from tests.phone_network.contents import unwrapped
from tests.phone_network.inbox import Posted
from tests.phone_network.network import WhatsApp
from tests.phone_network.node import Jid, Node
from tests.phone_network.people import People
from tests.phone_network.phones import Person
from tests.phone_network.services import Services

FindPosted = Callable[[Person, str], Posted]
_STANZAS = ("message", "receipt", "presence", "chatstate", "call")
_QUESTIONS = (("w:profile:picture", "set"), ("w:sync:app:state", "set"))
_KINDS = {
    "conversation": "text",
    "extendedTextMessage": "text",
    "imageMessage": "image",
    "audioMessage": "audio",
    "videoMessage": "video",
    "documentMessage": "document",
    "stickerMessage": "sticker",
    "locationMessage": "location",
    "contactMessage": "contact",
    "pollCreationMessage": "poll",
    "pollUpdateMessage": "poll_vote",
    "reactionMessage": "reaction",
}


class Outbox:
    """Registers itself beside the handlers."""

    def __init__(
        self, network: WhatsApp, services: Services, people: People, find_posted: FindPosted
    ) -> None:
        self._rows: dict[Phone, list[Callable[[], dict[str, Any]]]] = defaultdict(list)
        self._network = network
        self._services = services
        self._people = people
        self._find_posted = find_posted
        self._acts = 0
        self._seen: set[str] = set()
        self._available: dict[Phone, bool] = {}
        for tag in _STANZAS:
            network.stanzas[tag] = self._beside(network.stanzas[tag])
        for name in _QUESTIONS:
            network.iq[name] = self._beside(network.iq[name])

    def _beside(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        async def take(connection: Connection, node: Node) -> Any:
            before = self._services.app_state(connection.account).push_name()
            answer = await handler(connection, node)
            rows = self._rows[connection.account]
            if node.tag == "message":
                rows += self._messages(connection.account, node.attr("id"))
            told = self._news(connection.account)
            if node.tag == "iq":
                told += self._settings(connection.account, node, before)
            rows += [partial(dict, row) for row in told]
            return answer

        return take

    def read(self, phone: Phone) -> list[dict[str, Any]]:
        return [row() for row in self._rows[phone]]

    def _messages(self, phone: Phone, wa_id: str) -> list[Callable[[], dict[str, Any]]]:
        """As the first of the phones has it that got it."""
        if wa_id in self._seen:
            return []
        for person in list(self._people._people.values()):
            for posted in reversed(list(person.inbox)):
                if posted.id == wa_id and person.account is not phone:
                    self._seen.add(wa_id)
                    return [partial(row_of, posted, person, self._find_posted)]
        return []

    def _settings(self, phone: Phone, node: Node, before: str) -> list[dict[str, Any]]:
        picture = node.find("picture")
        if picture is not None:
            return [{"kind": "profile_picture", "chat": None, "sizeBytes": len(picture.data)}]
        name = self._services.app_state(phone).push_name()
        return [{"kind": "profile_name", "chat": None, "name": name}] if name != before else []

    def _news(self, phone: Phone) -> list[dict[str, Any]]:
        """What clients did since the last look. That one who was not online goes is no news."""
        acts, self._acts = self._services.activity.acts[self._acts :], len(self._services.activity.acts)
        rows: list[dict[str, Any]] = []
        for act in acts:
            match act:
                case Online() if act.available != self._available.get(phone, False):
                    self._available[phone] = act.available
                    rows.append({"kind": "presence", "chat": None, "available": act.available})
                case Typing():
                    rows.append(
                        {"kind": "typing", "chat": self._chat(act.chat), "typing": act.state != "paused"}
                    )
                case Read() if act.type in READ:
                    rows.append(
                        {"kind": "read", "chat": self._chat(act.chat), "waIds": list(act.message_ids)}
                    )
                case Rejected():
                    rows.append(
                        {"kind": "reject_call", "chat": self._chat(act.caller), "callId": act.call_id}
                    )
        return rows

    def _chat(self, jid: Jid) -> str:
        account = self._network.account_of(jid.account)
        return str(account.pn if account else jid)


def row_of(posted: Posted, reader: Person, find_posted: FindPosted) -> dict[str, Any]:
    """A message, or a change of one, on `reader`'s phone."""
    chat = str(posted.chat if posted.chat.server == "g.us" else reader.pn)
    message = unwrapped(posted.message)
    protocol = message.protocolMessage
    if message.HasField("protocolMessage"):
        about = {"chat": chat, "waId": protocol.key.ID}
        if protocol.type == protocol.REVOKE:
            return {"kind": "revoke", **about}
        return {"kind": "edit", **about, "text": protocol.editedMessage.conversation}
    kind, part = next(
        (name, part) for field, part in message.ListFields() if (name := _KINDS.get(field.name))
    )
    context = getattr(part, "contextInfo", None)
    return {
        "kind": "message",
        "chat": chat,
        "type": kind,
        "waId": posted.id,
        "content": {
            name: value
            for name, value in _content(kind, part, posted, reader, find_posted).items()
            if value is not None
        },
        "replyTo": context.stanzaID or None if context else None,
        "mentions": list(context.mentionedJID) if context else [],
    }


def _content(kind: str, part: Any, posted: Posted, reader: Person, find_posted: FindPosted) -> dict[str, Any]:
    match kind:
        case "text":
            return {"text": posted.text}
        case "location":
            return {"latitude": part.degreesLatitude, "longitude": part.degreesLongitude}
        case "contact":
            (number,) = [line for line in part.vcard.splitlines() if line.startswith("TEL")]
            return {"name": part.displayName, "phone": number.partition(":")[2]}
        case "poll":
            options = [option.optionName for option in part.options]
            return {"question": part.name, "options": options, "selectable": part.selectableOptionsCount}
        case "poll_vote":
            wa_id = part.pollCreationMessageKey.ID
            return {"waMessageId": wa_id, "options": reader.open_vote(posted, find_posted(reader, wa_id))}
        case "reaction":
            return {"waMessageId": part.key.ID, "emoji": part.text}
        case _:
            return {
                "caption": getattr(part, "caption", "") or None,
                "fileName": getattr(part, "fileName", "") or None,
                "mimetype": part.mimetype,
                "viewOnce": getattr(part, "viewOnce", False) or None,
                "voice": getattr(part, "PTT", False) or None,
            }
