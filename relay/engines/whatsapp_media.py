"""Files at WhatsApp: sealed by a key that only the message carries.

    media key ──HKDF, by kind──► iv(16) | cipher key(32) | mac key(32)
    at WhatsApp: AES-256-CBC of the file | first 10 bytes of HMAC-SHA256(mac key, iv | ciphertext)

A file is opened as it comes. What `Opener` hands out before `finish` has returned is not proven yet: it must not be shown to
anybody. Facts from whatsmeow's download.go.
"""

import hashlib
import hmac
from typing import Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.padding import PKCS7
from msgspec import Struct

from relay.engines.engine import MediaRef
from relay.model.errors import RelayError

Kind = Literal["image", "audio", "video", "document", "sticker"]

MAC_BYTES = 10
BLOCK_BYTES = 16
OVERHEAD_BYTES = MAC_BYTES + BLOCK_BYTES
"""How much longer than the file its sealed form is, at most."""
_INFO: dict[Kind, bytes] = {
    "image": b"WhatsApp Image Keys",
    "audio": b"WhatsApp Audio Keys",
    "video": b"WhatsApp Video Keys",
    "document": b"WhatsApp Document Keys",
    "sticker": b"WhatsApp Image Keys",
}


class MediaDamaged(RelayError):
    """The bytes are not those that the message speaks of."""

    code = "media_damaged"


class _Keys(Struct, frozen=True):
    iv: bytes
    cipher: bytes
    mac: bytes


def _expand(key: bytes, kind: Kind) -> _Keys:
    expanded = HKDF(hashes.SHA256(), length=112, salt=None, info=_INFO[kind]).derive(key)
    return _Keys(expanded[:16], expanded[16:48], expanded[48:80])


class Opener:
    """Opens one file as it comes: `update` with each chunk, then `finish`."""

    def __init__(self, ref: MediaRef) -> None:
        keys = _expand(ref.key, ref.kind)
        self._ref = ref
        self._decryptor = Cipher(AES(keys.cipher), CBC(keys.iv)).decryptor()
        self._unpadder = PKCS7(BLOCK_BYTES * 8).unpadder()
        self._mac = hmac.new(keys.mac, keys.iv, hashlib.sha256)
        self._sealed, self._plain = hashlib.sha256(), hashlib.sha256()
        self._tail = b""

    def update(self, chunk: bytes) -> bytes:
        """What could be opened so far."""
        self._sealed.update(chunk)
        # The last ten bytes are no ciphertext, and only the end tells which are the last.
        held = self._tail + chunk
        ciphertext, self._tail = held[:-MAC_BYTES], held[-MAC_BYTES:]
        self._mac.update(ciphertext)
        return self._hand_out(self._unpadder.update(self._decryptor.update(ciphertext)))

    def finish(self) -> bytes:
        """The rest. Raises MediaDamaged unless all of it is what was promised."""
        if not hmac.compare_digest(self._sealed.digest(), self._ref.encrypted_sha256):
            raise MediaDamaged("The file at WhatsApp is not the one that was sent.")
        if not hmac.compare_digest(self._mac.digest()[:MAC_BYTES], self._tail):
            raise MediaDamaged("The file's authentication code is wrong.")
        try:
            self._decryptor.finalize()
            rest = self._hand_out(self._unpadder.finalize())
        except ValueError:
            raise MediaDamaged("The file cannot be opened with the message's key.") from None
        if not hmac.compare_digest(self._plain.digest(), self._ref.sha256):
            raise MediaDamaged("The opened file is not the one that was sent.")
        return rest

    def _hand_out(self, plain: bytes) -> bytes:
        self._plain.update(plain)
        return plain
