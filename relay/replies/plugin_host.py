"""Plugins as the responder meets them: what a decision asks for goes out, what they answer comes back as data.

    AskCondition ─► bool     AskAction, AskPlugins ─► PluginAnswer     BeforeReply ─► list[Planned]
    replied: told afterwards     tools: for agents     loops: events told, old values swept

Nothing here raises for what a plugin does; see plugin/calling.py for what becomes of one that fails.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Self, TypeAlias

from msgspec import structs

from relay.loops import Bell, Loop
from relay.model.ids import SessionId, TenantId
from relay.plugin import Abilities, Contact, Message, Outgoing, Tool, asking
from relay.plugin.asking import Answered, Asked
from relay.plugin.calling import Caller
from relay.replies.outcome import (
    AskAction,
    AskCondition,
    AskPlugins,
    BeforeReply,
    Cause,
    Planned,
    PluginAnswer,
)
from relay.replies.plugin_events import PluginEvents, follow_events
from relay.replies.situation import Situation
from relay.store import plugin_values
from relay.store.pool import Pool

_SWEEP_SECONDS = 600.0
_SWEEP_BATCH = 1000

PluginNeed: TypeAlias = AskCondition | AskAction | AskPlugins | BeforeReply


class PluginHost:
    """Open it with `async with`."""

    def __init__(self, pool: Pool, caller: Caller) -> None:
        self._pool = pool
        self._caller = caller
        self._followers: list[PluginEvents] = follow_events(pool, caller)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def abilities_for(self, tenant_id: TenantId) -> Abilities:
        """What may be asked for a tenant: nothing is asked where no plugin serves it."""
        return structs.replace(
            self._caller.loaded.abilities,
            answers=bool(self._caller.hooks("message_received", tenant_id)),
            edits=bool(self._caller.hooks("before_reply", tenant_id)),
        )

    def loops(self) -> list[Loop]:
        """To be run beside the responder's own."""
        if not self._caller.loaded.plugins:
            return []
        sweep = Loop("plugins.sweep", self.sweep, poll_seconds=_SWEEP_SECONDS, bell=Bell())
        return [sweep, *(follower.loop for follower in self._followers)]

    async def sweep(self) -> bool:
        """Remove values that have expired; True when there are more."""
        async with self._pool.acquire() as conn:
            return await plugin_values.delete_expired(conn, limit=_SWEEP_BATCH) == _SWEEP_BATCH

    def tools(self, tenant_id: TenantId, session_id: SessionId | None = None) -> list[Tool]:
        """What an agent of the tenant may call."""
        return asking.list_tools(self._caller, tenant_id=tenant_id, session_id=session_id)

    async def answer(self, need: PluginNeed, situation: Situation) -> bool | PluginAnswer | list[Planned]:
        if isinstance(need, BeforeReply):
            return await self.edit(need.messages, situation)
        asked = _asked(structs.replace(situation, contact=need.contact))
        match need:
            case AskCondition():
                return await asking.ask_condition(self._caller, need.name, asked, need.arguments)
            case AskAction():
                answered = await asking.ask_action(self._caller, need.name, asked, need.arguments)
                return _answer(answered, situation)
            case AskPlugins():
                return _answer(await asking.ask_message_received(self._caller, asked), situation)

    async def edit(self, messages: Sequence[Planned], situation: Situation) -> list[Planned]:
        """What plugins leave of what is about to be said; for whoever says something outside of a decision, too."""
        given = [_outgoing(one) for one in messages]
        left, changed_by = await asking.ask_before_reply(self._caller, _asked(situation), given)
        if changed_by is None:
            return list(messages)
        return [_edited(one, given, messages, changed_by) for one in left]

    async def replied(self, situation: Situation, messages: Sequence[Planned]) -> None:
        """What was said is stored. Never raises."""
        if messages and "after_reply" in self._caller.loaded.hooks:
            said = [_outgoing(one) for one in messages]
            await asking.tell_after_reply(self._caller, _asked(situation), said)


def _asked(situation: Situation) -> Asked:
    """Copies: a plugin that writes into what it is shown changes nothing by that."""
    message, contact = situation.message, situation.contact
    return Asked(
        tenant_id=message.tenant_id,
        message=Message(
            id=message.id,
            session_id=message.session_id,
            chat=message.chat,
            chat_type="group" if message.chat_type == "group" else "private",
            type=message.type,
            text=message.text,
            content=deepcopy(message.content),
            sender_name=message.sender_name,
            mentioned=message.mentioned,
            at=message.sent_at,
        ),
        contact=Contact(
            id=contact.id,
            name=contact.name,
            phone=contact.pn,
            tags=contact.tags,
            vars=deepcopy(contact.vars),
        ),
    )


def _answer(answered: Answered, situation: Situation) -> PluginAnswer:
    reply = answered.reply
    cause = Cause(plugin=answered.plugin, message_id=situation.message.id)
    return PluginAnswer(
        plugin=answered.plugin,
        messages=[_planned(message, cause) for message in reply.messages],
        set=reply.set,
        tag=list(reply.tag),
        untag=list(reply.untag),
        handled=reply.handled,
        handoff=reply.handoff,
        pause_seconds=reply.pause_seconds,
        result=reply.result,
    )


def _outgoing(planned: Planned) -> Outgoing:
    return Outgoing(
        type=planned.type,
        content=deepcopy(planned.content),
        quote=planned.quote,
        typing_seconds=planned.typing_seconds,
        wait_seconds=planned.wait_seconds,
    )


def _planned(message: Outgoing, cause: Cause) -> Planned:
    return Planned(
        type=message.type,
        content=dict(message.content),
        quote=message.quote,
        typing_seconds=message.typing_seconds,
        wait_seconds=message.wait_seconds,
        cause=cause,
    )


def _edited(
    message: Outgoing, given: Sequence[Outgoing], messages: Sequence[Planned], plugin: str
) -> Planned:
    """One that is as it was stays so; any other is said by the first one's cause, and by the plugin."""
    for before, planned in zip(given, messages, strict=True):
        if message is before:
            return planned
    return _planned(message, structs.replace(messages[0].cause, plugin=plugin))
