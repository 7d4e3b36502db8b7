"""Files at WhatsApp: opened as they come, and proven to be those that were sent."""

import hashlib
import hmac
import os
from collections.abc import Iterator
from typing import get_args

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from relay.engines.engine import MediaRef
from relay.engines.whatsapp_media import OVERHEAD_BYTES, Kind, MediaDamaged, Opener
from tests.media_files import PLAIN, file_of, open_all, seal


def _expand(key: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 by RFC 5869, written out: 112 bytes without a salt."""
    inner = hmac.digest(bytes(32), key, "sha256")
    okm, block = b"", b""
    for number in range(1, 5):
        block = hmac.digest(inner, block + info + bytes([number]), "sha256")
        okm += block
    return okm[:112]


@pytest.mark.parametrize(
    ("kind", "info"),
    [
        ("image", b"WhatsApp Image Keys"),
        ("sticker", b"WhatsApp Image Keys"),
        ("audio", b"WhatsApp Audio Keys"),
        ("video", b"WhatsApp Video Keys"),
        ("document", b"WhatsApp Document Keys"),
    ],
)
def test_the_form_is_whatsapp_s(kind: Kind, info: bytes) -> None:
    """Against a second writing-down of the format: keys by kind, AES-CBC with PKCS#7, ten bytes of HMAC."""
    key = bytes(range(32))
    okm = _expand(key, info)
    padding = 16 - len(PLAIN) % 16
    encryptor = Cipher(algorithms.AES(okm[16:48]), modes.CBC(okm[:16])).encryptor()
    ciphertext = encryptor.update(PLAIN + bytes([padding]) * padding) + encryptor.finalize()
    expected = ciphertext + hmac.digest(okm[48:80], okm[:16] + ciphertext, "sha256")[:10]
    assert b"".join(seal([PLAIN], key=key, kind=kind)) == expected
    ref, _ = file_of(PLAIN, kind=kind, key=key)
    assert open_all(ref, expected) == PLAIN


def test_every_kind_has_keys() -> None:
    """None is forgotten."""
    for kind in get_args(Kind):
        ref, sealed = file_of(PLAIN, kind=kind)
        assert open_all(ref, sealed) == PLAIN


@settings(max_examples=150, deadline=None)
@given(size=st.integers(0, 200), cuts=st.lists(st.integers(1, 40), max_size=30))
def test_however_it_is_cut(size: int, cuts: list[int]) -> None:
    """Any size, in chunks of any length, opens to the same; the overhead is as announced."""
    plain = os.urandom(size)
    ref, sealed = file_of(plain)
    assert len(sealed) <= size + OVERHEAD_BYTES

    def chunks() -> Iterator[bytes]:
        left = sealed
        for cut in cuts:
            yield left[:cut]
            left = left[cut:]
        yield left

    assert open_all(ref, *chunks()) == plain


def _with(ref: MediaRef, sealed: bytes) -> MediaRef:
    """As a sender would describe other bytes."""
    return structs.replace(ref, encrypted_sha256=hashlib.sha256(sealed).digest())


REF, SEALED = file_of(PLAIN)
FLIPPED = bytes([SEALED[0] ^ 1]) + SEALED[1:]
OTHER_CODE = SEALED[:-1] + bytes([SEALED[-1] ^ 1])
WRONG = {
    "changed": (REF, FLIPPED),
    "cut": (REF, SEALED[:-16]),
    "empty": (REF, b""),
    "longer": (REF, SEALED + b"x"),
    "code wrong, hash right": (_with(REF, OTHER_CODE), OTHER_CODE),
    "ciphertext wrong, hash right": (_with(REF, FLIPPED), FLIPPED),
    "another key": (structs.replace(REF, key=bytes(32)), SEALED),
    "another kind": (structs.replace(REF, kind="video"), SEALED),
    "another file": (structs.replace(REF, sha256=bytes(32)), SEALED),
    "no hash": (structs.replace(REF, sha256=b""), SEALED),
    "no hash of the sealed": (structs.replace(REF, encrypted_sha256=b""), SEALED),
    "no key": (structs.replace(REF, key=b""), SEALED),
    "short, hash right": (_with(REF, b"short"), b"short"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_the_file_is_refused(case: str) -> None:
    """Changed on the way, cut short, empty; a wrong code, key or hash of the sender's: refused, whatever else fits."""
    with pytest.raises(MediaDamaged):
        open_all(*WRONG[case])


def test_the_end_is_held_back() -> None:
    """The last block is not handed out before all is proven."""
    ref, sealed = file_of(PLAIN)
    assert len(Opener(ref).update(sealed)) < len(PLAIN)
