"""An agent that is the tenant's own: one signed POST with the question, answered with what to say.

Signed as webhooks are (Standard Webhooks 1.0.0), with the agent's own secret; `webhook-id` is the same when a crash
makes the call happen again. The answer is `{reply}`, `{messages: […]}`, `{handoff: …}`, or nothing; whatever else
comes back is nonsense, and nothing of it is said.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

import httpx
import msgspec
from msgspec import Meta, Struct, field

from relay.egress.signing import Signer
from relay.egress.urls import check_url
from relay.model.agent import CallOutcome, HttpSettings
from relay.replies.agents.failure import CallFailed, Patience, failed_by_status
from relay.replies.agents.meter import Meter
from relay.replies.agents.question import Question
from relay.replies.agents.speech import Speech, Spoken, speak
from relay.store.agents import OpenedAgent

ANSWER_BYTES_MOST = 256 * 1024
_Text = Annotated[str, Meta(max_length=65_536)]
_Label = Annotated[str, Meta(min_length=1, max_length=1000)]


class _In(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """What the tenant's server says."""


class _TextContent(_In, frozen=True, kw_only=True):
    text: Annotated[str, Meta(min_length=1, max_length=65_536)]


class _MediaContent(_In, frozen=True, kw_only=True):
    url: Annotated[str, Meta(max_length=2048)] | None = None
    media_id: Annotated[str, Meta(max_length=64)] | None = None
    caption: _Text | None = None
    file_name: Annotated[str, Meta(pattern=r"^[^/\\\x00-\x1f]{1,255}$")] | None = None
    voice: bool = False


class _LocationContent(_In, frozen=True, kw_only=True):
    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    name: _Label | None = None
    address: _Label | None = None


class _PollContent(_In, frozen=True, kw_only=True):
    question: Annotated[str, Meta(min_length=1, max_length=255)]
    options: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(min_length=2, max_length=12)
    ]
    selectable: Annotated[int, Meta(ge=1, le=12)] = 1


_CONTENTS: dict[str, type[_In]] = {
    "text": _TextContent,
    "location": _LocationContent,
    "poll": _PollContent,
    **dict.fromkeys(("image", "audio", "video", "document", "sticker"), _MediaContent),
}


class _Message(_In, frozen=True, kw_only=True):
    type: Literal["text", "image", "audio", "video", "document", "sticker", "location", "poll"]
    content: str | dict[str, Any]


class _Handoff(_In, frozen=True, kw_only=True):
    note: Annotated[str, Meta(max_length=500)] | None = None


class _Answer(_In, frozen=True, kw_only=True):
    reply: _Text | None = None
    messages: Annotated[list[str | _Message], Meta(max_length=20)] = field(default_factory=list)
    handoff: bool | _Handoff = False


_decoder = msgspec.json.Decoder(_Answer)


class HttpAgent:
    """Answers one question."""

    def __init__(
        self,
        opened: OpenedAgent,
        settings: HttpSettings,
        *,
        http: httpx.AsyncClient,
        meter: Meter,
        patience: Patience,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._signer = Signer(opened.secrets)
        self._http = http
        self._meter = meter
        self._patience = patience
        self._now = now

    async def answer(self, question: Question) -> Speech:
        """Raises CallFailed."""
        body = msgspec.json.encode(_body_of(question))

        async def attempt() -> bytes:
            async with self._meter.request():
                return await self._post(question.key, body)

        said = await self._patience.again_and_again(attempt)
        return read_answer(said, most_messages=self._settings.max_messages)

    async def _post(self, key: str, body: bytes) -> bytes:
        at = int(self._now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": key,
            "webhook-timestamp": str(at),
            "webhook-signature": self._signer.sign(key, at, body),
        }
        try:
            url = check_url(self._settings.url).url
            async with self._http.stream("POST", url, content=body, headers=headers) as response:
                if not 200 <= response.status_code < 300:
                    raise failed_by_status(
                        response.status_code, retry_after=response.headers.get("Retry-After")
                    )
                return await _read_body(response)
        except httpx.TimeoutException:
            raise CallFailed(CallOutcome.TIMEOUT, "The server did not answer in time.") from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            raise CallFailed(
                CallOutcome.FAILED, "The address could not be reached, or the connection broke.", again=True
            ) from None


async def _read_body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > ANSWER_BYTES_MOST:
            raise _nonsense(f"is larger than {ANSWER_BYTES_MOST // 1024} KiB")
    return bytes(body)


def _body_of(question: Question) -> dict[str, Any]:
    """As documented in docs/agents.md."""
    asker, newest = question.asker, question.messages[-1]
    return {
        "sessionId": question.session_id,
        "from": asker.pn or asker.lid if asker is not None else None,
        "text": question.text,
        "timestamp": newest.sent_at,
        "chat": question.chat,
        "contact": None
        if asker is None
        else {
            "id": asker.id,
            "name": asker.name,
            "pn": asker.pn,
            "lid": asker.lid,
            "tags": asker.tags,
            "vars": asker.vars,
        },
        "history": [
            {"role": "assistant" if line.ours else "user", "text": line.text, "timestamp": line.at}
            for line in question.history
        ],
        "message": {
            "id": newest.id,
            "type": newest.type,
            "content": newest.content,
            "senderName": newest.sender_name,
        },
    }


def read_answer(body: bytes, *, most_messages: int) -> Speech:
    """Raises CallFailed where it is not as agreed, to the last field."""
    if not body.strip():
        return Speech()
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _nonsense(f"is not as agreed ({_where(error)})") from None
    if b"\\u0000" in body:
        raise _nonsense("holds a NUL character")
    spoken = speak(answer.reply, most=most_messages) if answer.reply else []
    spoken += [_spoken(message) for message in answer.messages]
    handoff = answer.handoff
    note = handoff.note if isinstance(handoff, _Handoff) else None
    return Speech(messages=spoken, handoff=handoff is not False, note=note)


def _spoken(message: str | _Message) -> Spoken:
    if isinstance(message, str):
        message = _Message(type="text", content=message)
    given = {"text": message.content} if isinstance(message.content, str) else message.content
    try:
        content = msgspec.convert(given, _CONTENTS[message.type])
    except msgspec.ValidationError as error:
        raise _nonsense(f"has a message that is none ({_where(error)})") from None
    if isinstance(content, _MediaContent) and (content.url is None) == (content.media_id is None):
        raise _nonsense("has a file without `url` or `mediaId`, or with both")
    return Spoken(type=message.type, content=msgspec.to_builtins(content))


def _where(error: Exception) -> str:
    """A ValidationError names fields and types, never values."""
    return str(error) if isinstance(error, msgspec.ValidationError) else "no JSON"


def _nonsense(what: str) -> CallFailed:
    return CallFailed(CallOutcome.NONSENSE, f"The server's answer {what}.")
