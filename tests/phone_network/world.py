"""What most tests of messages start with: a client that is linked, and a person who has never written to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.phone_network.accounts import Account, Device
from tests.phone_network.clients import Client, Clients, jid
from tests.phone_network.network import WhatsApp
from tests.phone_network.people import People
from tests.phone_network.phones import Person
from tests.phone_network.services import Services


@dataclass
class World:
    """A linked client, and somebody it knows nothing of."""

    network: WhatsApp
    services: Services
    people: People
    clients: Clients
    account: Account
    device: Device
    client: Client
    path: Path
    anna: Person

    @property
    def owner(self) -> Person:
        return self.people.of(self.account)

    async def talk(self, words: str) -> None:
        """One message, and one back once it was read, so that both ratchets turn."""
        await self.anna.say(self.account, text=words)
        await self.account.acknowledged()
        await self.client.call("send_message", jid(self.anna.lid), words)
        await self.anna.inbox.first(lambda posted: posted.text == words)

    async def stop(self) -> None:
        """The client's process is killed."""
        await self.clients.kill()
        await self.account.disconnected()

    async def start(self, path: Path) -> None:
        """A process again, on this file."""
        self.clients = Clients(self.network)
        await self.clients.__aenter__()
        self.client = await self.clients.open(path)
        await self.account.connected(self.device)

    async def got(self, number: int = 1) -> dict[str, Any]:
        """The client's nth message."""
        return await self.client.event("Message", number)


def text_of(event: dict[str, Any]) -> str:
    """The words of a client's `Message`, wherever they lie."""
    message = event["Message"]
    return str(message.get("conversation") or message.get("extendedTextMessage", {}).get("text", ""))
