"""Media made ready for WhatsApp, by a child process that a stranger's file can harm no more than itself."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import av
import psutil
import pytest

from relay.engines import transcode
from relay.engines.engine import Media
from relay.engines.transcode import Transcoder, prepare
from relay.engines.transcode_job import DAMAGED, TOO_COSTLY, Limits, Prepared
from relay.model.errors import SendRejected
from relay.model.message import MessageType
from tests import clips

VOICE = "audio/ogg; codecs=opus"


def media(path: Path, mimetype: str = "application/octet-stream") -> Media:
    return Media(path=str(path), mimetype=mimetype, file_name=None, size_bytes=path.stat().st_size)


async def convert(path: Path, kind: MessageType, *, voice: bool = False) -> Prepared:
    scratch = path.parent / "scratch"
    scratch.mkdir()
    return await prepare(media(path), kind, voice=voice, scratch=scratch)


async def refuse(path: Path, kind: MessageType, *, voice: bool = False, **bounds: object) -> str:
    """The sentence that a file is refused with."""
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    with pytest.raises(SendRejected) as refusal:
        await prepare(media(path), kind, voice=voice, scratch=scratch, **bounds)  # type: ignore[arg-type]
    assert refusal.value.code == "media_not_convertible"
    return refusal.value.detail


# --- sound ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "container", "rate", "layout"),
    [
        ("libmp3lame", "mp3", 44_100, "stereo"),
        ("pcm_s16le", "wav", 22_050, "mono"),
        ("pcm_s16le", "matroska", 48_000, "mono"),
        ("aac", "mp4", 44_100, "stereo"),
        ("aac", "adts", 44_100, "mono"),
        ("libopus", "ogg", 48_000, "stereo"),
        ("libopus", "webm", 48_000, "mono"),
        ("libopencore_amrnb", "amr", 8_000, "mono"),
        ("vorbis", "ogg", 44_100, "stereo"),
        ("flac", "flac", 44_100, "stereo"),
    ],
)
async def test_any_sound_becomes_a_voice_note(
    tmp_path: Path, codec: str, container: str, rate: int, layout: str
) -> None:
    """Whatever recorded it: Ogg with Opus in one channel at 48 kHz, its length, and a waveform that grows with it."""
    path = clips.make_sound(tmp_path / "sound", codec, container, rate=rate, layout=layout)
    note = await convert(path, MessageType.AUDIO, voice=True)
    with av.open(note.path) as heard:
        [stream] = heard.streams
        assert heard.format.name == "ogg"
        assert stream.codec_context.name in ("opus", "libopus")
        assert (heard.streams.audio[0].rate, heard.streams.audio[0].channels) == (48_000, 1)
        assert sum(frame.samples for frame in heard.decode(audio=0)) == pytest.approx(96_000, rel=0.1)
    assert (note.mimetype, note.seconds, note.size_bytes) == (VOICE, 2, Path(note.path).stat().st_size)
    assert note.path != str(path)
    assert note.waveform is not None
    assert len(note.waveform) == 64
    assert max(note.waveform) == 100
    assert note.waveform[4] < 20
    assert 30 < note.waveform[32] < 70
    assert note.waveform[58] > 80


async def test_a_voice_note_goes_as_it_is(tmp_path: Path) -> None:
    """What is Ogg with mono Opus already is not encoded again, only measured."""
    path = clips.make_sound(tmp_path / "note.ogg", "libopus", "ogg", layout="mono")
    note = await convert(path, MessageType.AUDIO, voice=True)
    assert (note.path, note.mimetype, note.seconds) == (str(path), VOICE, 2)
    assert note.waveform is not None
    assert max(note.waveform) == 100


async def test_silence_is_a_voice_note_too(tmp_path: Path) -> None:
    """Nothing to hear draws a flat line, and lasts at least a second."""
    path = clips.make_silence(tmp_path / "nothing.wav", hours=1)
    with path.open("r+b") as file:
        file.truncate(44 + 4_800)
    note = await convert(path, MessageType.AUDIO, voice=True)
    assert (note.seconds, note.waveform) == (1, bytes(64))


@pytest.mark.parametrize(
    ("codec", "container", "mimetype"),
    [
        ("libmp3lame", "mp3", "audio/mpeg"),
        ("aac", "mp4", "audio/mp4"),
        ("libopus", "ogg", VOICE),
        ("vorbis", "ogg", "audio/ogg"),
        ("libopus", "webm", "audio/webm"),
    ],
)
async def test_an_audio_file_goes_as_it_is(tmp_path: Path, codec: str, container: str, mimetype: str) -> None:
    """With its length, and the media type that it has rather than the one it was given."""
    path = clips.make_sound(tmp_path / "sound", codec, container)
    sound = await convert(path, MessageType.AUDIO)
    assert (sound.path, sound.mimetype, sound.seconds) == (str(path), mimetype, 2)
    assert sound.waveform is None


# --- pictures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "container", "pixels", "mimetype"),
    [
        ("png", "image2", "rgba", "image/png"),
        ("mjpeg", "image2", "yuvj420p", "image/jpeg"),
        ("libwebp", "webp", "yuva420p", "image/webp"),
    ],
)
async def test_a_picture_goes_as_it_is(
    tmp_path: Path, codec: str, container: str, pixels: str, mimetype: str
) -> None:
    """With its size and a small JPEG of it."""
    path = clips.make_picture(tmp_path / "picture", codec, container, pixels)
    picture = await convert(path, MessageType.IMAGE)
    assert (picture.path, picture.mimetype) == (str(path), mimetype)
    assert (picture.width, picture.height, picture.animated) == (300, 200, False)
    assert measure_jpeg(picture.thumbnail) == (100, 67)


async def test_what_phones_do_not_show_becomes_a_jpeg(tmp_path: Path) -> None:
    """A BMP, sent as a picture, can be seen by whoever receives it."""
    path = clips.make_picture(tmp_path / "picture", "bmp", "image2", "bgr24")
    picture = await convert(path, MessageType.IMAGE)
    assert measure_jpeg(Path(picture.path).read_bytes()) == (300, 200)
    assert (picture.mimetype, picture.width, picture.height) == ("image/jpeg", 300, 200)


async def test_a_photo_is_as_it_was_held(tmp_path: Path) -> None:
    """A photo taken upright has an upright size and thumbnail, though its pixels lie on their side."""
    photo = await convert(clips.make_upright_jpeg(tmp_path / "photo.jpg"), MessageType.IMAGE)
    assert (photo.width, photo.height) == (200, 300)
    assert measure_jpeg(photo.thumbnail) == (67, 100)


async def test_a_picture_becomes_a_sticker(tmp_path: Path) -> None:
    """WebP of 512 × 512: the picture in the middle, nothing above and below it."""
    path = clips.make_picture(tmp_path / "picture.png", "png", "image2", "rgb24")
    sticker = await convert(path, MessageType.STICKER)
    assert (sticker.mimetype, sticker.width, sticker.height) == ("image/webp", 512, 512)
    with av.open(sticker.path) as seen:
        frame = next(seen.decode(video=0))
    assert (frame.width, frame.height) == (512, 512)
    alpha = frame.reformat(format="rgba").planes[0]
    stride, pixels = alpha.line_size, bytes(alpha)
    assert pixels[3] == 0
    assert pixels[stride * 256 + 256 * 4 + 3] == 255


@pytest.mark.parametrize("frames", [1, 4])
async def test_a_webp_sticker_goes_as_it_is(tmp_path: Path, frames: int) -> None:
    """Still or moving, and which of the two is told."""
    codec = "libwebp" if frames == 1 else "libwebp_anim"
    path = clips.make_picture(
        tmp_path / "sticker.webp", codec, "webp", "yuva420p", size=(512, 512), frames=frames
    )
    sticker = await convert(path, MessageType.STICKER)
    assert (sticker.path, sticker.width, sticker.height) == (str(path), 512, 512)
    assert sticker.animated is (frames > 1)


async def test_a_gif_becomes_a_moving_sticker(tmp_path: Path) -> None:
    """All its pictures are in the WebP."""
    path = clips.make_picture(tmp_path / "moving.gif", "gif", "gif", "rgb8", frames=4)
    sticker = await convert(path, MessageType.STICKER)
    assert sticker.animated
    assert Path(sticker.path).read_bytes().count(b"ANMF") == 4


# --- films ---------------------------------------------------------------------------------------------------------


async def test_an_mp4_goes_as_it_is(tmp_path: Path) -> None:
    """With its length, its size and its first picture."""
    path = clips.make_film(tmp_path / "film.mp4", "mp4")
    film = await convert(path, MessageType.VIDEO)
    assert (film.path, film.mimetype, film.seconds) == (str(path), "video/mp4", 2)
    assert (film.width, film.height) == (320, 180)
    assert measure_jpeg(film.thumbnail) == (100, 56)


async def test_a_film_is_as_it_was_held(tmp_path: Path) -> None:
    """A film taken upright has an upright size and thumbnail."""
    path = clips.make_film(tmp_path / "film.mp4", "mp4", turned=90)
    film = await convert(path, MessageType.VIDEO)
    assert (film.path, film.width, film.height) == (str(path), 180, 320)
    assert measure_jpeg(film.thumbnail) == (56, 100)


@pytest.mark.parametrize("container", ["mov", "matroska", "mpegts", "flv"])
async def test_a_film_is_moved_into_an_mp4(tmp_path: Path, container: str) -> None:
    """The same pictures in another container are not encoded again, and none is lost."""
    path = clips.make_film(tmp_path / "film", container, audio=None)
    film = await convert(path, MessageType.VIDEO)
    assert (film.mimetype, film.seconds) == ("video/mp4", 2)
    assert list_shown(Path(film.path)) == list_shown(path)


@pytest.mark.parametrize(
    ("container", "video", "audio", "pixels"),
    [
        ("webm", "libvpx", "libopus", "yuv420p"),
        ("mp4", "libx265", "aac", "yuv420p"),
        ("mp4", "libx264", "aac", "yuv420p10le"),
        ("avi", "libx264", "libmp3lame", "yuv420p"),
    ],
)
async def test_a_film_that_phones_do_not_play_is_encoded(
    tmp_path: Path, container: str, video: str, audio: str, pixels: str
) -> None:
    """Another codec becomes H.264 and AAC, as long as before, with every picture."""
    path = clips.make_film(tmp_path / "film", container, video=video, audio=audio, pixels=pixels)
    film = await convert(path, MessageType.VIDEO)
    with av.open(film.path) as seen:
        assert [stream.codec_context.name for stream in seen.streams] == ["h264", "aac"]
        assert seen.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert (seen.duration or 0) / av.time_base == pytest.approx(2, abs=0.2)
    assert len(list_shown(Path(film.path))) == 50
    assert (film.mimetype, film.width, film.height) == ("video/mp4", 320, 180)


async def test_nobody_looks_into_a_document(tmp_path: Path) -> None:
    """It goes as it is, whatever it holds; there is no thumbnail of it."""
    path = tmp_path / "report.pdf"
    path.write_bytes(b"%PDF-1.7 not really")
    document = await prepare(
        media(path, "application/pdf"), MessageType.DOCUMENT, voice=False, scratch=tmp_path
    )
    assert document == Prepared(path=str(path), mimetype="application/pdf", size_bytes=19)


# --- files that are broken, or mean harm ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [MessageType.AUDIO, MessageType.IMAGE, MessageType.STICKER, MessageType.VIDEO]
)
@pytest.mark.parametrize("content", [b"", b"no media at all", b"\x89PNG\r\n\x1a\n" + bytes(64)])
async def test_what_cannot_be_read_is_refused(tmp_path: Path, kind: MessageType, content: bytes) -> None:
    """Empty, text, or a picture that stops after its first bytes: one sentence for people."""
    path = tmp_path / "broken"
    path.write_bytes(content)
    assert await refuse(path, kind, voice=True) == DAMAGED


async def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A film without sound is no voice note, a song no film, and a song no picture."""
    film = clips.make_film(tmp_path / "film.mp4", "mp4", audio=None)
    song = clips.make_sound(tmp_path / "song.mp3", "libmp3lame", "mp3")
    assert "no sound" in await refuse(film, MessageType.AUDIO, voice=True)
    assert "no moving picture" in await refuse(song, MessageType.VIDEO)
    assert await refuse(song, MessageType.IMAGE) == DAMAGED


async def test_a_damaged_middle_costs_only_itself(tmp_path: Path) -> None:
    """A song with a hole in it is still a song."""
    path = clips.make_sound(tmp_path / "song.mp3", "libmp3lame", "mp3", seconds=4)
    whole = path.read_bytes()
    path.write_bytes(whole[:20_000] + b"\xff" * 3_000 + whole[23_000:])
    note = await convert(path, MessageType.AUDIO, voice=True)
    assert note.seconds in (3, 4)


@pytest.mark.parametrize(
    ("kind", "side"),
    [(MessageType.IMAGE, 20_000), (MessageType.IMAGE, 12_000), (MessageType.STICKER, 12_000)],
)
async def test_a_picture_that_unpacks_to_very_much_is_refused(
    tmp_path: Path, kind: MessageType, side: int
) -> None:
    """Up to 400 million pixels in less than half a megabyte never get their memory."""
    path = clips.make_png_bomb(tmp_path / "bomb.png", side=side, bytes_per_pixel=1)
    assert path.stat().st_size < 500_000
    assert "megapixels" in await refuse(path, kind)


async def test_memory_ends_where_the_limit_is(tmp_path: Path) -> None:
    """A picture that needs more memory than its child may have is refused with the sentence for that."""
    path = clips.make_png_bomb(tmp_path / "large.png", side=6_000, bytes_per_pixel=4)
    assert await refuse(path, MessageType.IMAGE, limits=Limits(memory_bytes=200 * 1024 * 1024)) == TOO_COSTLY


async def test_a_decoder_that_does_not_end_is_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Hours of sound in a file without weight: the kernel stops the child at its processor time, not our clock."""
    path = clips.make_silence(tmp_path / "endless.wav", hours=10)
    assert await refuse(path, MessageType.AUDIO, voice=True, limits=Limits(cpu_seconds=1)) == TOO_COSTLY
    assert caplog.messages == ["media.conversion_failed"]


async def test_a_converted_file_is_no_larger_than_allowed(tmp_path: Path) -> None:
    """The disk is not filled: writing past the limit is refused."""
    path = clips.make_sound(tmp_path / "song.mp3", "libmp3lame", "mp3", seconds=20)
    limits = Limits(output_bytes=16_384)
    assert "larger than" in await refuse(path, MessageType.AUDIO, voice=True, limits=limits)


async def test_a_playlist_reaches_nothing(tmp_path: Path) -> None:
    """A file that names others, on this machine or elsewhere, is no media: nothing of them is read."""
    film = clips.make_film(tmp_path / "film.ts", "mpegts")
    asked = asyncio.Event()
    server = await asyncio.start_server(lambda *_: asked.set(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for address in (f"file://{film}", f"http://127.0.0.1:{port}/film.ts"):
            path = tmp_path / "list.m3u8"
            path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{address}\n#EXT-X-ENDLIST\n")
            assert await refuse(path, MessageType.VIDEO) == DAMAGED
    assert not asked.is_set()


@pytest.mark.parametrize("attempt", ["open('/etc/hostname')", "socket.socket()", "os.pipe()"])
def test_a_confined_child_opens_nothing(attempt: str) -> None:
    """After its limits are set neither a file, a socket nor a pipe can be opened, and no limit raised again."""
    code = f"""
import os, socket, resource
from relay.engines.transcode_child import confine
from relay.engines.transcode_job import Limits
confine(Limits())
try:
    {attempt}
except OSError as error:
    print(error.errno, os.nice(0), resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["24", "10", "(0,", "0)"]


def test_the_server_never_imports_av() -> None:
    """Whoever asks for a conversion has no decoder in its own process."""
    code = "import relay.engines.transcode, sys; print('av' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# --- the child, and whoever waits for it ---------------------------------------------------------------------------


async def wait_for_child() -> psutil.Process:
    async with asyncio.timeout(20):
        while True:
            for child in psutil.Process().children():
                if any("transcode_child" in word for word in child.cmdline()):
                    return child
            await asyncio.sleep(0.01)


@pytest.fixture
def stuck(tmp_path: Path) -> Path:
    """A file that is waited for without end, and without any processor time."""
    path = tmp_path / "stuck"
    os.mkfifo(path)
    return path


async def test_a_child_that_hangs_is_killed(stuck: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows nothing secret, and is gone when its time is over."""
    monkeypatch.setenv("RELAY_MASTER_KEY", "secret")
    waiting = asyncio.create_task(refuse(stuck, MessageType.IMAGE, timeout_seconds=2))
    child = await wait_for_child()
    assert set(child.environ()) <= {"LD_LIBRARY_PATH", "LC_CTYPE"}
    assert await waiting == TOO_COSTLY
    assert not child.is_running()


async def test_a_cancelled_conversion_leaves_nothing(stuck: Path, tmp_path: Path) -> None:
    """Neither a process nor a file."""
    folder = tmp_path / "folder"
    folder.mkdir()

    async def send() -> None:
        async with Transcoder(folder).prepared(media(stuck), MessageType.IMAGE, voice=False):
            pass

    sending = asyncio.create_task(send())
    child = await wait_for_child()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert not child.is_running()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("sleep 1000 & sleep 1000", TOO_COSTLY),
        ("head -c 1000000 /dev/zero", transcode._CRASHED),
        ("kill -SEGV $$", transcode._CRASHED),
        ('echo \'{"type":"found","mimetype":3}\'', transcode._CRASHED),
        ("exit 3", transcode._CRASHED),
    ],
)
async def test_a_child_that_was_taken_over_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, sentence: str
) -> None:
    """One that has children, that talks too much, that crashes, lies or gives up: a sentence, and all are gone."""
    monkeypatch.setattr(transcode, "_COMMAND", ("/bin/sh", "-c", script))
    path = tmp_path / "file"
    path.touch()
    async with asyncio.timeout(20):
        assert await refuse(path, MessageType.IMAGE, timeout_seconds=1) == sentence
        while any(works_in(pid, tmp_path / "scratch") for pid in psutil.pids()):
            await asyncio.sleep(0.01)


async def test_conversions_take_turns(stuck: Path, tmp_path: Path) -> None:
    """With one place, a quick picture waits until the file before it has had its time."""
    picture = clips.make_picture(tmp_path / "picture.png", "png", "image2", "rgb24")
    transcoder = Transcoder(tmp_path, at_once=1, timeout_seconds=2)
    done = []

    async def send(path: Path) -> None:
        try:
            async with transcoder.prepared(media(path), MessageType.IMAGE, voice=False):
                done.append(path)
        except SendRejected:
            done.append(path)

    async with asyncio.TaskGroup() as sends:
        sends.create_task(send(stuck))
        sends.create_task(send(picture))
    assert done == [stuck, picture]


async def test_a_converted_file_lives_as_long_as_it_is_used(tmp_path: Path) -> None:
    """It is there inside the block, and gone after it; the original stays."""
    path = clips.make_sound(tmp_path / "song.mp3", "libmp3lame", "mp3")
    async with Transcoder(tmp_path).prepared(media(path), MessageType.AUDIO, voice=True) as note:
        assert Path(note.path).stat().st_size == note.size_bytes
    assert list(tmp_path.iterdir()) == [path]


def measure_jpeg(jpeg: bytes | None) -> tuple[int, int]:
    assert jpeg is not None
    assert jpeg.startswith(b"\xff\xd8\xff")
    [frame] = av.CodecContext.create("mjpeg", "r").decode(av.Packet(jpeg))
    return frame.width, frame.height


def list_shown(path: Path) -> list[float]:
    """When each picture is shown, counted from the first."""
    with av.open(path) as film:
        shown = [frame.time or 0 for frame in film.decode(video=0)]
    return [round(at - shown[0], 2) for at in shown]


def works_in(pid: int, folder: Path) -> bool:
    try:
        return psutil.Process(pid).cwd() == str(folder)
    except psutil.Error:
        return False
