"""The keys of one device: an identity, a signed prekey, one-time prekeys, and what of them strangers may see.

Keys are the 32 raw bytes of Curve25519; `typed()` puts the type byte 05 in front, as signatures, MACs and Signal's own
messages want it. Stanzas of WhatsApp carry them without it.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import xeddsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

KEY_TYPE = b"\x05"
LAST_PREKEY_ID = 0xFF_FFFF


def typed(public: bytes) -> bytes:
    return KEY_TYPE + public


def untyped(public: bytes) -> bytes:
    """The 32 bytes of a key that may carry its type. Raises ValueError for anything else."""
    if len(public) == 33 and public[:1] == KEY_TYPE:
        return public[1:]
    if len(public) == 32:
        return public
    raise ValueError(f"not a Curve25519 key: {len(public)} bytes")


@dataclass(frozen=True)
class KeyPair:
    """A Curve25519 key pair."""

    private: bytes = field(repr=False)
    public: bytes

    @classmethod
    def generate(cls) -> "KeyPair":
        return cls.of(secrets.token_bytes(32))

    @classmethod
    def of(cls, private: bytes) -> "KeyPair":
        return cls(private, X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw())

    def agree(self, public: bytes) -> bytes:
        """The secret that both sides share. Raises ValueError for a key of small order."""
        return X25519PrivateKey.from_private_bytes(self.private).exchange(
            X25519PublicKey.from_public_bytes(public)
        )

    def sign(self, message: bytes) -> bytes:
        """XEdDSA: the pair is turned to the sign that verifiers assume, so the 64 bytes need no sign bit."""
        return xeddsa.ed25519_priv_sign(xeddsa.priv_force_sign(self.private, set_sign_bit=False), message)


IdentityKeyPair = KeyPair


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the holder of a Curve25519 key signed this, the sign of their Edwards key being the signature's top bit."""
    if len(signature) != 64:
        return False
    ed25519 = xeddsa.curve25519_pub_to_ed25519_pub(public, set_sign_bit=bool(signature[63] & 0x80))
    return xeddsa.ed25519_verify(signature[:63] + bytes([signature[63] & 0x7F]), ed25519, message)


@dataclass(frozen=True)
class PreKey:
    """A one-time key: whoever opens a session with it uses it up."""

    id: int
    pair: KeyPair


@dataclass(frozen=True)
class SignedPreKey:
    """The key that opens a session together with a prekey, or alone when prekeys have run out."""

    id: int
    pair: KeyPair
    signature: bytes

    @classmethod
    def generate(cls, identity: IdentityKeyPair, id: int = 1) -> "SignedPreKey":
        pair = KeyPair.generate()
        return cls(id, pair, identity.sign(typed(pair.public)))


@dataclass(frozen=True)
class PreKeyBundle:
    """What a stranger gets of a device to open a session with it: public halves only."""

    registration_id: int
    identity: bytes
    signed_prekey_id: int
    signed_prekey: bytes
    signature: bytes
    prekey_id: int | None = None
    prekey: bytes | None = None

    def is_genuine(self) -> bool:
        return verify(self.identity, typed(self.signed_prekey), self.signature)


@dataclass
class DeviceKeys:
    """A device's own keys. Prekeys are made as they are asked for: `bundle()` is what an `encrypt get key` answers."""

    identity: IdentityKeyPair
    registration_id: int
    signed_prekey: SignedPreKey
    prekeys: dict[int, PreKey] = field(default_factory=dict)
    next_prekey_ids: Iterator[int] = field(default_factory=lambda: count(1), repr=False)

    @classmethod
    def generate(cls) -> "DeviceKeys":
        identity = IdentityKeyPair.generate()
        return cls(identity, secrets.randbelow(0x3FFF) + 1, SignedPreKey.generate(identity))

    def new_prekey(self) -> PreKey:
        prekey = PreKey(next(self.next_prekey_ids) % LAST_PREKEY_ID, KeyPair.generate())
        self.prekeys[prekey.id] = prekey
        return prekey

    def bundle(self, *, with_prekey: bool = True) -> PreKeyBundle:
        """For one stranger: every call hands out a new one-time prekey."""
        prekey = self.new_prekey() if with_prekey else None
        return PreKeyBundle(
            registration_id=self.registration_id,
            identity=self.identity.public,
            signed_prekey_id=self.signed_prekey.id,
            signed_prekey=self.signed_prekey.pair.public,
            signature=self.signed_prekey.signature,
            prekey_id=prekey.id if prekey else None,
            prekey=prekey.pair.public if prekey else None,
        )
