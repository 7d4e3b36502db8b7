"""The text of an API key: a prefix, 256 random bits, a checksum.

    relay_ 7Yq…43 characters… 0aXk2P
                              └ CRC-32 of what stands before it, in base 62

The checksum lets a mistyped or invented key be refused without asking the database; it proves nothing else. A
key is looked up by its SHA-256: 256 random bits need no slow hash.
"""

import hashlib
import secrets
from binascii import crc32

_PREFIX = "relay_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARS = 43
_CHECK_CHARS = 6
_HINT_CHARS = len(_PREFIX) + 4


def new_key() -> str:
    """A fresh key's text, to be shown once."""
    body = _PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))
    return body + _checksum(body)


def is_key(text: str) -> bool:
    """Whether `text` is spelled as `new_key` spells."""
    if len(text) != len(_PREFIX) + _RANDOM_CHARS + _CHECK_CHARS or not text.isascii():
        return False
    body, check = text[:-_CHECK_CHARS], text[-_CHECK_CHARS:]
    return body.startswith(_PREFIX) and _checksum(body) == check


def digest(text: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(text.encode()).digest()


def hint_of(text: str) -> str:
    """Enough of a key to recognise it in a list."""
    return text[:_HINT_CHARS] + "…"


def _checksum(body: str) -> str:
    value = crc32(body.encode())
    chars = []
    for _ in range(_CHECK_CHARS):
        value, digit = divmod(value, len(_ALPHABET))
        chars.append(_ALPHABET[digit])
    return "".join(reversed(chars))
