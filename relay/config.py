"""config.yaml and the environment, as frozen structs.

    defaults (here) ◄── config.yaml ◄── RELAY__SECTION__KEY ◄── command line

A key that nobody knows, a value of the wrong type, or two values that cannot go together stop the start with the
key's path and a sentence. The shipped config.yaml states every default; a test holds the two together.
"""

import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec
import msgspec.inspect
import yaml
from msgspec import Meta, Struct, field, structs

from relay.model.errors import ConfigError

_PREFIX = "RELAY__"

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Role = Literal["api", "host", "dispatcher", "responder"]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section of config.yaml."""


class Server(Section, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    data_dir: str = "data"
    roles: tuple[tuple[Role, ...], ...] = (("api",), ("host",), ("dispatcher",), ("responder",))
    max_body_bytes: Count = 1_048_576
    body_timeout_seconds: Seconds = 15
    drain_seconds: Seconds = 20


class Database(Section, frozen=True, kw_only=True):
    url: str = ""
    pool_size: Count = 8


class Vault(Section, frozen=True, kw_only=True):
    master_key_file: str = ""


class Sessions(Section, frozen=True, kw_only=True):
    default_engine: Literal["neonize", "sandbox"] = "neonize"
    lease_seconds: Seconds = 15
    start_timeout_seconds: Seconds = 60
    link_timeout_seconds: Seconds = 180
    reconnect_base_seconds: Seconds = 5
    reconnect_attempts: Count = 5
    silence_seconds: Seconds = 90


class Host(Section, frozen=True, kw_only=True):
    sessions: Count = 1000
    sessions_per_process: Count = 50
    inbox_batch: Count = 500
    send_timeout_seconds: Seconds = 80
    proxy: str = ""


class Messages(Section, frozen=True, kw_only=True):
    default_region: Annotated[str, Meta(pattern="^[A-Z]{2}$")] = "BR"


class Webhooks(Section, frozen=True, kw_only=True):
    timeout_seconds: Seconds = 20
    lease_seconds: Seconds = 60
    schedule_seconds: tuple[Annotated[float, Meta(ge=0)], ...] = (
        0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400,
    )  # fmt: skip
    jitter: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    concurrency: Count = 256
    concurrency_per_endpoint: Count = 64
    disable_after_days: Annotated[float, Meta(gt=0)] = 5
    allow_networks: tuple[str, ...] = ()


class Media(Section, frozen=True, kw_only=True):
    max_bytes: Count = 67_108_864
    fetch_timeout_seconds: Seconds = 30


class Agents(Section, frozen=True, kw_only=True):
    calls_per_day: Annotated[int, Meta(ge=0)] = 2000
    tokens_per_day: Annotated[int, Meta(ge=0)] = 2_000_000
    concurrency: Count = 256
    concurrency_per_tenant: Count = 8
    lease_seconds: Annotated[float, Meta(ge=3)] = 30


class Plugins(Section, frozen=True, kw_only=True):
    folder: str = "plugins"
    enabled: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    tenants: dict[str, tuple[str, ...]] = field(default_factory=dict)
    timeout_seconds: Seconds = 5


class Rules(Section, frozen=True, kw_only=True):
    folder: str = "rules"


class Limits(Section, frozen=True, kw_only=True):
    storage: str = "async+memory://"
    requests: str = ""


class Retention(Section, frozen=True, kw_only=True):
    message_days: Count = 365
    event_days: Count = 30
    media_days: Count = 90


class Sandbox(Section, frozen=True, kw_only=True):
    enabled: bool = True
    qr_first_seconds: Seconds = 60
    qr_next_seconds: Seconds = 20
    qr_codes: Count = 6
    delivered_after_seconds: Annotated[float, Meta(ge=0)] = 0.5
    read_after_seconds: Annotated[float, Meta(ge=0)] = 1.5


class Logs(Section, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    mask: bool = True


class Config(Section, frozen=True, kw_only=True):
    server: Server = Server()
    database: Database = Database()
    vault: Vault = Vault()
    sessions: Sessions = Sessions()
    host: Host = Host()
    messages: Messages = Messages()
    webhooks: Webhooks = Webhooks()
    media: Media = Media()
    agents: Agents = Agents()
    plugins: Plugins = Plugins()
    rules: Rules = Rules()
    limits: Limits = Limits()
    retention: Retention = Retention()
    sandbox: Sandbox = Sandbox()
    logs: Logs = Logs()

    @property
    def data_dir(self) -> Path:
        return Path(self.server.data_dir).expanduser().absolute()

    @property
    def master_key_file(self) -> Path:
        named = self.vault.master_key_file
        return Path(named).expanduser().absolute() if named else self.data_dir / "master.key"

    @property
    def rules_folder(self) -> Path:
        return Path(self.rules.folder).expanduser().absolute()

    def with_server(self, **changes: Any) -> Self:
        """A copy with command-line options in `server`; None leaves a value as it is."""
        given = {key: value for key, value in changes.items() if value is not None}
        changed = structs.replace(self, server=structs.replace(self.server, **given))
        return msgspec.convert(msgspec.to_builtins(changed), type(self))


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read `path` (None: defaults only) and lay the environment over it. Raises ConfigError."""
    settings = _read_yaml(path) if path else {}
    for name, text in environ.items():
        if name.startswith(_PREFIX):
            _lay_over(settings, name, text)
    config = _convert(settings)
    _check_pairs(config)
    return config


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: must hold sections such as `server:`, not a {type(loaded).__name__}.")
    return {key: {} if value is None else value for key, value in loaded.items()}


def _lay_over(settings: dict[str, Any], name: str, text: str) -> None:
    section, _, key = name.removeprefix(_PREFIX).lower().partition("__")
    sections = {field.name: field.type for field in structs.fields(Config)}
    fields = (
        {field.name: field.type for field in structs.fields(sections[section])} if section in sections else {}
    )
    if key not in fields:
        raise ConfigError(f"{name}: there is no setting {section}.{key or '…'}.")
    target = settings.setdefault(section, {})
    if isinstance(target, dict):
        target[key] = text if fields[key] is str or _is_text(fields[key]) else _parse(name, text, fields[key])


def _is_text(annotation: Any) -> bool:
    return isinstance(
        msgspec.inspect.type_info(annotation), msgspec.inspect.StrType | msgspec.inspect.LiteralType
    )


def _parse(name: str, text: str, annotation: Any) -> Any:
    """A list is JSON; a number or a boolean is as in YAML."""
    try:
        return msgspec.convert(yaml.safe_load(text), annotation)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise ConfigError(f"{name}: {error}".splitlines()[0]) from None


def _convert(settings: dict[str, Any]) -> Config:
    try:
        return msgspec.convert(settings, Config)
    except msgspec.ValidationError as error:
        sentence, _, where = str(error).partition(" - at `$")
        path = where.rstrip("`").lstrip(".") or "the settings"
        raise ConfigError(f"{path}: {sentence}.") from None


def _check_pairs(config: Config) -> None:
    """What is fine alone and impossible together."""
    hooks, sessions = config.webhooks, config.sessions
    if hooks.lease_seconds <= hooks.timeout_seconds:
        raise ConfigError(
            f"webhooks.lease_seconds: {hooks.lease_seconds:g} must be longer than webhooks.timeout_seconds "
            f"({hooks.timeout_seconds:g}), or a slow endpoint is sent everything twice."
        )
    if not hooks.schedule_seconds:
        raise ConfigError("webhooks.schedule_seconds: needs at least one attempt.")
    if hooks.concurrency_per_endpoint > hooks.concurrency:
        raise ConfigError("webhooks.concurrency_per_endpoint: cannot be more than webhooks.concurrency.")
    if config.agents.concurrency_per_tenant > config.agents.concurrency:
        raise ConfigError("agents.concurrency_per_tenant: cannot be more than agents.concurrency.")
    if sessions.lease_seconds < 3:
        raise ConfigError("sessions.lease_seconds: needs at least 3 seconds to be renewed in time.")
    for network in hooks.allow_networks:
        try:
            ip_network(network)
        except ValueError:
            raise ConfigError(
                f"webhooks.allow_networks: {network} is not a network such as 10.1.0.0/16."
            ) from None
    roles = [role for group in config.server.roles for role in group]
    if not roles:
        raise ConfigError("server.roles: needs at least one role.")
