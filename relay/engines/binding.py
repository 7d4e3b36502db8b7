"""neonize's native library, called without its Python client.

The client's `connect` keeps two threads a session and wakes one of them five times a second, stops live sessions from
finalizers, prints to the terminal, and hides the end of a link. So the library's functions are called here as its own
client calls them: bytes of a protobuf in, bytes of a protobuf out.

What it must never be asked: anything of an account that is not known to it. Its maps are plain Go maps, and a missing
entry ends the process. `neonize.py` guards every call by the session's state.
"""

import ctypes
import platform
import sys
from enum import IntEnum
from typing import Any

from relay.engines.protobufs import find_neonize
from relay.model.errors import NotSupported

_OS = {"linux": "linux", "darwin": "darwin", "win32": "windows"}
_MACHINE = {"x86_64": "amd64", "aarch64": "arm64", "amd64": "amd64", "arm64": "arm64"}
_ENDING = {"linux": "so", "darwin": "dylib", "win32": "dll"}

OnText = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
OnEvent = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
OnLog = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int)


class Code(IntEnum):
    """The library's events that we listen to, by number (EVENT_TO_INT in neonize's events.py)."""

    PAIRED = 2
    CONNECTED = 3
    KEEP_ALIVE_LOST = 4
    KEEP_ALIVE_BACK = 5
    LOGGED_OUT = 6
    REPLACED = 7
    BANNED = 8
    REFUSED = 9
    OUTDATED = 10
    DISCONNECTED = 12
    HISTORY = 13
    MESSAGE = 17
    RECEIPT = 18
    OFFLINE_DONE = 27
    CALL = 36
    GROUP_CALL = 40
    UNREADABLE = 44


class Proxy(ctypes.Structure):
    """How a session connects."""

    _fields_ = (
        ("address", ctypes.c_char_p),
        ("no_websocket", ctypes.c_bool),
        ("only_login", ctypes.c_bool),
        ("no_media", ctypes.c_bool),
    )


class _Bytes(ctypes.Structure):
    _fields_ = (("pointer", ctypes.c_void_p), ("size", ctypes.c_size_t))


_TEXT, _NUMBER = ctypes.c_char_p, ctypes.c_int
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "Neonize": (
        _TEXT, _TEXT, _TEXT, _NUMBER, _NUMBER, _TEXT, OnText, OnText, OnEvent, OnLog, _TEXT, _NUMBER, _TEXT, _NUMBER,
        _TEXT, _NUMBER, ctypes.POINTER(Proxy),
    ),
    "Stop": (_TEXT,),
    "Logout": (_TEXT,),
    "SendChatPresence": (_TEXT, _TEXT, _NUMBER, _NUMBER, _NUMBER),
    "SendPresence": (_TEXT, _TEXT),
    "MarkRead": (_TEXT, _TEXT, _NUMBER, _TEXT, _NUMBER, _TEXT, _NUMBER, _TEXT),
    "RejectCall": (_TEXT, _TEXT, _NUMBER, _TEXT),
    "SetPushName": (_TEXT, _TEXT),
}  # fmt: skip
"""Functions that answer a text: an error, or nothing."""
_ANSWERING: dict[str, tuple[Any, ...]] = {
    "SendMessage": (_TEXT, _TEXT, _NUMBER, _TEXT, _NUMBER),
    "PairPhone": (_TEXT, _TEXT, _NUMBER),
    "GetMe": (_TEXT,),
    "GetPNFromLID": (_TEXT, _TEXT, _NUMBER),
    "GetLIDFromPN": (_TEXT, _TEXT, _NUMBER),
    "Upload": (_TEXT, _TEXT, _NUMBER, _NUMBER),
    "IsOnWhatsApp": (_TEXT, _TEXT),
    "GetJoinedGroups": (_TEXT,),
    "GetGroupInfo": (_TEXT, _TEXT, _NUMBER),
    "GetProfilePicture": (_TEXT, _TEXT, _NUMBER, _TEXT, _NUMBER),
    "SetProfilePhoto": (_TEXT, _TEXT, _NUMBER),
    "BuildPollVote": (_TEXT, _TEXT, _NUMBER, _TEXT, _NUMBER),
    "DecryptPollVote": (_TEXT, _TEXT, _NUMBER),
}
"""Functions that answer a protobuf."""


class Library:
    """The loaded library; `call` and `ask` may be used from any thread."""

    def __init__(self) -> None:
        machine = _MACHINE.get(platform.machine().lower(), platform.machine().lower())
        name = f"neonize-{_OS.get(sys.platform, sys.platform)}-{machine}.{_ENDING.get(sys.platform, 'so')}"
        path = find_neonize() / name
        if not path.exists():
            raise NotSupported(f"neonize has no native library for this system ({name}).")
        library = ctypes.CDLL(str(path))
        library.FreeString.argtypes, library.FreeString.restype = [ctypes.c_void_p], None
        library.FreeBytesStruct.argtypes, library.FreeBytesStruct.restype = [ctypes.POINTER(_Bytes)], None
        library.Disconnect.argtypes, library.Disconnect.restype = [ctypes.c_char_p], None
        for function, arguments in _SIGNATURES.items():
            declare(getattr(library, function), arguments, ctypes.c_void_p)
        # Stop answers nothing, whatever the client of the package says.
        library.Stop.restype = None
        for function, arguments in _ANSWERING.items():
            declare(getattr(library, function), arguments, ctypes.POINTER(_Bytes))
        self._library = library

    def call(self, function: str, *arguments: Any) -> str:
        """Call a function that answers an error, or nothing: the empty text."""
        pointer = getattr(self._library, function)(*arguments)
        if not pointer:
            return ""
        try:
            return ctypes.string_at(pointer).decode("utf-8", "replace")
        finally:
            self._library.FreeString(pointer)

    def ask(self, function: str, *arguments: Any) -> bytes:
        """Call a function that answers a protobuf."""
        pointer = getattr(self._library, function)(*arguments)
        if not pointer:
            return b""
        try:
            answer = pointer.contents
            return ctypes.string_at(answer.pointer, answer.size) if answer.pointer and answer.size else b""
        finally:
            self._library.FreeBytesStruct(pointer)


def declare(function: Any, arguments: tuple[Any, ...], result: Any) -> None:
    function.argtypes, function.restype = list(arguments), result


def sized(message: Any) -> tuple[bytes, int]:
    """A protobuf as the two arguments that a call takes it in."""
    packed: bytes = message.SerializeToString()
    return packed, len(packed)
