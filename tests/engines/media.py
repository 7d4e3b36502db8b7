"""Real files of each kind, small, made when a test asks: an engine that converts and uploads needs more than a name."""

from pathlib import Path

import av

from relay.engines.engine import Media
from relay.model.message import MEDIA_TYPES, MessageType

_SIDE = 64
_SAMPLES = 960


def media_of(kind: MessageType, folder: Path) -> Media | None:
    """A file for a message of this type; None for a type that carries none."""
    if kind not in MEDIA_TYPES:
        return None
    name, mimetype = _FILES[kind]
    path = folder / name
    match kind:
        case MessageType.DOCUMENT:
            path.write_bytes(b"%PDF-1.4\n%%EOF\n")
        case MessageType.AUDIO:
            _write_sound(path)
        case MessageType.VIDEO:
            _write_pictures(path, codec="libx264", frames=5)
        case _:
            codec = "libwebp" if kind is MessageType.STICKER else "mjpeg"
            _write_pictures(path, codec=codec, frames=1)
    return Media(path=str(path), mimetype=mimetype, file_name=name, size_bytes=path.stat().st_size)


_FILES = {
    MessageType.IMAGE: ("a.jpg", "image/jpeg"),
    MessageType.AUDIO: ("a.ogg", "audio/ogg"),
    MessageType.VIDEO: ("a.mp4", "video/mp4"),
    MessageType.DOCUMENT: ("a.pdf", "application/pdf"),
    MessageType.STICKER: ("a.webp", "image/webp"),
}


def jpeg(folder: Path) -> bytes:
    """The bytes of a picture."""
    path = folder / "picture.jpg"
    _write_pictures(path, codec="mjpeg", frames=1)
    return path.read_bytes()


def _write_pictures(path: Path, *, codec: str, frames: int) -> None:
    single = None if frames > 1 else {"libwebp": "webp"}.get(codec, "image2")
    with av.open(str(path), "w", format=single) as container:
        stream = container.add_stream(codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = _SIDE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame(_SIDE, _SIDE, "rgb24").reformat(format=stream.pix_fmt)))
        container.mux(stream.encode(None))


def _write_sound(path: Path) -> None:
    """A second of silence."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        for number in range(48_000 // _SAMPLES):
            frame = av.AudioFrame("s16", "mono", _SAMPLES)
            frame.sample_rate, frame.pts = 48_000, number * _SAMPLES
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
