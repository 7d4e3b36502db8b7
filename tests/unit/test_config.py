"""Settings: the shipped file and the structs are one, and every mistake stops the start with its path."""

import re
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import yaml

from relay.config import Config, load
from relay.model.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "config.yaml"


def test_shipped_file_states_every_default() -> None:
    """config.yaml holds exactly the keys of the structs, each with its default."""
    assert yaml.safe_load(SHIPPED.read_text("utf-8")) == msgspec.json.decode(msgspec.json.encode(Config()))


def test_shipped_file_comments_every_key() -> None:
    """Each key, or the group it opens, has a comment above it."""
    lines = SHIPPED.read_text("utf-8").splitlines()
    bare = [
        line
        for before, line in pairwise(lines)
        if re.match(r"  \w+:", line) and not (before.lstrip().startswith("#") or re.match(r"  \w+:", before))
    ]
    assert bare == []


def test_environment_lies_over_the_file(tmp_path: Path) -> None:
    """A variable wins over the file, lists as JSON, numbers and texts as written."""
    file = tmp_path / "config.yaml"
    file.write_text("server: {port: 1000, host: 10.0.0.1}")
    config = load(
        file,
        {
            "RELAY__SERVER__PORT": "2000",
            "RELAY__WEBHOOKS__ALLOW_NETWORKS": '["127.0.0.0/8"]',
            "RELAY__SERVER__ROLES": '[["api", "host"]]',
            "RELAY__DATABASE__URL": "postgresql://x",
            "RELAY__SANDBOX__ENABLED": "false",
        },
    )
    assert (config.server.port, config.server.host) == (2000, "10.0.0.1")
    assert config.webhooks.allow_networks == ("127.0.0.0/8",)
    assert config.server.roles == (("api", "host"),)
    assert config.database.url == "postgresql://x"
    assert config.sandbox.enabled is False


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("servers: {}", "servers"),
        ("server: {prot: 1}", "server"),
        ("server: {port: eighty}", "server.port"),
        ("server: {port: 70000}", "server.port"),
        ("server: 5", "server"),
        ("webhooks: {lease_seconds: 10}", "webhooks.lease_seconds"),
        ("webhooks: {schedule_seconds: []}", "webhooks.schedule_seconds"),
        ("webhooks: {concurrency: 4}", "webhooks.concurrency_per_endpoint"),
        ("sessions: {lease_seconds: 1}", "sessions.lease_seconds"),
        ("messages: {default_region: brazil}", "messages.default_region"),
        ("webhooks: {allow_networks: [here]}", "webhooks.allow_networks"),
        ("- a list", "must hold sections"),
        ("a: [", "not valid YAML"),
    ],
)
def test_mistakes_stop_the_start_with_their_path(tmp_path: Path, text: str, sentence: str) -> None:
    """Unknown keys, wrong types and impossible pairs are refused, and the sentence names the key."""
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        load(file, {})


@pytest.mark.parametrize("name", ["RELAY__SERVER__PROT", "RELAY__NOPE__PORT", "RELAY__SERVER", "RELAY__"])
def test_unknown_variable_is_refused(name: str) -> None:
    """A misspelled variable does not pass silently."""
    with pytest.raises(ConfigError, match=name):
        load(None, {name: "1"})


def test_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.yaml", {})
