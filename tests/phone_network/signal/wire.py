"""Signal's four messages as bytes: a version byte 33 (version 3, twice), a small protobuf, and a MAC or a signature.

                            fields                                                     after the protobuf
    SignalMessage           ratchet key 1, counter 2, previous counter 3, body 4       8 bytes of HMAC
    PreKeySignalMessage     prekey id 1, base key 2, identity 3, a SignalMessage 4,
                            registration id 5, signed prekey id 6
    SenderKeyMessage        key id 1, iteration 2, body 3                              64 bytes of signature
    SenderKeyDistribution   key id 1, iteration 2, chain key 3, signing key 4

The libraries write every field, zeros too, and in the order of the numbers: readers sign and check what they encode
again, so this is part of the format.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.phone_network.signal.errors import Malformed
from tests.phone_network.signal.keys import typed, untyped

VERSION = b"\x33"
MAC_BYTES = 8
SIGNATURE_BYTES = 64
VARINT, LENGTH = 0, 2

Field = int | bytes
Fillings = Mapping[int, Field | None]


def encode_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that starts there, and where the next thing starts."""
    value = shift = 0
    while at < len(data) and shift < 64:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at
    raise Malformed("a number without an end")


def encode_fields(fields: Fillings) -> bytes:
    """A protobuf message of numbers and bytes; what is None is left out."""
    out = b""
    for number, value in sorted(fields.items()):
        if isinstance(value, int):
            out += encode_varint(number << 3 | VARINT) + encode_varint(value)
        elif value is not None:
            out += encode_varint(number << 3 | LENGTH) + encode_varint(len(value)) + value
    return out


def decode_fields(data: bytes) -> dict[int, Field]:
    fields: dict[int, Field] = {}
    at = 0
    while at < len(data):
        key, at = decode_varint(data, at)
        value, at = decode_varint(data, at)
        if key & 7 == LENGTH:
            if at + value > len(data):
                raise Malformed("a field longer than its message")
            fields[key >> 3] = data[at : at + value]
            at += value
        elif key & 7 == VARINT:
            fields[key >> 3] = value
        else:
            raise Malformed("a field of a kind that Signal does not use")
    return fields


@dataclass(frozen=True)
class Fields:
    """A decoded protobuf that says what it misses."""

    values: dict[int, Field]

    @classmethod
    def after_version(cls, data: bytes) -> "Fields":
        if data[:1] != VERSION:
            raise Malformed("not a message of version 3")
        return cls(decode_fields(data[1:]))

    def number(self, field: int) -> int:
        value = self.values.get(field, 0)
        if isinstance(value, bytes):
            raise Malformed(f"field {field} should be a number")
        return value

    def blob(self, field: int) -> bytes:
        value = self.values.get(field)
        if not isinstance(value, bytes):
            raise Malformed(f"field {field} is missing")
        return value

    def key(self, field: int) -> bytes:
        try:
            return untyped(self.blob(field))
        except ValueError as error:
            raise Malformed(str(error)) from error


@dataclass(frozen=True)
class SignalMessage:
    """One step of a session's ratchet. `signed` is what the MAC covers, as it came or goes over the wire."""

    ratchet_key: bytes
    counter: int
    previous_counter: int
    body: bytes
    mac: bytes = b""

    @property
    def signed(self) -> bytes:
        fields: Fillings = {
            1: typed(self.ratchet_key),
            2: self.counter,
            3: self.previous_counter,
            4: self.body,
        }
        return VERSION + encode_fields(fields)

    @classmethod
    def decode(cls, data: bytes) -> "SignalMessage":
        fields = Fields.after_version(data[:-MAC_BYTES])
        return cls(fields.key(1), fields.number(2), fields.number(3), fields.blob(4), data[-MAC_BYTES:])


@dataclass(frozen=True)
class PreKeySignalMessage:
    """A SignalMessage together with what its receiver needs to open the session first."""

    registration_id: int
    prekey_id: int | None
    signed_prekey_id: int
    base_key: bytes
    identity: bytes
    message: bytes

    def encode(self) -> bytes:
        fields: Fillings = {
            1: self.prekey_id,
            2: typed(self.base_key),
            3: typed(self.identity),
            4: self.message,
            5: self.registration_id,
            6: self.signed_prekey_id,
        }
        return VERSION + encode_fields(fields)

    @classmethod
    def decode(cls, data: bytes) -> "PreKeySignalMessage":
        fields = Fields.after_version(data)
        return cls(
            registration_id=fields.number(5),
            prekey_id=fields.number(1) or None,
            signed_prekey_id=fields.number(6),
            base_key=fields.key(2),
            identity=fields.key(3),
            message=fields.blob(4),
        )


@dataclass(frozen=True)
class SenderKeyMessage:
    """One step of a sender's chain in a group; `signed` is what the signature covers."""

    key_id: int
    iteration: int
    body: bytes
    signature: bytes = b""

    @property
    def signed(self) -> bytes:
        return VERSION + encode_fields({1: self.key_id, 2: self.iteration, 3: self.body})

    @classmethod
    def decode(cls, data: bytes) -> "SenderKeyMessage":
        fields = Fields.after_version(data[:-SIGNATURE_BYTES])
        return cls(fields.number(1), fields.number(2), fields.blob(3), data[-SIGNATURE_BYTES:])


@dataclass(frozen=True)
class SenderKeyDistribution:
    """How a sender tells a member of the group their chain, from one iteration on."""

    key_id: int
    iteration: int
    chain_key: bytes
    signing_key: bytes

    def encode(self) -> bytes:
        fields: Fillings = {1: self.key_id, 2: self.iteration, 3: self.chain_key, 4: typed(self.signing_key)}
        return VERSION + encode_fields(fields)

    @classmethod
    def decode(cls, data: bytes) -> "SenderKeyDistribution":
        fields = Fields.after_version(data)
        return cls(fields.number(1), fields.number(2), fields.blob(3), fields.key(4))
