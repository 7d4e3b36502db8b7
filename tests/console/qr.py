"""What a phone's camera reads from a QR code on the page: from the pixels that are shown, not from what the server says.

pixels (PNG) ─► modules ─► format: level, mask ─► codewords in the zigzag ─► blocks ─► text

The picture is sharp and whole, so nothing has to be corrected. The tables are those of segno, which draws the codes;
ISO/IEC 18004 says how they are read.
"""

import io
from collections.abc import Iterator, Sequence
from itertools import product, zip_longest
from typing import Any, cast

import av
from segno import consts

_FORMAT_PLACES = [(8, y) for y in (0, 1, 2, 3, 4, 5, 7, 8)] + [(x, 8) for x in (7, 5, 4, 3, 2, 1, 0)]
_RIM = 4
"""Pixels at the edges that may show the page around it; the code's own white rim is wider."""
_FORMAT_MASK = 0x5412

Modules = Sequence[Sequence[bool]]


def read_qr(png: bytes) -> str:
    """The text of the one QR code in a picture, dark on light."""
    modules = _find_modules(_read_pixels(png))
    level, mask = _read_format(modules)
    version = (len(modules) - 17) // 4
    structure: Sequence[consts.EC] = cast(Any, consts.ECC)[version][level]
    bits = "".join(str(int(bit)) for bit in _read_bits(modules, version, mask))
    codewords = [int(bits[at : at + 8], 2) for at in range(0, len(bits) // 8 * 8, 8)]
    return _read_text(_unmix(codewords, structure), version)


def _read_pixels(png: bytes) -> Modules:
    """Which pixels are dark."""
    with av.open(io.BytesIO(png), mode="r") as picture:
        frame = next(picture.decode(video=0)).reformat(format="gray")
    plane = frame.planes[0]
    rows = memoryview(plane)
    return [
        [value < 128 for value in rows[y * plane.line_size + _RIM : y * plane.line_size + frame.width - _RIM]]
        for y in range(_RIM, frame.height - _RIM)
    ]


def _find_modules(pixels: Modules) -> Modules:
    """The code itself: its upper left pattern begins with seven dark modules."""
    rows = [y for y, row in enumerate(pixels) if any(row)]
    columns = [x for x in range(len(pixels[0])) if any(row[x] for row in pixels)]
    top, left, width = rows[0], columns[0], columns[-1] - columns[0] + 1
    run = pixels[top + 1].index(False, left) - left
    size = round((width * 7 / run - 17) / 4) * 4 + 17
    middles = [int((place + 0.5) * width / size) for place in range(size)]
    return [[pixels[top + y][left + x] for x in middles] for y in middles]


def _read_format(modules: Modules) -> tuple[int, int]:
    """The level of correction and the number of the mask."""
    bits = sum(modules[y][x] << place for place, (x, y) in enumerate(_FORMAT_PLACES))
    told = (bits ^ _FORMAT_MASK) >> 10
    return told >> 3, told & 7


def _read_bits(modules: Modules, version: int, mask: int) -> Iterator[bool]:
    """In columns of two from the right, up and down."""
    size = len(modules)
    columns = [right if right > 6 else right - 1 for right in range(size - 1, 0, -2)]
    for number, right in enumerate(columns):
        for y in range(size) if number % 2 else reversed(range(size)):
            for x in (right, right - 1):
                if not _is_drawing(x, y, size, version):
                    yield modules[y][x] != _is_turned(x, y, mask)


def _is_turned(x: int, y: int, mask: int) -> bool:
    """Whether the mask has made dark what is light, and light what is dark."""
    both, sum_ = x * y, x + y
    values = (
        sum_ % 2,
        y % 2,
        x % 3,
        sum_ % 3,
        (x // 3 + y // 2) % 2,
        both % 2 + both % 3,
        (both % 2 + both % 3) % 2,
        (sum_ % 2 + both % 3) % 2,
    )
    return values[mask] == 0


def _is_drawing(x: int, y: int, size: int, version: int) -> bool:
    """Whether the module is part of what helps to find the code, or of what is said about it."""
    far = size - 8
    if (x < 9 and (y < 9 or y >= far)) or (x >= far and y < 9) or 6 in (x, y):
        return True
    if version >= 7 and ((y < 6 and far - 3 <= x < far) or (x < 6 and far - 3 <= y < far)):
        return True
    places = consts.ALIGNMENT_POS[version - 2] if version > 1 else ()
    in_corner = {(6, 6), (6, size - 7), (size - 7, 6)}
    return any(
        abs(x - across) <= 2 and abs(y - down) <= 2
        for across, down in product(places, places)
        if (across, down) not in in_corner
    )


def _unmix(codewords: Sequence[int], structure: Sequence[consts.EC]) -> bytes:
    """The data of the blocks, one behind the other: on the picture their codewords take turns."""
    lengths = [part.num_data for part in structure for _ in range(part.num_blocks)]
    turns = zip_longest(*([number] * length for number, length in enumerate(lengths)))
    blocks: list[list[int]] = [[] for _ in lengths]
    order = (number for turn in turns for number in turn if number is not None)
    for number, codeword in zip(order, codewords, strict=False):
        blocks[number].append(codeword)
    return bytes(codeword for block in blocks for codeword in block)


def _read_text(content: bytes, version: int) -> str:
    bits = int.from_bytes(content)
    left = len(content) * 8

    def take(count: int) -> int:
        nonlocal left
        left -= count
        return (bits >> left) & ((1 << count) - 1)

    assert take(4) == consts.MODE_BYTE
    length = take(8 if version < 10 else 16)
    return bytes(take(8) for _ in range(length)).decode()
