"""The neonize engine, in the process that it has for itself: one `Account` for each session.

    start ──► Neonize() on a thread of its own, until the account is stopped
                 ├─ QR codes, the end of a link ──────────────────────────► signals
                 └─ events, one after the other, on the library's thread
                       ├─ the connection's state ─────────────────────────► signals
                       └─ what people did ──convert──► journal (written before WhatsApp's next word is looked at)

The library tells WhatsApp "received" before we have seen a message, and hands over one at a time: whatever is done
here is done in well under a millisecond. Its calls block, so each runs on a thread of the process's pool; a call of an
account that it does not know would end the process, so each is guarded by the account's state.
"""

import ctypes
import secrets
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, Protocol

from relay.engines import convert
from relay.engines import engine as says
from relay.engines.binding import Code, Library, OnEvent, OnLog, OnText, Proxy, sized
from relay.engines.channel import Start
from relay.engines.dials import cut_dials
from relay.engines.engine import Entry, Signal
from relay.engines.jids import jid_of
from relay.engines.neonize_calls import Calls
from relay.engines.protobufs import companion, neonize
from relay.model.errors import NotConnected
from relay.model.message import Party

_FIRST_SIGN_SECONDS = 5.0
"""How long a start keeps the next one waiting; the library's maps are written in the first moments of it."""
_DIAL_SECONDS = 0.5
"""How long an account that is to leave WhatsApp waits for a dial that is under way."""
_QUIET_SECONDS = 0.3
_DRAIN_SECONDS = 5.0
_FIRST_QR_SECONDS = 60
_NEXT_QR_SECONDS = 20
_PAIRING_CODE_SECONDS = 160
_PAIRS_KEPT = 10_000

_SUBSCRIBED = bytes(Code)
_STATES: dict[int, Signal] = {Code.KEEP_ALIVE_LOST: says.Degraded(), Code.KEEP_ALIVE_BACK: says.Restored()}
_ENDS: dict[int, Signal] = {
    Code.REPLACED: says.StreamReplaced(),
    Code.REFUSED: says.ConnectFailed(reason="connect_refused"),
    Code.OUTDATED: says.ClientOutdated(),
}
_LINK_ENDS: dict[str, Signal] = {
    "timeout": says.LinkExpired(),
    "passkey-request": says.ConnectFailed(reason="passkey_required"),
    "err-client-outdated": says.ClientOutdated(),
    "err-scanned-without-multidevice": says.ConnectFailed(reason="link_refused"),
    "err-unexpected-state": says.ConnectFailed(reason="link_refused"),
    "error": says.ConnectFailed(reason="link_refused"),
}


class _State(Enum):
    STARTING = auto()
    CONNECTED = auto()
    AWAY = auto()
    """The library is reconnecting."""
    OVER = auto()


class Outside(Protocol):
    """Where an account's words go: the engine process. Called from any thread."""

    def say(self, account: "Account", signal: Signal) -> None: ...

    def journal(self, account: "Account", entry: Entry) -> None: ...

    def set_aside(self, account: "Account", code: int, event: bytes) -> None: ...

    def trouble(self, account: "Account", what: str, error: str) -> None: ...


class Account:
    """One account in the library. Everything blocks; `start` and `stop` go one at a time in a process."""

    def __init__(self, library: Library, wanted: Start, outside: Outside) -> None:
        self.wanted = wanted
        self._library = library
        self._outside = outside
        # Another client of the same name would be stopped when this one is.
        self.uuid = f"{wanted.session_id}-{secrets.token_hex(4)}".encode()
        self._state = _State.STARTING
        self._known = False
        """Whether the library has an entry for it: calls before that end the process."""
        self._own = Party()
        self.is_available = False
        self._pairs: dict[str, str | None] = {}
        self._catching_up = True
        """Until WhatsApp has handed over what waited there."""
        self._connected_at = 0.0
        self._codes_shown = 0
        self.calls = Calls(library, self)
        self._first_sign = threading.Event()
        self._returned = threading.Event()
        self._events = 0
        self._kept_alive: tuple[Any, ...] = ()

    @property
    def is_linking(self) -> bool:
        return bool(self.wanted.link_method)

    def require_connection(self) -> None:
        if self._state is not _State.CONNECTED:
            raise NotConnected("The session is not connected.")

    # --- start and stop -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Returns at the first sign of what became of it, or a little later without one."""
        threading.Thread(target=self._run, name=self.wanted.session_id, daemon=True).start()
        self._first_sign.wait(_FIRST_SIGN_SECONDS)

    def disconnect(self) -> None:
        """Leave WhatsApp, and wait until what was on the way has come."""
        over, self._state = self._state is _State.OVER, _State.OVER
        if self._known and not over and not self._returned.is_set():
            self._disconnect()
            self._wait_until_quiet()

    def _disconnect(self) -> None:
        """The library waits for a dial that is under way, a first one or a later one: nobody else may wait as long."""
        leaving = threading.Thread(target=self._library.call, args=("Disconnect", self.uuid), daemon=True)
        leaving.start()
        leaving.join(_DIAL_SECONDS)
        while leaving.is_alive():
            if self.wanted.proxy:
                cut_dials(self.wanted.proxy)
            leaving.join(_DIAL_SECONDS)

    def stop(self) -> None:
        """Give up what the library holds of it; after `disconnect`."""
        if self._known and not self._returned.is_set():
            self._library.call("Stop", self.uuid)
            self._returned.wait(_DRAIN_SECONDS)
        self._known = False

    def _wait_until_quiet(self) -> None:
        for _ in range(int(_DRAIN_SECONDS / _QUIET_SECONDS)):
            before = self._events
            if self._returned.wait(_QUIET_SECONDS) or self._events == before:
                return

    def _run(self) -> None:
        error = "the library could not be called"
        try:
            error = self._call_neonize()
        except Exception as broken:  # noqa: BLE001 - this thread is the account's own: nobody else would hear of it
            self._outside.trouble(self, "engine.thread_broke", type(broken).__name__)
        self._returned.set()
        self._first_sign.set()
        if self._state is not _State.OVER:
            # A first connect that fails is not tried again by the library. A refusal whose code it does not know
            # ends its event pump.
            refused = "required field" in error
            self._end(
                says.ConnectFailed(reason="connect_refused")
                if refused
                else says.Disconnected(will_retry=False)
            )

    def _call_neonize(self) -> str:
        wanted = self.wanted
        # The name is put before `?_foreign_keys=on`. The file is in memory already: pages kept beside it, by each of an
        # account's connections, would only be there twice.
        name = f"{wanted.path}?_journal_mode=WAL&_synchronous=NORMAL&_cache_size=24&_foreign_keys=on&_x="
        device, device_size = sized(
            companion.DeviceProps(os="Relay", platformType=companion.DeviceProps.DESKTOP)
        )
        proxy = Proxy(wanted.proxy.encode(), False, False, False) if wanted.proxy else None
        # The library calls these as long as it runs.
        callbacks = (
            OnText(self._on_qr),
            OnText(self._on_link_status),
            OnEvent(self._on_event),
            OnLog(_on_log),
        )
        self._kept_alive = (callbacks, proxy)
        self._known = True
        return self._library.call(
            "Neonize", name.encode(), self.uuid, b"", 0, 0, b"ERROR", *callbacks, _SUBSCRIBED, len(_SUBSCRIBED),
            device, device_size, b"", 0, ctypes.byref(proxy) if proxy else None,
        )  # fmt: skip

    # --- linking ------------------------------------------------------------------------------------------------

    def _on_qr(self, _uuid: int, text: int) -> None:
        if not self.is_linking:
            # The account was wiped from its file when nobody looked. Linking is for a process without other accounts.
            self._end(says.LoggedOut())
            return
        self._codes_shown += 1
        if self.wanted.link_method == "code":
            if self._codes_shown == 1:
                # Not on this thread: the library waits for it.
                threading.Thread(target=self._ask_pairing_code, daemon=True).start()
            self._first_sign.set()
            return
        seconds = _FIRST_QR_SECONDS if self._codes_shown == 1 else _NEXT_QR_SECONDS
        expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
        self._say(says.QrShown(text=ctypes.string_at(text).decode(), expires_at=expires_at))
        self._first_sign.set()

    def _ask_pairing_code(self) -> None:
        wanted = neonize.PairPhoneParams(
            phone=self.wanted.link_phone or "",
            # WhatsApp takes names of this form only.
            clientDisplayName="Chrome (Linux)",
            clientType=1,
            showPushNotification=True,
        )
        answer = neonize.PairPhoneReturnFunction.FromString(
            self._library.ask("PairPhone", self.uuid, *sized(wanted))
        )
        if answer.Error:
            self._end(says.ConnectFailed(reason="link_refused"))
            return
        expires_at = datetime.now(UTC) + timedelta(seconds=_PAIRING_CODE_SECONDS)
        self._say(says.CodeShown(code=answer.Code, expires_at=expires_at))

    def _on_link_status(self, _uuid: int, status: int) -> None:
        ended = _LINK_ENDS.get(ctypes.string_at(status).decode())
        if ended is not None:
            self._end(ended)

    # --- events -------------------------------------------------------------------------------------------------

    def _on_event(self, _uuid: bytes, pointer: int, size: int, code: int) -> None:
        self._events += 1
        packed = ctypes.string_at(pointer, size)
        try:
            self._take(code, packed)
        except Exception as error:  # noqa: BLE001 - nothing may be raised into the library, and nothing be lost
            self._outside.set_aside(self, code, packed)
            self._outside.trouble(self, "engine.event_refused", type(error).__name__)

    def _take(self, code: int, packed: bytes) -> None:
        if code == Code.MESSAGE:
            event = neonize.Message.FromString(packed)
            entry = convert.entry_of_message(
                event, self, offline=self._is_offline(event), decrypt_vote=self._decrypt_vote
            )
            self._journal(entry)
        elif code == Code.RECEIPT:
            self._journal(convert.entry_of_receipt(neonize.Receipt.FromString(packed), self))
        elif code == Code.UNREADABLE:
            self._journal(
                convert.entry_of_undecryptable(neonize.UndecryptableMessage.FromString(packed), self)
            )
        elif code in {Code.CALL, Code.GROUP_CALL}:
            kind = neonize.CallOffer if code == Code.CALL else neonize.CallOfferNotice
            self._journal(convert.entry_of_call(kind.FromString(packed), self, now=datetime.now(UTC)))
        elif code == Code.HISTORY:
            # Thousands of messages: not on the thread that the next message waits for.
            threading.Thread(target=self._take_history, args=(packed,), daemon=True).start()
        else:
            self._take_state(code, packed)

    def _journal(self, entry: Entry | None) -> None:
        if entry is not None:
            self._outside.journal(self, entry)

    def _take_history(self, packed: bytes) -> None:
        try:
            for entry in convert.entries_of_history(neonize.HistorySync.FromString(packed), self):
                self._outside.journal(self, entry)
        except Exception as error:  # noqa: BLE001 - as in _on_event
            self._outside.set_aside(self, Code.HISTORY, packed)
            self._outside.trouble(self, "engine.history_refused", type(error).__name__)

    def _is_offline(self, event: Any) -> bool:
        """Whether a message waited at WhatsApp while the account was away. The first may come before `Code.CONNECTED`."""
        if not self._catching_up:
            return False
        # Its clock counts whole seconds.
        return self._state is not _State.CONNECTED or event.Info.Timestamp // 1000 < int(self._connected_at)

    def _decrypt_vote(self, event: Any) -> list[bytes] | None:
        answer = neonize.ReturnFunctionWithError.FromString(
            self._library.ask("DecryptPollVote", self.uuid, *sized(event))
        )
        return None if answer.Error else list(answer.PollVoteMessage.selectedOptions)

    def _take_state(self, code: int, packed: bytes) -> None:
        ended = _find_end(code, packed)
        if ended is not None:
            self._end(ended)
        elif code in _STATES:
            self._say(_STATES[code])
        elif code == Code.CONNECTED:
            self._connected()
        elif code == Code.PAIRED:
            self._paired(neonize.PairStatus.FromString(packed))
        elif code == Code.DISCONNECTED:
            self._away()
        elif code == Code.OFFLINE_DONE:
            self._catching_up = False

    def _paired(self, status: Any) -> None:
        """The device is stored and the phone has its signature; WhatsApp hands over nothing before the next login."""
        if status.Status == neonize.PairStatus.SUCCESS:
            self._say(says.Linked(phone=self.own.pn or "", lid=self.own.lid))

    def _connected(self) -> None:
        self._connected_at = time.time()
        own = self.own
        if self._state is _State.OVER:
            return
        self._state = _State.CONNECTED
        self._say(says.Connected(phone=own.pn or "", lid=own.lid))
        self._first_sign.set()

    def _away(self) -> None:
        if self._state is _State.CONNECTED:
            self._state = _State.AWAY
            self._catching_up = True
            self._say(says.Disconnected(will_retry=True))

    def _end(self, signal: Signal) -> None:
        """The account's connection is over for good; what remains is `stop`."""
        if self._state is not _State.OVER:
            self._state = _State.OVER
            self._say(signal)
        self._first_sign.set()

    def _say(self, signal: Signal) -> None:
        self._outside.say(self, signal)

    # --- who is who (jids.Directory) ----------------------------------------------------------------------------

    @property
    def own(self) -> Party:
        """Known to the library from a link on, so from the first event of a linked account."""
        if self._own.pn is None:
            me = neonize.Device.FromString(self._library.ask("GetMe", self.uuid))
            self._own = Party(pn=me.JID.User or None, lid=me.LID.User or None)
        return self._own

    @property
    def own_jid(self) -> str:
        return f"{self.own.pn}@s.whatsapp.net"

    def pn_of(self, lid: str) -> str | None:
        return self._look_up("GetPNFromLID", lid, "lid")

    def lid_of(self, pn: str) -> str | None:
        return self._look_up("GetLIDFromPN", pn, "s.whatsapp.net")

    def learn(self, pn: str, lid: str) -> None:
        self._remember({pn: lid, lid: pn})

    def _remember(self, pairs: dict[str, str | None]) -> None:
        if len(self._pairs) >= _PAIRS_KEPT:
            self._pairs.clear()
        self._pairs.update(pairs)

    def _look_up(self, function: str, user: str, server: str) -> str | None:
        """The other name of somebody, as far as the library has met them."""
        with suppress(KeyError):
            # In one step: the history's thread, or a call's, may clear them meanwhile.
            return self._pairs[user]
        jid = jid_of(f"{user}@{server}")
        answer = neonize.GetJIDFromStoreReturnFunction.FromString(
            self._library.ask(function, self.uuid, *sized(jid))
        )
        other: str | None = answer.Jid.User or None
        self._remember({user: other})
        return other


def _find_end(code: int, packed: bytes) -> Signal | None:
    """Why the connection is over for good; None for an event that does not end it."""
    if code == Code.BANNED:
        ban = neonize.TemporaryBan.FromString(packed)
        return says.TemporarilyBanned(until=datetime.now(UTC) + timedelta(seconds=ban.Expire))
    if code == Code.LOGGED_OUT:
        # WhatsApp's 406, which its own web client calls a ban.
        reason = neonize.LoggedOut.FromString(packed).Reason
        return says.LoggedOut(banned=reason == neonize.UNKNOWN_LOGOUT)
    return _ENDS.get(code)


def _on_log(_pointer: int, _size: int) -> None:
    """The library's own words hold numbers and names: nobody hears them."""
