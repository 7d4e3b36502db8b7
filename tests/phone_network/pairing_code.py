"""Linking by a code of eight characters, typed into the phone.

companion_hello (its one-time key, wrapped with the code) → a reference
the phone's owner types the code → notification (the phone's one-time key, wrapped alike, and its identity)
companion_finish (both identities and a random part, sealed for the phone) → the shared secret → as with a QR
"""

import asyncio
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.phone_network.accounts import Account, Device
from tests.phone_network.connection import SERVER, Connection, IqError, give_up
from tests.phone_network.linking import Applicant, LinkFailed, link
from tests.phone_network.node import Attribute, Node
from tests.phone_network.signal.keys import KeyPair

if TYPE_CHECKING:
    from tests.phone_network.network import WhatsApp

ROUNDS = 131_072
REGISTRATION = "link_code_companion_reg"


@dataclass
class _Request:
    """A client that shows a code."""

    account: Account
    applicant: Applicant
    reference: bytes
    wrapped_key: bytes
    finished: asyncio.Future[Node]


class PairingCodes:
    """Who is showing a code for which number: the latest counts."""

    def __init__(self, network: "WhatsApp") -> None:
        self._network = network
        self._requests: dict[Account, _Request] = {}

    def install(self) -> None:
        self._network.iq["md", "set", REGISTRATION] = self._take

    def find(self, account: Account) -> bool:
        return account in self._requests

    def forget(self, connection: Connection) -> None:
        for account, request in list(self._requests.items()):
            if request.applicant.connection is connection:
                give_up(request.finished, LinkFailed("the client went away before the code was entered"))
                del self._requests[account]

    async def enter(self, account: Account, code: str) -> Device:
        request = self._requests.get(account)
        if not request:
            raise LinkFailed("nobody has asked for a pairing code for this number")
        code = code.replace("-", "").upper()
        one_time = KeyPair.generate()
        companion_key = _unwrap(code, request.wrapped_key)
        request.applicant.connection.send(self._notification(request, _wrap(code, one_time.public)))
        finish = await request.finished
        secret = _agree(account, request, one_time.agree(companion_key), finish)
        del self._requests[account]
        return await link(self._network, account, request.applicant, secret)

    def _notification(self, request: _Request, wrapped_key: bytes) -> Node:
        children = [
            Node("link_code_pairing_wrapped_primary_ephemeral_pub", {}, wrapped_key),
            Node("primary_identity_pub", {}, request.account.keys.identity.public),
            Node("link_code_pairing_ref", {}, request.reference),
        ]
        attrs: dict[str, Attribute] = {
            "from": SERVER,
            "type": REGISTRATION,
            "id": request.applicant.connection.next_id(),
            "t": self._network.timestamp(),
        }
        return Node("notification", attrs, [Node(REGISTRATION, {"stage": "primary_hello"}, children)])

    async def _take(self, connection: Connection, node: Node) -> Node | None:
        content = node.children[0]
        account = self._network.account_of(content.jid("jid"))
        applicant = self._network.registration.find(connection)
        if not (account and applicant):
            raise IqError(400, "bad-request")
        if content.attr("stage") == "companion_finish":
            request = self._requests.get(account)
            if not request or request.finished.done():
                raise IqError(404, "item-not-found")
            request.finished.set_result(content)
            return None
        return self._begin(account, applicant, content)

    def _begin(self, account: Account, applicant: Applicant, hello: Node) -> Node:
        wrapped = hello.find("link_code_pairing_wrapped_companion_ephemeral_pub")
        if not wrapped:
            raise IqError(400, "bad-request")
        reference = secrets.token_urlsafe(16).encode()
        finished: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        self._requests[account] = _Request(account, applicant, reference, wrapped.data, finished)
        account.watch.changed()
        return Node(
            REGISTRATION, {"stage": "companion_hello"}, [Node("link_code_pairing_ref", {}, reference)]
        )


def _wrap(code: str, public: bytes) -> bytes:
    """salt, iv, and the key under what the code gives."""
    salt, iv = secrets.token_bytes(32), secrets.token_bytes(16)
    return salt + iv + _turn(code, salt, iv, public)


def _unwrap(code: str, wrapped: bytes) -> bytes:
    return _turn(code, wrapped[:32], wrapped[32:48], wrapped[48:80])


def _turn(code: str, salt: bytes, iv: bytes, key: bytes) -> bytes:
    """AES in counter mode: the same both ways."""
    stretched = hashlib.pbkdf2_hmac("sha256", code.encode(), salt, ROUNDS)
    return Cipher(algorithms.AES(stretched), modes.CTR(iv)).encryptor().update(key)


def _agree(account: Account, request: _Request, shared: bytes, finish: Node) -> bytes:
    """The secret that vouches for the companion. Raises LinkFailed when the code was another."""
    bundle = finish.find("link_code_pairing_wrapped_key_bundle")
    sealed = bundle.data if bundle else b""
    salt, nonce, ciphertext = sealed[:32], sealed[32:44], sealed[44:]
    key = _derive(shared, b"link_code_pairing_key_bundle_encryption_key", salt)
    try:
        opened = AESGCM(key).decrypt(nonce, ciphertext, None)
    except InvalidTag:
        raise LinkFailed("the pairing code is wrong") from None
    companion, primary, random = opened[:32], opened[32:64], opened[64:]
    identity = account.keys.identity
    if (companion, primary) != (request.applicant.prekeys.identity, identity.public):
        raise LinkFailed("the client sealed other identities than those on the line")
    return _derive(shared + identity.agree(companion) + random, b"adv_secret")


def _derive(secret: bytes, info: bytes, salt: bytes | None = None) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)
