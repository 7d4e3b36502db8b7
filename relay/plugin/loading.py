"""From names in config.yaml to plugins that can be called; whatever is wrong stops the start.

    plugins.enabled ──► plugins/NAME.py, or an installed package's entry point `relay.plugins`
                             │ imported, its hooks held against the specification, its settings made
                             ▼
                        Loaded: for each hook, condition, action and tool the functions to call, in order

A file in the folder runs only once it is named in `plugins.enabled`.
"""

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pluggy
from msgspec import Struct, field, structs

from relay.config import Plugins
from relay.model.errors import ConfigError
from relay.plugin.hooks import ARGUMENTS, MARK, Abilities, Hooks, Mark

GROUP = "relay.plugins"
"""The entry points of installed packages."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PART_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


class Part(Struct, frozen=True, kw_only=True):
    """One function of a plugin's."""

    plugin: str
    hook: str
    """The hook's name, or `condition`, `action`, `tool` with the name behind it."""
    function: Callable[..., Any]
    takes: frozenset[str]
    is_async: bool
    mark: Mark | None = None


class Plugin(Struct, frozen=True, kw_only=True):
    name: str
    module: Any
    settings: Any
    """The module's `Settings`, filled; None where it declares none."""
    tenants: frozenset[str] | None
    """Whom it serves; None: all."""


class Loaded(Struct, frozen=True, kw_only=True):
    """Every plugin that is enabled, and what can be called of them."""

    plugins: tuple[Plugin, ...] = ()
    hooks: dict[str, tuple[Part, ...]] = field(default_factory=dict)
    """In the order in which they are asked."""
    conditions: dict[str, Part] = field(default_factory=dict)
    actions: dict[str, Part] = field(default_factory=dict)
    tools: dict[str, Part] = field(default_factory=dict)

    @property
    def abilities(self) -> Abilities:
        return Abilities(
            conditions=frozenset(self.conditions),
            actions=frozenset(self.actions),
            answers="message_received" in self.hooks,
            edits="before_reply" in self.hooks,
        )


def load_plugins(config: Plugins) -> Loaded:
    """Import what is enabled. Raises ConfigError."""
    _check_names(config)
    installed = {entry.name: entry for entry in entry_points(group=GROUP)} if config.enabled else {}
    folder = Path(config.folder).expanduser().absolute()
    plugins = []
    for name in config.enabled:
        module = _import(name, folder / f"{name}.py", installed.get(name))
        plugins.append(make_plugin(name, module, config.settings.get(name, {}), config.tenants.get(name)))
    return assemble(plugins)


def _check_names(config: Plugins) -> None:
    for place, name in enumerate(config.enabled):
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"plugins.enabled: {name!r} is no plugin's name: small letters, digits and _, as its file has it "
                "before .py."
            )
        if name in config.enabled[:place]:
            raise ConfigError(f"plugins.enabled: {name} stands there twice.")
    for key, named in (("settings", config.settings), ("tenants", config.tenants)):
        for name in named:
            if name not in config.enabled:
                raise ConfigError(
                    f"plugins.{key}.{name}: no plugin of this name is enabled. Name it in plugins.enabled, or take this out."
                )
    for name, tenants in config.tenants.items():
        for tenant_id in tenants:
            if not tenant_id.startswith("ten_"):
                raise ConfigError(
                    f"plugins.tenants.{name}: {tenant_id!r} is no company's id; `relay tenant list` shows them (ten_…)."
                )


# --- importing ----------------------------------------------------------------------------------------------------


def _import(name: str, file: Path, installed: EntryPoint | None) -> Any:
    if file.is_file() and installed is not None:
        raise ConfigError(
            f"plugins.enabled: {name} is both {file} and an installed package ({installed.value}). Rename the file."
        )
    if file.is_file():
        return _guarded(name, lambda: import_file(name, file))
    if installed is not None:
        return _guarded(name, installed.load)
    raise ConfigError(
        f"plugins.enabled: there is no plugin {name}: neither {file} nor an installed package that calls itself so."
    )


def import_file(name: str, file: Path) -> ModuleType:
    """Run a plugin's file as a module of its own, afresh."""
    full_name = f"relay_plugins_{name}"
    spec = importlib.util.spec_from_file_location(full_name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # msgspec and dataclasses look a class's module up by its name.
    sys.modules[full_name] = module
    spec.loader.exec_module(module)
    return module


def _guarded(name: str, load: Callable[[], Any]) -> Any:
    """Whatever a plugin's code throws while it is imported becomes a sentence."""
    try:
        return load()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"plugins.enabled: {name} cannot be loaded: {_describe(error, name)}") from error


def _describe(error: BaseException, name: str) -> str:
    sentence = f"{type(error).__name__}: {error}".rstrip(".")
    trace, line = error.__traceback__, None
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).name == f"{name}.py":
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{sentence}." if line is None else f"{sentence} ({name}.py, line {line})."


# --- one plugin ---------------------------------------------------------------------------------------------------


def make_plugin(
    name: str, module: Any, settings: Mapping[str, Any], tenants: Sequence[str] | None = None
) -> Plugin:
    """A module (or object) with its settings. Raises ConfigError."""
    return Plugin(
        name=name,
        module=module,
        settings=_make_settings(name, getattr(module, "Settings", None), settings),
        tenants=None if tenants is None else frozenset(tenants),
    )


def _make_settings(name: str, declared: Any, given: Mapping[str, Any]) -> Any:
    path = f"plugins.settings.{name}"
    if declared is None:
        if given:
            raise ConfigError(f"{path}: {name} has no settings.")
        return None
    if not (isinstance(declared, type) and issubclass(declared, Struct)):
        raise ConfigError(f"plugins.enabled: {name}: its Settings must be a msgspec.Struct.")
    known = [one.encode_name for one in structs.fields(declared)]
    for key in given:
        if key not in known:
            raise ConfigError(
                f"{path}.{key}: {name} has no such setting; it has: {', '.join(known) or 'none'}."
            )
    try:
        return msgspec.convert(dict(given), declared)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        sentence, _, where = str(error).partition(" - at `$")
        raise ConfigError(f"{path}{where.rstrip('`')}: {sentence.rstrip('.')}.") from None


# --- all of them --------------------------------------------------------------------------------------------------


def assemble(plugins: Sequence[Plugin]) -> Loaded:
    """Find what each can do; those that come first are asked first. Raises ConfigError."""
    pluggy_manager = pluggy.PluginManager("relay")
    pluggy_manager.add_hookspecs(Hooks)
    # pluggy asks the last one that was registered first.
    for plugin in reversed(plugins):
        try:
            pluggy_manager.register(plugin.module, plugin.name)
            pluggy_manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise ConfigError(f"plugins.enabled: {plugin.name}: {_first_line(error)}") from None
    marked: dict[str, dict[str, Part]] = {"condition": {}, "action": {}, "tool": {}}
    for plugin in plugins:
        for part in _marked_parts(plugin):
            kind, _, name = part.hook.partition(" ")
            if name in marked[kind]:
                raise ConfigError(f"plugins.enabled: {plugin.name}: there are two of {kind} {name}.")
            marked[kind][name] = part
    return Loaded(
        plugins=tuple(plugins),
        hooks=_hooks(pluggy_manager),
        conditions=marked["condition"],
        actions=marked["action"],
        tools=marked["tool"],
    )


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line]
    return " ".join(lines[-3:])


def _hooks(pluggy_manager: pluggy.PluginManager) -> dict[str, tuple[Part, ...]]:
    found = {}
    for hook, _spec in inspect.getmembers(Hooks, inspect.isfunction):
        implementations = getattr(pluggy_manager.hook, hook).get_hookimpls()
        for one in implementations:
            if one.wrapper or one.hookwrapper:
                raise ConfigError(
                    f"plugins.enabled: {one.plugin_name}: {hook} cannot be wrapped: leave `wrapper` out of @hook."
                )
        parts = tuple(
            Part(
                plugin=one.plugin_name,
                hook=hook,
                function=one.function,
                takes=frozenset(one.argnames),
                is_async=inspect.iscoroutinefunction(one.function),
            )
            for one in reversed(implementations)
        )
        if parts:
            found[hook] = parts
    return found


def _marked_parts(plugin: Plugin) -> Iterator[Part]:
    for _attribute, function in inspect.getmembers(plugin.module, callable):
        mark = getattr(function, MARK, None)
        if not isinstance(mark, Mark):
            continue
        if not _PART_NAME.fullmatch(mark.name):
            raise ConfigError(
                f"plugins.enabled: {plugin.name}: {mark.name!r} is no name for this {mark.kind}: "
                "small letters, digits and _; the plugin's own name is put before it."
            )
        takes = frozenset(inspect.signature(function).parameters)
        if unknown := sorted(takes - ARGUMENTS[mark.kind]):
            raise ConfigError(
                f"plugins.enabled: {plugin.name}: the {mark.kind} {mark.name} takes {', '.join(unknown)}; "
                f"it may take {', '.join(sorted(ARGUMENTS[mark.kind]))}."
            )
        joint = "_" if mark.kind == "tool" else "."
        yield Part(
            plugin=plugin.name,
            hook=f"{mark.kind} {plugin.name}{joint}{mark.name}",
            function=function,
            takes=takes,
            is_async=inspect.iscoroutinefunction(function),
            mark=mark,
        )
