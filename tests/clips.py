"""Media files that tests send, made on the spot: sound, pictures, films, and files that mean harm."""

import math
import struct
import zlib
from array import array
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream


def make_sound(
    path: Path, codec: str, container: str, *, rate: int = 48_000, layout: str = "stereo", seconds: int = 2
) -> Path:
    """A tone that grows from nothing to loud."""
    total = rate * seconds
    with av.open(path, "w", format=container) as out:
        # FFmpeg calls its encoder of Vorbis an experiment, and wants that to be said.
        options = {"strict": "experimental"}
        stream = cast("AudioStream", out.add_stream(codec, rate=rate, layout=layout, options=options))
        for start in range(0, total, rate // 10):
            wave = (18_000 * at / total * math.sin(at / 20) for at in range(start, start + rate // 10))
            frame = av.AudioFrame(format="s16", layout="mono", samples=rate // 10)
            frame.planes[0].update(
                array("h", map(int, wave)).tobytes().ljust(frame.planes[0].buffer_size, b"\0")
            )
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            fit = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
            for fitting in fit.resample(frame):
                out.mux(stream.encode(fitting))
        out.mux(stream.encode(None))
    return path


def make_silence(path: Path, *, hours: int) -> Path:
    """A WAV file of nothing, that takes no room on the disk."""
    size = hours * 3600 * 48_000 * 2
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", size + 36, b"WAVE", b"fmt ", 16, 1, 1, 48_000, 96_000, 2, 16, b"data", size)  # fmt: skip
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size + len(head))
    return path


def make_picture(
    path: Path,
    codec: str,
    container: str,
    pixels: str,
    *,
    size: tuple[int, int] = (300, 200),
    frames: int = 1,
) -> Path:
    """One colour, or one for each frame."""
    with av.open(path, "w", format=container) as out:
        stream = cast("VideoStream", out.add_stream(codec, rate=10))
        _paint(out, stream, size, pixels, frames)
    return path


def make_film(
    path: Path,
    container: str,
    *,
    video: str = "libx264",
    audio: str | None = "aac",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (320, 180),
    turned: int = 0,
) -> Path:
    """Two seconds; `turned` is what a phone writes that was held upright."""
    with av.open(path, "w", format=container) as out:
        stream = cast("VideoStream", out.add_stream(video, rate=25))
        if turned:
            stream.set_display_rotation(turned)
        sound = cast("AudioStream", out.add_stream(audio, rate=48_000, layout="mono")) if audio else None
        _paint(out, stream, size, pixels, 50)
        if sound is not None:
            out.mux(sound.encode(_quiet(96_000)))
            out.mux(sound.encode(None))
    return path


def make_upright_jpeg(path: Path) -> Path:
    """A JPEG with the EXIF note of a camera that was turned by 90 degrees (orientation 6)."""
    plain = make_picture(path, "mjpeg", "image2", "yuvj420p").read_bytes()
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    note = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    path.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + plain[2:])
    return path


def make_png_bomb(path: Path, *, side: int, bytes_per_pixel: int) -> Path:
    """A small file that is `side` × `side` pixels when it is unpacked: grey with 1 byte a pixel, RGBA with 4."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side * bytes_per_pixel)) for _ in range(side))
    colour = {1: 0, 4: 6}[bytes_per_pixel]
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, colour, 0, 0, 0)),
        (b"IDAT", rows + packer.flush()),
        (b"IEND", b""),
    ]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        )
    )
    return path


def _paint(
    out: OutputContainer, stream: VideoStream, size: tuple[int, int], pixels: str, frames: int
) -> None:
    stream.width, stream.height = size
    stream.pix_fmt = pixels
    for number in range(frames):
        frame = av.VideoFrame(*size, "rgb24")
        colour = bytes((255, number * 40 % 256, 40))
        frame.planes[0].update(
            (colour * (frame.planes[0].buffer_size // 3 + 1))[: frame.planes[0].buffer_size]
        )
        painted = frame.reformat(format=pixels)
        painted.pts = number
        out.mux(stream.encode(painted))
    out.mux(stream.encode(None))


def _quiet(samples: int) -> av.AudioFrame:
    frame = av.AudioFrame(format="s16", layout="mono", samples=samples)
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    frame.sample_rate, frame.pts = 48_000, 0
    return frame
