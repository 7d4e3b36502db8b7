"""Sound for WhatsApp: voice notes, and audio files as they are. Runs in the converting child only.

A voice note is Ogg with Opus in one channel, 48 kHz; clients draw its waveform from 64 levels sent beside it.
"""

from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain, pairwise
from typing import BinaryIO, Self

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from relay.engines.transcode_job import Found, Refusal
from relay.engines.transcode_source import CLIPS, find_sound, list_sounds, measure_seconds, open_source

VOICE_MIMETYPE = "audio/ogg; codecs=opus"
_RATE = 48_000
_BITS_PER_SECOND = 32_000
_BARS = 64
_SAMPLES_PER_LEVEL = _RATE // 50
# Every sixth sample tells how loud it is as well as all of them do.
_STRIDE = 6
_NO_SOUND = "There is no sound in the file, or none that Relay can read."

_MIMETYPES = {
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "amr": "audio/amr",
    "flac": "audio/flac",
    "matroska,webm": "audio/webm",
    "mov,mp4,m4a,3gp,3g2,mj2": "audio/mp4",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "wav": "audio/wav",
}


def prepare_audio(source: BinaryIO) -> Found:
    with open_source(source, CLIPS) as container:
        stream = find_sound(container)
        mimetype = _MIMETYPES.get(container.format.name)
        if stream is None or mimetype is None:
            raise Refusal(_NO_SOUND)
        if mimetype == "audio/ogg" and stream.codec_context.name in ("opus", "libopus"):
            mimetype = VOICE_MIMETYPE
        return Found(mimetype=mimetype, seconds=measure_seconds(container))


def prepare_voice(source: BinaryIO, target: BinaryIO) -> Found:
    with open_source(source, CLIPS) as container, ExitStack() as stack:
        stream = find_sound(container)
        if stream is None:
            raise Refusal(_NO_SOUND)
        fits = _is_voice_note(container, stream)
        note = None if fits else stack.enter_context(_Note(target))
        loudness = _Loudness()
        for frame in _list_samples(container, stream):
            loudness.add(frame)
            if note:
                note.add(frame)
        if not loudness.samples:
            raise Refusal(_NO_SOUND)
        return Found(
            converted=not fits,
            mimetype=VOICE_MIMETYPE,
            seconds=max(1, round(loudness.samples / _RATE)),
            waveform=loudness.draw(),
        )


def _is_voice_note(container: InputContainer, stream: AudioStream) -> bool:
    codec = stream.codec_context
    return (
        container.format.name == "ogg"
        and len(container.streams) == 1
        and codec.name in ("opus", "libopus")
        and codec.channels == 1
    )


def _list_samples(container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame]:
    """Mono, 48 kHz, 16 bits, numbered without gaps."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=_RATE)
    position = 0
    for frame in chain(list_sounds(container, stream), [None]):
        for samples in resampler.resample(frame):
            samples.pts = position
            samples.time_base = Fraction(1, _RATE)
            position += samples.samples
            yield samples


class _Note:
    """The voice note that is being written."""

    def __init__(self, target: BinaryIO) -> None:
        self._container = av.open(target, "w", format="ogg")
        self._stream = self._container.add_stream(
            "libopus", rate=_RATE, options={"application": "voip"}, layout="mono", bit_rate=_BITS_PER_SECOND
        )

    def __enter__(self) -> Self:
        return self

    def add(self, frame: av.AudioFrame) -> None:
        self._container.mux(self._stream.encode(frame))

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()


class _Loudness:
    """How loud each 20 ms are; from them the bars of the waveform."""

    def __init__(self) -> None:
        self.samples = 0
        self._levels: list[float] = []
        self._rest = array("h")

    def add(self, frame: av.AudioFrame) -> None:
        self.samples += frame.samples
        self._rest.frombytes(memoryview(frame.planes[0])[: frame.samples * 2])
        whole = len(self._rest) // _SAMPLES_PER_LEVEL * _SAMPLES_PER_LEVEL
        self._levels += [
            _level(self._rest[start : start + _SAMPLES_PER_LEVEL])
            for start in range(0, whole, _SAMPLES_PER_LEVEL)
        ]
        del self._rest[:whole]

    def draw(self) -> bytes:
        """64 bars from 0 to 100, the loudest at 100."""
        levels = self._levels or [_level(self._rest)]
        edges = [index * len(levels) // _BARS for index in range(_BARS + 1)]
        bars = [
            sum(part) / len(part)
            for part in (levels[start : max(end, start + 1)] for start, end in pairwise(edges))
        ]
        loudest = max(bars) or 1
        return bytes(round(100 * bar / loudest) for bar in bars)


def _level(samples: "array[int]") -> float:
    some = samples[::_STRIDE]
    return sum(map(abs, some)) / len(some) if some else 0.0
