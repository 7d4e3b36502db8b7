"""The stand-in of WhatsApp's servers in a process of its own: it must not share a loop with what is measured.

    standard output, first line: {"environ": {…}, "proxy": "http://…"}, what a server needs to take us for WhatsApp
    standard input: one JSON command a line ──► standard output: one JSON answer a line

Each account has writers of its own. When a message is first put on the wire is noted by its id, so that a delivery can
be held against it.
"""

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from tests.phone_network.accounts import Account, Device
from tests.phone_network.connection import Connection
from tests.phone_network.network import WhatsApp
from tests.phone_network.node import Node
from tests.phone_network.people import People
from tests.phone_network.phones import Person
from tests.phone_network.post import open_post_office
from tests.phone_network.services import Services
from tests.phone_network.settings_key import share_when_linked

_WRITERS = 5
_TURN = 5
"""Messages of one writer before the next one's turn."""
_STEP_SECONDS = 0.01


class Bookkeeper:
    """When each message was written to a client, and when those of clients were taken."""

    def __init__(self, network: WhatsApp) -> None:
        self.written: dict[str, float] = {}
        self.taken: list[float] = []
        self.back: set[Device] = set()
        self._deliver = network.deliver
        self._take = network.stanzas["message"]
        self._become_active = network.iq["passive", "set"]
        network.deliver = self._note_written  # type: ignore[method-assign]
        network.stanzas["message"] = self._note_taken
        network.iq["passive", "set"] = self._note_back

    def clear(self) -> None:
        self.written.clear()
        self.taken.clear()
        self.back.clear()

    def _note_written(self, device: Device, node: Node) -> None:
        # Before it is encrypted for the line: that is part of the way.
        if node.tag == "message" and "category" not in node.attrs:
            self.written.setdefault(node.attr("id"), time.time())
        self._deliver(device, node)

    async def _note_taken(self, connection: Connection, node: Node) -> None:
        """It is acknowledged right after."""
        await self._take(connection, node)
        self.taken.append(time.time())

    async def _note_back(self, connection: Connection, iq: Node) -> Node | None:
        answer = await self._become_active(connection, iq)
        if iq.find("active"):
            self.back.add(connection.device)
        return answer


class Phones:
    """The accounts under test, and who writes to them."""

    def __init__(self, network: WhatsApp) -> None:
        services = Services(network)
        self._network = network
        self._people: People = open_post_office(network, services)
        share_when_linked(network, services, self._people)
        self._accounts: dict[str, Account] = {}
        self._writers: dict[str, list[Person]] = {}
        self._numbers = itertools.count(1)
        self._writing: asyncio.Task[None] | None = None
        self.books = Bookkeeper(network)

    async def scan(self, phone: str, qr: str) -> None:
        if phone not in self._accounts:
            self._accounts[phone] = self._network.new_account(phone=phone, name="Bench")
            self._writers[phone] = [self._new_writer() for _ in range(_WRITERS)]
        await self._accounts[phone].scan(qr)

    def _new_writer(self) -> Person:
        return self._people.new(f"55219{next(self._numbers):08d}", "Writer")

    def meet(self, count: int) -> list[str]:
        """That many people who have never written."""
        return [self._new_writer().pn.user for _ in range(count)]

    def count_connected(self) -> int:
        return sum(device.is_connected for device in self._devices())

    def count_unacknowledged(self) -> int:
        return sum(len(device.pending) for device in self._devices())

    def _devices(self) -> list[Device]:
        return [device for account in self._accounts.values() for device in account.devices.values()]

    def write(self, phones: Sequence[str], count: int, rate: float) -> None:
        """Begin to write `count` messages to these accounts in turn: `rate` a second, or as fast as it goes."""
        turns = self._turns(phones)
        self._writing = asyncio.create_task(self._write(turns, count, rate))

    def _turns(self, phones: Sequence[str]) -> "itertools.cycle[tuple[Person, Account]]":
        return itertools.cycle(
            [
                (self._writers[phone][number], self._accounts[phone])
                for number in range(_WRITERS)
                for phone in phones
            ]
        )

    async def _write(self, turns: "itertools.cycle[tuple[Person, Account]]", count: int, rate: float) -> None:
        began, written = time.monotonic(), 0
        while written < count:
            each = min(_TURN if not rate else max(1, round(rate * _STEP_SECONDS)), count - written)
            writer, account = next(turns)
            await writer.say_many(account, each, words="A message of the bench, number")
            written += each
            ahead = began + written / rate - time.monotonic() if rate else 0.0
            await asyncio.sleep(max(0.0, ahead))

    @property
    def is_writing(self) -> bool:
        if self._writing is not None and self._writing.done():
            self._writing.result()
            return False
        return self._writing is not None


class Commands:
    """Standard input; the end of it is the end of us."""

    def __init__(self, phones: Phones) -> None:
        self._phones = phones

    async def serve(self) -> None:
        reader = asyncio.StreamReader(limit=2**24)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            command = msgspec.json.decode(line)
            if command["do"] == "scan":
                await self._phones.scan(command["phone"], command["qr"])
            tell(self._carry_out(command))

    def _carry_out(self, command: dict[str, Any]) -> object:
        phones = self._phones
        match command["do"]:
            case "clear":
                phones.books.clear()
            case "write":
                phones.write(command["phones"], command["count"], command["rate"])
            case "state":
                return {
                    "connected": phones.count_connected(),
                    "back": len(phones.books.back),
                    "writing": phones.is_writing,
                    "written": len(phones.books.written),
                    "unacknowledged": phones.count_unacknowledged(),
                    "taken": len(phones.books.taken),
                }
            case "meet":
                return phones.meet(command["count"])
            case "written":
                return phones.books.written
            case "taken":
                return phones.books.taken
        return None


def tell(answer: object) -> None:
    line = msgspec.json.encode(answer) + b"\n"
    while line:
        line = line[os.write(1, line) :]


async def main() -> None:
    async with WhatsApp() as network:
        tell({"environ": network.environ, "proxy": network.proxy_url})
        await Commands(Phones(network)).serve()


if __name__ == "__main__":
    asyncio.run(main())
