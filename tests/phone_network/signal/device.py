"""A device as Signal sees it: its keys, its sessions with other devices, and the sender keys of its groups.

Sessions are found by an address, any text that names the other device. Two devices may open sessions with each other
at the same moment: both are kept, the one that carried a message last is written on, the others can still be read.
"""

from dataclasses import dataclass, field

from tests.phone_network.signal.errors import Malformed, NoSenderKey, NoSession, Undecryptable
from tests.phone_network.signal.groups import OwnSenderKey, TheirSenderKey
from tests.phone_network.signal.keys import DeviceKeys, PreKeyBundle
from tests.phone_network.signal.session import Session, accept_session, open_session
from tests.phone_network.signal.wire import (
    PreKeySignalMessage,
    SenderKeyDistribution,
    SenderKeyMessage,
    SignalMessage,
)

MOST_SESSIONS = 40
MOST_SENDER_KEYS = 5


@dataclass
class SignalDevice:
    """What one device knows. Plaintexts are as they are: WhatsApp's padding is the caller's."""

    keys: DeviceKeys = field(default_factory=DeviceKeys.generate)
    sessions: dict[str, list[Session]] = field(default_factory=dict)
    own_sender_keys: dict[str, OwnSenderKey] = field(default_factory=dict)
    sender_keys: dict[tuple[str, str], list[TheirSenderKey]] = field(default_factory=dict)

    def has_session(self, address: str) -> bool:
        return bool(self.sessions.get(address))

    def open_session(self, address: str, bundle: PreKeyBundle) -> None:
        """From now on messages to that device go over a new session. Raises UntrustedBundle."""
        self._write_on(address, open_session(self.keys, bundle))

    def forget(self, address: str) -> None:
        """No session with that device was ever there: what a phone does that was set up anew."""
        self.sessions.pop(address, None)

    def encrypt(self, address: str, plaintext: bytes) -> tuple[str, bytes]:
        """The ciphertext and its kind, `pkmsg` or `msg`. Raises NoSession."""
        if not self.has_session(address):
            raise NoSession(f"no session with {address}")
        return self.sessions[address][0].encrypt(plaintext)

    def decrypt(self, address: str, kind: str, ciphertext: bytes) -> bytes:
        """The plaintext of a `pkmsg` or `msg`. Raises Undecryptable; nothing has changed then."""
        if kind == "pkmsg":
            return self._decrypt_opening(address, PreKeySignalMessage.decode(ciphertext))
        if kind == "msg":
            return self._decrypt_running(address, SignalMessage.decode(ciphertext))
        raise Malformed(f"{kind} is not a kind of message between two devices")

    def _decrypt_opening(self, address: str, opening: PreKeySignalMessage) -> bytes:
        message = SignalMessage.decode(opening.message)
        if any(session.base_key == opening.base_key for session in self.sessions.get(address, [])):
            return self._decrypt_running(address, message)
        session = accept_session(self.keys, opening)
        plaintext = session.decrypt(message)
        if opening.prekey_id is not None:
            del self.keys.prekeys[opening.prekey_id]
        self._write_on(address, session)
        return plaintext

    def _decrypt_running(self, address: str, message: SignalMessage) -> bytes:
        reason: Undecryptable = NoSession(f"no session with {address}")
        for session in list(self.sessions.get(address, [])):
            try:
                plaintext = session.decrypt(message)
            except Undecryptable as error:
                reason = error
                continue
            self._write_on(address, session)
            return plaintext
        raise reason

    def _write_on(self, address: str, session: Session) -> None:
        others = [other for other in self.sessions.get(address, []) if other is not session]
        self.sessions[address] = [session, *others][:MOST_SESSIONS]

    def sender_key(self, group: str) -> OwnSenderKey:
        """Our own chain in a group, started when it is asked for first."""
        return self.own_sender_keys.setdefault(group, OwnSenderKey.generate())

    def learn_sender_key(self, group: str, sender: str, distribution: bytes) -> None:
        """A chain that is known goes on from where it is: who sends on an older one is not read."""
        known = self.sender_keys.setdefault((group, sender), [])
        told = TheirSenderKey.of(SenderKeyDistribution.decode(distribution))
        same = next((one for one in known if one.is_of(told)), told)
        known[:] = [same, *(one for one in known if one is not same)][:MOST_SENDER_KEYS]

    def decrypt_group(self, group: str, sender: str, ciphertext: bytes) -> bytes:
        """The plaintext of a `skmsg`. Raises Undecryptable; nothing has changed then."""
        message = SenderKeyMessage.decode(ciphertext)
        for sender_key in self.sender_keys.get((group, sender), []):
            if sender_key.key_id == message.key_id:
                return sender_key.decrypt(message)
        raise NoSenderKey(f"{sender} never told us their key of {group}")
