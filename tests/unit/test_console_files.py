"""The console's files: what the first paint needs is asked for at once, and nothing comes from outside."""

import re
from pathlib import Path

from relay.model.event import EVENT_TYPES

STATIC = Path(__file__).parents[2] / "relay/api/console/static"
_IMPORT = re.compile(r"^(?:import|export)[^;]*?from '(\.[^']+)'", re.MULTILINE)


def imported(path: Path) -> set[Path]:
    """A module and all that it imports, however far; not what it loads later."""
    found: set[Path] = set()
    waiting = [path.resolve()]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [(module.parent / name).resolve() for name in _IMPORT.findall(module.read_text())]
    return found


def test_the_page_names_its_modules_so_that_they_come_together() -> None:
    """Without that a browser learns of each from the one before, one round trip after the other."""
    text = (STATIC / "index.html").read_text()
    named = re.findall(r'<link rel="modulepreload" href="console/([^"]+)">', text)
    start = (STATIC / "js" / "main.js").resolve()
    needed = sorted(str(path.relative_to(STATIC.resolve())) for path in imported(start) - {start})
    assert named == needed


def test_every_import_is_there() -> None:
    """Of every module, also those that are loaded later."""
    for file in sorted((STATIC / "js").rglob("*.js")):
        for module in imported(file):
            assert module.is_file(), f"{file}: {module}"
        for name in re.findall(r"import\('(\.[^']+)'\)", file.read_text()):
            assert (file.parent / name).is_file(), f"{file}: {name}"


def test_the_page_hears_every_type_of_event() -> None:
    """An EventSource hears only what it has a listener for."""
    text = (STATIC / "js" / "events.js").read_text()
    listed = re.search(r"export const TYPES = \[(.*?)\]", text, re.DOTALL)
    assert listed is not None
    assert re.findall(r"'([\w.]+)'", listed[1]) == list(EVENT_TYPES)


def test_nothing_is_loaded_from_outside_and_nothing_becomes_markup() -> None:
    """What the page's policy would refuse in people's faces is not written in the first place."""
    for file in sorted(STATIC.rglob("*.*")):
        text = file.read_text()
        if file.suffix == ".js":
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function", text), file
            assert not re.search(r"(?:import|fetch|EventSource)\(?[^\n]*['\"`]https?:", text), file
        elif file.suffix in (".html", ".css"):
            assert not re.search(r"//|<style|\bstyle=|\bon\w+=", text), file
