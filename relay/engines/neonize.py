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
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from relay.engines import compose, convert
from relay.engines import engine as says
from relay.engines.binding import Code, Library, OnEvent, OnLog, OnText, Proxy, sized
from relay.engines.channel import Start
from relay.engines.compose import Uploaded
from relay.engines.engine import Entry, Group, Outgoing, Sent, Signal
from relay.engines.protobufs import companion, neonize
from relay.engines.transcode import Prepared
from relay.model.errors import NotConnected, NotFound, OutcomeUnknown, RelayError, SendRejected
from relay.model.message import MessageType, Party

_FIRST_SIGN_SECONDS = 5.0
"""How long a start keeps the next one waiting; the library's maps are written in the first moments of it."""
_QUIET_SECONDS = 0.3
_DRAIN_SECONDS = 5.0
_FIRST_QR_SECONDS = 60
_NEXT_QR_SECONDS = 20
_PAIRING_CODE_SECONDS = 160
_PAIRS_KEPT = 10_000
_STARTS = count(1)

_SUBSCRIBED = bytes(Code)
_MEDIA_KINDS = {
    MessageType.IMAGE: 0, MessageType.STICKER: 0, MessageType.VIDEO: 1, MessageType.AUDIO: 2, MessageType.DOCUMENT: 3,
}  # fmt: skip
_STATES: dict[int, Signal] = {Code.KEEP_ALIVE_LOST: says.Degraded(), Code.KEEP_ALIVE_BACK: says.Restored()}
_ENDS: dict[int, Signal] = {
    Code.LOGGED_OUT: says.LoggedOut(),
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
_NOT_DONE = ("websocket not connected", "the store doesn't contain", "websocket disconnected before")
_NOBODY_KNOWS = ("timed out waiting for message send response", "failed to send message node", "context ")


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
        self._uuid = f"{wanted.session_id}-{next(_STARTS)}".encode()
        self._state = _State.STARTING
        self._known = False
        """Whether the library has an entry for it: calls before that end the process."""
        self._own = Party()
        self._own_jid = ""
        self._pairs: dict[str, str | None] = {}
        self._offline_since: datetime | None = None
        self._codes_shown = 0
        self._first_sign = threading.Event()
        self._returned = threading.Event()
        self._events = 0
        self._kept_alive: tuple[Any, ...] = ()

    @property
    def is_linking(self) -> bool:
        return bool(self.wanted.link_method)

    # --- start and stop -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Returns at the first sign of what became of it, or a little later without one."""
        threading.Thread(target=self._run, name=self.wanted.session_id, daemon=True).start()
        self._first_sign.wait(_FIRST_SIGN_SECONDS)

    def disconnect(self) -> None:
        """Leave WhatsApp, and wait until what was on the way has come."""
        over, self._state = self._state is _State.OVER, _State.OVER
        if self._known and not over and not self._returned.is_set():
            self._library.call("Disconnect", self._uuid)
            self._wait_until_quiet()

    def stop(self) -> None:
        """Give up what the library holds of it; after `disconnect`."""
        if self._known and not self._returned.is_set():
            self._library.call("Stop", self._uuid)
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
        # The name is put before `?_foreign_keys=on`.
        name = f"{wanted.path}?_journal_mode=WAL&_synchronous=NORMAL&_foreign_keys=on&_x="
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
            "Neonize", name.encode(), self._uuid, b"", 0, 0, b"ERROR", *callbacks, _SUBSCRIBED, len(_SUBSCRIBED),
            device, device_size, b"", 0, ctypes.byref(proxy) if proxy else None,
        )  # fmt: skip

    # --- linking ------------------------------------------------------------------------------------------------

    def _on_qr(self, _uuid: int, text: int) -> None:
        self._first_sign.set()
        self._codes_shown += 1
        if self.wanted.link_method == "code":
            if self._codes_shown == 1:
                # Not on this thread: the library waits for it.
                threading.Thread(target=self._ask_pairing_code, daemon=True).start()
            return
        seconds = _FIRST_QR_SECONDS if self._codes_shown == 1 else _NEXT_QR_SECONDS
        expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
        self._say(says.QrShown(text=ctypes.string_at(text).decode(), expires_at=expires_at))

    def _ask_pairing_code(self) -> None:
        wanted = neonize.PairPhoneParams(
            phone=self.wanted.link_phone or "",
            # WhatsApp takes names of this form only.
            clientDisplayName="Chrome (Linux)",
            clientType=1,
            showPushNotification=True,
        )
        answer = neonize.PairPhoneReturnFunction.FromString(
            self._library.ask("PairPhone", self._uuid, *sized(wanted))
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
        """Whether a message waited at WhatsApp while the account was away."""
        since = self._offline_since
        # Its clock counts whole seconds.
        return since is not None and event.Info.Timestamp // 1000 < int(since.timestamp())

    def _decrypt_vote(self, event: Any) -> list[bytes] | None:
        answer = neonize.ReturnFunctionWithError.FromString(
            self._library.ask("DecryptPollVote", self._uuid, *sized(event))
        )
        return None if answer.Error else list(answer.PollVoteMessage.selectedOptions)

    def _take_state(self, code: int, packed: bytes) -> None:
        """The rest means nothing here: the account's own description, a pairing (`Code.CONNECTED` follows), what waits."""
        if code in _STATES:
            self._say(_STATES[code])
        elif code in _ENDS:
            self._end(_ENDS[code])
        elif code == Code.CONNECTED:
            self._connected()
        elif code == Code.DISCONNECTED:
            self._away()
        elif code == Code.OFFLINE_DONE:
            self._offline_since = None
        elif code == Code.BANNED:
            ban = neonize.TemporaryBan.FromString(packed)
            self._end(says.TemporarilyBanned(until=datetime.now(UTC) + timedelta(seconds=ban.Expire)))

    def _connected(self) -> None:
        me = neonize.Device.FromString(self._library.ask("GetMe", self._uuid))
        self._own = Party(pn=me.JID.User, lid=me.LID.User or None)
        self._own_jid = f"{me.JID.User}@s.whatsapp.net"
        # What comes until `Code.OFFLINE_DONE` has waited for us.
        self._offline_since = datetime.now(UTC)
        if self._state is _State.OVER:
            return
        self._state = _State.CONNECTED
        self._say(says.Connected(phone=me.JID.User, lid=me.LID.User or None))
        self._first_sign.set()

    def _away(self) -> None:
        if self._state is _State.CONNECTED:
            self._state = _State.AWAY
            self._say(says.Disconnected(will_retry=True))

    def _end(self, signal: Signal) -> None:
        """The account's connection is over for good; what remains is `stop`."""
        if self._state is not _State.OVER:
            self._state = _State.OVER
            self._say(signal)
        self._first_sign.set()

    def _say(self, signal: Signal) -> None:
        self._outside.say(self, signal)

    # --- who is who (convert.Directory) -------------------------------------------------------------------------

    @property
    def own(self) -> Party:
        return self._own

    def pn_of(self, lid: str) -> str | None:
        return self._look_up("GetPNFromLID", lid, "lid")

    def lid_of(self, pn: str) -> str | None:
        return self._look_up("GetLIDFromPN", pn, "s.whatsapp.net")

    def learn(self, pn: str, lid: str) -> None:
        self._pairs[pn], self._pairs[lid] = lid, pn

    def _look_up(self, function: str, user: str, server: str) -> str | None:
        """The other name of somebody, as far as the library has met them."""
        if user not in self._pairs:
            jid = convert.jid_of(f"{user}@{server}")
            answer = neonize.GetJIDFromStoreReturnFunction.FromString(
                self._library.ask(function, self._uuid, *sized(jid))
            )
            if len(self._pairs) >= _PAIRS_KEPT:
                self._pairs.clear()
            self._pairs[user] = answer.Jid.User or None
        return self._pairs[user]

    # --- calls --------------------------------------------------------------------------------------------------

    def _require_connection(self) -> None:
        if self._state is not _State.CONNECTED:
            raise NotConnected("The session is not connected.")

    def send(self, outgoing: Outgoing, prepared: Prepared | None) -> Sent:
        self._require_connection()
        if outgoing.type == MessageType.POLL_VOTE:
            return self._send(outgoing.chat, self._build_vote(outgoing))
        uploaded = self._upload(outgoing, prepared) if prepared else None
        message = compose.message_of(outgoing, self._own_jid, uploaded, now=datetime.now(UTC))
        return self._send(outgoing.chat, message)

    def edit(self, chat: str, wa_id: str, text: str) -> None:
        self._require_connection()
        self._send(chat, compose.edit_of(chat, wa_id, text, now=datetime.now(UTC)))

    def revoke(self, chat: str, wa_id: str) -> None:
        self._require_connection()
        self._send(chat, compose.revoke_of(chat, wa_id))

    def _send(self, chat: str, message: Any) -> Sent:
        answer = neonize.SendMessageReturnFunction.FromString(
            self._library.ask("SendMessage", self._uuid, *sized(convert.jid_of(chat)), *sized(message))
        )
        if answer.Error:
            raise _send_error(answer.Error)
        response = answer.SendResponse
        return Sent(wa_id=response.ID, at=datetime.fromtimestamp(response.Timestamp, UTC))

    def _upload(self, outgoing: Outgoing, prepared: Prepared) -> Uploaded:
        content = Path(prepared.path).read_bytes()
        answer = neonize.UploadReturnFunction.FromString(
            self._library.ask("Upload", self._uuid, content, len(content), _MEDIA_KINDS[outgoing.type])
        )
        if answer.Error:
            # Nothing was sent: it may be tried again.
            raise NotConnected("WhatsApp did not take the file.", code="upload_failed")
        response = answer.UploadResponse
        return Uploaded(
            url=response.url,
            direct_path=response.DirectPath,
            key=response.MediaKey,
            sha256=response.FileSHA256,
            encrypted_sha256=response.FileEncSHA256,
            size_bytes=response.FileLength,
            mimetype=prepared.mimetype,
            file_name=outgoing.media.file_name if outgoing.media else None,
            seconds=prepared.seconds,
            width=prepared.width,
            height=prepared.height,
            thumbnail=prepared.thumbnail,
            waveform=prepared.waveform,
            animated=prepared.animated,
        )

    def _build_vote(self, outgoing: Outgoing) -> Any:
        if outgoing.target is None:
            raise SendRejected("The poll is not known.")
        poll = compose.vote_info(outgoing.target, outgoing.chat, self)
        options = neonize.ArrayString(data=outgoing.content["options"])
        answer = neonize.BuildPollVoteReturnFunction.FromString(
            self._library.ask("BuildPollVote", self._uuid, *sized(poll), *sized(options))
        )
        if answer.Error:
            raise SendRejected(
                "The poll's key is not on this device: it was made before the session was linked."
            )
        return answer.PollVote

    def mark_read(self, chat: str, sender: str, wa_ids: Sequence[str]) -> None:
        self._require_connection()
        error = self._library.call(
            "MarkRead", self._uuid, " ".join(wa_ids).encode(), int(datetime.now(UTC).timestamp()),
            *sized(convert.jid_of(chat)), *sized(convert.jid_of(sender)), b"read",
        )  # fmt: skip
        _raise(error)

    def set_typing(self, chat: str, *, typing: bool) -> None:
        self._require_connection()
        _raise(
            self._library.call(
                "SendChatPresence", self._uuid, *sized(convert.jid_of(chat)), 0 if typing else 1, 0
            )
        )

    def set_presence(self, *, available: bool) -> None:
        self._require_connection()
        _raise(self._library.call("SendPresence", self._uuid, b"available" if available else b"unavailable"))

    def check_numbers(self, phones: Sequence[str]) -> dict[str, str | None]:
        self._require_connection()
        asked = " ".join(f"+{phone}" for phone in phones).encode()
        answer = neonize.IsOnWhatsAppReturnFunction.FromString(
            self._library.ask("IsOnWhatsApp", self._uuid, asked)
        )
        found = {
            "".join(letter for letter in one.Query.partition("@")[0] if letter.isdigit()): one
            for one in answer.IsOnWhatsAppResponse
        }
        if not found and answer.Error and "nothing" not in answer.Error:
            raise _call_error(answer.Error)
        return {
            phone: f"{found[phone].JID.User}@s.whatsapp.net" if phone in found and found[phone].IsIn else None
            for phone in phones
        }

    def list_groups(self) -> list[Group]:
        self._require_connection()
        answer = neonize.GetJoinedGroupsReturnFunction.FromString(
            self._library.ask("GetJoinedGroups", self._uuid)
        )
        _raise(answer.Error)
        return [convert.group_of(group) for group in answer.Group]

    def get_group(self, jid: str) -> Group:
        self._require_connection()
        answer = neonize.GetGroupInfoReturnFunction.FromString(
            self._library.ask("GetGroupInfo", self._uuid, *sized(convert.jid_of(jid)))
        )
        _raise(answer.Error)
        return convert.group_of(answer.GroupInfo)

    def set_profile_name(self, name: str) -> None:
        self._require_connection()
        error = self._library.call("SetPushName", self._uuid, name.encode())
        if "LTHash" in error:
            # It read its own state while a patch from the phone was being put in: the next time it is whole.
            error = self._library.call("SetPushName", self._uuid, name.encode())
        _raise(error)

    def set_profile_picture(self, jpeg: bytes) -> None:
        self._require_connection()
        answer = neonize.SetGroupPhotoReturnFunction.FromString(
            self._library.ask("SetProfilePhoto", self._uuid, jpeg, len(jpeg))
        )
        _raise(answer.Error)

    def find_profile_picture(self, jid: str) -> str | None:
        self._require_connection()
        answer = neonize.GetProfilePictureReturnFunction.FromString(
            self._library.ask(
                "GetProfilePicture", self._uuid, *sized(convert.jid_of(jid)),
                *sized(neonize.GetProfilePictureParams()),
            )
        )  # fmt: skip
        if "hidden" in answer.Error or "does not have a profile picture" in answer.Error:
            return None
        _raise(answer.Error)
        return answer.Picture.URL or None

    def reject_call(self, call_id: str, caller: str) -> None:
        self._require_connection()
        _raise(self._library.call("RejectCall", self._uuid, *sized(convert.jid_of(caller)), call_id.encode()))

    def logout(self) -> None:
        self._require_connection()
        _raise(self._library.call("Logout", self._uuid))


def _on_log(_pointer: int, _size: int) -> None:
    """The library's own words hold numbers and names: nobody hears them."""


def _raise(error: str) -> None:
    if error:
        raise _call_error(error)


def _call_error(error: str) -> RelayError:
    if any(words in error for words in _NOT_DONE):
        return NotConnected("The session is not connected.")
    if "does not exist" in error or "not participating" in error or "item-not-found" in error:
        return NotFound("WhatsApp does not know it, or the session is not part of it.")
    if "timed out" in error:
        return OutcomeUnknown("WhatsApp did not answer in time.")
    return SendRejected("WhatsApp refused the request.", code="engine_refused")


def _send_error(error: str) -> RelayError:
    """The library's sentence as one of ours; what is not surely undone is unknown."""
    if any(words in error for words in _NOT_DONE):
        return NotConnected("The session is not connected.")
    if "server returned error" in error:
        return SendRejected("WhatsApp refused the message.")
    if "no LID found" in error:
        return SendRejected("This number has no WhatsApp account.", code="not_on_whatsapp")
    if any(words in error for words in _NOBODY_KNOWS):
        return OutcomeUnknown("WhatsApp did not say whether it took the message.")
    if error.startswith("failed to ") or "can't send message" in error:
        # These come before anything of the message itself has left.
        return SendRejected("WhatsApp would not take part in preparing the message.", code="engine_refused")
    return OutcomeUnknown("WhatsApp did not say whether it took the message.")
