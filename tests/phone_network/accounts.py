"""An account of the stand-in: a phone's number, its LID and keys, the companions linked to it, and what goes wrong with it.

account = network.new_account(phone="5511999990001")
device = await account.scan(qr_text)        # or account.enter_code("ABCD-EFGH")
await account.connected()
account.drop()                              # and the other faults
"""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.phone_network.faults import Faults
from tests.phone_network.node import Jid, Node
from tests.phone_network.signal.keys import DeviceKeys, PreKeyBundle
from tests.phone_network.watch import DEFAULT_SECONDS, Watch

if TYPE_CHECKING:
    from tests.phone_network.connection import Connection
    from tests.phone_network.network import WhatsApp

# How the client names what it has received: its class, id, sender and participant.
StanzaKey = tuple[str, str, str, str]


@dataclass
class PreKeys:
    """What a companion has uploaded: public halves, by their ids."""

    registration_id: int = 0
    identity: bytes = b""
    signed_prekey_id: int = 0
    signed_prekey: bytes = b""
    signature: bytes = b""
    one_time: deque[tuple[int, bytes]] = field(default_factory=deque)

    def take_bundle(self) -> PreKeyBundle:
        """What a stranger gets to open a session; uses up a one-time prekey while there are any."""
        prekey_id, prekey = self.one_time.popleft() if self.one_time else (None, None)
        return PreKeyBundle(
            registration_id=self.registration_id,
            identity=self.identity,
            signed_prekey_id=self.signed_prekey_id,
            signed_prekey=self.signed_prekey,
            signature=self.signature,
            prekey_id=prekey_id,
            prekey=prekey,
        )


@dataclass(eq=False)
class Device:
    """A companion that was linked: the client under test. Device 0 is the phone and is not one of these."""

    account: "Account"
    number: int
    # The static Noise key, which is what it logs in with.
    noise_key: bytes
    prekeys: PreKeys
    # ADVSignedDeviceIdentity with both signatures, as the client sends it along with its first messages.
    signed_identity: bytes = b""
    platform: str = ""
    # Sent or to be sent, not acknowledged by the client: comes (again) with the next login.
    pending: dict[StanzaKey, Node] = field(default_factory=dict, repr=False)
    connection: "Connection | None" = field(default=None, repr=False)
    # How often it logged in while it was connected already: two programs with one account.
    replaced: int = 0

    @property
    def jid(self) -> Jid:
        return Jid(self.account.pn.user, self.account.pn.server, self.number)

    @property
    def lid(self) -> Jid:
        return Jid(self.account.lid.user, self.account.lid.server, self.number)

    @property
    def identity(self) -> bytes:
        return self.prekeys.identity

    @property
    def is_connected(self) -> bool:
        """Whether it has logged in and said that it is active."""
        return self.connection is not None and self.connection.is_active


@dataclass(eq=False)
class Account:
    """A phone with its number. `keys` are those of the phone itself, the primary device."""

    network: "WhatsApp" = field(repr=False)
    pn: Jid
    lid: Jid
    name: str = ""
    # What the phone is called as a platform: android, iphone, smba (business).
    platform: str = "android"
    keys: DeviceKeys = field(default_factory=DeviceKeys.generate, repr=False)
    devices: dict[int, Device] = field(default_factory=dict, repr=False)
    faults: Faults = field(default_factory=Faults)
    # WhatsApp asks some accounts for a passkey before it links anything to them.
    needs_passkey: bool = False
    watch: Watch = field(default_factory=Watch, repr=False)
    next_device: int = 1

    async def scan(self, qr_text: str) -> Device:
        """Link whoever shows this QR code. Raises LinkFailed when it has expired or the client refuses."""
        return await self.network.registration.scan(self, qr_text)

    async def code_wanted(self, *, within_seconds: float = DEFAULT_SECONDS) -> None:
        """Until a client has asked for a pairing code for this number."""
        codes = self.network.pairing_codes
        await self.watch.until(
            lambda: codes.find(self), "a client asks for a pairing code", within_seconds=within_seconds
        )

    async def enter_code(self, code: str) -> Device:
        """Link whoever shows this pairing code. Raises LinkFailed when nobody asked for one or it is wrong."""
        return await self.network.pairing_codes.enter(self, code)

    def unlink(self, device: Device) -> None:
        """Remove a companion, as from the phone's list of linked devices."""
        self.devices.pop(device.number, None)
        if device.connection:
            device.connection.end("401", Node("conflict", {"type": "device_removed"}))

    @property
    def connections(self) -> "list[Connection]":
        return [device.connection for device in self.devices.values() if device.connection]

    async def connected(
        self, device: Device | None = None, *, within_seconds: float = DEFAULT_SECONDS
    ) -> Device:
        """Until a companion (or that one) is connected."""

        def find() -> Device | None:
            wanted = [device] if device else self.devices.values()
            return next((one for one in wanted if one.is_connected), None)

        await self.watch.until(find, f"{self.pn} is connected", within_seconds=within_seconds)
        found = find()
        assert found
        return found

    async def disconnected(self, *, within_seconds: float = DEFAULT_SECONDS) -> None:
        """Until no companion has a connection."""
        await self.watch.until(
            lambda: not self.connections, f"{self.pn} is disconnected", within_seconds=within_seconds
        )

    async def acknowledged(
        self, device: Device | None = None, *, within_seconds: float = DEFAULT_SECONDS
    ) -> None:
        """Until the companions have acknowledged all that was sent to them."""

        def is_done() -> bool:
            return not any(one.pending for one in ([device] if device else self.devices.values()))

        await self.watch.until(
            is_done, f"{self.pn} has acknowledged everything", within_seconds=within_seconds
        )

    def drop(self) -> None:
        """Cut its connections, as a network does."""
        for connection in self.connections:
            connection.abort()

    def end(self, code: str, *children: Node) -> None:
        """End its connections with a stream error: 503, 500, or one that nobody knows."""
        for connection in self.connections:
            connection.end(code, *children)

    def replace(self) -> None:
        """As if another process had opened the same device."""
        for connection in self.connections:
            connection.end("", Node("conflict", {"type": "replaced"}))

    def refuse_with(self, reason: int, /, **attrs: str) -> None:
        """Answer its next logins with this failure code until `accept()`: 401 402 403 405 406 409 415 500 503.

        402 takes `code` and `expire` (seconds) along, 403 `logout_message_header` and the like.
        """
        self.faults.refusal = {"reason": str(reason), **attrs}

    def accept(self) -> None:
        self.faults.refusal = None

    def go_silent(self) -> None:
        """A black hole: its connections stay, nothing comes in or goes out any more. The next ones work."""
        for connection in self.connections:
            connection.go_silent()

    def speak_again(self) -> None:
        """The silence ends: what was held up goes on, both ways."""
        for connection in self.connections:
            connection.speak_again()

    def withhold_acks(self) -> None:
        """Take its messages and answer none."""
        self.faults.acks = "withheld"

    def delay_acks(self, seconds: float) -> None:
        self.faults.acks = float(seconds)

    def hold_acks(self) -> None:
        """Take its messages, and answer them at `give_acks()`."""
        self.faults.acks = "held"

    def refuse_messages(self, error: int, *, times: int | None = None) -> None:
        """Acknowledge its next messages with an error, such as 463 or 479. They are not passed on."""
        self.faults.acks, self.faults.refusals_left = error, times

    def give_acks(self) -> None:
        self.faults.acks = None
        held, self.faults.held = self.faults.held, []
        for answer in held:
            answer()
