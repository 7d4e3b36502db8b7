"""Sealing, and the ring of master keys in its file."""

import os
from pathlib import Path

import pytest

from relay import vault as vaults
from relay.model.errors import ConfigError
from relay.model.ids import TenantId
from relay.vault import (
    DataKey,
    SealBroken,
    Vault,
    create_master_key,
    data_key_identity,
    head_of,
    key_id_of,
    name_of,
    open_vault,
    read_ring,
    write_ring,
)

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
ACME, RIVAL = TenantId("ten_acme"), TenantId("ten_rival")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A key file with one key, as it was before there were rings."""
    path = tmp_path / "master.key"
    path.write_text(OLD.hex())
    path.chmod(0o600)
    return path


def test_what_is_sealed_opens_in_its_place_only() -> None:
    """Another place, another key, a changed byte, a cut end: none opens."""
    key = DataKey(NEW)
    sealed = key.seal(b"secret", identity="endpoint/ep_1/secret")
    assert key.open(sealed, identity="endpoint/ep_1/secret") == b"secret"
    assert b"secret" not in sealed
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for wrong in (changed, sealed[:-1], sealed[:14], sealed[:3], b"\x01", b"\x07" + sealed[1:], b""):
        with pytest.raises(SealBroken):
            key.open(wrong, identity="endpoint/ep_1/secret")
    with pytest.raises(SealBroken):
        key.open(sealed, identity="endpoint/ep_2/secret")
    with pytest.raises(SealBroken):
        DataKey(OLD).open(sealed, identity="endpoint/ep_1/secret")


def test_a_data_key_that_is_copied_to_another_tenant_does_not_open() -> None:
    """Neither before the rightful one has opened it nor after: nothing is remembered in between."""
    vault = Vault(NEW)
    wrapped = vault.new_data_key(ACME, key_id=vault.newest)
    for _ in range(2):
        with pytest.raises(SealBroken):
            vault.unwrap(wrapped, RIVAL)
        vault.unwrap(wrapped, ACME)


def test_what_is_wrapped_says_by_which_key() -> None:
    """The newest is found among others by its id; a wrong id leads to a wrong key, and that opens nothing."""
    ring = Vault(NEW, OLD)
    wrapped = ring.wrap(b"k" * 32, identity="place", key_id=key_id_of(OLD))
    assert wrapped.startswith(head_of(key_id_of(OLD)))
    assert ring.unwrap_bytes(wrapped, identity="place") == b"k" * 32
    relabelled = head_of(key_id_of(NEW)) + wrapped[9:]
    with pytest.raises(SealBroken, match="cannot be opened"):
        ring.unwrap_bytes(relabelled, identity="place")
    with pytest.raises(SealBroken, match=name_of(key_id_of(OLD))):
        Vault(NEW).unwrap_bytes(wrapped, identity="place")


def test_what_was_wrapped_before_keys_had_ids_still_opens(file: Path) -> None:
    """By the only key, by any of a ring, and by one that has come to the file since."""
    identity = data_key_identity(ACME)
    unnamed = DataKey(OLD).seal(b"k" * 32, identity=identity)
    assert Vault(OLD).unwrap_bytes(unnamed, identity=identity) == b"k" * 32
    assert Vault(NEW, OLD).unwrap_bytes(unnamed, identity=identity) == b"k" * 32
    file.write_text(NEW.hex())
    late = open_vault(file)
    with pytest.raises(SealBroken):
        late.unwrap_bytes(unnamed, identity=identity)
    write_ring(file, [NEW, OLD])
    assert late.unwrap_bytes(unnamed, identity=identity) == b"k" * 32
    with pytest.raises(SealBroken):
        late.unwrap_bytes(DataKey(OTHER).seal(b"k", identity=identity), identity=identity)


def test_wrapping_anew_changes_the_key_above_and_nothing_below() -> None:
    vault = Vault(NEW, OLD)
    wrapped = vault.new_data_key(ACME, key_id=key_id_of(OLD))
    sealed = vault.unwrap(wrapped, ACME).seal(b"secret", identity="place")
    anew = vault.rewrap(wrapped, identity=data_key_identity(ACME), key_id=key_id_of(NEW))
    assert Vault(NEW).unwrap(anew, ACME).open(sealed, identity="place") == b"secret"
    with pytest.raises(SealBroken):
        vault.rewrap(wrapped, identity=data_key_identity(RIVAL), key_id=key_id_of(NEW))


def test_a_process_learns_of_a_new_key_without_a_restart(file: Path) -> None:
    """One process wraps with a key that another has put into the file; what that one wraps opens here too."""
    running, rotating = open_vault(file), Vault(NEW, OLD)
    write_ring(file, [NEW, OLD])
    wrapped = rotating.new_data_key(ACME, key_id=key_id_of(NEW))
    running.unwrap(wrapped, ACME)
    running.new_data_key(ACME, key_id=key_id_of(NEW))


def test_a_process_opens_what_it_has_just_read_when_the_key_is_dropped(file: Path) -> None:
    """A row that was read before it was wrapped anew, with the old key out of the file by now."""
    running = open_vault(file)
    read_before = running.new_data_key(ACME, key_id=key_id_of(OLD))
    write_ring(file, [NEW])
    running.unwrap(Vault(NEW).new_data_key(RIVAL, key_id=key_id_of(NEW)), RIVAL)
    running.unwrap(read_before, ACME)
    with pytest.raises(SealBroken, match="Put the key file here"):
        open_vault(file).unwrap(read_before, ACME)


def test_a_damaged_file_takes_nothing_from_a_process(file: Path) -> None:
    """What it knows it knows; the file is read again once it is whole."""
    running = open_vault(file)
    wrapped = Vault(NEW).new_data_key(ACME, key_id=key_id_of(NEW))
    own = running.new_data_key(ACME, key_id=key_id_of(OLD))
    for damaged in (lambda: file.write_text("half"), lambda: file.chmod(0o644), file.unlink):
        damaged()
        with pytest.raises(SealBroken):
            running.unwrap(wrapped, ACME)
        running.unwrap(own, ACME)
    file.touch(0o600)
    write_ring(file, [NEW, OLD])
    running.unwrap(wrapped, ACME)


def test_an_unchanged_file_is_not_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows ask for a key that is not there."""
    reads: list[Path] = []

    def read(path: Path) -> list[bytes]:
        reads.append(path)
        return read_ring(path)

    monkeypatch.setattr(vaults, "read_ring", read)
    running = open_vault(file)
    wrapped = Vault(NEW).new_data_key(ACME, key_id=key_id_of(NEW))
    for _ in range(5):
        with pytest.raises(SealBroken):
            running.unwrap(wrapped, ACME)
    assert len(reads) == 2, "at the start, and once to look"


@pytest.mark.parametrize(
    "text",
    ["", "\n", "short", "zz" * 32, "ab" * 31, "ab" * 33, f"{'ab' * 32}\nab", f"{'ab' * 32}\n{'ab' * 32}\n", "é" * 64],
)  # fmt: skip
def test_a_damaged_ring_stops_the_start(file: Path, text: str) -> None:
    """Nothing, too little, too much, a key twice."""
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"vault\.master_key_file"):
        open_vault(file)


def test_a_ring_is_written_as_it_is_read(file: Path) -> None:
    """In order, closed to others; what a killed writer has left is in nobody's way; a link stays a link."""
    file.with_name("master.key.new").write_text("half")
    link = file.with_name("linked.key")
    link.symlink_to(file)
    write_ring(link, [NEW, OLD])
    assert read_ring(file) == [NEW, OLD]
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in file.parent.iterdir()) == ["linked.key", "master.key"]


def test_a_ring_stays_its_owners(file: Path) -> None:
    """An operator who rotates as root, and only root can give files away, does not lock the server's user out."""
    owner = 12345 if os.geteuid() == 0 else os.geteuid()
    os.chown(file, owner, -1)
    write_ring(file, [NEW, OLD])
    assert file.stat().st_uid == owner


def test_a_ring_that_cannot_be_written_stays(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is a sentence, and the keys are those of before."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        write_ring(file, [NEW, OLD])
    assert read_ring(file) == [OLD]


def test_a_first_key_is_made_once(tmp_path: Path) -> None:
    """Closed to others, and never over one that is there."""
    path = tmp_path / "data" / "master.key"
    assert create_master_key(path)
    made = read_ring(path)
    assert not create_master_key(path)
    assert read_ring(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
