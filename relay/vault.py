"""Sealing: AES-256-GCM, a data key for each tenant, wrapped by a master key.

    key file (0600) ──wraps──► tenants.data_key ──seals──► endpoint secrets, proxies …
           └───────wraps─────► a session's key, sealed by the data key ──seals──► its auth state

    sealed    1 | nonce(12) | ciphertext+tag
    wrapped   2 | master key's id(8) | sealed          (before keys had ids: sealed alone)

The key file holds a ring, one key a line, the newest first: any of them unwraps, the database names the one that wraps
(store/master_keys.py). An id is made from its key, so a ring is told by its keys alone. A running process meets
a key that it does not know by its id, and reads the file again then: `relay keys rotate` needs no restart.

The row's identity goes in as associated data: a ciphertext that is copied to another row, column or tenant does not
open. Nothing that is unwrapped is kept (it takes 3 µs): a key is gone with its row.
"""

import hmac
import logging
import os
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relay.model.errors import ConfigError, RelayError
from relay.model.ids import TenantId

log = logging.getLogger(__name__)

_SEALED, _WRAPPED = b"\x01", b"\x02"
_NONCE_BYTES = 12
_KEY_BYTES = 32
_ID_BYTES = 8


class SealBroken(RelayError):
    """A sealed value did not open: another key, another row, or changed bytes."""

    code = "seal_broken"


class DataKey:
    """Seals and opens one tenant's secrets, or one session's."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, *, identity: str) -> bytes:
        """`identity` names the place: `endpoint/ep_…/secret`."""
        nonce = os.urandom(_NONCE_BYTES)
        return _SEALED + nonce + self._cipher.encrypt(nonce, plain, identity.encode())

    def open(self, sealed: bytes, *, identity: str) -> bytes:
        """Raises SealBroken."""
        if sealed[:1] != _SEALED:
            raise SealBroken(f"{identity}: sealed by a version of Relay that this one does not know.")
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, body, identity.encode())
        except (InvalidTag, ValueError):
            raise SealBroken(f"{identity}: cannot be opened with this master key.") from None


def fresh_key() -> bytes:
    return secrets.token_bytes(_KEY_BYTES)


def key_id_of(master_key: bytes) -> bytes:
    """Tells the key from others, and nothing of it."""
    return hmac.digest(master_key, b"relay master key id", "sha256")[:_ID_BYTES]


def name_of(key_id: bytes) -> str:
    """As people read it: `mk_` and 16 characters."""
    return f"mk_{key_id.hex()}"


def head_of(key_id: bytes) -> bytes:
    """How everything begins that this master key wraps."""
    return _WRAPPED + key_id


def data_key_identity(tenant_id: TenantId) -> str:
    return f"tenant/{tenant_id}/data_key"


class Vault:
    """Knows the master keys; wraps and unwraps the keys below them."""

    def __init__(self, *master_keys: bytes, file: Path | None = None) -> None:
        """The newest key first; `file` is where a key is looked for that is none of them."""
        self.newest = key_id_of(master_keys[0])
        self._ring: dict[bytes, DataKey] = {}
        self._file = file
        self._seen: tuple[int, ...] | None = None
        self._learn(master_keys)

    def wrap(self, plain: bytes, *, identity: str, key_id: bytes) -> bytes:
        """Raises SealBroken when this process cannot come by that master key."""
        return head_of(key_id) + self._get(key_id, identity).seal(plain, identity=identity)

    def unwrap_bytes(self, wrapped: bytes, *, identity: str) -> bytes:
        """Raises SealBroken."""
        if wrapped[:1] != _WRAPPED:
            return self._open_unnamed(wrapped, identity)
        key_id, sealed = wrapped[1 : 1 + _ID_BYTES], wrapped[1 + _ID_BYTES :]
        return self._get(key_id, identity).open(sealed, identity=identity)

    def new_data_key(self, tenant_id: TenantId, *, key_id: bytes) -> bytes:
        """A fresh data key, wrapped, for `tenants.data_key`."""
        return self.wrap(fresh_key(), identity=data_key_identity(tenant_id), key_id=key_id)

    def unwrap(self, wrapped: bytes, tenant_id: TenantId) -> DataKey:
        """The tenant's data key. Raises SealBroken when the master key is another."""
        return DataKey(self.unwrap_bytes(wrapped, identity=data_key_identity(tenant_id)))

    def rewrap(self, wrapped: bytes, *, identity: str, key_id: bytes) -> bytes:
        """The same, wrapped by another master key. Raises SealBroken."""
        return self.wrap(self.unwrap_bytes(wrapped, identity=identity), identity=identity, key_id=key_id)

    def _get(self, key_id: bytes, identity: str) -> DataKey:
        if key_id not in self._ring:
            self._read_again()
        try:
            return self._ring[key_id]
        except KeyError:
            where = self._file or "this ring"
            raise SealBroken(
                f"{identity}: needs the master key {name_of(key_id)}, which {where} does not hold. Put the key file "
                "here that the other machines have, or the one that belongs to this database."
            ) from None

    def _open_unnamed(self, sealed: bytes, identity: str) -> bytes:
        """Wrapped before keys had ids: whichever key opens it."""
        for key in self._ring.values():
            with suppress(SealBroken):
                return key.open(sealed, identity=identity)
        if self._read_again():
            return self._open_unnamed(sealed, identity)
        raise SealBroken(f"{identity}: cannot be opened with this master key.")

    def _read_again(self) -> bool:
        """Whether the file has changed and a key come with it.

        One that has gone from it is known until the process ends: what was read a moment before still opens.
        """
        if self._file is None:
            return False
        known = len(self._ring)
        with suppress(OSError):
            status = self._file.stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen != self._seen:
                try:
                    self._learn(read_ring(self._file))
                except ConfigError as error:
                    log.warning("master_key.not_read", extra={"error": error.detail})
                else:
                    self._seen = seen
        return len(self._ring) > known

    def _learn(self, master_keys: Iterable[bytes]) -> None:
        for key in master_keys:
            self._ring.setdefault(key_id_of(key), DataKey(key))


def open_vault(path: Path) -> Vault:
    """The vault of the keys in `path`. Raises ConfigError where it is missing, damaged or open to others."""
    return Vault(*read_ring(path), file=path)


def read_ring(path: Path) -> list[bytes]:
    """The master keys in `path`, the newest first. Raises ConfigError as `open_vault`."""
    try:
        lines = path.read_text("ascii").split()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"vault.master_key_file: {path} cannot be read. Every process of one Relay needs the same master key."
        ) from None
    if os.name == "posix" and mode & 0o077:
        raise ConfigError(f"vault.master_key_file: {path} is open to other users; run chmod 600 on it.")
    try:
        keys = [bytes.fromhex(line) for line in lines]
    except ValueError:
        keys = []
    if not keys or len(set(keys)) < len(keys) or any(len(key) != _KEY_BYTES for key in keys):
        raise ConfigError(
            f"vault.master_key_file: {path} must hold 64 hexadecimal characters, or a line of them for each key."
        )
    return keys


def create_master_key(path: Path) -> bool:
    """Write a fresh master key to `path` (0600) unless one is there; True when it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write(path, [fresh_key()])
    except FileExistsError:
        return False
    return True


def write_ring(path: Path, keys: Sequence[bytes]) -> None:
    """Put `keys` in the place of those in `path`: whatever happens, it holds the ones or the others.

    The file stays its owner's, whoever runs this. Raises ConfigError.
    """
    place = path.resolve()
    fresh = place.with_name(f"{place.name}.new")
    try:
        fresh.unlink(missing_ok=True)  # of one that was killed
        _write(fresh, keys, like=place)
        fresh.replace(place)
        _sync_folder(place.parent)
    except OSError as error:
        raise ConfigError(
            f"vault.master_key_file: {path} cannot be written ({error.strerror}). Nothing was changed."
        ) from None


def _write(path: Path, keys: Sequence[bytes], *, like: Path | None = None) -> None:
    """A new file, on the disk when this returns. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if like is not None and os.name == "posix":
            owner = like.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.writelines(f"{key.hex()}\n" for key in keys)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Until then a new name may go with the power."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
