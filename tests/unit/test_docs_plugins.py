"""docs/plugins.md does what it says: its plugins are loaded, its tests are run, its lists are complete."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import msgspec
import pytest
import yaml
from msgspec import structs

from relay.config import Config
from relay.model.errors import ConfigError
from relay.plugin.answers import reply
from relay.plugin.calling import Caller
from relay.plugin.hooks import Hooks
from relay.plugin.loading import load_plugins
from relay.plugin.storage import MemoryStorage
from relay.plugin.testing import AT, load
from relay.replies.book import compile_set, make_book
from relay.replies.decide import decide
from relay.replies.outcome import Decision, Outcome
from relay.replies.plugin_host import PluginHost, PluginNeed
from relay.replies.reading.check import read_rules
from relay.replies.situation import Situation
from relay.store.pool import Pool
from tests.plugin_samples import SITUATION

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def section(heading: str) -> str:
    return PAGE.partition(f"\n{heading}\n")[2].partition("\n## ")[0]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder with the page's files, each where its first line says."""
    (tmp_path / "plugins").mkdir()
    for source in blocks("python"):
        name = source.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(source)
    return tmp_path


def test_its_tests_pass(written: Path) -> None:
    """Run as an author runs them."""
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(written), str(written)]
    ended = subprocess.run(
        [sys.executable, *words], cwd=written, text=True, capture_output=True, timeout=60, check=False
    )
    assert "4 passed" in ended.stdout, ended.stdout + ended.stderr


async def test_its_other_examples_work(written: Path) -> None:
    """Those that its own tests leave out."""
    stock = load(written / "plugins" / "stock.py")
    assert await stock.holds("stock.has", {"item": "A7"})
    assert (await stock.act("stock.count", {"item": "A7"})).result == {"left": 3}
    tidy = load(written / "plugins" / "no_numbers.py")
    data = {"from": {"pn": "5511912345678", "lid": None}, "chat": "c"}
    assert (await tidy.payload("message.received", data))["from"]["pn"] is None
    assert await tidy.payload("session.status", data) == data
    reception = load(written / "plugins" / "reception.py")
    answer = await reception.receives(type="location")
    assert [message.type for message in answer.messages] == ["text", "location"]
    assert (await reception.receives("Tenho uma reclamação")).handoff


async def drive(decision: Decision, host: PluginHost, situation: Situation) -> Outcome:
    try:
        need = next(decision)
        while True:
            need = decision.send(await host.answer(cast(PluginNeed, need), situation))
    except StopIteration as ended:
        outcome: Outcome = ended.value
        return outcome


async def test_its_rule_asks_its_plugin(written: Path) -> None:
    """The rule set of the page, decided as a responder does, with the page's plugin behind it."""
    [source] = [text for text in blocks("yaml") if "rules:" in text]
    compiled = compile_set(read_rules(source, operator=True), name="shop", version=None, own=False)
    settings = Config().plugins
    settings = structs.replace(settings, folder=str(written / "plugins"), enabled=("stock",))
    caller = Caller(load_plugins(settings), storage=lambda *_: MemoryStorage(lambda: AT), timeout_seconds=5)
    host = PluginHost(cast(Pool, None), caller)
    message = structs.replace(SITUATION.message, text="tem A7?")
    situation = structs.replace(SITUATION, message=message)
    decision = decide(situation, make_book([compiled], host.abilities_for(situation.message.tenant_id)))
    outcome = await drive(decision, host, situation)
    assert [one.content for one in outcome.messages] == [{"text": "Temos 3."}]
    assert outcome.set == {"last_item": "A7"}


def test_its_settings_are_read(written: Path) -> None:
    """Each `plugins:` block, with the page's own files."""
    found = [settings for text in blocks("yaml") if "plugins" in (settings := yaml.safe_load(text))]
    assert len(found) == 2
    for settings in found:
        settings["plugins"]["folder"] = str(written / "plugins")
        assert load_plugins(msgspec.convert(settings, Config).plugins).plugins


def test_every_hook_and_argument_is_told_of() -> None:
    """The tables of hooks, with what each may take, and of what an answer may say."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", section("## Hooks"), re.MULTILINE)
    told = {name: re.findall(r"`(\w+)`", takes) for name, takes in rows}
    hooks = inspect.getmembers(Hooks, inspect.isfunction)
    assert told == {name: [*inspect.signature(hook).parameters][1:] for name, hook in hooks}
    cells = re.findall(r"^\| (`.+?) \|", section("## Answers"), re.MULTILINE)
    named = {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}
    assert named == {*inspect.signature(reply).parameters} - {"messages"}


def test_the_examples_of_the_folder_load() -> None:
    """plugins/ as it is shipped, both at once."""
    names = sorted(file.stem for file in (ROOT / "plugins").glob("*.py"))
    config = Config().plugins
    settings = structs.replace(config, folder=str(ROOT / "plugins"), enabled=tuple(names))
    assert [plugin.name for plugin in load_plugins(settings).plugins] == ["faq", "opt_out"]
    wrong = structs.replace(settings, settings={"opt_out": {"language": "fr"}})
    with pytest.raises(ConfigError, match=r"plugins\.settings\.opt_out\.language: Invalid enum value 'fr'"):
        load_plugins(wrong)
