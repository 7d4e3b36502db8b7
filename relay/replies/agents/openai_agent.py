"""An agent at an OpenAI-compatible server.

prompt, history, question (pictures, voice notes as text) ──► completion ──┬─► words
                                    ▲                                      ├─► handoff: a person is wanted
                                    └── what the tools answered ◄──────────┘
"""

import json
from collections.abc import Sequence
from typing import Any

import httpx

from relay.model.agent import OpenAiSettings, Tokens
from relay.plugin import Tool
from relay.replies.agents import files
from relay.replies.agents.chat_completion import (
    Completion,
    ToolCall,
    complete,
    make_client,
    request_of,
    transcribe,
)
from relay.replies.agents.failure import Patience
from relay.replies.agents.files import Files
from relay.replies.agents.meter import Meter
from relay.replies.agents.prompts import render_prompt
from relay.replies.agents.question import Question, text_of, tokens_of
from relay.replies.agents.speech import Speech, speak, storable
from relay.store.agent_questions import ToldMessage
from relay.store.agents import OpenedAgent

_ROUNDS_MOST = 5
_RESULT_CHARACTERS = 16_384
_NOTE_CHARACTERS = 500
_PICTURE_TOKENS = 1000
"""Roughly: what a picture costs."""
_HANDOFF = "handoff"
_HANDOFF_TOOL = {
    "type": "function",
    "function": {
        "name": _HANDOFF,
        "description": "Hand the conversation over to a person. Use it when the customer asks for one, or when you "
        "cannot help. After it you say nothing more, so say goodbye in the same answer.",
        "parameters": {
            "type": "object",
            "properties": {"reason": {"type": "string", "description": "For the person who takes over."}},
            "required": ["reason"],
        },
    },
}


class OpenAiAgent:
    """Answers one question."""

    def __init__(
        self,
        opened: OpenedAgent,
        settings: OpenAiSettings,
        *,
        http: httpx.AsyncClient,
        files: Files,
        tools: Sequence[Tool],
        meter: Meter,
        patience: Patience,
    ) -> None:
        self._client = make_client(settings, next(iter(opened.secrets), None), http)
        self._settings = settings
        self._files = files
        self._tools = {tool.name: tool for tool in tools if tool.name != _HANDOFF}
        self._meter = meter
        self._patience = patience

    async def answer(self, question: Question) -> Speech:
        """Raises CallFailed."""
        messages = await self._tell(question)
        offered = self._offered() if self._settings.tools else []
        for number in range(_ROUNDS_MOST + 1):
            # After the last round it has to do with what it knows.
            tools = offered if number < _ROUNDS_MOST else []
            completion = await self._ask(messages, tools)
            handoff = next((call for call in completion.calls if call.name == _HANDOFF), None)
            if handoff is not None or not completion.calls or not tools:
                return self._say(completion, handoff)
            messages += await self._use_tools(completion)
        raise AssertionError("the last round has no tools")

    def _say(self, completion: Completion, handoff: ToolCall | None) -> Speech:
        note = None
        if handoff is not None:
            note = storable(str(_arguments(handoff).get("reason") or ""))[:_NOTE_CHARACTERS] or None
        spoken = speak(completion.text, most=self._settings.max_messages)
        return Speech(messages=spoken, handoff=handoff is not None, note=note)

    # --- what it is told ----------------------------------------------------------------------------------------

    async def _tell(self, question: Question) -> list[dict[str, Any]]:
        system = render_prompt(self._settings.prompt, question, timezone=self._settings.timezone)
        told: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        told += [
            {"role": "assistant" if line.ours else "user", "content": line.text} for line in question.history
        ]
        told.append({"role": "user", "content": await self._content(question)})
        return told

    async def _content(self, question: Question) -> str | list[dict[str, Any]]:
        lines = [await self._line(question, message) for message in question.messages]
        pictures = await self._pictures(question)
        words = "\n".join(lines)
        if not pictures:
            return words
        shown = [{"type": "image_url", "image_url": {"url": picture}} for picture in pictures]
        return [{"type": "text", "text": words}, *shown]

    async def _line(self, question: Question, message: ToldMessage) -> str:
        if not self._settings.transcribe or message.type != "audio" or "transcript" in message.content:
            return text_of(message)
        sound = await self._files.find(question.tenant_id, message, most_bytes=files.SOUND_BYTES_MOST)
        if sound is None:
            return text_of(message)

        async def attempt() -> str:
            async with self._meter.request():
                return await transcribe(self._client, self._settings.transcription_model, sound)

        words = await self._patience.again_and_again(attempt)
        await self._files.keep_words(question.tenant_id, message, words)
        return words

    async def _pictures(self, question: Question) -> list[str]:
        if not self._settings.vision:
            return []
        shown = [message for message in question.messages if message.type == "image"]
        found = [
            await self._files.find(question.tenant_id, message, most_bytes=files.PICTURE_BYTES_MOST)
            for message in shown[-files.PICTURES_MOST :]
        ]
        return [picture.data_url for picture in found if picture is not None]

    # --- asking -------------------------------------------------------------------------------------------------

    async def _ask(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]) -> Completion:
        request = request_of(self._settings, messages, tools)
        sent = _estimate(messages) + tokens_of(json.dumps(tools))

        async def attempt() -> Completion:
            most = sent + self._settings.max_tokens
            async with self._meter.request(sent_tokens=sent, most_tokens=most) as spend:
                completion = await complete(self._client, request)
                spend.used = completion.used or Tokens(prompt=sent, completion=tokens_of(completion.text))
                return completion

        return await self._patience.again_and_again(attempt)

    # --- tools --------------------------------------------------------------------------------------------------

    def _offered(self) -> list[dict[str, Any]]:
        plugins = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                },
            }
            for tool in self._tools.values()
        ]
        return [_HANDOFF_TOOL, *plugins]

    async def _use_tools(self, completion: Completion) -> list[dict[str, Any]]:
        """What it asked for, and what the tools answered, as the next round tells it."""
        asked = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in completion.calls
        ]
        told: list[dict[str, Any]] = [
            {"role": "assistant", "content": completion.text or None, "tool_calls": asked}
        ]
        for call in completion.calls:
            result = await self._use_tool(call)
            told.append({"role": "tool", "tool_call_id": call.id, "content": result[:_RESULT_CHARACTERS]})
        return told

    async def _use_tool(self, call: ToolCall) -> str:
        tool = self._tools.get(call.name)
        if tool is None:
            return "There is no such tool."
        return await tool.call(_arguments(call))


def _arguments(call: ToolCall) -> dict[str, Any]:
    """An object; an empty one where the model wrote something else."""
    try:
        read = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _estimate(messages: Sequence[dict[str, Any]]) -> int:
    """Roughly: the tokens of what is sent."""
    total = 0
    for message in messages:
        content = message["content"]
        if isinstance(content, list):
            total += sum(
                _PICTURE_TOKENS if part["type"] == "image_url" else tokens_of(part["text"])
                for part in content
            )
        else:
            total += tokens_of(content or "")
    return total
