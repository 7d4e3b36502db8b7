"""The neonize engine, in the host: an account that an engine process drives.

start ──► live file ready? ──no──► a process for linking alone ──linked──► snapshot, AuthChanged
│ yes                                                           │
└──────────────► the first process with room ◄──────────────────┘
│ Said ──► listener.signal
└ its end ──► Crashed
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import structs

from relay.engines.channel import Call, Start, Stop
from relay.engines.engine import (
    Account,
    AuthChanged,
    CodeShown,
    Connected,
    Crashed,
    Degraded,
    Disconnected,
    Group,
    Linked,
    Listener,
    LoggedOut,
    Outgoing,
    QrShown,
    Restored,
    Sent,
    Signal,
)
from relay.engines.live_files import LiveFile
from relay.engines.process import Process
from relay.engines.processes import EngineProcesses
from relay.model.errors import NotConnected, RelayError

log = logging.getLogger(__name__)

_START_SECONDS = 50.0
_CODES = (QrShown, CodeShown)
_AWAY = Disconnected(will_retry=True)


class RemoteEngine:
    """See `Engine`: an account that an engine process drives."""

    def __init__(self, processes: EngineProcesses, account: Account, listener: Listener) -> None:
        self.session_id = account.session_id
        self.is_linking = False
        self._processes = processes
        self._account = account
        self._listener = listener
        self._file = LiveFile(processes.live_folder, account.session_id)
        self._process: Process | None = None
        self._linked: Linked | None = None
        self._heard_end = False
        self._is_removed = False
        """From the account, by WhatsApp's word or ours: what the file still holds is of no use."""
        self._degraded_at: float | None = None
        self._following: asyncio.Task[None] | None = None

    # --- the connection -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        if self._process is not None:
            if not self._heard_end:
                return
            # What is over still has its place in the process.
            await self.stop()
        if self._is_removed:
            # The library wipes it in its own time, and may have been stopped before.
            await asyncio.to_thread(self._file.remove)
        account = self._account
        self._heard_end, self._is_removed, self._degraded_at = False, False, None
        ready = await asyncio.to_thread(
            self._file.make_ready, term=account.term, auth=account.auth, auth_term=account.auth_term
        )
        await (self._connect() if ready else self._link())

    async def _link(self) -> None:
        self.is_linking, self._linked = True, None
        self._process = self._processes.place_alone(self)
        await self._begin(self._account.link_method)

    async def _connect(self) -> None:
        self.is_linking = False
        await self._processes.settle()
        self._process = self._processes.place(self)
        await self._begin("")

    async def _begin(self, link_method: str) -> None:
        account, process = self._account, self._process
        assert process is not None  # noqa: S101 - placed just now
        async with asyncio.timeout(_START_SECONDS):
            await process.ask(
                lambda number: Start(
                    number=number,
                    session_id=account.session_id,
                    tenant_id=account.tenant_id,
                    path=str(self._file.path),
                    proxy=account.proxy,
                    link_method=link_method,
                    link_phone=account.link_phone,
                )
            )

    def hear(self, signal: Signal) -> None:
        """The process has said something of this account."""
        match signal:
            case Linked() if self.is_linking:
                # The process ends now; what it has written down is taken over then.
                self._linked = signal
                return
            case Degraded():
                self._degraded_at = self._degraded_at or time.monotonic()
            case Restored() | Connected():
                self._degraded_at = None
            case LoggedOut():
                self._heard_end = self._is_removed = True
                self._account = structs.replace(self._account, auth=None)
            case _ if not isinstance(signal, _CODES) and signal != _AWAY:
                self._heard_end = True
        self._listener.signal(signal)

    def process_ended(self) -> None:
        self._process = None
        if self._linked is not None and self.is_linking:
            self._following = asyncio.create_task(self._go_live(self._linked))
        elif not self._heard_end:
            self._listener.signal(Crashed())

    async def _go_live(self, linked: Linked) -> None:
        try:
            auth = await asyncio.to_thread(self._file.snapshot)
            self._listener.signal(linked)
            if auth is not None:
                self._listener.signal(AuthChanged(auth=auth))
            await self._connect()
        except Exception as error:  # noqa: BLE001 - a task of its own: the host hears of it as of any failed start
            log.warning(
                "engine.start_failed", extra={"session": self.session_id, "error": type(error).__name__}
            )
            self._listener.signal(Crashed())

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
            self._following = None
        process, self._process = self._process, None
        if process is None:
            return
        if self.is_linking:
            # It could never be stopped in an orderly way, and has nothing to hand over.
            self._heard_end = True
            process.engines.pop(self.session_id, None)
            process.kill()
            await process.ended()
            await asyncio.to_thread(self._file.remove)
            return
        try:
            async with asyncio.timeout(self._processes.stop_seconds()):
                await process.ask(lambda number: Stop(number=number, session_id=self.session_id))
        except (RelayError, TimeoutError):
            # Nobody may believe it stopped while it goes on: another host could be next.
            process.engines.pop(self.session_id, None)
            process.kill()
            await process.ended()
        self._processes.leave(process, self)

    async def logout(self) -> None:
        await self._call("logout")
        self._heard_end = self._is_removed = True
        self._account = structs.replace(self._account, auth=None)

    async def forget(self) -> None:
        await asyncio.to_thread(self._file.remove)

    async def snapshot(self) -> bytes | None:
        if self.is_linking or self._is_removed:
            return None
        return await asyncio.to_thread(self._file.snapshot)

    def last_sign_of_life_at(self) -> float:
        return self._degraded_at or time.monotonic()

    # --- calls --------------------------------------------------------------------------------------------------

    async def _call(self, method: str, **arguments: Any) -> Any:
        process = self._process
        if process is None or self.is_linking:
            raise NotConnected("The session is not connected.")
        return await process.ask(
            lambda number: Call(number=number, session_id=self.session_id, method=method, arguments=arguments)
        )

    async def send(self, outgoing: Outgoing) -> Sent:
        packed = msgspec.to_builtins(outgoing)
        if outgoing.media is None:
            return msgspec.convert(await self._call("send", outgoing=packed, prepared=None), Sent)
        voice = bool(outgoing.content.get("voice"))
        async with self._processes.transcoder.prepared(outgoing.media, outgoing.type, voice=voice) as ready:
            sent = await self._call("send", outgoing=packed, prepared=msgspec.to_builtins(ready))
        return msgspec.convert(sent, Sent)

    async def edit(self, chat: str, wa_id: str, text: str) -> None:
        await self._call("edit", chat=chat, wa_id=wa_id, text=text)

    async def revoke(self, chat: str, wa_id: str) -> None:
        await self._call("revoke", chat=chat, wa_id=wa_id)

    async def mark_read(self, chat: str, sender: str, wa_ids: Sequence[str]) -> None:
        await self._call("mark_read", chat=chat, sender=sender, wa_ids=list(wa_ids))

    async def set_typing(self, chat: str, *, typing: bool) -> None:
        await self._call("set_typing", chat=chat, typing=typing)

    async def set_presence(self, *, available: bool) -> None:
        await self._call("set_presence", available=available)

    async def check_numbers(self, phones: Sequence[str]) -> dict[str, str | None]:
        found: dict[str, str | None] = await self._call("check_numbers", phones=list(phones))
        return found

    async def list_groups(self) -> list[Group]:
        return msgspec.convert(await self._call("list_groups"), list[Group])

    async def get_group(self, jid: str) -> Group:
        return msgspec.convert(await self._call("get_group", jid=jid), Group)

    async def set_profile_name(self, name: str) -> None:
        await self._call("set_profile_name", name=name)

    async def set_profile_picture(self, jpeg: bytes) -> None:
        await self._call("set_profile_picture", jpeg=jpeg)

    async def find_profile_picture(self, jid: str) -> str | None:
        found: str | None = await self._call("find_profile_picture", jid=jid)
        return found

    async def reject_call(self, call_id: str, caller: str) -> None:
        await self._call("reject_call", call_id=call_id, caller=caller)
