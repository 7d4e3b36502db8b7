"""The receipts that the sandbox's virtual phones owe for what they received.

    owe() ─► delivered, when due ─► read, when due ─► the row is settled

They come over the connection that the message was sent on. What a lost connection or a crash leaves untold stays
marked in the message's outbox row, and is owed again when its session connects.
"""

import heapq
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct, structs

from relay.config import Sandbox
from relay.engines.engine import Acknowledged, Listener

_SILENT_RETRY_SECONDS = 1.0


class Line:
    """One connection of a session, from Connected to its end."""

    __slots__ = ("listener", "silent", "up")

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.up = True
        self.silent = False
        """It has stopped answering: nothing goes either way."""


class Owed(Struct, frozen=True, kw_only=True):
    """A message in an outbox row, and the next receipt for it."""

    line: Line
    row_id: int
    wa_id: str
    chat: str
    sent_at: datetime
    status: Literal["delivered", "read"] = "delivered"


class Receipts:
    """What is still to be told, the earliest first."""

    def __init__(
        self, settings: Sandbox, *, clock: Callable[[], datetime], monotonic: Callable[[], float]
    ) -> None:
        delivered, read = settings.delivered_after_seconds, settings.read_after_seconds
        self._after_seconds = {"delivered": delivered, "read": max(delivered, read)}
        self._clock = clock
        self._monotonic = monotonic
        self._due: list[tuple[float, int, Owed]] = []
        self._pushed = itertools.count()

    def owe(self, owed: Owed) -> None:
        """Tell it when its time has come."""
        passed_seconds = (self._clock() - owed.sent_at).total_seconds()
        self._push(owed, max(0.0, self._after_seconds[owed.status] - passed_seconds))

    def _push(self, owed: Owed, in_seconds: float) -> None:
        heapq.heappush(self._due, (self._monotonic() + in_seconds, next(self._pushed), owed))

    def hand_over(self, *, most: int) -> tuple[list[int], bool]:
        """Journal what is due, at most `most`; answers the rows that are settled, and whether more is due."""
        told: dict[tuple[Line, str, str], list[Owed]] = {}
        for owed in self._take(most):
            told.setdefault((owed.line, owed.chat, owed.status), []).append(owed)
        for (line, chat, _), messages in told.items():
            line.listener.journal(self._acknowledged(chat, messages))
        settled = [owed.row_id for messages in told.values() for owed in messages if owed.status == "read"]
        return settled, bool(self._due) and self._due[0][0] <= self._monotonic()

    def _take(self, most: int) -> list[Owed]:
        now = self._monotonic()
        taken: list[Owed] = []
        while self._due and self._due[0][0] <= now and len(taken) < most:
            owed = heapq.heappop(self._due)[2]
            if owed.line.silent and owed.line.up:
                self._push(owed, _SILENT_RETRY_SECONDS)
            elif owed.line.up:
                taken.append(owed)
                if owed.status == "delivered":
                    self.owe(structs.replace(owed, status="read"))
        return taken

    def _acknowledged(self, chat: str, messages: list[Owed]) -> Acknowledged:
        """Several messages of one chat share a receipt, as WhatsApp's do."""
        last = messages[-1]
        at = last.sent_at + timedelta(seconds=self._after_seconds[last.status])
        return Acknowledged(wa_ids=[owed.wa_id for owed in messages], chat=chat, status=last.status, at=at)
