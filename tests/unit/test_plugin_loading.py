"""Plugins are loaded by name, and whatever is wrong with one is said at the start."""

import ast
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from relay.model.errors import ConfigError
from relay.plugin import loading
from relay.plugin.asking import ask_action, ask_condition, ask_message_received, list_tools
from relay.plugin.loading import load_plugins
from tests.plugin_samples import Shelf, asked

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.mark.parametrize("file", sorted((ROOT / "plugins").glob("*.py")), ids=lambda file: file.name)
def test_plugins_import_only_what_is_theirs(file: Path) -> None:
    """relay.plugin, msgspec and the standard library: nothing else of Relay, and nothing to install."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        for name in names:
            assert name == "relay.plugin" or name.partition(".")[0] in {"msgspec", *sys.stdlib_module_names}


async def test_a_file_runs_only_where_it_is_enabled(shelf: Shelf) -> None:
    """What merely lies in the folder is not even imported."""
    shelf.write("good", "@hook\ndef message_received(): return 'hi'")
    (shelf.folder / "bad.py").write_text("raise SystemExit('imported')")
    assert (await ask_message_received(shelf.load(), asked())).plugin == "good"
    assert load_plugins(shelf.settings(enabled=())).plugins == ()


async def test_the_order_is_that_of_the_settings(shelf: Shelf) -> None:
    """The first one named is asked first, unless another says tryfirst."""
    for name, mark in (("one", "@hook"), ("two", "@hook"), ("eager", "@hook(tryfirst=True)")):
        shelf.write(name, f"{mark}\nasync def message_received(): return '{name}'")
    assert (await ask_message_received(shelf.load(), asked())).plugin == "eager"
    shelf.names = ["two", "one"]
    assert (await ask_message_received(shelf.load(), asked())).plugin == "two"


async def test_conditions_actions_and_tools_bear_the_plugins_name(shelf: Shelf) -> None:
    """`business.open`, `business.ring`, and `business_stock` for agents."""
    shelf.write(
        "business",
        """
        @condition("open")
        def is_open(arguments): return arguments["desk"] == "sales"
        @action("ring")
        async def ring_bell(message, context): return reply(result=context.tenant_id + message.text)
        @tool("stock", description="How many are left", parameters={"type": "object"})
        async def stock(arguments): return str(arguments["of"])
        """,
    )
    caller = shelf.load()
    abilities = caller.loaded.abilities
    assert abilities.conditions == {"business.open"}
    assert abilities.actions == {"business.ring"}
    assert (abilities.answers, abilities.edits) == (False, False)
    assert await ask_condition(caller, "business.open", asked(), {"desk": "sales"})
    assert not await ask_condition(caller, "business.open", asked(), {"desk": "support"})
    assert not await ask_condition(caller, "business.shut", asked(), {})
    assert (await ask_action(caller, "business.ring", asked("!"), {})).reply.result == "ten_a!"
    [tool] = list_tools(caller, tenant_id="ten_a", session_id=None)
    assert (tool.name, tool.description) == ("business_stock", "How many are left")
    assert await tool.call({"of": 3}) == "3"
    assert "not available" in await tool.call({})


async def test_a_plugin_serves_the_companies_that_are_named(shelf: Shelf) -> None:
    """Another's messages, conditions, actions and tools do not reach it."""
    shelf.write(
        "mine",
        """
        @hook
        def message_received(): return "hi"
        @condition("on")
        def on(): return True
        @action("go")
        def go(): return "went"
        @tool("t", description="", parameters={})
        def t(): return ""
        """,
    )
    caller = shelf.load(tenants={"mine": ("ten_a",)})
    for tenant_id, serves in (("ten_a", True), ("ten_b", False)):
        of = asked(tenant_id=tenant_id)
        assert (await ask_message_received(caller, of)).reply.handled is serves
        assert await ask_condition(caller, "mine.on", of, {}) is serves
        assert bool((await ask_action(caller, "mine.go", of, {})).reply.messages) is serves
        assert bool(list_tools(caller, tenant_id=tenant_id, session_id=None)) is serves


async def test_an_installed_package_is_a_plugin(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By its entry point, only where it is enabled; a file of the same name is refused."""
    (tmp_path / "shop_bot").mkdir()
    source = "from relay.plugin import hook\n@hook\ndef message_received(): return 'from a package'\n"
    (tmp_path / "shop_bot" / "__init__.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = [EntryPoint("shop", "shop_bot", loading.GROUP)]
    monkeypatch.setattr(loading, "entry_points", lambda group: entries if group == loading.GROUP else [])
    shelf.names = ["shop"]
    answered = await ask_message_received(shelf.load(), asked())
    assert (answered.plugin, answered.reply.messages[0].text) == ("shop", "from a package")
    shelf.write("shop", "")
    shelf.names = ["shop"]
    with pytest.raises(ConfigError, match=r"shop is both .*shop\.py and an installed package"):
        shelf.load()


SETTINGS = """
    from msgspec import Struct
    class Settings(Struct):
        words: list[str] = []
        limit: int = 3
"""


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"limit": "x"}, r"plugins\.settings\.bot\.limit: Expected `int`, got `str`\."),
        ({"words": ["a", 1]}, r"plugins\.settings\.bot\.words\[1\]: Expected `str`, got `int`\."),
        ({"wrods": []}, r"plugins\.settings\.bot\.wrods: bot has no such setting; it has: words, limit\."),
    ],
)
def test_a_wrong_setting_stops_the_start(shelf: Shelf, given: dict[str, object], sentence: str) -> None:
    """With the plugin's name, the path and a sentence."""
    shelf.write("bot", SETTINGS)
    with pytest.raises(ConfigError, match=sentence):
        shelf.load(settings={"bot": given})


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import nothing_like_it", r"bot cannot be loaded: ModuleNotFoundError: .* \(bot\.py, line 3\)"),
        ("1 / 0", r"bot cannot be loaded: ZeroDivisionError: division by zero \(bot\.py, line 3\)"),
        ("raise SystemExit(3)", "bot cannot be loaded: SystemExit: 3"),
        ("def (", "bot cannot be loaded: SyntaxError"),
        ("@hook\ndef message_recieved(): pass", "message_recieved"),
        ("@hook\ndef message_received(massage): pass", "massage"),
        ("@hook(wrapper=True)\ndef message_received(): yield", "cannot be wrapped"),
        ("@action('Ring it')\ndef f(): pass", "'Ring it' is no name"),
        ("@action('ring')\ndef f(massage): pass", "the action ring takes massage; it may take"),
        ("@action('a')\ndef f(): pass\n@action('a')\ndef g(): pass", r"there are two of action bot\.a"),
        ("class Settings: pass", r"its Settings must be a msgspec\.Struct"),
    ],
)
def test_a_wrong_plugin_stops_the_start(shelf: Shelf, source: str, sentence: str) -> None:
    """With its name, and where it can be told, the line."""
    shelf.write("bot", source)
    with pytest.raises(ConfigError, match=sentence) as caught:
        shelf.load()
    assert "bot" in caught.value.detail


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"enabled": ("none",)}, "there is no plugin none: neither .* nor an installed package"),
        ({"enabled": ("../bot",)}, "is no plugin's name"),
        ({"enabled": ("bot", "bot")}, "bot stands there twice"),
        ({"settings": {"other": {}}}, r"plugins\.settings\.other: no plugin of this name is enabled"),
        ({"settings": {"bot": {"a": 1}}}, r"plugins\.settings\.bot: bot has no settings"),
        ({"tenants": {"bot": ("Acme",)}}, r"plugins\.tenants\.bot: 'Acme' is no company's id"),
    ],
)
def test_wrong_words_in_the_settings(shelf: Shelf, given: dict[str, object], sentence: str) -> None:
    """A name that nothing answers to is not passed over."""
    shelf.write("bot", "")
    with pytest.raises(ConfigError, match=sentence):
        shelf.load(**given)
