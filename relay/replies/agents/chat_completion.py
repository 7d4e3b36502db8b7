"""One request to a model through the openai SDK, whole or streamed, and what it may come to.

What the server says is read strictly: the SDK itself believes anything. Importing the SDK takes long: `caller.py` does
it when the first question comes.
"""

import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import openai
from msgspec import Struct, field

from relay.egress.fetch import MAX_ANSWER_BYTES, AnswerTooLarge
from relay.model.agent import CallOutcome, OpenAiSettings, Tokens
from relay.replies.agents.failure import CallFailed, failed_by_status
from relay.replies.agents.files import File
from relay.replies.agents.speech import storable

_TEXT_CHARACTERS_MOST = 65_536
_TOKENS_MOST = 50_000_000
"""What a server may say that it has used: those of all requests of a question fit into the log's column."""


class ToolCall(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""


class Completion(Struct, frozen=True, kw_only=True):
    text: str
    calls: Sequence[ToolCall]
    used: Tokens | None
    """None where the server does not say."""


class _Function(Struct, kw_only=True):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct, kw_only=True):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Words(Struct, kw_only=True):
    content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct, kw_only=True):
    message: _Words | None = None
    delta: _Words | None = None
    finish_reason: str | None = None


class _Usage(Struct, kw_only=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Answer(Struct, kw_only=True):
    """A completion, or a chunk of one."""

    choices: list[_Choice] = field(default_factory=list)
    usage: _Usage | None = None


def make_client(settings: OpenAiSettings, api_key: str | None, http: httpx.AsyncClient) -> Any:
    """An SDK client that goes where `http` may, and takes nothing from this process's environment."""
    client = openai.AsyncOpenAI(
        base_url=settings.base_url,
        api_key=api_key or "none",
        admin_api_key="",
        http_client=http,  # type: ignore[arg-type]
        max_retries=0,
        timeout=settings.timeout_seconds,
    )
    # The operator's own, from OPENAI_ORG_ID, OPENAI_PROJECT_ID and OPENAI_CUSTOM_HEADERS.
    client.organization = client.project = None
    client._custom_headers = {}  # noqa: SLF001
    return client


def request_of(
    settings: OpenAiSettings, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    # OpenAI's newer models refuse max_tokens; other servers know no other name.
    at_openai = urlsplit(settings.base_url).hostname == "api.openai.com"
    given: dict[str, Any] = {
        "model": settings.model,
        "messages": messages,
        "max_completion_tokens" if at_openai else "max_tokens": settings.max_tokens,
    }
    if settings.temperature is not None:
        given["temperature"] = settings.temperature
    if tools:
        given["tools"] = tools
    if settings.stream:
        given |= {"stream": True, "stream_options": {"include_usage": True}}
    return given


async def complete(client: Any, request: Mapping[str, Any]) -> Completion:
    """Ask once. Raises CallFailed."""
    async with _told_apart():
        answer = await client.chat.completions.create(**request)
        if request.get("stream"):
            return await _gather(answer)
        read = _read(answer)
        if not read.choices or read.choices[0].message is None:
            raise _nonsense()
        return _completion(read.choices[0].message, read.usage)


async def transcribe(client: Any, model: str, sound: File) -> str:
    """A voice note's words. Raises CallFailed."""
    name = "voice." + {"audio/ogg": "ogg", "audio/mpeg": "mp3", "audio/mp4": "m4a"}.get(sound.mimetype, "ogg")
    async with _told_apart():
        answer = await client.audio.transcriptions.create(
            model=model, file=(name, io.BytesIO(sound.bytes), sound.mimetype)
        )
        text = getattr(answer, "text", None)
        if not isinstance(text, str):
            raise _nonsense()
        return storable(text[:_TEXT_CHARACTERS_MOST])


@asynccontextmanager
async def _told_apart() -> AsyncIterator[None]:
    """Whatever the SDK and the client under it raise, as a CallFailed. A server's words may repeat what it was asked."""
    try:
        yield
    except openai.APIStatusError as error:
        retry_after = error.response.headers.get("Retry-After")
        raise failed_by_status(error.status_code, retry_after=retry_after, detail=_code_of(error)) from None
    except (openai.APITimeoutError, httpx.TimeoutException):
        raise CallFailed(CallOutcome.TIMEOUT, "The server did not answer in time.") from None
    except (openai.APIResponseValidationError, json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise _nonsense() from None
    except (openai.APIError, httpx.HTTPError) as error:
        if _is_too_large(error):
            raise CallFailed(
                CallOutcome.NONSENSE,
                f"The server's answer is larger than {MAX_ANSWER_BYTES // 2**20} MiB.",
            ) from None
        # No connection, one that broke, or an error in the middle of a stream.
        raise CallFailed(
            CallOutcome.FAILED, "The address could not be reached, or the connection broke.", again=True
        ) from None


def _is_too_large(error: BaseException | None) -> bool:
    """The SDK takes it for a broken connection, and keeps what it was as the cause."""
    while error is not None and not isinstance(error, AnswerTooLarge):
        error = error.__cause__
    return error is not None


def _code_of(error: Any) -> str:
    """`model_not_found` and the like; the sentence beside it may hold parts of the key."""
    code = error.code or error.type
    return code if isinstance(code, str) and code.isprintable() and len(code) <= 64 else ""


def _nonsense() -> CallFailed:
    return CallFailed(CallOutcome.NONSENSE, "The server's answer is not a chat completion.")


def _read(answer: Any) -> _Answer:
    try:
        return msgspec.convert(answer.model_dump(warnings=False), _Answer)
    except (AttributeError, TypeError, ValueError):
        raise _nonsense() from None


def _completion(words: _Words, usage: _Usage | None) -> Completion:
    return Completion(
        text=storable((words.content or "")[:_TEXT_CHARACTERS_MOST]),
        calls=[_call(one) for one in words.tool_calls or []],
        used=_tokens(usage),
    )


def _call(given: _Call) -> ToolCall:
    if given.function is None or not given.function.name:
        raise _nonsense()
    return ToolCall(
        id=storable(given.id or given.function.name),
        name=storable(given.function.name),
        arguments=storable(given.function.arguments or "{}"),
    )


def _tokens(usage: _Usage | None) -> Tokens | None:
    if usage is None:
        return None
    return Tokens(prompt=_used(usage.prompt_tokens), completion=_used(usage.completion_tokens))


def _used(said: int) -> int:
    return min(max(0, said), _TOKENS_MOST)


async def _gather(stream: Any) -> Completion:
    """A streamed answer, put together. One that breaks off is none."""
    words = _Words(content="", tool_calls=[])
    calls: dict[int, _Call] = {}
    usage, finished = None, False
    try:
        async for chunk in stream:
            read = _read(chunk)
            usage = read.usage or usage
            for choice in read.choices[:1]:
                finished = finished or choice.finish_reason is not None
                if choice.delta is not None:
                    words.content = (words.content or "") + (choice.delta.content or "")
                    _add_calls(calls, choice.delta.tool_calls or [])
            if len(words.content or "") > _TEXT_CHARACTERS_MOST:
                finished = True
                break
    finally:
        await stream.close()
    if not finished:
        raise CallFailed(CallOutcome.FAILED, "The server's answer broke off.", again=True)
    words.tool_calls = [calls[index] for index in sorted(calls)]
    return _completion(words, usage)


def _add_calls(calls: dict[int, _Call], pieces: Sequence[_Call]) -> None:
    for piece in pieces:
        call = calls.setdefault(piece.index or 0, _Call(function=_Function(name="", arguments="")))
        call.id = call.id or piece.id
        if piece.function is not None and call.function is not None:
            call.function.name = (call.function.name or "") + (piece.function.name or "")
            call.function.arguments = (call.function.arguments or "") + (piece.function.arguments or "")
