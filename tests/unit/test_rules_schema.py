"""The JSON Schema that editors use says what the reader takes."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from relay.replies.reading.json_schema import make_schema
from relay.replies.reading.parse import parse
from relay.replies.reading.problems import RulesInvalid

SHIPPED = Path(__file__).parents[2] / "docs" / "rules.schema.json"
SCHEMA = make_schema()

RIGHT = """\
version: 1
tenants: ['*']
defaults: {timezone: America/Sao_Paulo, cooldown: 30s, pause: 1h30m, remember: 90}
rules:
  - {id: a, when: {keyword: [status, 42]}, if: [{time: {after: '09:00', weekday: [mon]}}], do: [{reply: {text: x}}, {typing: 2}]}
  - {id: b, when: {any: [{regex: x}]}, do: [{http: {url: 'https://x', else: [{handoff: true}]}}, {set: {x: [1, {}]}}]}
flows: {f: {expire: 30m, steps: [{ask: x, match: {'1': end, '2': [{goto: f}]}, else: {stop: true}}]}}
tests: [{name: t, given: {text: x}, expect: {replies: [y]}}]
"""
WRONG = [
    "version: 2",
    "versin: 1\nversion: 1",
    "version: 1\nrules: [{id: a, when: {always: true}}]",
    "version: 1\nrules: [{id: 'a b', when: {always: true}, do: [{stop: true}]}]",
    "version: 1\nrules: [{id: a, when: {always: true}, do: []}]",
    "version: 1\nrules: [{id: a, when: {always: true}, do: [{stop: maybe}]}]",
    "version: 1\nrules: [{id: a, when: {always: true}, do: [{typing: soon}]}]",
    "version: 1\nrules: [{id: a, priority: 5000, when: {always: true}, do: [{stop: true}]}]",
    "version: 1\nrules: [{id: a, when: {chats: all}, do: [{stop: true}]}]",
    "version: 1\nflows: {f: {steps: [{ask: x, match: {a: {go: b}}}]}}",
    "version: 1\ntemplates: {a: [b]}",
    "version: 1\nholidays: {country: br}",
]


def test_the_copy_in_the_documentation_is_current() -> None:
    """`relay rules schema > docs/rules.schema.json` makes it anew."""
    assert msgspec.json.decode(SHIPPED.read_bytes()) == SCHEMA


def test_keys_are_explained() -> None:
    """What stands below a field in the structs is what the editor shows, inherited fields too."""
    parts = SCHEMA["$defs"]
    assert parts["When"]["properties"]["keyword"]["description"] == "Whole words, anywhere in the text."
    assert parts["Rule"]["properties"]["if"]["items"] == {"$ref": "#/$defs/Condition"}
    assert parts["Defaults"]["properties"]["pause"]["default"] == 7200
    assert parts["Flow"]["required"] == ["steps"]


def _fits(value: Any, shape: dict[str, Any]) -> bool:
    """As much of JSON Schema as ours uses."""
    if "$ref" in shape:
        return _fits(value, SCHEMA["$defs"][shape["$ref"].removeprefix("#/$defs/")])
    if "anyOf" in shape and not any(_fits(value, one) for one in shape["anyOf"]):
        return False
    if "enum" in shape and value not in shape["enum"]:
        return False
    kinds = shape.get("type", [])
    if kinds and not any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if isinstance(value, str):
        length = shape.get("minLength", 0) <= len(value) <= shape.get("maxLength", len(value))
        return length and bool(re.search(shape.get("pattern", ""), value))
    if isinstance(value, int | float):
        return bool(shape.get("minimum", value) <= value <= shape.get("maximum", value))
    if isinstance(value, list):
        count = shape.get("minItems", 0) <= len(value) <= shape.get("maxItems", len(value))
        return count and all(_fits(item, shape.get("items", {})) for item in value)
    return not isinstance(value, dict) or _fits_object(value, shape)


def _fits_object(value: dict[str, Any], shape: dict[str, Any]) -> bool:
    known, other = shape.get("properties", {}), shape.get("additionalProperties", {})
    if not set(shape.get("required", [])) <= set(value):
        return False
    names = shape.get("propertyNames", {})
    return all(
        (key in known or other is not False) and _fits(key, names) and _fits(item, known.get(key, other))
        for key, item in value.items()
    )


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    kinds: dict[str, Any] = {
        "string": str, "integer": int, "number": int | float, "object": dict, "array": list, "boolean": bool,
    }  # fmt: skip
    return isinstance(value, kinds[kind])


def test_what_is_right_fits() -> None:
    """Neither the editor nor Relay complains."""
    parse(RIGHT)
    assert _fits(yaml.safe_load(RIGHT), SCHEMA)


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_does_not(text: str) -> None:
    """Both complain."""
    with pytest.raises(RulesInvalid, match="Line"):
        parse(text)
    assert not _fits(yaml.safe_load(text), SCHEMA)


def test_every_reference_leads_somewhere() -> None:
    """And every part is reached."""
    named = set(re.findall(r'"\$ref":"#/\$defs/(\w+)"', msgspec.json.encode(SCHEMA).decode()))
    assert named == set(SCHEMA["$defs"])
