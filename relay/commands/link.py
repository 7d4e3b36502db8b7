"""Linking a session with a phone, seen from a terminal: the QR code or the pairing code, drawn again as it renews."""

import asyncio
import io
import sys
from typing import Any

import msgspec

from relay.commands.client import CallFailed, Client
from relay.commands.output import note, plain
from relay.commands.sse import ServerEvent, parse
from relay.logs import say

_CLEAR = "\x1b[H\x1b[2J"
_WHITE_ON_BLACK, _AS_BEFORE = "\x1b[97;40m", "\x1b[0m"
_AGAIN_SECONDS = 1.0


async def show_until_connected(client: Client, session: dict[str, Any]) -> None:
    """Return once it is connected. Raises CallFailed where it ends otherwise."""
    path = f"/whatsapp/sessions/{session['id']}"
    while session["status"] == "connecting":
        await _show_codes(client, f"{path}/qr")
        session = await client.get(path)
    if session["status"] != "connected":
        raise CallFailed(plain(session["detail"] or f"The session is {session['status']}."))
    say(f"Connected as {plain(session['phone'] or 'an unknown number')}.")


async def _show_codes(client: Client, path: str) -> None:
    """Until the stream ends, by the server's will or by accident."""
    try:
        async with client.stream(path) as response:
            async for event in parse(response.aiter_bytes()):
                _show(event)
    except CallFailed as error:
        if not error.may_pass:
            raise
        note(error.brief)
    await asyncio.sleep(_AGAIN_SECONDS)


def _show(event: ServerEvent) -> None:
    data = msgspec.json.decode(event.data)
    match event.type:
        case "qr":
            say((_CLEAR if sys.stdout.isatty() else "") + draw(data["qr"], colours=sys.stdout.isatty()))
            say("Scan it in WhatsApp: Settings, Linked devices, Link a device.")
        case "code":
            say(f"Pairing code: {plain(data['code'])}")
            say("Enter it in WhatsApp: Settings, Linked devices, Link with phone number instead.")
        case "status" if data["status"] == "connecting" and data["detail"]:
            say(plain(data["detail"]))


def draw(text: str, *, colours: bool) -> str:
    """A QR code in half blocks: light modules are drawn, dark ones are left, as on a dark terminal."""
    import segno  # noqa: PLC0415 - other commands need none

    drawn = io.StringIO()
    # The lowest correction makes the smallest code, and a screen has no scratches.
    segno.make(text, error="l", boost_error=False, micro=False).terminal(drawn, compact=True, border=2)
    lines = drawn.getvalue().splitlines()
    # With its own colours it is the right way round on a light terminal too.
    return "\n".join(f"{_WHITE_ON_BLACK}{line}{_AS_BEFORE}" if colours else line for line in lines)
