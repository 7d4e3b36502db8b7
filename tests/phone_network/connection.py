"""One client's connection: a handshake, then stanzas both ways, taken one after the other in the order they came.

socket ── frames ──► receive: ClientHello → ServerHello, ClientFinish → network.admit (registration or login)
                              afterwards each frame is a stanza → inbox → _serve → dispatch
send(node) ──► frames ──► socket
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from tests.phone_network.accounts import Account, Device
from tests.phone_network.codec import decode, encode
from tests.phone_network.node import Jid, Node
from tests.phone_network.noise import Ciphers, Handshake, HandshakeFailed

if TYPE_CHECKING:
    from tests.phone_network.network import WhatsApp

SERVER = Jid("", "s.whatsapp.net")
# From the last word to the end of the line.
LINGER_SECONDS = 0.1

# The child of <iq type=result>, or None for an empty result. Raises IqError for an error.
IqHandler: TypeAlias = Callable[["Connection", Node], Awaitable[Node | None]]
StanzaHandler: TypeAlias = Callable[["Connection", Node], Awaitable[None]]


class IqError(Exception):
    """The answer to an iq, or to a message, is an error."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class FrameSocket(Protocol):
    def send_frame(self, data: bytes) -> None: ...
    def close(self) -> None:
        """After what was sent has gone out."""

    def abort(self) -> None:
        """At once."""

    def go_silent(self) -> None:
        """Neither read nor write, and keep the line open."""

    def speak_again(self) -> None:
        """Take what has come in meanwhile, and write what had to wait."""


class Connection:
    """A client that is registering (no device yet) or logged in (with one)."""

    def __init__(self, network: "WhatsApp", socket: FrameSocket) -> None:
        self.network = network
        # Known after the handshake: the client's static Noise key.
        self.noise_key = b""
        # Set at login.
        self.logged_in_as: Device | None = None
        # The client has said that it takes messages.
        self.is_active = False
        self._socket = socket
        self._handshake = Handshake(network.certificates)
        self._ciphers: Ciphers | None = None
        # None: there comes no more.
        self._inbox: asyncio.Queue[Node | None] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[Node]] = {}
        self._ids = 0
        network.serve(self._serve())

    @property
    def device(self) -> Device:
        if not self.logged_in_as:
            # Clients say again on a new connection what an ended one left without an answer.
            raise IqError(401, "not-authorized")
        return self.logged_in_as

    @property
    def account(self) -> Account:
        return self.device.account

    def next_id(self) -> str:
        self._ids += 1
        return f"server-{self._ids}"

    def send(self, node: Node) -> None:
        """Into the connection as it is now. For what must not be lost there is network.deliver()."""
        if self._ciphers:
            self._socket.send_frame(self._ciphers.seal(encode(node)))

    async def request(self, content: Node, **attrs: str) -> Node:
        """Send an <iq type=set> and give the client's answer. Raises ConnectionError when the connection ends first."""
        name = self.next_id()
        answer: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        self._answers[name] = answer
        self.send(Node("iq", {"from": SERVER, "type": "set", "id": name, **attrs}, [content]))
        return await answer

    def end(self, code: str, *children: Node) -> None:
        """Say why, and close."""
        self.send(Node("stream:error", {"code": code}, list(children) or None))
        self._close_soon()

    def fail(self, attrs: dict[str, str]) -> None:
        """Refuse a login, and close."""
        self.send(Node("failure", dict(attrs)))
        self._close_soon()

    def _leave(self) -> None:
        """From here on it does not count as connected, though its socket may take a moment to end."""
        self.is_active = False
        self.network.forget(self)

    def _close_soon(self) -> None:
        """A client that sees the end of its socket forgets what it has not yet taken from its queue, the reason too."""
        self._leave()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._socket.close)

    def abort(self) -> None:
        self._leave()
        self._socket.abort()

    def go_silent(self) -> None:
        self._socket.go_silent()

    def speak_again(self) -> None:
        self._socket.speak_again()

    def receive(self, frame: bytes) -> None:
        """A frame has come in."""
        try:
            if self._ciphers:
                self._take(decode(self._ciphers.open(frame)))
            else:
                self._shake_hands(frame)
        except (HandshakeFailed, ValueError, IndexError) as error:
            self.network.errors.append(error)
            self.abort()

    def lost(self) -> None:
        """The socket is gone. What came over it is still taken, above all acknowledgements."""
        self._inbox.put_nowait(None)
        for answer in self._answers.values():
            give_up(answer, ConnectionResetError("the client's connection has ended"))
        self._leave()

    def _shake_hands(self, frame: bytes) -> None:
        if not self._handshake.is_answered:
            self._socket.send_frame(self._handshake.answer(frame))
            return
        payload, self.noise_key, self._ciphers = self._handshake.finish(frame)
        self.network.admit(self, payload)

    def _take(self, node: Node) -> None:
        answer = self._answers.pop(node.attr("id"), None) if node.tag == "iq" else None
        if answer and not answer.done():
            answer.set_result(node)
        else:
            self._inbox.put_nowait(node)

    async def _serve(self) -> None:
        while node := await self._inbox.get():
            try:
                await self.network.dispatch(self, node)
            except Exception as error:  # noqa: BLE001 - a handler's failure fails the test at the end, not the others now
                self.network.errors.append(error)


def give_up(answer: asyncio.Future[Node], error: Exception) -> None:
    """Whoever waits for this gets the error; it is no trouble when nobody does."""
    if not answer.done():
        answer.set_exception(error)
        answer.exception()
