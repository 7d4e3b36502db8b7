"""App state: settings that an account's devices share, as sealed patches that the server keeps but cannot read.

A collection (`critical_block` holds the push name) is a list of numbered patches. Each mutation in a patch carries
index MAC and value ‖ value MAC; an LT hash over all live values proves that nothing is missing:

    hash += HKDF(new value MAC), hash -= HKDF(value MAC it replaces)      (64 little-endian 16-bit lanes)
    snapshot MAC = HMAC(hash ‖ version ‖ name),  patch MAC = HMAC(snapshot MAC ‖ value MACs ‖ version ‖ name)

The keys come from the phone, in a message to its own companions (`key_share`); here phone and server are one, so this
can write patches as the phone does, check what companions send, and read it.
"""

import hmac
import json
import secrets
import struct
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.padding import PKCS7

from tests.phone_network.protobufs import waE2E, waServerSync, waSyncAction

SET = 0
_NO_HASH = bytes(128)


class BadPatch(Exception):
    """A patch that does not fit what came before it, or that was not sealed with the account's key."""


@dataclass
class Collection:
    """One list of patches, and what is alive after the last of them."""

    patches: list[bytes] = field(default_factory=list)
    hash: bytes = _NO_HASH
    value_macs: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def version(self) -> int:
        return len(self.patches)

    def since(self, version: int) -> list[bytes]:
        return self.patches[version:]

    def after(self, patch: Any) -> "tuple[bytes, dict[bytes, bytes]]":
        """The hash and the live values once a patch is applied."""
        hash_, alive = self.hash, dict(self.value_macs)
        for mutation in patch.mutations:
            index_mac = mutation.record.index.blob
            if replaced := alive.pop(index_mac, None):
                hash_ = _add(hash_, replaced, -1)
            if mutation.operation == SET:
                alive[index_mac] = mutation.record.value.blob[-32:]
                hash_ = _add(hash_, alive[index_mac], 1)
        return hash_, alive


@dataclass
class AppState:
    """All collections of one account, and the one key that its devices share."""

    key_id: bytes = field(default_factory=lambda: secrets.token_bytes(6))
    key_data: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    collections: dict[str, Collection] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expanded = HKDF(SHA256(), 160, salt=None, info=b"WhatsApp Mutation Keys").derive(self.key_data)
        self._index_key, self._cipher_key, self._value_key, self._snapshot_key, self._patch_key = (
            expanded[at : at + 32] for at in range(0, 160, 32)
        )

    def collection(self, name: str) -> Collection:
        return self.collections.setdefault(name, Collection())

    def key_share(self, sent_at: float) -> Any:
        """The waE2E.Message by which the phone gives its companions the key (category `peer`)."""
        message = waE2E.Message()
        message.protocolMessage.type = waE2E.ProtocolMessage.APP_STATE_SYNC_KEY_SHARE
        key = message.protocolMessage.appStateSyncKeyShare.keys.add()
        key.keyID.keyID = self.key_id
        key.keyData.keyData = self.key_data
        key.keyData.timestamp = int(sent_at * 1000)
        key.keyData.fingerprint.rawID = 1
        key.keyData.fingerprint.currentIndex = 1
        key.keyData.fingerprint.deviceIndexes.append(0)
        return message

    def accept(self, name: str, version: int, raw: bytes) -> None:
        """Append a companion's patch, written on top of `version`. Raises BadPatch."""
        collection = self.collection(name)
        if version != collection.version:
            raise BadPatch(f"{name} is at version {collection.version}, not {version}")
        patch = waServerSync.SyncdPatch.FromString(raw)
        sealed_with: bytes = patch.keyID.ID
        if sealed_with != self.key_id:
            raise BadPatch("sealed with a key that this account has not shared")
        hash_, alive = collection.after(patch)
        if not hmac.compare_digest(patch.snapshotMAC, self._snapshot_mac(hash_, version + 1, name)):
            raise BadPatch("the snapshot MAC does not fit the values")
        patch.version.version = version + 1
        collection.patches.append(patch.SerializeToString())
        collection.hash, collection.value_macs = hash_, alive

    def write(self, name: str, index: list[str], value: Any, *, action_version: int) -> None:
        """Append a patch with one action, as the phone does when its user changes a setting."""
        action = waSyncAction.SyncActionData(
            index=json.dumps(index, separators=(",", ":")).encode(), padding=b"", version=action_version
        )
        action.value.CopyFrom(value)
        patch = waServerSync.SyncdPatch()
        patch.keyID.ID = self.key_id
        self._seal(action, patch.mutations.add())
        version = self.collection(name).version
        hash_, _ = self.collection(name).after(patch)
        patch.snapshotMAC = self._snapshot_mac(hash_, version + 1, name)
        values = b"".join(mutation.record.value.blob[-32:] for mutation in patch.mutations)
        said = patch.snapshotMAC + values + struct.pack(">Q", version + 1) + name.encode()
        patch.patchMAC = hmac.digest(self._patch_key, said, "sha256")
        self.accept(name, version, patch.SerializeToString())

    def set_push_name(self, name: str, set_at: float) -> None:
        value = waSyncAction.SyncActionValue(timestamp=int(set_at * 1000))
        value.pushNameSetting.name = name
        self.write("critical_block", ["setting_pushName"], value, action_version=1)

    def push_name(self) -> str:
        """The name that any of the account's devices set last; empty when none did."""
        values = [value for index, value in self.actions("critical_block") if index == ["setting_pushName"]]
        return str(values[-1].pushNameSetting.name) if values else ""

    def actions(self, name: str) -> list[tuple[list[str], Any]]:
        """All that was ever set in a collection, in order: (index, waSyncAction.SyncActionValue)."""
        found = []
        for raw in self.collection(name).patches:
            for mutation in waServerSync.SyncdPatch.FromString(raw).mutations:
                action = self._open(mutation)
                found.append((json.loads(action.index), action.value))
        return found

    def _seal(self, action: Any, mutation: Any) -> None:
        iv = secrets.token_bytes(16)
        padder = PKCS7(128).padder()
        encryptor = Cipher(algorithms.AES256(self._cipher_key), modes.CBC(iv)).encryptor()
        padded = padder.update(action.SerializeToString()) + padder.finalize()
        content = iv + encryptor.update(padded) + encryptor.finalize()
        mutation.operation = SET
        mutation.record.index.blob = hmac.digest(self._index_key, action.index, "sha256")
        mutation.record.value.blob = content + self._value_mac(content)
        mutation.record.keyID.ID = self.key_id

    def _open(self, mutation: Any) -> Any:
        blob = mutation.record.value.blob
        decryptor = Cipher(algorithms.AES256(self._cipher_key), modes.CBC(blob[:16])).decryptor()
        unpadder = PKCS7(128).unpadder()
        padded = decryptor.update(blob[16:-32]) + decryptor.finalize()
        return waSyncAction.SyncActionData.FromString(unpadder.update(padded) + unpadder.finalize())

    def _value_mac(self, content: bytes) -> bytes:
        said = bytes([SET + 1]) + self.key_id + content + struct.pack(">Q", len(self.key_id) + 1)
        return hmac.digest(self._value_key, said, "sha512")[:32]

    def _snapshot_mac(self, hash_: bytes, version: int, name: str) -> bytes:
        return hmac.digest(self._snapshot_key, hash_ + struct.pack(">Q", version) + name.encode(), "sha256")


def _add(hash_: bytes, value_mac: bytes, sign: int) -> bytes:
    expanded = HKDF(SHA256(), 128, salt=None, info=b"WhatsApp Patch Integrity").derive(value_mac)
    lanes = zip(struct.unpack("<64H", hash_), struct.unpack("<64H", expanded), strict=True)
    return struct.pack("<64H", *((lane + sign * other) & 0xFFFF for lane, other in lanes))
