"""Calls that ring at a client: it can only hear of them and reject them."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tests.phone_network.accounts import Account
from tests.phone_network.activity import Activity, Rejected
from tests.phone_network.node import Attribute, Node

if TYPE_CHECKING:
    from tests.phone_network.connection import Connection
    from tests.phone_network.network import WhatsApp


@dataclass
class Call:
    id: str
    caller: Account
    callee: Account
    state: Literal["ringing", "rejected", "ended"] = "ringing"


class Calls:
    def __init__(self, network: "WhatsApp", activity: Activity, clock: Callable[[], float]) -> None:
        self._network = network
        self._activity = activity
        self._clock = clock
        self.calls: dict[str, Call] = {}

    def register(self) -> None:
        self._network.stanzas["call"] = self._take

    def ring(
        self, caller: Account, callee: Account, *, video: bool = False, offered_at: float | None = None
    ) -> Call:
        """A person calls: every device of the callee rings, those that are away when they are back.

        `offered_at` (seconds since 1970) makes an old call of it.
        """
        call = Call(secrets.token_hex(16).upper(), caller, callee)
        self.calls[call.id] = call
        media = [Node("audio", {"enc": "opus", "rate": "16000"})]
        media += [Node("video", {"enc": "h264"})] if video else []
        self._tell(call, "offer", media, at=offered_at)
        return call

    def hang_up(self, call: Call) -> None:
        """The caller gives up."""
        call.state = "ended"
        self._tell(call, "terminate", None, reason="timeout")

    def _tell(
        self, call: Call, tag: str, content: list[Node] | None, *, at: float | None = None, reason: str = ""
    ) -> None:
        caller = call.caller
        about = Node(
            tag,
            {"call-id": call.id, "call-creator": caller.lid, "caller_pn": caller.pn, "reason": reason},
            content,
        )
        for device in call.callee.devices.values():
            attrs: dict[str, Attribute] = {
                "from": caller.lid,
                "id": secrets.token_hex(8).upper(),
                "t": str(int(self._clock() if at is None else at)),
                "notify": caller.name,
                "platform": caller.platform,
                "version": "2.26.1.1",
            }
            self._network.deliver(device, Node("call", attrs, [about]))

    async def _take(self, connection: "Connection", node: Node) -> None:
        reject = node.find("reject")
        if reject:
            caller = reject.jid("call-creator").account
            if call := self.calls.get(reject.attr("call-id")):
                call.state = "rejected"
            self._activity.record(Rejected(connection.device.jid, caller, reject.attr("call-id")))
