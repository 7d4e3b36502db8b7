"""Sender keys: in a group everybody encrypts once, on a chain that they told each member beforehand."""

import secrets
from dataclasses import dataclass

from tests.phone_network.signal.chain import Chain, GroupKeys, Link
from tests.phone_network.signal.errors import BadMac
from tests.phone_network.signal.kdf import decrypt_cbc, encrypt_cbc
from tests.phone_network.signal.keys import KeyPair, verify
from tests.phone_network.signal.wire import SenderKeyDistribution, SenderKeyMessage


@dataclass
class OwnSenderKey:
    """The chain that we write on."""

    key_id: int
    signing: KeyPair
    chain: Chain[GroupKeys]

    @classmethod
    def generate(cls) -> "OwnSenderKey":
        chain = Chain(Link(secrets.token_bytes(32), 0), GroupKeys.of)
        return cls(secrets.randbelow(0x7FFF_FFFF), KeyPair.generate(), chain)

    def distribution(self) -> bytes:
        """What a member needs to read from the next message on."""
        link = self.chain.link
        return SenderKeyDistribution(self.key_id, link.index, link.key, self.signing.public).encode()

    def encrypt(self, plaintext: bytes) -> bytes:
        iteration, keys = self.chain.step()
        message = SenderKeyMessage(self.key_id, iteration, encrypt_cbc(keys.cipher_key, keys.iv, plaintext))
        return message.signed + self.signing.sign(message.signed)


@dataclass
class TheirSenderKey:
    """Somebody else's chain, as far as they told us."""

    key_id: int
    signing_key: bytes
    chain: Chain[GroupKeys]

    @classmethod
    def of(cls, distribution: SenderKeyDistribution) -> "TheirSenderKey":
        chain = Chain(Link(distribution.chain_key, distribution.iteration), GroupKeys.of)
        return cls(distribution.key_id, distribution.signing_key, chain)

    def is_of(self, other: "TheirSenderKey") -> bool:
        """Whether both are the same chain, at whatever place."""
        return (self.key_id, self.signing_key) == (other.key_id, other.signing_key)

    def decrypt(self, message: SenderKeyMessage) -> bytes:
        """The plaintext. The chain is as it was when this raises Undecryptable."""
        if not verify(self.signing_key, message.signed, message.signature):
            raise BadMac("the signature is not the sender's")
        keys = self.chain.peek(message.iteration)
        plaintext = decrypt_cbc(keys.cipher_key, keys.iv, message.body)
        self.chain.advance(message.iteration)
        return plaintext
