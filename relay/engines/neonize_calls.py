"""What a connected account can be asked: each a call of the library, and its answer as one of ours.

Every call blocks until WhatsApp has answered, and raises what `Engine` says it raises.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from msgspec import structs

from relay.engines import compose, convert
from relay.engines.binding import Library, sized
from relay.engines.compose import Uploaded
from relay.engines.engine import Group, Outgoing, Sent
from relay.engines.jids import Directory, is_group, jid_of
from relay.engines.protobufs import neonize
from relay.engines.transcode_job import Prepared, description_of
from relay.model.errors import NotConnected, NotFound, OutcomeUnknown, RelayError, SendRejected
from relay.model.message import MessageType

_MEDIA_KINDS = {
    MessageType.IMAGE: 0, MessageType.STICKER: 0, MessageType.VIDEO: 1, MessageType.AUDIO: 2, MessageType.DOCUMENT: 3,
}  # fmt: skip
_NOT_DONE = ("websocket not connected", "the store doesn't contain")
_LEFT_IN_PREPARING = "websocket disconnected before info query"
_LEFT_UNANSWERED = "websocket disconnected before"
_NOBODY_KNOWS = (
    "timed out waiting for message send response", "failed to send message node", "context ", _LEFT_UNANSWERED,
)  # fmt: skip


class NotOnWhatsApp(SendRejected):
    code = "not_on_whatsapp"


class Caller(Directory, Protocol):
    """The account that asks."""

    uuid: bytes
    is_available: bool
    """Whether it shows as online; kept over a reconnect."""

    @property
    def own_jid(self) -> str: ...

    def require_connection(self) -> None:
        """Raises NotConnected: without one, a call could end the process."""


class Calls:
    def __init__(self, library: Library, account: Caller) -> None:
        self._library = library
        self._account = account
        self._spelled: dict[str, str] = {}
        """Chats by the number as people spell it, where WhatsApp knows it by another."""

    def send(self, outgoing: Outgoing, prepared: Prepared | None) -> Sent:
        self._account.require_connection()
        if outgoing.type == MessageType.POLL_VOTE:
            return self._send(outgoing.chat, self._build_vote(outgoing))
        uploaded = self._upload(outgoing, prepared) if prepared else None
        message = compose.message_of(outgoing, self._account.own_jid, uploaded, now=datetime.now(UTC))
        return self._send_by_number(outgoing.chat, message)

    def _send_by_number(self, chat: str, message: Any) -> Sent:
        """To the account behind a number, in whichever spelling WhatsApp has it. Raises SendRejected."""
        if chat not in self._spelled:
            try:
                return self._send(chat, message)
            except NotOnWhatsApp:
                number, _, server = chat.partition("@")
                jid = self.check_numbers([number])[number] if server == "s.whatsapp.net" else None
                if jid is None or jid == chat:
                    raise
                self._spelled[chat] = jid
        jid = self._spelled[chat]
        return structs.replace(self._send(jid, message), chat=jid)

    def edit(self, chat: str, wa_id: str, text: str) -> None:
        self._account.require_connection()
        self._send(chat, compose.edit_of(chat, wa_id, text, now=datetime.now(UTC)))

    def revoke(self, chat: str, wa_id: str) -> None:
        self._account.require_connection()
        self._send(chat, compose.revoke_of(chat, wa_id))

    def _send(self, chat: str, message: Any) -> Sent:
        answer = neonize.SendMessageReturnFunction.FromString(
            self._library.ask("SendMessage", self._account.uuid, *sized(jid_of(chat)), *sized(message))
        )
        if answer.Error:
            raise _send_error(answer.Error)
        response = answer.SendResponse
        return Sent(wa_id=response.ID, at=datetime.fromtimestamp(response.Timestamp, UTC))

    def _upload(self, outgoing: Outgoing, prepared: Prepared) -> Uploaded:
        content = Path(prepared.path).read_bytes()
        answer = neonize.UploadReturnFunction.FromString(
            self._library.ask(
                "Upload", self._account.uuid, content, len(content), _MEDIA_KINDS[outgoing.type]
            )
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
            file_name=outgoing.media.file_name if outgoing.media else None,
            **description_of(prepared),
        )

    def _build_vote(self, outgoing: Outgoing) -> Any:
        if outgoing.target is None:
            raise SendRejected("The poll is not known.")
        by_number = is_group(outgoing.chat) and self._goes_by_number(outgoing.chat)
        poll = compose.vote_info(outgoing.target, outgoing.chat, self._account, by_number=by_number)
        options = neonize.ArrayString(data=outgoing.content["options"])
        answer = neonize.BuildPollVoteReturnFunction.FromString(
            self._library.ask("BuildPollVote", self._account.uuid, *sized(poll), *sized(options))
        )
        if answer.Error:
            raise SendRejected(
                "The poll's key is not on this device: it was made before the session was linked."
            )
        return answer.PollVote

    def mark_read(self, chat: str, sender: str, wa_ids: Sequence[str]) -> None:
        self._account.require_connection()
        error = self._library.call(
            "MarkRead", self._account.uuid, " ".join(wa_ids).encode(), int(datetime.now(UTC).timestamp()),
            *sized(jid_of(chat)), *sized(jid_of(sender)), b"read",
        )  # fmt: skip
        _raise(error)

    def set_typing(self, chat: str, *, typing: bool) -> None:
        self._account.require_connection()
        _raise(
            self._library.call(
                "SendChatPresence", self._account.uuid, *sized(jid_of(chat)), 0 if typing else 1, 0
            )
        )

    def set_presence(self, *, available: bool) -> None:
        self._account.require_connection()
        self._account.is_available = available
        _raise(
            self._library.call(
                "SendPresence", self._account.uuid, b"available" if available else b"unavailable"
            )
        )

    def check_numbers(self, phones: Sequence[str]) -> dict[str, str | None]:
        self._account.require_connection()
        asked = " ".join(f"+{phone}" for phone in phones).encode()
        answer = neonize.IsOnWhatsAppReturnFunction.FromString(
            self._library.ask("IsOnWhatsApp", self._account.uuid, asked)
        )
        if answer.Error and "returned nothing" not in answer.Error:
            raise _call_error(answer.Error)
        found = {_digits(one.Query): one.JID for one in answer.IsOnWhatsAppResponse if one.IsIn}
        return {phone: self._jid_of(phone, found[phone]) if phone in found else None for phone in phones}

    def _jid_of(self, phone: str, found: Any) -> str:
        """By the number as WhatsApp spells it, which is not always as people do."""
        pn = found.User if found.Server == "s.whatsapp.net" else self._account.pn_of(found.User)
        return f"{pn or phone}@s.whatsapp.net"

    def list_groups(self) -> list[Group]:
        self._account.require_connection()
        answer = neonize.GetJoinedGroupsReturnFunction.FromString(
            self._library.ask("GetJoinedGroups", self._account.uuid)
        )
        _raise(answer.Error)
        return [convert.group_of(group) for group in answer.Group]

    def get_group(self, jid: str) -> Group:
        self._account.require_connection()
        answer = self._ask_group(jid)
        _raise(answer.Error)
        return convert.group_of(answer.GroupInfo)

    def _ask_group(self, jid: str) -> Any:
        return neonize.GetGroupInfoReturnFunction.FromString(
            self._library.ask("GetGroupInfo", self._account.uuid, *sized(jid_of(jid)))
        )

    def _goes_by_number(self, group: str) -> bool:
        """Whether a group knows its members by number, as old ones do; those that do not tell are taken for new ones."""
        participants = self._ask_group(group).GroupInfo.Participants
        return any(one.JID.Server == "s.whatsapp.net" for one in participants)

    def set_profile_name(self, name: str) -> None:
        self._account.require_connection()
        error = self._library.call("SetPushName", self._account.uuid, name.encode())
        if "LTHash" in error:
            # It read its own state while a patch from the phone was being put in: the next time it is whole.
            error = self._library.call("SetPushName", self._account.uuid, name.encode())
        _raise(error)

    def set_profile_picture(self, jpeg: bytes) -> None:
        self._account.require_connection()
        answer = neonize.SetGroupPhotoReturnFunction.FromString(
            self._library.ask("SetProfilePhoto", self._account.uuid, jpeg, len(jpeg))
        )
        _raise(answer.Error)

    def find_profile_picture(self, jid: str) -> str | None:
        self._account.require_connection()
        answer = neonize.GetProfilePictureReturnFunction.FromString(
            self._library.ask(
                "GetProfilePicture", self._account.uuid, *sized(jid_of(jid)),
                *sized(neonize.GetProfilePictureParams()),
            )
        )  # fmt: skip
        if "hidden" in answer.Error or "does not have a profile picture" in answer.Error:
            return None
        _raise(answer.Error)
        return answer.Picture.URL or None

    def reject_call(self, call_id: str, caller: str) -> None:
        self._account.require_connection()
        _raise(self._library.call("RejectCall", self._account.uuid, *sized(jid_of(caller)), call_id.encode()))

    def logout(self) -> None:
        self._account.require_connection()
        _raise(self._library.call("Logout", self._account.uuid))


def _digits(query: str) -> str:
    return "".join(letter for letter in query.partition("@")[0] if letter.isdecimal())


def _raise(error: str) -> None:
    if error:
        raise _call_error(error)


def _call_error(error: str) -> RelayError:
    if any(words in error for words in _NOT_DONE):
        return NotConnected("The session is not connected.")
    if "does not exist" in error or "not participating" in error or "item-not-found" in error:
        return NotFound("WhatsApp does not know it, or the session is not part of it.")
    if "timed out" in error or _LEFT_UNANSWERED in error:
        return OutcomeUnknown("WhatsApp did not answer in time.")
    return SendRejected("WhatsApp refused the request.", code="engine_refused")


def _send_error(error: str) -> RelayError:
    """The library's sentence as one of ours; what is not surely undone is unknown."""
    if any(words in error for words in (*_NOT_DONE, _LEFT_IN_PREPARING)):
        return NotConnected("The session is not connected.")
    if "server returned error" in error:
        return SendRejected("WhatsApp refused the message.")
    if "no LID found" in error:
        return NotOnWhatsApp("This number has no WhatsApp account.")
    if any(words in error for words in _NOBODY_KNOWS):
        return OutcomeUnknown("WhatsApp did not say whether it took the message.")
    if error.startswith("failed to ") or "can't send message" in error:
        # These come before anything of the message itself has left.
        return SendRejected("WhatsApp would not take part in preparing the message.", code="engine_refused")
    return OutcomeUnknown("WhatsApp did not say whether it took the message.")
