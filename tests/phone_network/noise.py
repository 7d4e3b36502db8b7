"""The server's side of Noise_XX_25519_AESGCM_SHA256, as WhatsApp's clients speak it.

answer(ClientHello) → ServerHello        finish(ClientFinish) → payload, the client's static key, the ciphers
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.phone_network.certificates import Certificates
from tests.phone_network.protobufs import waWa6
from tests.phone_network.signal.keys import KeyPair

PATTERN = b"Noise_XX_25519_AESGCM_SHA256\x00\x00\x00\x00"
# What the client sends once before its first frame: WA, the protocol's version, the dictionary's version.
HEADER = b"WA\x06\x03"


class HandshakeFailed(Exception):
    """The client's handshake does not fit."""


class Ciphers:
    """After the handshake: a key for each direction, each frame under the next counter."""

    def __init__(self, *, incoming: bytes, outgoing: bytes) -> None:
        self._incoming, self._outgoing = AESGCM(incoming), AESGCM(outgoing)
        self._received = self._sent = 0

    def seal(self, plaintext: bytes) -> bytes:
        nonce = _nonce(self._sent)
        self._sent += 1
        return self._outgoing.encrypt(nonce, plaintext, None)

    def open(self, ciphertext: bytes) -> bytes:
        nonce = _nonce(self._received)
        self._received += 1
        try:
            return self._incoming.decrypt(nonce, ciphertext, None)
        except InvalidTag:
            raise HandshakeFailed("a frame that does not decrypt") from None


class Handshake:
    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        self._ephemeral = KeyPair.generate()
        self._symmetric = _Symmetric(hash=PATTERN, salt=PATTERN, cipher=AESGCM(PATTERN))
        self._symmetric.authenticate(HEADER)
        self.is_answered = False

    def answer(self, frame: bytes) -> bytes:
        hello = _parse(frame).clientHello
        if len(hello.ephemeral) != 32:
            raise HandshakeFailed("a ClientHello without its key")
        state, static = self._symmetric, self._certificates.static
        state.authenticate(hello.ephemeral)
        state.authenticate(self._ephemeral.public)
        state.mix(self._ephemeral.agree(hello.ephemeral))
        sealed_static = state.seal(static.public)
        state.mix(static.agree(hello.ephemeral))
        payload = state.seal(self._certificates.chain)
        self.is_answered = True
        answer = waWa6.HandshakeMessage()
        answer.serverHello.ephemeral = self._ephemeral.public
        answer.serverHello.static = sealed_static
        answer.serverHello.payload = payload
        return bytes(answer.SerializeToString())

    def finish(self, frame: bytes) -> tuple[Any, bytes, Ciphers]:
        """The ClientPayload, the client's static key and the ciphers of what follows."""
        finish = _parse(frame).clientFinish
        state = self._symmetric
        static = state.open(finish.static)
        state.mix(self._ephemeral.agree(static))
        payload = waWa6.ClientPayload.FromString(state.open(finish.payload))
        incoming, outgoing = state.split()
        return payload, static, Ciphers(incoming=incoming, outgoing=outgoing)


@dataclass
class _Symmetric:
    """The running hash, salt and key of a handshake."""

    hash: bytes
    salt: bytes
    cipher: AESGCM
    counter: int = 0

    def authenticate(self, data: bytes) -> None:
        self.hash = sha256(self.hash + data).digest()

    def mix(self, secret: bytes) -> None:
        self.salt, key = self._expand(secret)
        self.cipher = AESGCM(key)
        self.counter = 0

    def split(self) -> tuple[bytes, bytes]:
        """The keys of the client's and of the server's direction."""
        return self._expand(b"")

    def seal(self, plaintext: bytes) -> bytes:
        ciphertext = self.cipher.encrypt(self._next_nonce(), plaintext, self.hash)
        self.authenticate(ciphertext)
        return ciphertext

    def open(self, ciphertext: bytes) -> bytes:
        try:
            plaintext = self.cipher.decrypt(self._next_nonce(), ciphertext, self.hash)
        except InvalidTag:
            raise HandshakeFailed("a handshake that does not decrypt") from None
        self.authenticate(ciphertext)
        return plaintext

    def _next_nonce(self) -> bytes:
        nonce = _nonce(self.counter)
        self.counter += 1
        return nonce

    def _expand(self, secret: bytes) -> tuple[bytes, bytes]:
        keys = HKDF(algorithm=SHA256(), length=64, salt=self.salt, info=b"").derive(secret)
        return keys[:32], keys[32:]


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(12, "big")


def _parse(frame: bytes) -> Any:
    try:
        return waWa6.HandshakeMessage.FromString(frame)
    except Exception as error:
        raise HandshakeFailed(f"not a handshake message: {error}") from error
