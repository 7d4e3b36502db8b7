"""The binary codec: what goes in comes out, each word in its shortest form."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.phone_network.codec import decode, encode
from tests.phone_network.node import Jid, Node

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200) | st.text(
    "0123456789-.ABCDEF", min_size=1
)
devices = st.builds(
    Jid,
    st.text("0123456789", min_size=1, max_size=15),
    st.sampled_from(["s.whatsapp.net", "lid"]),
    st.integers(0, 255),
)
places = st.builds(
    Jid, st.text("0123456789-", max_size=18), st.sampled_from(["g.us", "s.whatsapp.net", "broadcast"])
)
attributes = st.dictionaries(words, words | devices | places, max_size=5)
leaves = st.builds(Node, words, attributes, st.none() | st.binary(max_size=400))
trees = st.recursive(
    leaves,
    lambda inner: st.builds(Node, words, attributes, st.lists(inner, min_size=1, max_size=4)),
    max_leaves=8,
)


@given(trees)
def test_what_is_encoded_is_decoded_again(node: Node) -> None:
    assert decode(encode(node)) == node


@pytest.mark.parametrize("size", [255, 256, 70_000, 1 << 20])
def test_every_size_of_content_and_list(size: int) -> None:
    node = Node("message", {}, bytes(size))
    assert decode(encode(node)) == node
    many = Node("list", {}, [Node("key")] * min(size, 60_000))
    assert decode(encode(many)) == many


def test_words_take_their_shortest_form() -> None:
    """A tag of the dictionary is one byte, digits are packed two to a byte, an address with a device has its own form."""
    assert encode(Node("iq")) == bytes([0, 248, 1, 25])
    assert encode(Node("iq", {"id": "12345"})) == bytes([0, 248, 3, 25, 8, 255, 0x83, 0x12, 0x34, 0x5F])
    address = bytes([0, 248, 3, 25, 8, 247, 1, 7, 255, 2, 0x98, 0x76])
    assert encode(Node("iq", {"id": Jid("9876", "lid", 7)})) == address


def test_a_deflated_frame_is_understood() -> None:
    node = Node("iq", {"type": "result"}, [Node("count", {"value": "7"})])
    assert decode(b"\x02" + zlib.compress(encode(node)[1:])) == node


@pytest.mark.parametrize(
    "frame", [b"\x00", bytes([0, 248]), bytes([0, 0]), bytes([0, 248, 2, 25, 252, 9, 1])]
)
def test_what_is_no_stanza_is_an_error(frame: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        decode(frame)
