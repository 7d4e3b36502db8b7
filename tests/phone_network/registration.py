"""Linking by QR: a client without a device gets references, shows them as QR codes, and the phone scans one."""

import base64
import secrets
from typing import TYPE_CHECKING, Any

from tests.phone_network.accounts import Account, Device
from tests.phone_network.connection import SERVER, Connection
from tests.phone_network.linking import Applicant, LinkFailed, link
from tests.phone_network.node import Attribute, Node

if TYPE_CHECKING:
    from tests.phone_network.network import WhatsApp

REFERENCES = 6


class Registration:
    """Who is showing which QR codes."""

    def __init__(self, network: "WhatsApp") -> None:
        self._network = network
        self._applicants: dict[Connection, Applicant] = {}
        self._references: dict[str, Applicant] = {}
        # The attributes of the <failure> that those get who want to be linked.
        self.refusal: dict[str, str] | None = None

    def offer(self, connection: Connection, data: Any) -> None:
        """A client wants to be linked: `data` is its devicePairingData."""
        if self.refusal:
            connection.fail(self.refusal)
            return
        applicant = self._applicants[connection] = Applicant.of(connection, data)
        references = [f"2@{secrets.token_urlsafe(48)}" for _ in range(REFERENCES)]
        self._references |= dict.fromkeys(references, applicant)
        children = [Node("ref", {}, reference.encode()) for reference in references]
        attrs: dict[str, Attribute] = {
            "from": SERVER,
            "type": "set",
            "xmlns": "md",
            "id": connection.next_id(),
        }
        connection.send(Node("iq", attrs, [Node("pair-device", {}, children)]))

    def find(self, connection: Connection) -> Applicant | None:
        return self._applicants.get(connection)

    def forget(self, connection: Connection) -> None:
        applicant = self._applicants.pop(connection, None)
        if applicant:
            self._references = {
                ref: other for ref, other in self._references.items() if other is not applicant
            }

    def give_up(self) -> None:
        """Nobody has scanned in time: WhatsApp hangs up."""
        for connection in list(self._applicants):
            connection.abort()

    async def scan(self, account: Account, qr_text: str) -> Device:
        try:
            reference, noise_key, identity, secret, _client = qr_text.partition("#")[2].split(",")
            keys = [base64.b64decode(key) for key in (noise_key, identity, secret)]
        except ValueError:
            raise LinkFailed("this QR code is not one for linking a device") from None
        applicant = self._references.get(reference)
        if not applicant:
            raise LinkFailed("this QR code has expired: whoever showed it has gone")
        if keys[:2] != [applicant.connection.noise_key, applicant.prekeys.identity]:
            raise LinkFailed("this QR code's keys are not those of the client that shows it")
        return await link(self._network, account, applicant, keys[2])
