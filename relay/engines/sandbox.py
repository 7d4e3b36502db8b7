"""The sandbox engine: a WhatsApp account without a phone, for trying, demonstrations and tests.

              start, no auth                    scan
    stopped ─────────────────► linking ───────────────────► connected
       ▲  │                       │ codes used up               │ │ ▲
       │  └── start with auth ────┼─────────────────────────────┘ │ │
       └──────────────────────────┴──── stop, logout, a fault ────┘ └─┘ silent, restored

Its world is the phone network in `sandbox_network.py`: it scans the code, carries in what people write, and breaks
things on request. What a session sends goes to the outbox and earns its receipts.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from relay.engines.engine import (
    Account,
    AuthChanged,
    CodeShown,
    Connected,
    Degraded,
    Entry,
    Group,
    Linked,
    LinkExpired,
    Listener,
    LoggedOut,
    Outgoing,
    QrShown,
    Received,
    Restored,
    Sent,
    Signal,
    StreamReplaced,
)
from relay.engines.sandbox_exchange import Exchange
from relay.engines.sandbox_people import find_jids, lid_of, phone_of
from relay.engines.sandbox_receipts import Line, Owed
from relay.model.errors import NotConnected, OutcomeUnknown, SendRejected
from relay.model.message import TARGETED_TYPES, Party
from relay.model.sandbox import digits_of
from relay.store import sandbox as store
from relay.store.sandbox import OutboxEntry

_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTVWXYZ123456789"


class State(Enum):
    STOPPED = auto()
    LINKING = auto()
    CONNECTED = auto()


class _Auth(Struct, frozen=True, kw_only=True):
    """What a linked device keeps."""

    phone: str
    lid: str
    device: int


class SandboxEngine:
    """See `Engine`; what the network calls stands after the protocol's methods."""

    def __init__(self, exchange: Exchange, account: Account, listener: Listener) -> None:
        self._exchange = exchange
        self._account = account
        self._listener = listener
        self._auth = msgspec.json.decode(account.auth, type=_Auth) if account.auth else None
        self._attempt = 0
        self._alive_at = exchange.monotonic()
        self._groups = exchange.groups_of(account.session_id)
        self._slowed: set[asyncio.Future[None]] = set()
        self._silenced: set[asyncio.Future[None]] = set()
        self.state = State.STOPPED
        self.line: Line | None = None
        """The connection; None while there is none."""
        self.seen_command_id = 0
        """Commands up to here were asked before the account was reachable."""

    # --- the protocol ---

    async def start(self) -> None:
        if self.state is not State.STOPPED:
            return
        self._attempt += 1
        attempt, account, pool = self._attempt, self._account, self._exchange.pool
        self.seen_command_id = await store.get_last_command_id(pool, account.tenant_id, account.session_id)
        owed = await store.list_owed_receipts(pool, account.tenant_id, account.session_id)
        if attempt != self._attempt:
            return  # stopped meanwhile
        refusal = self._exchange.find_refusal(account.session_id)
        if refusal is not None:
            self._listener.signal(refusal)
            return
        self._take_place()
        if self._auth is None:
            self._show_first_code()
            return
        line = self._connect(self._auth)
        for row in owed:
            self._owe(
                line, row.id, row.body["waId"], row.body["chat"], datetime.fromisoformat(row.body["at"])
            )

    async def stop(self) -> None:
        self.end(None)

    async def logout(self) -> None:
        self._auth = None
        self.end(None)

    async def forget(self) -> None:
        """Nothing of it is kept here."""

    async def snapshot(self) -> bytes | None:
        return None

    async def send(self, outgoing: Outgoing) -> Sent:
        await self._reach()
        self._take_rejection()
        wa_id = f"3EB0{self._exchange.randomness(9).hex().upper()}"
        at = self._exchange.clock()
        body = {
            "type": outgoing.type,
            "content": _content_of(outgoing),
            "replyTo": _answered(outgoing),
            "mentions": list(outgoing.mentions),
            "waId": wa_id,
        }
        row_id = await self._record("message", outgoing.chat, body, at=at)
        self._groups.note(outgoing.chat, at)
        if self.line is not None:
            self._owe(self.line, row_id, wa_id, outgoing.chat, at)
        return Sent(wa_id=wa_id, at=at)

    async def edit(self, chat: str, wa_id: str, text: str) -> None:
        await self._reach()
        self._take_rejection()
        await self._record("edit", chat, {"waId": wa_id, "text": text})

    async def revoke(self, chat: str, wa_id: str) -> None:
        await self._reach()
        self._take_rejection()
        await self._record("revoke", chat, {"waId": wa_id})

    async def mark_read(self, chat: str, sender: str, wa_ids: Sequence[str]) -> None:
        await self._reach()
        await self._record("read", chat, {"sender": sender, "waIds": list(wa_ids)})

    async def set_typing(self, chat: str, *, typing: bool) -> None:
        await self._reach()
        await self._record("typing", chat, {"typing": typing})

    async def check_numbers(self, phones: Sequence[str]) -> dict[str, str | None]:
        await self._reach()
        return find_jids(phones)

    async def set_presence(self, *, available: bool) -> None:
        await self._reach()
        await self._record("presence", None, {"available": available})

    async def list_groups(self) -> list[Group]:
        await self._reach()
        return self._groups.list_all(self.own)

    async def get_group(self, jid: str) -> Group:
        await self._reach()
        return self._groups.get(jid, self.own)

    async def set_profile_name(self, name: str) -> None:
        await self._reach()
        await self._record("profile_name", None, {"name": name})

    async def set_profile_picture(self, jpeg: bytes) -> None:
        await self._reach()
        await self._record("profile_picture", None, {"sizeBytes": len(jpeg)})

    async def find_profile_picture(self, jid: str) -> str | None:
        """Nobody here has one: there is no server that it could be fetched from."""
        await self._reach()
        return None

    async def reject_call(self, call_id: str, caller: str) -> None:
        await self._reach()
        await self._record("reject_call", caller, {"callId": call_id})

    def last_sign_of_life_at(self) -> float:
        if self.line is not None and not self.line.silent:
            self._alive_at = self._exchange.monotonic()
        return self._alive_at

    # --- what the network does to it ---

    @property
    def own(self) -> Party:
        """The account itself; only a linked one is anybody."""
        auth = self._auth
        return Party() if auth is None else Party(pn=auth.phone, lid=auth.lid)

    def scan(self, command_id: int, phone: str | None) -> None:
        """A phone accepts the code on show; without one, or asked for before it was shown, nothing happens."""
        if self.state is not State.LINKING or command_id <= self.seen_command_id:
            return
        self.seen_command_id = command_id
        digits = digits_of(phone or self._account.link_phone or phone_of(self._account.session_id))
        device = 1 + self._exchange.randomness(1)[0] % 98
        self._auth = _Auth(phone=digits, lid=lid_of(digits), device=device)
        self._listener.signal(Linked(phone=digits, lid=self._auth.lid))
        self._listener.signal(AuthChanged(auth=msgspec.json.encode(self._auth)))
        self._connect(self._auth)

    def receive(self, entry: Entry) -> None:
        if isinstance(entry, Received):
            self._groups.note(entry.chat, entry.sent_at, entry.sender)
        self._listener.journal(entry)

    def fall_silent(self, seconds: float | None) -> None:
        """The connection stays open and nothing comes of it, for `seconds` or until it is restored."""
        line = self.line
        if line is None or line.silent:
            return
        self.last_sign_of_life_at()
        line.silent = True
        self._listener.signal(Degraded())
        if seconds is not None:
            self._exchange.timers.call_in(seconds, partial(self.restore, line))

    def restore(self, line: Line | None) -> None:
        if line is None or not (line.up and line.silent):
            return
        line.silent = False
        self._listener.signal(Restored())
        self._exchange.bell.ring()
        for held in self._silenced:
            _release(held)

    def end(self, signal: Signal | None) -> None:
        """The connection, or the linking, is over; `signal` says why when nobody asked for it."""
        self._attempt += 1
        if self.state is State.STOPPED:
            return
        self.last_sign_of_life_at()
        self.state = State.STOPPED
        if self.line is not None:
            self.line.up = False
            self.line = None
        if isinstance(signal, LoggedOut):
            self._auth = None
        if self._exchange.live.get(self._account.session_id) is self:
            del self._exchange.live[self._account.session_id]
        for held in self._slowed | self._silenced:
            if not held.done():
                held.set_exception(OutcomeUnknown("The connection ended while the message was being sent."))
        if signal is not None:
            self._listener.signal(signal)

    # --- linking and connecting ---

    def _take_place(self) -> None:
        """WhatsApp knows one connection of a device: a second one ends the first."""
        live, session_id = self._exchange.live, self._account.session_id
        first = live.get(session_id)
        if first is not None:
            first.end(StreamReplaced())
        live[session_id] = self

    def _connect(self, auth: _Auth) -> Line:
        self.state = State.CONNECTED
        self.line = line = Line(self._listener)
        self._listener.signal(Connected(phone=auth.phone, lid=auth.lid))
        # What waited for the account.
        self._exchange.bell.ring()
        return line

    def _show_first_code(self) -> None:
        self.state = State.LINKING
        if self._account.link_method == "code":
            self._show_pairing_code()
        else:
            self._show_qr(0)

    def _show_qr(self, number: int) -> None:
        settings = self._exchange.settings
        if number == settings.qr_codes:
            self.end(LinkExpired())
            return
        seconds = settings.qr_first_seconds if number == 0 else settings.qr_next_seconds
        self._listener.signal(QrShown(text=self._new_qr(), expires_at=self._in(seconds)))
        self._later_unless_linked(seconds, partial(self._show_qr, number + 1))

    def _show_pairing_code(self) -> None:
        """One code for as long as all QR codes would last."""
        settings, randomness = self._exchange.settings, self._exchange.randomness
        seconds = settings.qr_first_seconds + settings.qr_next_seconds * (settings.qr_codes - 1)
        letters = "".join(_CODE_LETTERS[byte % len(_CODE_LETTERS)] for byte in randomness(8))
        code = f"{letters[:4]}-{letters[4:]}"
        self._listener.signal(CodeShown(code=code, expires_at=self._in(seconds)))
        self._later_unless_linked(seconds, partial(self.end, LinkExpired()))

    def _later_unless_linked(self, seconds: float, call: Callable[[], None]) -> None:
        attempt = self._attempt

        def call_if_linking() -> None:
            if self._attempt == attempt and self.state is State.LINKING:
                call()

        self._exchange.timers.call_in(seconds, call_if_linking)

    def _new_qr(self) -> str:
        """As WhatsApp's: a reference and three keys."""
        parts = [b64encode(self._exchange.randomness(size)).decode() for size in (84, 32, 32, 32)]
        return f"2@{','.join(parts)}"

    def _in(self, seconds: float) -> datetime:
        return self._exchange.clock() + timedelta(seconds=seconds)

    # --- sending ---

    async def _reach(self) -> None:
        """Return once WhatsApp has taken what is sent. Raises OutcomeUnknown when the connection ends first."""
        if self.line is None:
            raise NotConnected("The session is not connected.")
        faults = self._exchange.faults.get(self._account.session_id)
        if faults is not None and faults.slow_seconds:
            slowed = _new_hold(self._slowed)
            self._exchange.timers.call_in(faults.slow_seconds, partial(_release, slowed))
            await slowed
        while self.line is not None and self.line.silent:
            await _new_hold(self._silenced)

    def _take_rejection(self) -> None:
        faults = self._exchange.faults.get(self._account.session_id)
        if faults is not None and faults.rejects:
            faults.rejects -= 1
            raise SendRejected("The sandbox was told to reject this message.")

    async def _record(
        self, kind: str, chat: str | None, body: dict[str, Any], *, at: datetime | None = None
    ) -> int:
        account = self._account
        head = {"kind": kind, "chat": chat, "at": at or self._exchange.clock()}
        entry = OutboxEntry(
            tenant_id=account.tenant_id,
            session_id=account.session_id,
            body=head | body,
            receipts_owed=kind == "message",
        )
        return await self._exchange.outbox.record(entry)

    def _owe(self, line: Line, row_id: int, wa_id: str, chat: str, sent_at: datetime) -> None:
        self._exchange.receipts.owe(Owed(line=line, row_id=row_id, wa_id=wa_id, chat=chat, sent_at=sent_at))


def _answered(outgoing: Outgoing) -> str | None:
    """A reaction and a vote are about a message too, but answer none."""
    target = None if outgoing.type in TARGETED_TYPES else outgoing.target
    return None if target is None else target.wa_id


def _content_of(outgoing: Outgoing) -> dict[str, Any]:
    """The content with a file's description in place of its bytes."""
    media = outgoing.media
    if media is None:
        return outgoing.content
    described = {"mimetype": media.mimetype, "fileName": media.file_name, "sizeBytes": media.size_bytes}
    return {key: value for key, value in outgoing.content.items() if key != "base64"} | described


def _new_hold(held: set[asyncio.Future[None]]) -> asyncio.Future[None]:
    hold: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    held.add(hold)
    hold.add_done_callback(held.discard)
    return hold


def _release(hold: asyncio.Future[None]) -> None:
    if not hold.done():
        hold.set_result(None)
