"""Pages, and how a wrong body is told."""

from typing import Any

import msgspec
import pytest

from relay.api.paging import Page
from relay.api.wire import In, decode
from relay.model.errors import InvalidInput


class Inner(In, frozen=True, kw_only=True):
    url: str


class Outer(In, frozen=True, kw_only=True):
    content: Inner
    how_many: int = 1
    names: tuple[str, ...] = ()


DECODER = msgspec.json.Decoder(Outer)


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        (b'{"content": {"url": 1}}', "invalid_input", "content.url"),
        (b'{"content": {"url": "x", "extra": 1}}', "invalid_input", "content.extra"),
        (b'{"content": {}}', "invalid_input", "content.url"),
        (b"{}", "invalid_input", "content"),
        (b'{"content": {"url": "x"}, "howMany": "1"}', "invalid_input", "howMany"),
        (b'{"content": {"url": "x"}, "names": ["a", 2]}', "invalid_input", "names[1]"),
        (b"[]", "invalid_input", None),
        (b"{", "json_malformed", None),
        (b'{"content": {"url": "\\ud800"}}', "json_malformed", None),
        (b'{"content": {"url": "\xff"}}', "json_malformed", None),
        (b'{"content": {"url": "a\\u0000b"}}', "nul_character", None),
        (b'{"content": ' + b"[" * 100_000, "invalid_input", "content"),
    ],
)
def test_a_wrong_body_is_told_with_the_path_of_the_field(body: bytes, code: str, path: str | None) -> None:
    """Wrong types, unknown and missing fields, bytes that are no JSON."""
    with pytest.raises(InvalidInput, match=r"\.$") as caught:
        decode(DECODER, body)
    assert (caught.value.code, caught.value.path) == (code, path)


def test_json_too_deep_is_refused() -> None:
    """The decoder gives up at the interpreter's recursion limit; that is the caller's fault, not ours."""
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any)
    with pytest.raises(InvalidInput, match="deep") as caught:
        decode(decoder, b"[" * 5_000 + b"]" * 5_000)
    assert caught.value.code == "json_too_deep"


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    """The quick look over the bytes may be wrong; the real one is not."""
    assert decode(DECODER, b'{"content": {"url": "\\\\u0000"}}').content.url == "\\u0000"


def test_pages_follow_each_other_to_the_end() -> None:
    """Each id comes once, newest first, and the last page has no cursor."""
    ids = [f"ten_{n:02}" for n in range(9, -1, -1)]
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(4):
        page = Page.of(3, cursor)
        rows = [i for i in ids if page.before is None or i < page.before][: page.fetch]
        shown, cursor = page.cut(rows, lambda i: i)
        seen += shown
    assert seen == ids
    assert cursor is None


@pytest.mark.parametrize("cursor", ["x", "%%%", "é", "AA==", "AAAA", "dGVu ", "0" * 199])
def test_an_invented_cursor_is_refused(cursor: str) -> None:
    """A cursor is taken from `nextCursor` as it is, or not at all."""
    with pytest.raises(InvalidInput, match="nextCursor"):
        Page.of(50, cursor)
