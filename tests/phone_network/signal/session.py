"""A session of two devices: X3DH opens it, the double ratchet turns it.

opener                                                     the other
open_session(bundle)
  agrees on a root with the bundle (X3DH),
  turns the ratchet once: a chain to send on
encrypt ───────── PreKeySignalMessage, until an answer ──►  accept_session(message): the same root
                                                            decrypt: turns twice: a chain to read, a chain to send on
decrypt ◄──────────────────── SignalMessage ──────────────  encrypt
  (turns twice again whenever the other's ratchet key is new)
"""

from dataclasses import dataclass, field
from hmac import compare_digest

from tests.phone_network.signal.chain import Chain, Link, MessageKeys
from tests.phone_network.signal.errors import BadMac, UnknownPreKey, UntrustedBundle
from tests.phone_network.signal.kdf import decrypt_cbc, encrypt_cbc, hkdf, mac
from tests.phone_network.signal.keys import DeviceKeys, KeyPair, PreKeyBundle, typed
from tests.phone_network.signal.wire import MAC_BYTES, PreKeySignalMessage, SignalMessage

DISCONTINUITY = b"\xff" * 32
MOST_READING_CHAINS = 5


@dataclass(frozen=True)
class Opening:
    """What goes with each message until the other side has answered."""

    base_key: bytes
    prekey_id: int | None
    signed_prekey_id: int


@dataclass
class Session:
    """One session's state; a device may hold several with the same other, see `device.py`."""

    ours: bytes
    theirs: bytes
    registration_id: int
    base_key: bytes
    root_key: bytes
    ratchet: KeyPair
    sending: Chain[MessageKeys]
    reading: dict[bytes, Chain[MessageKeys]] = field(default_factory=dict)
    previous_counter: int = 0
    opening: Opening | None = None

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """The ciphertext with its kind: `pkmsg` until the other side has answered, then `msg`."""
        counter, keys = self.sending.step()
        body = encrypt_cbc(keys.cipher_key, keys.iv, plaintext)
        message = SignalMessage(self.ratchet.public, counter, self.previous_counter, body)
        signed = message.signed
        whole = signed + self._mac(keys, signed, sender=self.ours, receiver=self.theirs)
        if self.opening is None:
            return "msg", whole
        return "pkmsg", PreKeySignalMessage(
            registration_id=self.registration_id,
            prekey_id=self.opening.prekey_id,
            signed_prekey_id=self.opening.signed_prekey_id,
            base_key=self.opening.base_key,
            identity=self.ours,
            message=whole,
        ).encode()

    def decrypt(self, message: SignalMessage) -> bytes:
        """The plaintext. The session is as it was when this raises Undecryptable."""
        turned = self.reading.get(message.ratchet_key)
        root_key, chain = (
            (self.root_key, turned) if turned else turn(self.root_key, message.ratchet_key, self.ratchet)
        )
        keys = chain.peek(message.counter)
        if not compare_digest(
            message.mac, self._mac(keys, message.signed, sender=self.theirs, receiver=self.ours)
        ):
            raise BadMac("the MAC does not fit the message")
        plaintext = decrypt_cbc(keys.cipher_key, keys.iv, message.body)
        if turned is None:
            self._answer(root_key, message.ratchet_key, chain)
        chain.advance(message.counter)
        self.opening = None
        return plaintext

    def _answer(self, root_key: bytes, theirs: bytes, chain: Chain[MessageKeys]) -> None:
        """Their ratchet turned: keep the chain to read, and turn ours."""
        self.reading[theirs] = chain
        while len(self.reading) > MOST_READING_CHAINS:
            del self.reading[next(iter(self.reading))]
        self.previous_counter = max(self.sending.link.index - 1, 0)
        self.ratchet = KeyPair.generate()
        self.root_key, self.sending = turn(root_key, theirs, self.ratchet)

    @staticmethod
    def _mac(keys: MessageKeys, signed: bytes, *, sender: bytes, receiver: bytes) -> bytes:
        return mac(keys.mac_key, typed(sender) + typed(receiver) + signed)[:MAC_BYTES]


def open_session(own: DeviceKeys, bundle: PreKeyBundle) -> Session:
    """A session with the owner of a bundle. Raises UntrustedBundle when its signature is not its identity's."""
    if not bundle.is_genuine():
        raise UntrustedBundle("the signed prekey is not signed by the identity")
    base, ratchet = KeyPair.generate(), KeyPair.generate()
    secrets = [
        own.identity.agree(bundle.signed_prekey),
        base.agree(bundle.identity),
        base.agree(bundle.signed_prekey),
        *([base.agree(bundle.prekey)] if bundle.prekey else []),
    ]
    root_key, first = _agreed(secrets)
    turned_root, sending = turn(root_key, bundle.signed_prekey, ratchet)
    return Session(
        ours=own.identity.public,
        theirs=bundle.identity,
        registration_id=own.registration_id,
        base_key=base.public,
        root_key=turned_root,
        ratchet=ratchet,
        sending=sending,
        reading={bundle.signed_prekey: first},
        opening=Opening(base.public, bundle.prekey_id, bundle.signed_prekey_id),
    )


def accept_session(own: DeviceKeys, message: PreKeySignalMessage) -> Session:
    """The other end of a session that somebody opened with our bundle. Raises UnknownPreKey when it is not ours."""
    if message.signed_prekey_id != own.signed_prekey.id:
        raise UnknownPreKey(f"signed prekey {message.signed_prekey_id} is not ours")
    if message.prekey_id is not None and message.prekey_id not in own.prekeys:
        raise UnknownPreKey(f"prekey {message.prekey_id} is used up or was never ours")
    secrets = [
        own.signed_prekey.pair.agree(message.identity),
        own.identity.agree(message.base_key),
        own.signed_prekey.pair.agree(message.base_key),
    ]
    if message.prekey_id is not None:
        secrets.append(own.prekeys[message.prekey_id].pair.agree(message.base_key))
    root_key, sending = _agreed(secrets)
    return Session(
        ours=own.identity.public,
        theirs=message.identity,
        registration_id=own.registration_id,
        base_key=message.base_key,
        root_key=root_key,
        ratchet=own.signed_prekey.pair,
        sending=sending,
    )


def _agreed(secrets: list[bytes]) -> tuple[bytes, Chain[MessageKeys]]:
    secret = hkdf(DISCONTINUITY + b"".join(secrets), info=b"WhisperText", length=64)
    return secret[:32], Chain(Link(secret[32:], 0), MessageKeys.of)


def turn(root_key: bytes, theirs: bytes, ours: KeyPair) -> tuple[bytes, Chain[MessageKeys]]:
    """The next root, and the chain that both sides reach from here with one ratchet key each."""
    secret = hkdf(ours.agree(theirs), salt=root_key, info=b"WhisperRatchet", length=64)
    return secret[:32], Chain(Link(secret[32:], 0), MessageKeys.of)
