"""The text of an API key."""

import pytest

from relay.listening import check_operator_key
from relay.model.api_key import digest, hint_of, is_key, new_key
from relay.model.errors import ConfigError


def test_a_new_key_is_well_formed_and_its_own() -> None:
    """Prefix, 43 random characters, a checksum; no two alike."""
    keys = {new_key() for _ in range(50)}
    assert len(keys) == 50
    assert all(is_key(key) and key.startswith("relay_") and len(key) == 55 for key in keys)


def test_any_changed_character_is_noticed() -> None:
    """A typing error in any place is told without a look-up."""
    key = new_key()
    for place in range(len(key)):
        other = "A" if key[place] != "A" else "B"
        assert not is_key(key[:place] + other + key[place + 1 :])


@pytest.mark.parametrize(
    "text", ["", "relay_", "relay_" + "é" * 49, "x" * 55, new_key() + " ", new_key()[:-1]], ids=range(6)
)
def test_what_is_no_key(text: str) -> None:
    """Length, prefix and alphabet are held as well."""
    assert not is_key(text)


def test_a_hint_tells_little_and_a_digest_nothing() -> None:
    """The hint holds four of the random characters; the digest is 32 bytes."""
    key = new_key()
    assert hint_of(key) == key[:10] + "…"
    assert len(digest(key)) == 32


@pytest.mark.parametrize(
    "key", ["short", "changeme-changeme", "operator-operator", "aaaaaaaaaaaaaaaaaaaaaaaa"]
)
def test_a_guessable_operator_key_is_refused_beyond_loopback(key: str) -> None:
    """On loopback it may be anything; on every other address it must be a real one."""
    check_operator_key(key, "127.0.0.1")
    check_operator_key(key, "localhost")
    for host in ("0.0.0.0", "::", "192.168.1.5", "relay.example.com"):
        with pytest.raises(ConfigError, match="RELAY_OPERATOR_KEY"):
            check_operator_key(key, host)


def test_a_random_operator_key_may_listen_anywhere() -> None:
    """A key of ours, or sixteen characters of anybody's."""
    check_operator_key(new_key(), "0.0.0.0")
    check_operator_key("f3b1c94e77d20a58", "0.0.0.0")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_an_empty_operator_key_is_refused_everywhere(host: str) -> None:
    """An empty header would open everything."""
    with pytest.raises(ConfigError, match="is empty"):
        check_operator_key("", host)
