"""The client under test, in a process of its own: the unmodified library, driven by JSON lines.

    in:  {"id": 1, "client": "a", "open": "/folder/a.db"}
         {"id": 2, "client": "a", "call": "send_message", "args": [{"jid": "5511…@s.whatsapp.net"}, "Hello"]}
    out: {"client": "a", "qr": "…"}   {"client": "a", "event": "Connected", "fields": {…}}
         {"id": 2, "result": {…}}     {"id": 2, "error": "…"}

A script, run by its path: the process must start with the network's `environ`. It ends when its input does.
"""

import asyncio
import ctypes
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

# Before the library: it brings libmagic.
import pylibmagic  # noqa: F401
from google.protobuf.json_format import MessageToDict, ParseDict  # type: ignore[import-untyped]
from google.protobuf.message import Message  # type: ignore[import-untyped]
from neonize._binder import ProxySettings  # type: ignore[import-untyped]
from neonize.aioze.client import NewAClient  # type: ignore[import-untyped]
from neonize.events import INT_TO_EVENT  # type: ignore[import-untyped]
from neonize.proto import Neonize_pb2  # type: ignore[import-untyped]
from neonize.proto.Neonize_pb2 import JID  # type: ignore[import-untyped]
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message as WhatsAppMessage  # type: ignore[import-untyped]
from neonize.utils import enum  # type: ignore[import-untyped]

# Goes on behind the file's name, see the library's own "?_foreign_keys=on".
FAST = "?_journal_mode=WAL&_synchronous=NORMAL&_foreign_keys=on&_x="
# These two the library must see itself: who we are, and that we are connected.
ME, CONNECTED = 0, 3
# What a message is called in arguments: as written, and as the library tells of it.
PROTOS = {"written": WhatsAppMessage, "told": Neonize_pb2.Message, "info": Neonize_pb2.MessageInfo}

clients: dict[str, Any] = {}
# One start at a time: the library's maps are not locked.
starting = asyncio.Lock()


def make_say() -> Callable[[dict[str, Any]], None]:
    """Whatever the library prints goes to stderr; stdout is ours, a whole line at a time from whatever thread."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    lock = threading.Lock()

    def say(what: dict[str, Any]) -> None:
        with lock:
            out.write(json.dumps(what).encode() + b"\n")
            out.flush()

    return say


say = make_say()


def understand(argument: Any) -> Any:
    """Arguments as JSON, and beyond it a few kinds.

    {"jid": …} an address, {"bytes": hex} bytes, {"enum": class, "name": …}, {"message": hex} a waE2E.Message
    """
    if isinstance(argument, dict) and "jid" in argument:
        user, _, server = argument["jid"].rpartition("@")
        user, _, device = user.partition(":")
        return JID(User=user, Server=server, Device=int(device or 0), RawAgent=0, Integrator=0, IsEmpty=False)
    if isinstance(argument, dict) and "proto" in argument:
        return ParseDict(argument["fields"], PROTOS[argument["proto"]]())
    if isinstance(argument, dict) and "bytes" in argument:
        return bytes.fromhex(argument["bytes"])
    if isinstance(argument, dict) and "enum" in argument:
        return getattr(enum, argument["enum"])[argument["name"]]
    if isinstance(argument, dict) and "message" in argument:
        return WhatsAppMessage.FromString(bytes.fromhex(argument["message"]))
    return [understand(one) for one in argument] if isinstance(argument, list) else argument


def explain(result: Any) -> Any:
    if isinstance(result, Message):
        return MessageToDict(result)
    if isinstance(result, bytes):
        return {"bytes": result.hex()}
    if isinstance(result, Sequence) and not isinstance(result, str):
        return [explain(one) for one in result]
    return result if isinstance(result, str | int | float | bool | dict | None) else str(result)


def listen(client: Any, name: str) -> None:
    """Every event is told, from the library's own thread, before the client object sees it."""
    pass_on = client.event.execute

    def execute(uuid: Any, pointer: int, size: int, code: int) -> None:
        fields = MessageToDict(INT_TO_EVENT[code].FromString(ctypes.string_at(pointer, size)))
        say({"client": name, "event": INT_TO_EVENT[code].DESCRIPTOR.name, "fields": fields})
        if code in (ME, CONNECTED):
            pass_on(uuid, pointer, size, code)

    async def subscribed(_client: Any, _message: Any) -> None:
        """Never called: it only makes the library send this kind of event."""

    def tell_status(_uuid: Any, pointer: int) -> None:
        say({"client": name, "event": "login", "fields": {"status": ctypes.string_at(pointer).decode()}})

    # How linking ends: "success", "timeout", "passkey-request" and others. The library has no event for it.
    client._NewAClient__onLoginStatus = tell_status
    client.event.execute = execute
    for code in INT_TO_EVENT:
        client.event.list_func[code] = subscribed


async def open_client(name: str, path: str) -> None:
    client = clients[name] = NewAClient(path + FAST, uuid=name)

    async def show(_client: Any, text: bytes) -> None:
        say({"client": name, "qr": text.decode()})

    client.event.qr(show)
    listen(client, name)
    async with starting:
        task = await client.connect(ProxySettings(os.environ["PHONE_NETWORK_PROXY"]))
        task.add_done_callback(lambda done: tell_the_end(name, done))


def tell_the_end(name: str, task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    say({"client": name, "event": "ended", "fields": {"error": str(error) if error else ""}})


async def decrypt_vote(client: NewAClient, told: Message) -> Message:
    """The library's own decrypt_poll_vote forgets to take the bytes out of their box."""
    buffer = told.SerializeToString()
    native = client._NewAClient__client
    box = await native.DecryptPollVote(client.uuid, buffer, len(buffer))
    answer = Neonize_pb2.ReturnFunctionWithError.FromString(box.contents.get_bytes())
    if answer.Error:
        raise ValueError(answer.Error)
    return answer.PollVoteMessage


async def do(command: dict[str, Any]) -> None:
    try:
        if "open" in command:
            await open_client(command["client"], command["open"])
            result = None
        else:
            client = clients[command["client"]]
            call = (
                partial(decrypt_vote, client)
                if command["call"] == "decrypt_vote"
                else getattr(client, command["call"])
            )
            result = call(
                *understand(command.get("args", [])),
                **{name: understand(value) for name, value in command.get("options", {}).items()},
            )
            result = await result if asyncio.iscoroutine(result) else result
        say({"id": command["id"], "result": explain(result)})
    except Exception as error:  # noqa: BLE001 - it is told to whoever gave the command
        say({"id": command["id"], "error": f"{type(error).__name__}: {error}"})


async def main() -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(256))
    commands = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    tasks: set[asyncio.Task[None]] = set()
    while line := await commands.readline():
        task = asyncio.create_task(do(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    # The library's threads never end.
    os._exit(0)


asyncio.run(main())
