"""Videos for WhatsApp: MP4 with H.264 and AAC. Runs in the converting child only.

    MP4 with H.264 (8 bits, 4:2:0) and AAC, MP3 or no sound     as it is
    the same in another container (MOV, MKV, FLV, TS)           moved into MP4, nothing encoded
    anything else                                               encoded anew, at most 1280 pixels on the long side

Encoding is bounded by the child's CPU limit: what is too long for it is refused, and can be sent as a document.
"""

from fractions import Fraction
from typing import Any, BinaryIO

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.frame import PictureType
from av.video.stream import VideoStream
from msgspec.structs import replace

from relay.engines.transcode_job import DAMAGED, Found, Refusal
from relay.engines.transcode_picture import THUMBNAIL_SIDE, Filter, encode_jpeg, fit, turned
from relay.engines.transcode_source import (
    CLIPS,
    find_picture,
    find_sound,
    list_frames,
    list_pictures,
    measure_seconds,
    open_source,
)

_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
# Containers that say when each picture is shown; AVI for one does not.
_MOVABLE = ("matroska,webm", "flv", "mpegts")
_SIDE_MOST = 1280
_SOUND_RATE = 48_000
_GAP_SAMPLES = _SOUND_RATE // 10
_NO_PICTURE = "There is no moving picture in the file, or none that Relay can read."


def prepare_video(source: BinaryIO, target: BinaryIO) -> Found:
    with open_source(source, CLIPS) as container:
        film, sound = find_picture(container), find_sound(container)
        first = _find_first(container, film)
        if film is None or first is None:
            raise Refusal(_NO_PICTURE)
        plays = _plays(film, sound) and container.format.name in (_MP4, *_MOVABLE)
        as_it_is = plays and container.format.name == _MP4 and container.metadata.get("major_brand") != "qt  "
        width, height = fit(first, side=None)
        found = Found(
            converted=not as_it_is,
            mimetype="video/mp4",
            seconds=measure_seconds(container),
            width=width,
            height=height,
            thumbnail=encode_jpeg(first, side=THUMBNAIL_SIDE),
        )
    if as_it_is:
        return found
    # What was read to look at it is read again: not every format can be wound back.
    source.seek(0)
    with open_source(source, CLIPS) as container, av.open(target, "w", format="mp4") as mp4:
        if plays:
            _move(container, mp4)
            return found
        width, height = _encode(container, mp4, first)
        return replace(found, width=width, height=height)


def _find_first(container: InputContainer, film: VideoStream | None) -> av.VideoFrame | None:
    if film is None:
        return None
    return next(list_pictures(container, film), None)


def _plays(film: VideoStream, sound: AudioStream | None) -> bool:
    """Whether every client has the decoders."""
    return (
        film.codec_context.name == "h264"
        and film.codec_context.pix_fmt in ("yuv420p", "yuvj420p")
        and (sound is None or sound.codec_context.name in ("aac", "mp3", "mp3float"))
    )


def _move(container: InputContainer, mp4: OutputContainer) -> None:
    streams = [stream for stream in (find_picture(container), find_sound(container)) if stream is not None]
    places = {stream.index: mp4.add_stream_from_template(stream) for stream in streams}
    undated: dict[int, list[Packet[Any]]] = {stream.index: [] for stream in streams}
    for packet in container.demux(*streams):
        waiting = undated[packet.stream.index]
        # The last packet of a stream is empty: it only says that the stream has ended.
        if packet.size:
            waiting.append(packet)
        if packet.dts is not None:
            _date(waiting)
            for one in waiting:
                one.stream = places[one.stream.index]
            mp4.mux(waiting)
            waiting.clear()
    if any(undated.values()):
        raise Refusal(DAMAGED)


def _date(packets: "list[Packet[Any]]") -> None:
    """Give the packets before the last one their decoding times: Matroska states none for the first few."""
    *early, last = packets
    for steps, packet in enumerate(reversed(early), start=1):
        packet.dts = (last.dts or 0) - steps * max(1, last.duration or 1)


def _encode(container: InputContainer, mp4: OutputContainer, first: av.VideoFrame) -> tuple[int, int]:
    """The new film's width and height."""
    film, sound = find_picture(container), find_sound(container)
    if film is None:
        raise Refusal(_NO_PICTURE)
    picture = _Picture(mp4, film, first)
    voice = _Sound(mp4) if sound else None
    for frame in list_frames(container, *(stream for stream in (film, sound) if stream is not None)):
        if isinstance(frame, av.VideoFrame):
            picture.add(frame)
        elif voice:
            voice.add(frame)
    picture.finish()
    if voice:
        voice.finish()
    return picture.size


class _Picture:
    """The film's pictures: H.264, turned upright, with even sides as the codec wants them."""

    def __init__(self, mp4: OutputContainer, film: VideoStream, first: av.VideoFrame) -> None:
        width, height = fit(first, side=_SIDE_MOST)
        self.size = max(2, width // 2 * 2), max(2, height // 2 * 2)
        time_base = film.time_base or Fraction(1, 1000)
        steps = [*turned(first), ("scale", f"{self.size[0]}:{self.size[1]}"), ("format", "yuv420p")]
        self._filter = Filter(first, steps, time_base=time_base)
        self._mp4 = mp4
        self._stream = mp4.add_stream(
            "libx264", rate=film.average_rate or 25, options={"preset": "veryfast", "crf": "26"}
        )
        self._stream.width, self._stream.height = self.size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = time_base
        self._stream.codec_context.thread_count = 1
        self._last = -1

    def add(self, frame: av.VideoFrame) -> None:
        # The encoder refuses a picture that is not later than the one before; AVI, for one, has such.
        self._last = self._last + 1 if frame.pts is None else max(frame.pts, self._last + 1)
        frame.pts = self._last
        small = self._filter.apply(frame)
        small.pict_type = PictureType.NONE
        self._mp4.mux(self._stream.encode(small))

    def finish(self) -> None:
        self._mp4.mux(self._stream.encode(None))


class _Sound:
    """The film's sound: AAC, stereo."""

    def __init__(self, mp4: OutputContainer) -> None:
        self._mp4 = mp4
        self._stream = mp4.add_stream("aac", rate=_SOUND_RATE, layout="stereo", bit_rate=96_000)
        self._resampler = av.AudioResampler(format="fltp", layout="stereo", rate=_SOUND_RATE)
        self._next = 0

    def add(self, frame: av.AudioFrame | None) -> None:
        for samples in self._resampler.resample(frame):
            # The clock of a broken file stutters and steps back, which MP4 refuses; only real gaps are kept.
            start = round((samples.time or 0) * _SOUND_RATE)
            samples.pts = start if start > self._next + _GAP_SAMPLES else self._next
            samples.time_base = Fraction(1, _SOUND_RATE)
            self._next = samples.pts + samples.samples
            self._mp4.mux(self._stream.encode(samples))

    def finish(self) -> None:
        self.add(None)
        self._mp4.mux(self._stream.encode(None))
