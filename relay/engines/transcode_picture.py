"""Pictures for WhatsApp: photos, stickers, thumbnails. Runs in the converting child only.

    photo    JPEG, PNG, WebP and GIF as they are; what clients do not show (BMP, TIFF) as JPEG
    sticker  WebP as it is; all else as WebP of 512 × 512, the room beside it transparent, moving if it moves

Cameras store pictures as the sensor saw them and note how to turn them: sizes and thumbnails are of the turned one.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import BinaryIO, cast

import av
from av.container import InputContainer
from av.filter import Graph

from relay.engines.transcode_job import DAMAGED, Found, Refusal
from relay.engines.transcode_source import PICTURES, find_picture, list_pictures, open_source

Step = tuple[str, str]
"""A filter's name and its arguments."""

THUMBNAIL_SIDE = 100
_STICKER_SIDE = 512
_PHOTO_SIDE = 4096
_WEBP = "image/webp"
_MIMETYPES = {
    "jpeg_pipe": "image/jpeg",
    "png_pipe": "image/png",
    "apng": "image/png",
    "webp_pipe": _WEBP,
    "gif": "image/gif",
}
_TURNS: dict[int, list[Step]] = {
    90: [("transpose", "cclock")],
    -90: [("transpose", "clock")],
    180: [("hflip", ""), ("vflip", "")],
    -180: [("hflip", ""), ("vflip", "")],
}


def prepare_image(source: BinaryIO, target: BinaryIO) -> Found:
    if canvas := find_moving_webp(source):
        return Found(mimetype=_WEBP, width=canvas[0], height=canvas[1], animated=True)
    with open_source(source, PICTURES) as container:
        first, more = _first_and_more(container)
        mimetype = _MIMETYPES.get(container.format.name)
        if mimetype is None:
            target.write(encode_jpeg(first, side=_PHOTO_SIDE))
        width, height = fit(first, side=None if mimetype else _PHOTO_SIDE)
        return Found(
            converted=mimetype is None,
            mimetype=mimetype or "image/jpeg",
            width=width,
            height=height,
            thumbnail=encode_jpeg(first, side=THUMBNAIL_SIDE),
            animated=next(more, None) is not None,
        )


def prepare_sticker(source: BinaryIO, target: BinaryIO) -> Found:
    if canvas := find_moving_webp(source):
        return Found(mimetype=_WEBP, width=canvas[0], height=canvas[1], animated=True)
    with open_source(source, PICTURES) as container:
        first, more = _first_and_more(container)
        if container.format.name == "webp_pipe":
            return Found(mimetype=_WEBP, width=first.width, height=first.height)
        second = next(more, None)
        if second is None:
            target.write(_draw_sticker(first))
        else:
            _write_moving_sticker(first, chain([second], more), target)
        return Found(
            converted=True,
            mimetype=_WEBP,
            width=_STICKER_SIDE,
            height=_STICKER_SIDE,
            animated=second is not None,
        )


def find_moving_webp(source: BinaryIO) -> tuple[int, int] | None:
    """The canvas of an animated WebP, which FFmpeg cannot decode. (RIFF container: 'Extended File Format')."""
    head = source.read(30)
    size = source.seek(0, 2)
    source.seek(0)
    moves = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 30 and head[20] & 2
    if not moves:
        return None
    if int.from_bytes(head[4:8], "little") + 8 > size:
        raise Refusal(DAMAGED)
    return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")


def fit(frame: av.VideoFrame, *, side: int | None) -> tuple[int, int]:
    """The turned picture's width and height, the longer one at most `side`."""
    width, height = frame.width, frame.height
    if abs(frame.rotation) == 90:
        width, height = height, width
    scale = min(1.0, side / max(width, height)) if side else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def turned(frame: av.VideoFrame) -> list[Step]:
    return _TURNS.get(frame.rotation, [])


def encode_jpeg(frame: av.VideoFrame, *, side: int) -> bytes:
    width, height = fit(frame, side=side)
    steps = [*turned(frame), ("scale", f"{width}:{height}"), ("format", "yuvj420p")]
    codec = _encoder("mjpeg", "yuvj420p", width, height)
    codec.qmin = codec.qmax = 4
    return _encode_one(codec, Filter(frame, steps).apply(frame))


class Filter:
    """A chain of FFmpeg's filters for pictures that are like `frame`."""

    def __init__(
        self, frame: av.VideoFrame, steps: list[Step], *, time_base: Fraction = Fraction(1, 1000)
    ) -> None:
        self._graph = Graph()
        self._graph.threads = 1
        start = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=time_base
        )
        nodes = [self._graph.add(name, arguments) for name, arguments in steps]
        self._graph.link_nodes(start, *nodes, self._graph.add("buffersink")).configure()

    def apply(self, frame: av.VideoFrame) -> av.VideoFrame:
        self._graph.vpush(frame)
        return self._graph.vpull()


def _first_and_more(container: InputContainer) -> tuple[av.VideoFrame, Iterator[av.VideoFrame]]:
    stream = find_picture(container)
    if stream is None:
        raise Refusal(DAMAGED)
    pictures = list_pictures(container, stream)
    first = next(pictures, None)
    if first is None:
        raise Refusal(DAMAGED)
    return first, pictures


def _sticker_steps(frame: av.VideoFrame) -> list[Step]:
    side = _STICKER_SIDE
    scale = side / max(frame.width, frame.height)
    width, height = (max(1, round(length * scale)) for length in (frame.width, frame.height))
    return [
        ("scale", f"{width}:{height}"),
        ("format", "rgba"),
        *turned(frame),
        ("pad", f"{side}:{side}:(ow-iw)/2:(oh-ih)/2:color=black@0"),
        ("format", "bgra"),
    ]


def _draw_sticker(frame: av.VideoFrame) -> bytes:
    codec = _encoder("libwebp", "bgra", _STICKER_SIDE, _STICKER_SIDE)
    return _encode_one(codec, Filter(frame, _sticker_steps(frame)).apply(frame))


def _write_moving_sticker(first: av.VideoFrame, more: Iterator[av.VideoFrame], target: BinaryIO) -> None:
    time_base = first.time_base or Fraction(1, 100)
    to_sticker = Filter(first, _sticker_steps(first), time_base=time_base)
    with av.open(target, "w", format="webp", container_options={"loop": "0"}) as container:
        stream = container.add_stream("libwebp_anim", rate=25, options={"loop": "0"})
        stream.width = stream.height = _STICKER_SIDE
        stream.pix_fmt = "bgra"
        stream.codec_context.time_base = time_base
        for frame in chain([first], more):
            container.mux(stream.encode(to_sticker.apply(frame)))
        container.mux(stream.encode(None))


def _encode_one(codec: av.VideoCodecContext, frame: av.VideoFrame) -> bytes:
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def _encoder(name: str, pixels: str, width: int, height: int) -> av.VideoCodecContext:
    codec = cast("av.VideoCodecContext", av.CodecContext.create(name, "w"))
    codec.width, codec.height = width, height
    codec.pix_fmt = pixels
    codec.time_base = Fraction(1, 1000)
    codec.thread_count = 1
    return codec
