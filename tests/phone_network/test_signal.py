"""Signal's messages among devices of the stand-in: what must be read is read, and what must not is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.phone_network.signal import kdf, wire
from tests.phone_network.signal.device import SignalDevice
from tests.phone_network.signal.errors import (
    BadMac,
    Malformed,
    NoSenderKey,
    NoSession,
    OldCounter,
    TooFarAhead,
    Undecryptable,
    UnknownPreKey,
    UntrustedBundle,
)
from tests.phone_network.signal.keys import KeyPair, PreKeyBundle, typed, untyped, verify

Sealed = tuple[str, bytes]


class Pair:
    """Two devices that call each other by name."""

    def __init__(self) -> None:
        self.devices = {"ann": SignalDevice(), "bob": SignalDevice()}

    def open(self, by: str, *, with_prekey: bool = True) -> None:
        other = self.other(by)
        bundle = self.devices[other].keys.bundle(with_prekey=with_prekey)
        self.devices[by].open_session(other, bundle)

    def other(self, name: str) -> str:
        return "bob" if name == "ann" else "ann"

    def seal(self, by: str, text: str) -> Sealed:
        return self.devices[by].encrypt(self.other(by), text.encode())

    def read(self, by: str, sealed: Sealed) -> str:
        return self.devices[by].decrypt(self.other(by), *sealed).decode()

    def talk(self, *names: str) -> None:
        for number, name in enumerate(names):
            assert self.read(self.other(name), self.seal(name, f"{number}")) == f"{number}"


@pytest.fixture
def pair() -> Pair:
    return Pair()


@pytest.mark.parametrize("with_prekey", [True, False])
def test_a_session_opens_and_both_sides_talk(pair: Pair, with_prekey: bool) -> None:
    """The first message opens the session, prekeys left or not; from the first answer on it is plain `msg`."""
    pair.open("ann", with_prekey=with_prekey)
    first, second = pair.seal("ann", "one"), pair.seal("ann", "two")
    assert (first[0], second[0]) == ("pkmsg", "pkmsg")
    assert [pair.read("bob", first), pair.read("bob", second)] == ["one", "two"]
    answer = pair.seal("bob", "three")
    assert answer[0] == "msg"
    assert pair.read("ann", answer) == "three"
    assert pair.seal("ann", "four")[0] == "msg"


def test_messages_out_of_order_over_many_turns(pair: Pair) -> None:
    """Latecomers of earlier turns of the ratchet are still read, once."""
    pair.open("ann")
    late = [pair.seal("ann", f"late {n}") for n in range(3)]
    pair.talk("ann", "bob", "ann", "bob")
    assert [pair.read("bob", sealed) for sealed in reversed(late)] == ["late 2", "late 1", "late 0"]
    with pytest.raises(OldCounter):
        pair.read("bob", late[1])


def test_the_newest_chains_only(pair: Pair) -> None:
    """A message from more turns ago than chains are kept is lost, and harms nothing."""
    pair.open("ann")
    pair.talk("ann", "bob")
    late = pair.seal("ann", "late")
    pair.talk(*["ann", "bob"] * 8)
    with pytest.raises(Undecryptable):
        pair.read("bob", late)
    pair.talk("ann", "bob", "ann")


def test_both_open_at_the_same_moment(pair: Pair) -> None:
    """Two sessions at once: everything on either is read, and the talk goes on over one."""
    pair.open("ann")
    pair.open("bob")
    from_ann, from_bob = pair.seal("ann", "a"), pair.seal("bob", "b")
    assert pair.read("ann", from_bob) == "b"
    assert pair.read("bob", from_ann) == "a"
    crossing = pair.seal("ann", "a2"), pair.seal("bob", "b2")
    assert pair.read("bob", crossing[0]) == "a2"
    assert pair.read("ann", crossing[1]) == "b2"
    pair.talk("ann", "bob", "bob", "ann", "bob")


def test_a_second_session_replaces_the_first(pair: Pair) -> None:
    """A device that lost its sessions opens a new one; what was under way on the old one is still read."""
    pair.open("ann")
    pair.talk("ann", "bob")
    under_way = pair.seal("bob", "under way")
    pair.open("ann")
    pair.talk("ann", "bob")
    assert pair.read("ann", under_way) == "under way"
    pair.devices["bob"].forget("ann")
    with pytest.raises(NoSession):
        pair.seal("bob", "to nobody")
    with pytest.raises(NoSession):
        pair.read("bob", pair.seal("ann", "to one who forgot"))
    pair.open("bob")
    pair.talk("bob", "ann")


def test_a_prekey_serves_once(pair: Pair) -> None:
    """The opening message can be read again by nobody, not even as a new session."""
    pair.open("ann")
    first = pair.seal("ann", "one")
    assert pair.read("bob", first) == "one"
    with pytest.raises(OldCounter):
        pair.read("bob", first)
    pair.devices["bob"].forget("ann")
    with pytest.raises(UnknownPreKey):
        pair.read("bob", first)


def test_a_changed_message_changes_nothing(pair: Pair) -> None:
    """A broken byte is refused, and the message itself is read afterwards."""
    pair.open("ann")
    pair.talk("ann", "bob")
    kind, whole = pair.seal("ann", "hello")
    for at in (len(whole) - 1, len(whole) - 12, 40):
        broken = bytearray(whole)
        broken[at] ^= 1
        with pytest.raises(Undecryptable):
            pair.read("bob", (kind, bytes(broken)))
    assert pair.read("bob", (kind, whole)) == "hello"


def test_too_far_ahead(pair: Pair) -> None:
    """2,000 skipped messages are kept, more are refused."""
    pair.open("ann")
    pair.talk("ann", "bob")
    sealed = [pair.seal("ann", f"{n}") for n in range(2002)]
    with pytest.raises(TooFarAhead):
        pair.read("bob", sealed[2001])
    assert pair.read("bob", sealed[2000]) == "2000"
    assert pair.read("bob", sealed[0]) == "0"


def test_a_bundle_of_somebody_else_is_refused(pair: Pair) -> None:
    """The identity must have signed the signed prekey."""
    genuine, other = pair.devices["bob"].keys.bundle(), pair.devices["ann"].keys.bundle()
    forged = PreKeyBundle(
        registration_id=genuine.registration_id,
        identity=other.identity,
        signed_prekey_id=genuine.signed_prekey_id,
        signed_prekey=genuine.signed_prekey,
        signature=genuine.signature,
    )
    with pytest.raises(UntrustedBundle):
        pair.devices["ann"].open_session("bob", forged)


def test_sender_keys() -> None:
    """A member reads a group from the moment they are told the key on: in any order, each message once, nothing forged."""
    ann, bob, eve = SignalDevice(), SignalDevice(), SignalDevice()
    before = ann.sender_key("group").encrypt(b"before")
    with pytest.raises(NoSenderKey):
        bob.decrypt_group("group", "ann", before)
    bob.learn_sender_key("group", "ann", ann.sender_key("group").distribution())
    sealed = [ann.sender_key("group").encrypt(f"{n}".encode()) for n in range(3)]
    assert [bob.decrypt_group("group", "ann", sealed[n]) for n in (2, 0, 1)] == [b"2", b"0", b"1"]
    with pytest.raises(OldCounter):
        bob.decrypt_group("group", "ann", sealed[1])
    with pytest.raises(OldCounter):
        bob.decrypt_group("group", "ann", before)
    with pytest.raises(NoSenderKey):
        bob.decrypt_group("another group", "ann", sealed[1])
    forged = eve.sender_key("group")
    forged.key_id, forged.chain = ann.sender_key("group").key_id, ann.sender_key("group").chain
    with pytest.raises(BadMac):
        bob.decrypt_group("group", "ann", forged.encrypt(b"trust me"))


def test_a_new_sender_key_beside_the_old() -> None:
    """Who starts a new chain is read on both."""
    ann, bob = SignalDevice(), SignalDevice()
    bob.learn_sender_key("group", "ann", ann.sender_key("group").distribution())
    old = ann.sender_key("group").encrypt(b"old")
    del ann.own_sender_keys["group"]
    bob.learn_sender_key("group", "ann", ann.sender_key("group").distribution())
    new = ann.sender_key("group").encrypt(b"new")
    assert bob.decrypt_group("group", "ann", new) == b"new"
    assert bob.decrypt_group("group", "ann", old) == b"old"


def test_signatures_fit_the_curve25519_key() -> None:
    """Our signatures carry no sign bit, and one bit of anything spoils them."""
    for _ in range(8):
        pair = KeyPair.generate()
        signature = pair.sign(b"message")
        assert signature[63] & 0x80 == 0
        assert verify(pair.public, b"message", signature)
        assert not verify(pair.public, b"massage", signature)
        assert not verify(KeyPair.generate().public, b"message", signature)
        assert not verify(pair.public, b"message", signature[:63])


def test_the_bytes_of_a_signal_message() -> None:
    """Fields in the order of their numbers, zeros written out: the other side encodes it again to check the MAC."""
    message = wire.SignalMessage(ratchet_key=b"\x01" * 32, counter=0, previous_counter=300, body=b"x" * 16)
    expected = b"\x33\x0a\x21\x05" + b"\x01" * 32 + b"\x10\x00\x18\xac\x02\x22\x10" + b"x" * 16
    assert message.signed == expected
    decoded = wire.SignalMessage.decode(expected + b"12345678")
    assert (decoded.counter, decoded.previous_counter, decoded.mac) == (0, 300, b"12345678")
    assert decoded.signed == expected


@pytest.mark.parametrize(
    "data", [b"", b"\x33", b"\x22\x0a\x00", b"\x33\x0a\x7f", b"\x33\xff\xff", b"\x33\x0d1234"]
)
def test_rubbish_is_malformed(data: bytes) -> None:
    """Whatever arrives is a message or refused with a reason, never an accident."""
    device = SignalDevice()
    for kind in ("pkmsg", "msg", "text"):
        with pytest.raises(Malformed):
            device.decrypt("bob", kind, data + bytes(8))
    with pytest.raises(Malformed):
        device.decrypt_group("group", "bob", data + bytes(64))
    with pytest.raises(Malformed):
        device.learn_sender_key("group", "bob", data)


@given(st.dictionaries(st.integers(1, 15), st.one_of(st.integers(0, 2**32 - 1), st.binary(max_size=300))))
def test_fields_come_back(fields: dict[int, wire.Field]) -> None:
    """What is encoded decodes to the same."""
    assert wire.decode_fields(wire.encode_fields(fields)) == fields


@given(st.binary(max_size=100))
def test_padding_comes_off(plaintext: bytes) -> None:
    """WhatsApp's padding of random length leaves the plaintext as it was."""
    padded = kdf.pad(plaintext)
    assert 0 < len(padded) - len(plaintext) <= 16
    assert kdf.unpad(padded) == plaintext
    for broken in (b"", plaintext + b"\x00", plaintext + b"\x11"):
        with pytest.raises(Malformed):
            kdf.unpad(broken)


def test_hkdf_is_rfc_5869() -> None:
    """Test case 1 of its appendix."""
    secret, salt, info = b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA))
    expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    assert kdf.hkdf(secret, salt=salt, info=info, length=42).hex() == expected


def test_key_types() -> None:
    """33 bytes with the type, 32 without, nothing else."""
    key = KeyPair.generate().public
    assert untyped(typed(key)) == untyped(key) == key
    for wrong in (key[1:], b"\x06" + key, b""):
        with pytest.raises(ValueError, match="not a Curve25519 key"):
            untyped(wrong)
