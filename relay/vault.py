"""Sealing: AES-256-GCM, a data key for each tenant, wrapped by the master key.

    master.key (0600) ──wraps──► tenants.data_key ──seals──► endpoint secrets, auth state, proxies …

A sealed value is `version(1) | nonce(12) | ciphertext+tag`. The row's identity goes in as associated data: a
ciphertext that is copied to another row, column or tenant does not open.
"""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relay.model.errors import ConfigError, RelayError
from relay.model.ids import TenantId

_VERSION = b"\x01"
_NONCE_BYTES = 12
_KEY_BYTES = 32


class SealBroken(RelayError):
    """A sealed value did not open: another key, another row, or changed bytes."""

    code = "seal_broken"


class DataKey:
    """Seals and opens one tenant's secrets."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, *, identity: str) -> bytes:
        """`identity` names the place: `endpoint/ep_…/secret`."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, identity.encode())

    def open(self, sealed: bytes, *, identity: str) -> bytes:
        """Raises SealBroken."""
        if sealed[:1] != _VERSION:
            raise SealBroken(f"{identity}: sealed by a version of Relay that this one does not know.")
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, body, identity.encode())
        except InvalidTag:
            raise SealBroken(f"{identity}: cannot be opened with this master key.") from None


class Vault:
    """Holds the master key; makes and unwraps tenants' data keys."""

    def __init__(self, master_key: bytes) -> None:
        self._master = DataKey(master_key)
        self._unwrapped: dict[bytes, DataKey] = {}

    def new_data_key(self, tenant_id: TenantId) -> bytes:
        """A fresh data key, wrapped, for `tenants.data_key`."""
        return self._master.seal(secrets.token_bytes(_KEY_BYTES), identity=f"tenant/{tenant_id}/data_key")

    def unwrap(self, wrapped: bytes, tenant_id: TenantId) -> DataKey:
        """The tenant's data key. Raises SealBroken when the master key is another."""
        key = self._unwrapped.get(wrapped)
        if key is None:
            key = DataKey(self._master.open(wrapped, identity=f"tenant/{tenant_id}/data_key"))
            self._unwrapped[wrapped] = key
        return key


def open_vault(path: Path) -> Vault:
    """The vault of the master key in `path`. Raises ConfigError where it is missing, damaged or open to others."""
    try:
        text = path.read_text("ascii").strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"vault.master_key_file: {path} cannot be read. Every process of one Relay needs the same master key."
        ) from None
    if os.name == "posix" and mode & 0o077:
        raise ConfigError(f"vault.master_key_file: {path} is open to other users; run chmod 600 on it.")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"vault.master_key_file: {path} must hold 64 hexadecimal characters.")
    return Vault(key)


def create_master_key(path: Path) -> bool:
    """Write a fresh master key to `path` (0600) unless one is there; True when it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(_KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return True
