"""The symmetric half of Signal: HKDF and HMAC with SHA-256, AES-256 in CBC mode with PKCS#7, and WhatsApp's padding."""

import hmac
import secrets

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from tests.phone_network.signal.errors import Malformed

BLOCK_BYTES = 16
NO_SALT = bytes(32)


def mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def hkdf(secret: bytes, *, info: bytes, length: int, salt: bytes = NO_SALT) -> bytes:
    """RFC 5869."""
    key = mac(salt, secret)
    block, out = b"", b""
    while len(out) < length:
        block = mac(key, block + info + bytes([len(out) // 32 + 1]))
        out += block
    return out[:length]


def encrypt_cbc(key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    count = BLOCK_BYTES - len(plaintext) % BLOCK_BYTES
    encryptor = Cipher(AES(key), CBC(iv)).encryptor()
    return encryptor.update(plaintext + bytes([count]) * count) + encryptor.finalize()


def decrypt_cbc(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    if not ciphertext or len(ciphertext) % BLOCK_BYTES:
        raise Malformed("a ciphertext must be whole blocks")
    decryptor = Cipher(AES(key), CBC(iv)).decryptor()
    return unpad(decryptor.update(ciphertext) + decryptor.finalize())


def pad(plaintext: bytes) -> bytes:
    """WhatsApp hides a message's length: 1–16 bytes, each of their count."""
    count = secrets.randbelow(16) + 1
    return plaintext + bytes([count]) * count


def unpad(padded: bytes) -> bytes:
    """Takes the padding off, WhatsApp's and PKCS#7's alike."""
    count = padded[-1] if padded else 0
    if not 0 < count <= BLOCK_BYTES or not padded.endswith(bytes([count]) * count):
        raise Malformed("the padding does not count itself")
    return padded[:-count]
