"""The console's two catalogues, held against each other and against the code that uses them."""

import json
import re
from pathlib import Path

import pytest

from relay.model.session import REASONS

STATIC = Path(__file__).parents[2] / "relay/api/console/static"
LANGUAGES = ("en", "pt-BR")
NAMES = sorted(
    {file.stem for language in LANGUAGES for file in (STATIC / "locales" / language).glob("*.json")}
)
PLURALS = (".one", ".other", ".many")


def catalogue(language: str, name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((STATIC / "locales" / language / f"{name}.json").read_text())
    return found


def placeholders(words: str) -> list[str]:
    return sorted(set(re.findall(r"\{(\w+)\}", words)))


def code() -> str:
    """All scripts without their comments, which show keys as examples."""
    text = "\n".join(file.read_text() for file in sorted((STATIC / "js").rglob("*.js")))
    return re.sub(r"/\*.*?\*/|^\s*//.*?$", "", text, flags=re.DOTALL | re.MULTILINE)


def used() -> tuple[set[str], set[str]]:
    """Keys that stand in quotes in the code, and beginnings of those that are put together: `sessions.reason.${…}`."""
    text = code()
    names = "|".join(NAMES)
    # The frame asks every page for these.
    whole = {f"{name}.{end}" for name in pages() for end in ("nav", "title")}
    whole |= set(re.findall(rf"['\"`]((?:{names})\.[\w.-]+)['\"`]", text))
    return whole, set(re.findall(rf"`((?:{names})\.[\w.-]*)\$\{{", text))


def pages() -> list[str]:
    return re.findall(r"\{ name: '(\w+)'", (STATIC / "js" / "pages.js").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_say_the_same(name: str) -> None:
    """The same keys in the same order, the same placeholders, no words missing."""
    english, portuguese = (catalogue(language, name) for language in LANGUAGES)
    assert list(english) == list(portuguese)
    for key, words in english.items():
        assert placeholders(words) == placeholders(portuguese[key]), key
        assert words.strip(), key
        assert portuguese[key].strip(), key


def test_every_key_that_is_used_is_there() -> None:
    """A key in the code without words would show itself to people."""
    there = {f"{name}.{key}" for name in NAMES for key in catalogue("en", name)}
    whole, begun = used()
    there |= {key.removesuffix(end) for key in there for end in PLURALS if key.endswith(end)}
    assert whole - there == set()
    for beginning in begun:
        assert any(key.startswith(beginning) for key in there), beginning


def test_no_words_are_left_over() -> None:
    """Each key is used, but the sentences for errors, which the API chooses."""
    whole, begun = used()
    left = [
        f"{name}.{key}"
        for name in NAMES
        for key in catalogue("en", name)
        if not key.startswith("errors.")
        and not {f"{name}.{key}", *(f"{name}.{key.removesuffix(end)}" for end in PLURALS)} & whole
        and not any(f"{name}.{key}".startswith(beginning) for beginning in begun)
    ]
    assert left == []


def test_every_reason_of_a_session_has_its_sentence() -> None:
    """In English word for word as the API says it."""
    for language in LANGUAGES:
        sentences = catalogue(language, "sessions")
        assert [key for key in REASONS if f"reason.{key}" not in sentences] == []
    english = catalogue("en", "sessions")
    assert {code: english[f"reason.{code}"] for code in REASONS} == REASONS


def test_every_page_is_registered_with_its_words() -> None:
    """Each has its link's text and its title, its module, and its css where it says so."""
    text = (STATIC / "js" / "pages.js").read_text()
    assert pages()
    for name in pages():
        assert {"nav", "title"} <= catalogue("en", name).keys()
        assert (STATIC / "js" / "pages" / f"{name}.js").is_file()
        (line,) = (one for one in text.splitlines() if f"name: '{name}'" in one)
        assert ("css: true" in line) == (STATIC / "css" / "pages" / f"{name}.css").is_file(), name
