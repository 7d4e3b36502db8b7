"""How files travel: sealed with a key that only the message carries, so that the media host stores what it cannot read.

A random media key of 32 bytes gives, by HKDF with the kind's own words, an IV, an AES-256-CBC key and a MAC key; the
file that is uploaded is ciphertext ‖ the first 10 bytes of HMAC-SHA256(IV ‖ ciphertext).
"""

import hmac
import secrets
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.padding import PKCS7

WORDS = {
    "image": b"WhatsApp Image Keys",
    "sticker": b"WhatsApp Image Keys",
    "video": b"WhatsApp Video Keys",
    "audio": b"WhatsApp Audio Keys",
    "document": b"WhatsApp Document Keys",
    "history": b"WhatsApp History Keys",
}
_MAC_BYTES = 10


@dataclass(frozen=True)
class SealedFile:
    """A file ready for the media host, and what a message says about it."""

    blob: bytes
    media_key: bytes
    file_sha256: bytes
    file_enc_sha256: bytes
    file_length: int


class UnreadableFile(Exception):
    """A file's hash, MAC or padding is not what its message promised."""


def seal(content: bytes, kind: str) -> SealedFile:
    """For the kinds in WORDS."""
    media_key = secrets.token_bytes(32)
    iv, cipher_key, mac_key = _keys(media_key, kind)
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(cipher_key), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize()
    blob = ciphertext + _mac(mac_key, iv + ciphertext)
    return SealedFile(blob, media_key, sha256(content).digest(), sha256(blob).digest(), len(content))


def open_sealed(blob: bytes, media_key: bytes, kind: str) -> bytes:
    """What was sealed. Raises UnreadableFile when it is not intact."""
    iv, cipher_key, mac_key = _keys(media_key, kind)
    ciphertext, mac = blob[:-_MAC_BYTES], blob[-_MAC_BYTES:]
    if not hmac.compare_digest(_mac(mac_key, iv + ciphertext), mac):
        raise UnreadableFile(f"the MAC of this {kind} does not fit")
    decryptor = Cipher(algorithms.AES256(cipher_key), modes.CBC(iv)).decryptor()
    unpadder = PKCS7(128).unpadder()
    try:
        return unpadder.update(decryptor.update(ciphertext) + decryptor.finalize()) + unpadder.finalize()
    except ValueError as error:
        raise UnreadableFile(f"the padding of this {kind} does not fit") from error


def _keys(media_key: bytes, kind: str) -> tuple[bytes, bytes, bytes]:
    expanded = HKDF(SHA256(), 112, salt=None, info=WORDS[kind]).derive(media_key)
    return expanded[:16], expanded[16:48], expanded[48:80]


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")[:_MAC_BYTES]
