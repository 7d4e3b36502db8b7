"""What the suite lets people do, done by the stand-in's virtual people."""

from collections.abc import Sequence
from typing import Any

from relay.model.sandbox import InboundIn, digits_of
from tests.phone_network.accounts import Account as Phone
from tests.phone_network.groups import Group, NoSuchGroup
from tests.phone_network.inbox import Posted
from tests.phone_network.network import WhatsApp
from tests.phone_network.node import Jid
from tests.phone_network.people import People
from tests.phone_network.phones import Addressee, Person
from tests.phone_network.services import Services

_FILE = b"a file"
_OPTIONS = {
    "image": {"caption": "caption", "mimetype": "mimetype"},
    "audio": {"mimetype": "mimetype"},
    "video": {"caption": "caption", "mimetype": "mimetype"},
    "document": {"caption": "caption", "mimetype": "mimetype", "fileName": "file_name"},
    "sticker": {},
    "location": {"name": "name", "address": "address"},
    "contact": {},
    "poll": {"selectable": "selectable"},
    "text": {},
    "unsupported": {},
}
"""A content's fields, and what they are called in contents.py."""


class Talk:
    """Everybody's part of a test's conversations."""

    def __init__(self, network: WhatsApp, services: Services, people: People) -> None:
        self._network = network
        self._services = services
        self._people = people
        self._said: dict[str, Posted] = {}
        self._read: set[str] = set()

    def person(self, number: str) -> Person:
        digits = digits_of(number)
        known = self._network.accounts.get(digits)
        return self._people.of(known) if known else self._people.new(digits, f"Somebody {digits[-4:]}")

    def group(self, jid: str, *members: Phone) -> Group:
        """The group of that name, in which all of these are."""
        try:
            group = self._services.groups.get(Jid.parse(jid))
        except NoSuchGroup:
            return self._services.groups.create(members[-1], "Padaria", members[:-1], jid=Jid.parse(jid))
        self._services.groups.add(group, group.creator, members)
        return group

    async def say(self, phone: Phone, inbound: InboundIn) -> None:
        """See `InboundIn`."""
        other = self.person(inbound.from_)
        if inbound.name:
            other.account.name = inbound.name
        writer = self._people.of(phone) if inbound.from_me else other
        to: Addressee = other.account if inbound.from_me else phone
        if inbound.chat:
            to = self.group(inbound.chat, phone, other.account)
        match inbound.type:
            case "call":
                self._services.calls.ring(other.account, phone, video=inbound.video)
            case "receipt":
                self.read(writer, inbound.wa_ids)
            case "edit":
                await writer.edit(self.posted(writer, inbound.wa_id), inbound.text or "")
            case "revoke":
                await writer.revoke(self.posted(writer, inbound.wa_id))
            case "reaction":
                await writer.react(self.posted(writer, inbound.wa_id), inbound.text or "")
            case _:
                await self._say(writer, to, inbound)

    async def _say(self, writer: Person, to: Addressee, inbound: InboundIn) -> None:
        content = dict(inbound.content) if isinstance(inbound.content, dict) else {}
        if inbound.text is not None:
            content["text" if inbound.type == "text" else "caption"] = inbound.text
        if inbound.type == "poll_vote":
            await writer.vote(self.posted(writer, content["waMessageId"]), *content["options"])
            return
        names = _OPTIONS[inbound.type]
        options = {names[name]: value for name, value in content.items() if name in names}
        reply_to = self.posted(writer, inbound.reply_to) if inbound.reply_to else None
        mentions = [Jid.parse(jid) for jid in inbound.mentions]
        what = {inbound.type: _main(inbound.type, content), **options}
        said = await writer.say(to, reply_to=reply_to, mentions=mentions, **what)
        self._said[said.id] = said

    def posted(self, person: Person, wa_id: str | None) -> Posted:
        """A message as somebody's phone has it. Raises KeyError for one that it has not."""
        if wa_id in self._said and self._said[wa_id].sender.account in (person.pn, person.lid):
            return self._said[wa_id]
        for posted in person.inbox:
            if posted.id == wa_id:
                return posted
        raise KeyError(wa_id)

    def read(self, reader: Person, wa_ids: Sequence[str]) -> None:
        for wa_id in wa_ids:
            reader.read(self.posted(reader, wa_id))
            self._read.add(wa_id)

    def read_everything(self) -> None:
        """Everybody looks at their phones."""
        for person in list(self._people._people.values()):
            new = {posted.id for posted in person.inbox if not posted.from_me} - self._read
            self.read(person, sorted(new, key=[posted.id for posted in person.inbox].index))


def _main(kind: str, content: dict[str, Any]) -> Any:
    """What stands in the middle of a message of that kind."""
    match kind:
        case "text":
            return content["text"]
        case "location":
            return content["latitude"], content["longitude"]
        case "contact":
            return content["name"], digits_of(content["phone"])
        case "poll":
            return content["question"], content["options"]
        case "unsupported":
            return True
        case _:
            return _FILE
