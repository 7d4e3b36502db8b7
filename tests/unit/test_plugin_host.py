"""Plugins as the responder meets them: needs in, data out, and never an exception."""

from pathlib import Path
from typing import cast

import pytest
from msgspec import structs

from relay.model.ids import SessionId, TenantId
from relay.plugin import Abilities
from relay.replies.outcome import (
    AskAction,
    AskCondition,
    AskPlugins,
    BeforeReply,
    Cause,
    Planned,
    PluginAnswer,
)
from relay.replies.plugin_host import PluginHost
from relay.store.pool import Pool
from tests.plugin_samples import SITUATION, Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def host_of(shelf: Shelf) -> PluginHost:
    # Nothing is asked of the database: what plugins keep is in memory.
    return PluginHost(cast(Pool, None), shelf.load())


def planned(text: str, rule: str = "greet") -> Planned:
    return Planned(type="text", content={"text": text}, cause=Cause(rule=rule, message_id="msg_1"))


async def test_without_plugins_there_is_nothing_to_do(shelf: Shelf) -> None:
    """No abilities, no loops, no tools."""
    async with host_of(shelf) as host:
        assert host.abilities_for(TenantId("ten_a")) == Abilities()
        assert host.loops() == []
        assert host.tools(TenantId("ten_a")) == []


async def test_answers_come_back_as_data(shelf: Shelf) -> None:
    """Of conditions, of actions, of plugins that look at messages; each with its cause."""
    shelf.write(
        "shop",
        """
        @condition("vip")
        def vip(arguments, contact): return arguments["tag"] in contact.tags
        @action("stock")
        async def stock(arguments, context): return reply(f"{arguments['of']} left", result=3, set={"asked": True})
        @hook
        async def message_received(message, contact):
            return reply("To " + contact.phone, tag="seen", pause_seconds=60, handoff=True)
        """,
    )
    async with host_of(shelf) as host:
        assert host.abilities_for(TenantId("ten_a")).answers
        assert (
            await host.answer(
                AskCondition(contact=SITUATION.contact, name="shop.vip", arguments={"tag": "vip"}), SITUATION
            )
            is True
        )
        assert (
            await host.answer(
                AskCondition(contact=SITUATION.contact, name="shop.vip", arguments={}), SITUATION
            )
            is False
        )
        cause = Cause(plugin="shop", message_id="msg_1")
        message = Planned(type="text", content={"text": "2 left"}, cause=cause)
        assert await host.answer(
            AskAction(contact=SITUATION.contact, name="shop.stock", arguments={"of": 2}), SITUATION
        ) == PluginAnswer(plugin="shop", messages=[message], set={"asked": True}, handled=True, result=3)
        assert (
            await host.answer(AskAction(contact=SITUATION.contact, name="shop.none", arguments={}), SITUATION)
            == PluginAnswer()
        )
        assert await host.answer(AskPlugins(contact=SITUATION.contact), SITUATION) == PluginAnswer(
            plugin="shop",
            messages=[structs.replace(message, content={"text": "To 5511912345678"})],
            tag=["seen"],
            handled=True,
            handoff=True,
            pause_seconds=60,
        )
        assert len(host.loops()) == 1


async def test_editors_keep_the_causes(shelf: Shelf) -> None:
    """What is left as it was keeps its own; what was changed is said by the rule and the plugin."""
    shelf.write(
        "tidy",
        """
        @hook
        def before_reply(messages):
            last = Outgoing(content={"text": messages[-1].text + "!"}, typing_seconds=2)
            return [*messages[:-1], last]
        """,
    )
    given = [planned("a", "one"), planned("b", "two")]
    async with host_of(shelf) as host:
        assert host.abilities_for(TenantId("ten_a")).edits
        left = await host.answer(BeforeReply(messages=given), SITUATION)
    assert left == [
        given[0],
        Planned(
            type="text",
            content={"text": "b!"},
            typing_seconds=2,
            cause=Cause(rule="one", plugin="tidy", message_id="msg_1"),
        ),
    ]


@pytest.mark.parametrize("body", ["return None", "return messages", "raise RuntimeError", "return 'no list'"])
async def test_messages_that_nobody_changes_stay(shelf: Shelf, body: str) -> None:
    """The very same, also where the plugin fails."""
    shelf.write("bot", f"@hook\nasync def before_reply(messages): {body}")
    given = [planned("a"), structs.replace(planned("b"), typing_seconds=9000)]
    async with host_of(shelf) as host:
        left = await host.edit(given, SITUATION)
    assert [id(one) for one in left] == [id(one) for one in given]


async def test_they_are_told_of_what_was_said(shelf: Shelf) -> None:
    """And nothing that they throw comes back."""
    shelf.write(
        "bot",
        """
        told = []
        @hook
        def after_reply(message, messages):
            told.append((message.text, [one.text for one in messages]))
            raise RuntimeError
        """,
    )
    caller = shelf.load()
    async with PluginHost(cast(Pool, None), caller) as host:
        await host.replied(SITUATION, [planned("a"), planned("b")])
        await host.replied(SITUATION, [])
    assert caller.loaded.plugins[0].module.told == [("Oi", ["a", "b"])]


async def test_tools_are_bound_to_the_company(shelf: Shelf) -> None:
    """An agent's call reaches the plugin with the company's own context."""
    shelf.write(
        "shop",
        """
        @tool("whose", description="d", parameters={"type": "object"})
        async def whose(context): return context.tenant_id + str(context.session_id)
        """,
    )
    async with host_of(shelf) as host:
        [tool] = host.tools(TenantId("ten_a"), SessionId("ses_1"))
        assert await tool.call({}) == "ten_ases_1"
