"""The stand-in as a whole: one loopback port, the accounts it knows, and who answers what.

    async with WhatsApp() as network:
        account = network.new_account(phone="5511999990001")
        child = await asyncio.create_subprocess_exec(…, env={**os.environ, **network.environ})   # proxy: network.proxy_url
        await account.scan(qr_text_of_the_child)
        await account.connected()

Handlers join by name: network.iq, network.stanzas, network.https. Leaving the block raises what went wrong inside.
"""

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from tests.phone_network import login
from tests.phone_network.accounts import Account, Device
from tests.phone_network.certificates import Certificates, make_tls
from tests.phone_network.connection import Connection, FrameSocket, IqHandler, StanzaHandler
from tests.phone_network.dispatch import dispatch, key_of
from tests.phone_network.node import Jid, Node
from tests.phone_network.pairing_code import PairingCodes
from tests.phone_network.registration import Registration
from tests.phone_network.transport import Transport

TRUST = Path(__file__).parent / "trust"
# What stays with the server until the client has acknowledged it.
KEPT = ("message", "receipt", "notification", "call")

# async def(method, path with its query, headers by lower-case names, body) -> (status, headers, body)
HttpsHandler: TypeAlias = Callable[
    [str, str, Mapping[str, str], bytes], Awaitable[tuple[int, Mapping[str, str], bytes]]
]


class WhatsApp:
    """A stand-in of WhatsApp's servers."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.certificates = Certificates()
        # By (xmlns, type), or (xmlns, type, tag of the first child), which goes first.
        self.iq: dict[tuple[str, ...], IqHandler] = {}
        self.stanzas: dict[str, StanzaHandler] = {}
        self.https: dict[str, HttpsHandler] = {}
        self.accounts: dict[str, Account] = {}
        self.connections: dict[tuple[Account, int], Connection] = {}
        self.registration = Registration(self)
        self.pairing_codes = PairingCodes(self)
        # What clients said that nobody was there to hear, counted by name.
        self.unheard: Counter[str] = Counter()
        # What went wrong in handlers and connections; raised at the end.
        self.errors: list[Exception] = []
        self._folder = tempfile.TemporaryDirectory(prefix="phone-network-")
        self._authority, tls = make_tls(Path(self._folder.name))
        self._transport = Transport(self, tls)
        self._numbers = count(1)
        self._serving: set[asyncio.Task[None]] = set()
        login.install(self)
        self.pairing_codes.install()

    async def __aenter__(self) -> Self:
        await self._transport.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.stop()
        for task in self._serving:
            task.cancel()
        self._folder.cleanup()
        if self.errors and error is None:
            raise ExceptionGroup("the stand-in of WhatsApp's servers had trouble", self.errors)

    @property
    def proxy_url(self) -> str:
        """The HTTP proxy through which all of WhatsApp's hosts are reached."""
        return f"http://127.0.0.1:{self._transport.port}"

    @property
    def environ(self) -> dict[str, str]:
        """What a process must have in its environment from its start to take this for WhatsApp."""
        path = [str(TRUST), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            "PYTHONPATH": os.pathsep.join(path),
            "PHONE_NETWORK_ROOT": self.certificates.root.hex(),
            "SSL_CERT_FILE": str(self._authority),
        }

    def new_account(self, *, phone: str, lid: str = "", name: str = "") -> Account:
        """A phone with this number, which nobody is linked to yet."""
        lid = lid or f"{10**14 + next(self._numbers)}"
        account = Account(
            network=self, pn=Jid(phone), lid=Jid(lid, "lid"), name=name or f"Phone {phone[-4:]}"
        )
        self.accounts[phone] = self.accounts[lid] = account
        return account

    def account_of(self, jid: Jid) -> Account | None:
        """Whose number or LID this is."""
        account = self.accounts.get(jid.user)
        return account if account and jid.server in (account.pn.server, account.lid.server) else None

    def device_of(self, jid: Jid) -> Device | None:
        """Which companion this address is; None for a phone or somebody unknown."""
        account = self.account_of(jid)
        return account.devices.get(jid.device) if account else None

    def deliver(self, device: Device, node: Node) -> None:
        """Send now, or with the next login; again with the next one when the client does not acknowledge it."""
        if node.tag in KEPT:
            key = key_of(node.tag, node.attr("id"), node.attr("from"), node.attr("participant"))
            device.pending[key] = node
        if device.connection and device.connection.is_active:
            device.connection.send(node)

    def down(self, is_down: bool) -> None:
        """Cut every connection and take no new one, until it is up again."""
        self._transport.refuses = is_down
        if is_down:
            for connection in list(self.connections.values()):
                connection.abort()
            self._transport.abort_all()

    def timestamp(self) -> str:
        return str(int(self.clock()))

    def connect(self, socket: FrameSocket) -> Connection:
        """A client has opened its websocket."""
        return Connection(self, socket)

    def serve(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a connection's work until it is done, or the network is."""
        task = asyncio.create_task(work, name="phone_network.connection")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def admit(self, connection: Connection, payload: Any) -> None:
        """The handshake is done: `payload` says whether it wants to register or to log in."""
        if payload.HasField("devicePairingData"):
            self.registration.offer(connection, payload.devicePairingData)
        else:
            login.log_in(self, connection, payload)

    def forget(self, connection: Connection) -> None:
        """Its socket is gone."""
        self.registration.forget(connection)
        self.pairing_codes.forget(connection)
        device = connection.logged_in_as
        if device and device.connection is connection:
            device.connection = None
            self.connections.pop((device.account, device.number), None)
            device.account.watch.changed()

    async def dispatch(self, connection: Connection, node: Node) -> None:
        await dispatch(self, connection, node)
