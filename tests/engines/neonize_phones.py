"""neonize as the suite's phone network: real engine processes against the stand-in of WhatsApp's servers.

    test ──► RemoteEngine ──► engine process ══TLS══► stand-in ──► people's phones
               └─ signals ──► Ear ──► the test's listener ◄── journal ◄──┘

Time is real here. `settle` sends something through the whole pipeline and waits until it has come out: a receipt of a
message that never was, which the test's listener does not get to see. `advance` moves the stand-in's clock.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import structs

from relay.engines import engine as says
from relay.engines.engine import Account, Engine, Listener, Signal
from relay.engines.remote_engine import RemoteEngine
from relay.model import ids
from relay.model.ids import SessionId
from relay.model.sandbox import FaultIn, InboundIn, digits_of
from tests.engines.neonize_machine import Ear, Machine
from tests.engines.neonize_outbox import Outbox
from tests.engines.neonize_people import Talk
from tests.engines.neonize_template import LinkedPhone
from tests.phone_network.accounts import Account as Phone
from tests.phone_network.linking import LinkFailed
from tests.phone_network.network import WhatsApp
from tests.phone_network.node import Node
from tests.phone_network.post import open_post_office
from tests.phone_network.services import Services
from tests.phone_network.settings_key import share_when_linked

_BEHIND_SECONDS = 2.0
"""WhatsApp's clock against ours, so that what waited there is older than a connection of the same second."""
_LINK_SECONDS = 160
_READ_AFTER_SECONDS = 1
_CODES = (says.QrShown, says.CodeShown)
_UNFINISHED = (says.Linked, says.AuthChanged)


class NeonizePhones:
    """See `PhoneNetwork`; `network`, `services` and `people` are the stand-in, for tests of neonize alone."""

    def __init__(self, folder: Path, linked: Sequence[LinkedPhone]) -> None:
        self._folder = folder
        self._linked = iter(linked)
        self._offset = -_BEHIND_SECONDS
        self._numbers = count(1)
        self._link_seconds = 0.0
        self._down_until: float | None = None
        self._silent: dict[SessionId, float] = {}
        self._banned: dict[Phone, float] = {}
        self._slow: dict[Phone, tuple[float, float]] = {}
        self.network = WhatsApp(clock=self._clock)
        self.services = Services(self.network)
        self.people = open_post_office(self.network, self.services)
        share_when_linked(self.network, self.services, self.people)
        self._talk = Talk(self.network, self.services, self.people)
        self._outbox = Outbox(self.network, self.services, self.people, self._talk.posted)
        self._herald = self.people.new("551130000000", "Nobody")
        for phone, name in (("5511912345678", "Maria"), ("5511955554444", "João")):
            self.people.new(phone, name)
        self.phones: dict[SessionId, Phone] = {}
        self.machine = Machine(folder / "here")
        self._machines = [self.machine]

    async def __aenter__(self) -> Self:
        await self.network.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for machine in self._machines:
            await machine.close()
        await self.network.__aexit__(kind, error, trace)

    def _clock(self) -> float:
        return time.time() + self._offset

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    # --- accounts and engines -----------------------------------------------------------------------------------

    async def new_account(self, **how: Any) -> Account:
        account = Account(
            session_id=ids.new_session_id(),
            tenant_id=ids.new_tenant_id(),
            auth=None,
            proxy=self.network.proxy_url,
        )
        account = structs.replace(account, **how)
        if account.link_phone:
            self.phone_of(account, account.link_phone)
        return account

    async def linked_account(self) -> Account:
        linked = next(self._linked)
        account = await self.new_account(auth=linked.auth, auth_term=1)
        self.phones[account.session_id] = linked.join(self.network, self.services)
        return account

    def phone_of(self, account: Account, phone: str | None = None) -> Phone:
        """The stand-in's account behind a session."""
        if account.session_id not in self.phones:
            number = digits_of(phone) if phone else f"5511960000{next(self._numbers):03}"
            # A LID that nobody in another network has: some phones join one after they were linked.
            self.phones[account.session_id] = self.network.new_account(phone=number, lid=f"27{number}")
        return self.phones[account.session_id]

    def engine(self, account: Account, listener: Listener) -> RemoteEngine:
        return self.machine.engine(account, listener)

    def engine_elsewhere(self, account: Account, listener: Listener) -> Engine:
        machine = Machine(self._folder / f"elsewhere-{len(self._machines)}")
        self._machines.append(machine)
        return machine.engine(account, listener)

    async def scan(self, account: Account, phone: str | None = None) -> None:
        ear = self.ear(account)
        await self._code_is_shown(ear)
        try:
            match ear.last:
                case says.QrShown() as shown:
                    await self.phone_of(account, phone).scan(shown.text)
                case says.CodeShown() as shown:
                    await self.phone_of(account, phone).enter_code(shown.code)
        except LinkFailed:
            # What was on show is not any more.
            return
        await ear.until(lambda: not isinstance(ear.last, _CODES), "the scan is noticed")
        await self.settle()

    def ear(self, account: Account) -> Ear:
        """The one that was made last."""
        return next(
            machine.ears[account.session_id]
            for machine in reversed(self._machines)
            if account.session_id in machine.ears
        )

    async def until(self, account: Account, is_true: Callable[[], object], what: str) -> None:
        """Wait for what the account's engine says, or what comes through its journal."""
        await self.ear(account).until(is_true, what)

    # --- time ---------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        for machine in self._machines:
            for ear in list(machine.ears.values()):
                await self._settle(ear)

    async def _settle(self, ear: Ear) -> None:
        engine = ear.engine
        await self._code_is_shown(ear)
        if ear.account.session_id in self._silent or self._down_until is not None:
            return
        await ear.until(lambda: not isinstance(ear.last, _UNFINISHED), "a link is finished")
        if engine._process is None:
            return
        await ear.until(
            lambda: not isinstance(ear.last, says.Disconnected) or not ear.last.will_retry, "it is back"
        )
        if ear.is_connected:
            await self._arrive(ear)
            await self._send_mark(ear)

    async def _code_is_shown(self, ear: Ear) -> None:
        """A start may return before there is one."""
        engine = ear.engine
        if engine._process is not None and engine.is_linking:
            await ear.until(
                lambda: isinstance(ear.last, _CODES) or engine._heard_end or engine._linked is not None,
                "a code is shown",
            )

    async def _arrive(self, ear: Ear) -> None:
        """What the engine was asked to send has got as far as a slow WhatsApp lets it."""
        phone = self.phones[ear.account.session_id]
        if phone in self._slow:
            # A task that was made just now asks first.
            await asyncio.sleep(0)
            asked = ear.engine._process._asked if ear.engine._process else {}
            await phone.watch.until(lambda: len(phone.faults.held) >= len(asked), "sends arrive")

    async def _send_mark(self, ear: Ear) -> None:
        """Through WhatsApp, the library and the journal, and its acknowledgement all the way back."""
        phone = self.phones[ear.account.session_id]
        mark = f"MARK{next(self._numbers)}"
        attrs = {"id": mark, "type": "read", "t": self.people.now()}
        for device in phone.devices.values():
            self.network.deliver(device, Node("receipt", {"from": self._herald.pn, **attrs}))
        await ear.until(lambda: mark in ear.marks or not ear.is_connected, "a mark comes through")
        if ear.is_connected:
            await phone.acknowledged()

    async def advance(self, seconds: float) -> None:
        await self.settle()
        self._offset += seconds
        if self._down_until is not None and self._is_due(self._down_until):
            self._down_until = None
            self.network.down(False)
        for phone, until in list(self._banned.items()):
            self._let_in(phone, until)
        for phone, (lasting, since) in list(self._slow.items()):
            if self._is_due(since + lasting):
                phone.give_acks()
                await self._until_answered(phone)
                self._be_slow(phone, lasting)
        for session_id, until in list(self._silent.items()):
            if self._is_due(until):
                await self._end_silence(session_id)
        await self._expire_links(seconds)
        if seconds >= _READ_AFTER_SECONDS:
            self._talk.read_everything()
        await self.settle()

    def _is_due(self, at: float) -> bool:
        """By the time that the test has let pass; what really passes meanwhile does not count."""
        return self._offset >= at - 0.001

    def _let_in(self, phone: Phone, until: float) -> None:
        if self._is_due(until):
            del self._banned[phone]
            phone.accept()
        else:
            phone.refuse_with(402, code="101", expire=str(round(until - self._offset)))

    def _be_slow(self, phone: Phone, seconds: float) -> None:
        phone.hold_acks()
        self._slow[phone] = (seconds, self._offset)

    async def _until_answered(self, phone: Phone) -> None:
        """The engine's callers have heard what became of their calls."""
        for session_id, ear in self.machine.ears.items():
            asked = list(ear.engine._process._asked.values()) if ear.engine._process else []
            if asked and self.phones[session_id] is phone:
                await asyncio.wait(asked)

    async def _end_silence(self, session_id: SessionId) -> None:
        del self._silent[session_id]
        self.phones[session_id].speak_again()
        ear = next(machine.ears[session_id] for machine in self._machines if session_id in machine.ears)
        await ear.until(lambda: isinstance(ear.last, says.Restored), "the silence ends")

    async def _expire_links(self, seconds: float) -> None:
        """WhatsApp hangs up on those who show codes that nobody scans."""
        showing = [
            ear
            for machine in self._machines
            for ear in machine.ears.values()
            if ear.engine._process is not None and isinstance(ear.last, _CODES)
        ]
        self._link_seconds = self._link_seconds + seconds if showing else 0.0
        if self._link_seconds >= _LINK_SECONDS:
            self._link_seconds = 0.0
            self.network.registration.give_up()
            for ear in showing:
                await ear.until(lambda ear=ear: not isinstance(ear.last, _CODES), "the link ends")  # type: ignore[misc]

    # --- people and faults --------------------------------------------------------------------------------------

    async def say(self, account: Account, **inbound: Any) -> int:
        await self._talk.say(self.phones[account.session_id], msgspec.convert(inbound, InboundIn))
        await self.settle()
        return 0

    async def read_outbox(self, account: Account) -> list[dict[str, Any]]:
        await self.settle()
        return self._outbox.read(self.phones[account.session_id])

    async def fault(self, account: Account, kind: str, **how: Any) -> None:
        wanted = msgspec.convert({"kind": kind, **how}, FaultIn)
        phone, ear = self.phones[account.session_id], self.ear(account)
        match kind:
            case "drop":
                await self._drop(phone, ear, wanted.seconds)
            case "reject":
                phone.refuse_messages(479, times=wanted.count)
            case "slow":
                self._be_slow(phone, wanted.seconds or 5)
            case "silent":
                self._silent[account.session_id] = self._offset + (wanted.seconds or 1e9)
                phone.go_silent()
                await self._until_heard(ear, says.Degraded)
            case "clear":
                await self._clear(account)
            case _:
                await self._end(kind, wanted, phone, ear)
        await self.settle()

    async def _end(self, kind: str, wanted: FaultIn, phone: Phone, ear: Ear) -> None:
        """The connection ends, for good as far as the engine goes."""
        match kind:
            case "logout":
                phone.unlink(next(iter(phone.devices.values())))
                await self._until_heard(ear, says.LoggedOut)
            case "replaced":
                phone.replace()
                await self._until_heard(ear, says.StreamReplaced)
            case "outdated":
                phone.refuse_with(405)
                phone.drop()
                await self._until_heard(ear, says.ClientOutdated)
                phone.accept()
            case "ban":
                self._banned[phone] = self._offset + (wanted.seconds or 3600)
                self._let_in(phone, self._banned[phone])
                phone.drop()
                await self._until_heard(ear, says.TemporarilyBanned)

    async def _clear(self, account: Account) -> None:
        phone = self.phones[account.session_id]
        self._slow.pop(phone, None)
        phone.give_acks()
        phone.accept()
        if account.session_id in self._silent:
            await self._end_silence(account.session_id)

    async def _drop(self, phone: Phone, ear: Ear, seconds: float | None) -> None:
        if seconds is None:
            phone.drop()
        else:
            self._down_until = self._offset + seconds
            self.network.down(True)
        await self._until_heard(ear, says.Disconnected)

    async def _until_heard(self, ear: Ear, kind: type[Signal]) -> None:
        before = len(ear.list_of(kind))
        await ear.until(lambda: len(ear.list_of(kind)) > before, kind.__name__)
