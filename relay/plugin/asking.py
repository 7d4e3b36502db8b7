"""The questions that plugins are asked, each with its rule of how several answers become one.

message_received   in order; what each wants done adds up, and the first `handled` ends it
before_reply       in order; each sees what the one before it has made of the messages
webhook_payload    the same; where one fails nothing may be sent
condition, action  the one of that name
all the others     everybody is told
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, TypeVar

from msgspec import Struct, structs

from relay.plugin import answering
from relay.plugin.answers import Outgoing, Reply
from relay.plugin.calling import Caller, PluginFailed
from relay.plugin.hooks import Tool
from relay.plugin.loading import Part
from relay.plugin.seen import Contact, Message, WebhookEvent

T = TypeVar("T")

_TOOL_FAILED = "This tool is not available at the moment. Go on without it."


class Asked(Struct, frozen=True, kw_only=True):
    """Whose message it is about."""

    tenant_id: str
    message: Message
    contact: Contact

    def given(self, **more: Any) -> dict[str, Any]:
        return {"message": self.message, "contact": self.contact, **more}


class Answered(Struct, frozen=True, kw_only=True):
    """`plugin`: the one that answered."""

    plugin: str | None = None
    reply: Reply = Reply(handled=False)


async def ask_message_received(caller: Caller, asked: Asked) -> Answered:
    answered = Answered()
    for part in caller.hooks("message_received", asked.tenant_id):
        try:
            answer = await _call(caller, part, asked, answering.as_reply, asked.given())
        except PluginFailed:
            continue
        if answer is None:
            continue
        answered = _add(answered, part.plugin, answer)
        if answer.handled:
            break
    return answered


def _add(answered: Answered, plugin: str, answer: Reply) -> Answered:
    before = answered.reply
    return Answered(
        plugin=plugin if answer.handled or answered.plugin is None else answered.plugin,
        reply=structs.replace(
            answer,
            messages=(*before.messages, *answer.messages),
            handoff=before.handoff or answer.handoff,
            pause_seconds=before.pause_seconds if answer.pause_seconds is None else answer.pause_seconds,
            set=before.set | answer.set,
            tag=(*before.tag, *answer.tag),
            untag=(*before.untag, *answer.untag),
        ),
    )


async def ask_action(caller: Caller, name: str, asked: Asked, arguments: dict[str, Any]) -> Answered:
    part = _find(caller, caller.loaded.actions, name, asked)
    if part is None:
        return Answered()
    try:
        answer = await _call(caller, part, asked, answering.as_reply, asked.given(arguments=arguments))
    except PluginFailed:
        return Answered()
    return Answered(plugin=part.plugin, reply=answer or Reply(handled=False))


async def ask_condition(caller: Caller, name: str, asked: Asked, arguments: dict[str, Any]) -> bool:
    """False also where there is none of that name, or where it failed."""
    part = _find(caller, caller.loaded.conditions, name, asked)
    if part is None:
        return False
    try:
        return await _call(caller, part, asked, answering.as_bool, asked.given(arguments=arguments))
    except PluginFailed:
        return False


def _find(caller: Caller, parts: dict[str, Part], name: str, asked: Asked) -> Part | None:
    part = parts.get(name)
    return part if part is not None and caller.serves(part.plugin, asked.tenant_id) else None


async def ask_before_reply(
    caller: Caller, asked: Asked, messages: Sequence[Outgoing]
) -> tuple[list[Outgoing], str | None]:
    """The messages, and the last plugin that changed them. One that fails leaves them as they are."""
    current, changed_by = list(messages), None
    for part in caller.hooks("before_reply", asked.tenant_id):
        try:
            given = asked.given(messages=list(current))
            answer = await _call(caller, part, asked, answering.as_messages, given)
        except PluginFailed:
            continue
        if answer is not None and answer != current:
            current, changed_by = answer, part.plugin
        if not current:
            break
    return current, changed_by


async def tell_after_reply(caller: Caller, asked: Asked, messages: Sequence[Outgoing]) -> None:
    for part in caller.hooks("after_reply", asked.tenant_id):
        try:
            await _call(caller, part, asked, answering.as_nothing, asked.given(messages=list(messages)))
        except PluginFailed:
            continue


async def filter_payload(
    caller: Caller, event: WebhookEvent, *, tenant_id: str, session_id: str | None
) -> dict[str, Any] | None:
    """The data to send; None where nobody has changed it. Raises PluginFailed."""
    changed: dict[str, Any] | None = None
    for part in caller.hooks("webhook_payload", tenant_id):
        # A copy: a plugin that writes into what it is shown changes nothing by that.
        seen = structs.replace(event, data=deepcopy(event.data if changed is None else changed))
        answer = await caller.call(
            part,
            tenant_id=tenant_id,
            session_id=session_id,
            check=answering.as_data,
            given={"event": seen},
        )
        changed = answer if answer is not None else changed
    return changed


def list_tools(caller: Caller, *, tenant_id: str, session_id: str | None) -> list[Tool]:
    """Those that serve the tenant, for an agent's turn in a session."""
    return [
        _tool(caller, part, tenant_id, session_id)
        for part in caller.serving(caller.loaded.tools.values(), tenant_id)
    ]


def _tool(caller: Caller, part: Part, tenant_id: str, session_id: str | None) -> Tool:
    async def call(arguments: dict[str, Any]) -> str:
        try:
            return await caller.call(
                part,
                tenant_id=tenant_id,
                session_id=session_id,
                check=answering.as_text,
                given={"arguments": arguments},
            )
        except PluginFailed:
            return _TOOL_FAILED

    assert part.mark is not None  # noqa: S101 - that is how it became a tool
    return Tool(
        name=part.hook.removeprefix("tool "),
        description=part.mark.description,
        parameters=part.mark.parameters or {"type": "object", "properties": {}},
        call=call,
    )


async def _call(
    caller: Caller, part: Part, asked: Asked, check: Callable[[Any], T], given: dict[str, Any]
) -> T:
    return await caller.call(
        part,
        tenant_id=asked.tenant_id,
        session_id=asked.message.session_id,
        check=check,
        given=given,
    )
