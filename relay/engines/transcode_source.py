"""Opening a stranger's file with FFmpeg's libraries. Runs in the converting child only.

Only the formats and codecs that people send are let in: FFmpeg also knows playlists that name other files, and
hundreds of old decoders that nobody looks after.
"""

from collections.abc import Iterator
from typing import BinaryIO, TypeAlias, TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from relay.engines.transcode_job import PIXELS_MOST

CLIPS = "mov,matroska,ogg,mp3,wav,aac,amr,flac,aiff,avi,flv,mpeg,mpegts,asf,gif"
PICTURES = "jpeg_pipe,png_pipe,apng,webp_pipe,gif,bmp_pipe,tiff_pipe"

_CODECS = (
    "aac,aac_latm,ac3,alac,amrnb,amrwb,eac3,flac,mp2,mp2float,mp3,mp3float,opus,libopus,vorbis,libvorbis,wmav1,wmav2,"
    "pcm_alaw,pcm_mulaw,pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f64le,"
    "adpcm_ima_wav,adpcm_ms,av1,flv,h263,h264,hevc,libdav1d,libvpx,libvpx-vp9,mpeg1video,mpeg2video,mpeg4,msmpeg4,"
    "vp8,vp9,wmv1,wmv2,mjpeg,png,apng,webp,gif,bmp,tiff"
)
_OPTIONS = {"codec_whitelist": _CODECS, "max_pixels": str(PIXELS_MOST), "threads": "1"}

Frame: TypeAlias = av.AudioFrame | av.VideoFrame
_Stream = TypeVar("_Stream", AudioStream, VideoStream)


def open_source(source: BinaryIO, formats: str) -> InputContainer:
    """Raises FFmpegError when the file is none of `formats`."""
    return av.open(
        source,
        "r",
        options={**_OPTIONS, "format_whitelist": formats, "protocol_whitelist": "none"},
        metadata_errors="replace",
    )


def find_sound(container: InputContainer) -> AudioStream | None:
    return _readied(container.streams.audio)


def find_picture(container: InputContainer) -> VideoStream | None:
    """The film of a film, the picture of a picture; not the cover of a song."""
    return _readied(
        tuple(
            stream
            for stream in container.streams.video
            if not stream.disposition & av.stream.Disposition.attached_pic
        )
    )


def _readied(streams: tuple[_Stream, ...]) -> _Stream | None:
    for stream in streams:
        # A codec that is not on the list has no context.
        if stream.codec_context is not None:
            stream.codec_context.options = _OPTIONS
            stream.codec_context.thread_count = 1
            return stream
    return None


def list_frames(container: InputContainer, *streams: AudioStream | VideoStream) -> Iterator[Frame]:
    """What can be decoded: one bad packet, such as a tag at the end of an mp3, costs only itself."""
    for packet in container.demux(*streams):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            continue
        for frame in frames:
            if isinstance(frame, (av.AudioFrame, av.VideoFrame)):
                yield frame


def list_sounds(container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame]:
    return (frame for frame in list_frames(container, stream) if isinstance(frame, av.AudioFrame))


def list_pictures(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    return (frame for frame in list_frames(container, stream) if isinstance(frame, av.VideoFrame))


def measure_seconds(container: InputContainer) -> int | None:
    """How long it plays, in whole seconds and at least one.

    What a browser records states no length: there the last packet's end says it.
    """
    if container.duration:
        return max(1, round(container.duration / av.time_base))
    end = 0.0
    for packet in container.demux():
        if packet.pts is not None and packet.time_base is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return max(1, round(end)) if end else None
