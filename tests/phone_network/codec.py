"""The binary form of stanzas: a list of words, each word a token of the dictionary, packed digits, an address or raw bytes.

`encode` gives a frame's plaintext, `decode` takes one: a flags byte (2 means deflated) and the node. Words repeat a lot
(tags, addresses), so their encodings are remembered.
"""

import json
import zlib
from functools import lru_cache
from pathlib import Path

from tests.phone_network.node import Attribute, Jid, Node

LIST_EMPTY, DICTIONARY, DICTIONARIES = 0, 236, 4
INTEROP_JID, FB_JID, AD_JID = 245, 246, 247
LIST_8, LIST_16 = 248, 249
JID_PAIR, HEX_8, BINARY_8, BINARY_20, BINARY_32, NIBBLE_8 = 250, 251, 252, 253, 254, 255
PACKED_MAX = 127
DEFLATED = 2

_tokens = json.loads((Path(__file__).parent / "tokens.json").read_text())
SINGLE: list[str] = _tokens["single"]
DOUBLE: list[list[str]] = _tokens["double"]
WORDS = {
    word: bytes([DICTIONARY + page, at]) for page, words in enumerate(DOUBLE) for at, word in enumerate(words)
}
WORDS |= {word: bytes([at]) for at, word in enumerate(SINGLE) if word}

NIBBLES, HEX = "0123456789-.", "0123456789ABCDEF"
# Packed nibbles are hexadecimal digits, of which two stand for a sign.
TO_HEX, FROM_HEX = str.maketrans("-.", "AB"), str.maketrans("AB", "-.")
# The domain of an address with a device: which server it belongs to.
DOMAINS = {"s.whatsapp.net": 0, "lid": 1, "hosted": 128, "hosted.lid": 129}
SERVERS = {domain: server for server, domain in DOMAINS.items()}


def encode(node: Node) -> bytes:
    out = bytearray(b"\x00")
    _write_node(out, node)
    return bytes(out)


def decode(data: bytes) -> Node:
    """Raises ValueError or IndexError for what is not a stanza."""
    body = zlib.decompress(data[1:]) if data[0] & DEFLATED else data[1:]
    return _Reader(body).node()


def _write_node(out: bytearray, node: Node) -> None:
    attrs = [(key, value) for key, value in node.attrs.items() if value != ""]
    content = node.content
    _write_list(out, 1 + 2 * len(attrs) + (content is not None))
    out += _word(node.tag)
    for key, value in attrs:
        out += _word(key)
        out += _word(value) if isinstance(value, str) else _address(value)
    if isinstance(content, list):
        _write_list(out, len(content))
        for child in content:
            _write_node(out, child)
    elif content is not None:
        out += _length(len(content))
        out += content


def _write_list(out: bytearray, size: int) -> None:
    if size == 0:
        out.append(LIST_EMPTY)
    elif size < 256:
        out += bytes((LIST_8, size))
    else:
        out.append(LIST_16)
        out += size.to_bytes(2, "big")


def _length(size: int) -> bytes:
    if size < 256:
        return bytes((BINARY_8, size))
    if size < 1 << 20:
        return bytes((BINARY_20,)) + size.to_bytes(3, "big")
    return bytes((BINARY_32,)) + size.to_bytes(4, "big")


@lru_cache(maxsize=16384)
def _word(word: str) -> bytes:
    if word in WORDS:
        return WORDS[word]
    if word and len(word) <= PACKED_MAX:
        if not word.strip(NIBBLES):
            return _packed(NIBBLE_8, word.translate(TO_HEX))
        if not word.strip(HEX):
            return _packed(HEX_8, word)
    raw = word.encode()
    return _length(len(raw)) + raw


def _packed(tag: int, digits: str) -> bytes:
    """Two hexadecimal digits a byte; an odd one is filled up with F, and the length's top bit says so."""
    odd = len(digits) % 2
    pairs = bytes.fromhex(digits + "F" * odd)
    return bytes((tag, len(pairs) | odd << 7)) + pairs


@lru_cache(maxsize=16384)
def _address(jid: Jid) -> bytes:
    hosted = jid.server in ("hosted", "hosted.lid")
    if jid.server in DOMAINS and (jid.device or hosted):
        return bytes((AD_JID, DOMAINS[jid.server], jid.device)) + _word(jid.user)
    user = _word(jid.user) if jid.user else bytes((LIST_EMPTY,))
    return bytes((JID_PAIR,)) + user + _word(jid.server)


class _Reader:
    __slots__ = ("at", "body")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def node(self) -> Node:
        size = self.list_size(self.byte())
        if not size:
            raise ValueError("a node without a tag")
        tag = self.text()
        attrs: dict[str, Attribute] = {}
        for _ in range((size - 1) >> 1):
            key = self.text()
            value = self.value(self.byte())
            attrs[key] = (
                value
                if isinstance(value, Jid)
                else str(value, "utf-8")
                if isinstance(value, bytes)
                else value
            )
        return Node(tag, attrs, None if size % 2 else self.content())

    def content(self) -> bytes | list[Node] | None:
        tag = self.byte()
        if tag in (LIST_8, LIST_16):
            return [self.node() for _ in range(self.list_size(tag))]
        if tag == LIST_EMPTY:
            return None
        value = self.value(tag)
        return value if isinstance(value, bytes) else str(value).encode()

    def list_size(self, tag: int) -> int:
        if tag == LIST_EMPTY:
            return 0
        if tag == LIST_8:
            return self.byte()
        if tag == LIST_16:
            return self.integer(2)
        raise ValueError(f"not a list: {tag} at {self.at}")

    def text(self) -> str:
        value = self.value(self.byte())
        return value.decode() if isinstance(value, bytes) else str(value)

    def value(self, tag: int) -> str | bytes | Jid:
        """A word: text from the dictionary or packed, raw bytes, or an address. An empty list is an empty word."""
        if 0 < tag < DICTIONARY:
            return SINGLE[tag]
        if tag < DICTIONARY + DICTIONARIES:
            return DOUBLE[tag - DICTIONARY][self.byte()] if tag else ""
        if tag in (BINARY_8, BINARY_20, BINARY_32):
            size = self.integer({BINARY_8: 1, BINARY_20: 3, BINARY_32: 4}[tag])
            return self.raw(size)
        if tag == HEX_8:
            return self.packed()
        if tag == NIBBLE_8:
            return self.packed().translate(FROM_HEX)
        return self.address(tag)

    def address(self, tag: int) -> Jid:
        if tag == JID_PAIR:
            return Jid(self.text(), self.text())
        if tag == AD_JID:
            domain, device = self.byte(), self.byte()
            return Jid(self.text(), SERVERS[domain], device)
        if tag in (FB_JID, INTEROP_JID):
            user, device = self.text(), self.integer(2)
            self.at += 2 if tag == INTEROP_JID else 0
            return Jid(user, self.text(), device)
        raise ValueError(f"no such word: {tag} at {self.at}")

    def packed(self) -> str:
        length = self.byte()
        digits = self.raw(length & 127).hex().upper()
        return digits[:-1] if length & 128 else digits

    def byte(self) -> int:
        value = self.body[self.at]
        self.at += 1
        return value

    def integer(self, size: int) -> int:
        return int.from_bytes(self.raw(size), "big")

    def raw(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.body):
            raise ValueError("the stanza ends too early")
        value = self.body[self.at : end]
        self.at = end
        return value
