"""A plugin may be slow, broken or hostile: it costs itself its breaker, and nobody else anything."""

import asyncio
import logging
from pathlib import Path

import pytest

from relay.plugin import Outgoing
from relay.plugin.asking import (
    ask_action,
    ask_before_reply,
    ask_condition,
    ask_message_received,
    tell_after_reply,
)
from relay.plugin.breaker import Breaker
from tests.plugin_samples import Shelf, asked


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_hooks_are_async_or_not(shelf: Shelf, kind: str) -> None:
    """Either is given what it names, and no more."""
    shelf.write(
        "bot", f"@hook\n{kind} message_received(message, context): return message.text + context.tenant_id"
    )
    answered = await ask_message_received(shelf.load(), asked("Oi "))
    assert (answered.plugin, [one.text for one in answered.reply.messages]) == ("bot", ["Oi ten_a"])


async def test_one_that_does_not_handle_adds_to_the_next(shelf: Shelf) -> None:
    """Tags and variables of several; the one that handles it is named, and ends it."""
    shelf.write("one", "@hook\ndef message_received(): return reply(tag='a', set={'x': 1}, handled=False)")
    shelf.write("two", "@hook\ndef message_received(): return None")
    shelf.write("three", "@hook\ndef message_received(): return reply('yes', tag=['b'])")
    shelf.write("four", "@hook\ndef message_received(): return reply('never')")
    answered = await ask_message_received(shelf.load(), asked())
    assert (answered.plugin, answered.reply.tag, answered.reply.set) == ("three", ("a", "b"), {"x": 1})
    assert [one.text for one in answered.reply.messages] == ["yes"]


async def test_answers_pass_through_every_editor(shelf: Shelf) -> None:
    """Each sees what the one before it has made; none is asked of nothing."""
    shelf.write(
        "shout",
        """
        @hook
        def before_reply(messages):
            return [Outgoing(content={"text": one.text.upper()}) for one in messages]
        """,
    )
    shelf.write("keep", "@hook\ndef before_reply(messages):\n    messages.clear()")
    shelf.write("drop", "@hook\nasync def before_reply(messages): return messages[:1]")
    given = [Outgoing(content={"text": "a"}), Outgoing(content={"text": "b"})]
    messages, changed_by = await ask_before_reply(shelf.load(), asked(), given)
    assert ([one.text for one in messages], changed_by) == (["A"], "drop")


BROKEN = {
    "throws": "raise RuntimeError('secret words')",
    "ends": "raise SystemExit(1)",
    "interrupts": "raise KeyboardInterrupt",
    "cancels": "raise asyncio.CancelledError",
    "bare": "raise BaseException",
    "generator": "raise GeneratorExit",
    "nonsense": "return 42",
    "silent_text": "return '   '",
    "not_json": "return reply(set={'x': object()})",
    "wrong_type": "return reply(Outgoing(type='fax', content={}))",
    "too_many": "return reply(*['x'] * 30)",
    "long_pause": "return reply(pause_seconds=1e12)",
}


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("name", BROKEN)
async def test_what_goes_wrong_stays_with_the_plugin(
    shelf: Shelf, kind: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The next plugin is asked, the log has the plugin, the hook and the error, and no words of it."""
    shelf.write(name, f"@hook\n{kind} message_received(message): {BROKEN[name]}")
    shelf.write("good", "@hook\ndef message_received(): return 'fine'")
    answered = await ask_message_received(shelf.load(), asked("my own words"))
    assert answered.plugin == "good"
    [line] = [record for record in caplog.records if record.message == "plugin.failed"]
    assert (vars(line)["plugin"], vars(line)["hook"]) == (name, "message_received")
    assert "words" not in str(vars(line))
    if name == "throws":
        assert vars(line)["at"] == "throws.py:4"


async def test_a_call_that_takes_too_long_is_left(shelf: Shelf) -> None:
    """Async: it is cancelled. In a thread: nobody waits for it. The others answer in both cases."""
    shelf.write(
        "slow",
        "ended = []\n@hook\nasync def message_received():\n    try: await asyncio.Event().wait()\n    finally: ended.append(1)",
    )
    shelf.write("stuck", "free = threading.Event()\n@hook\ndef message_received(): free.wait()")
    # It answers in its first step: how late a thread begins is not its deadline's business.
    shelf.write("good", "@hook\nasync def message_received(): return 'fine'")
    caller = shelf.load(timeout_seconds=0.05)
    assert (await ask_message_received(caller, asked())).plugin == "good"
    slow, stuck, _ = caller.loaded.plugins
    assert slow.module.ended == [1]
    stuck.module.free.set()


async def test_failures_open_the_breaker(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    """Five in a row: it is not called for a minute, then once; twice as long after another failure."""
    shelf.write(
        "bot",
        """
        calls, broken = [], [True]
        @hook
        async def message_received():
            calls.append(1)
            if broken[0]: raise RuntimeError
            return "fine"
        """,
    )
    caller = shelf.load()
    module = caller.loaded.plugins[0].module

    async def ask(times: int = 1) -> int:
        before = len(module.calls)
        for _ in range(times):
            await ask_message_received(caller, asked())
        return len(module.calls) - before

    assert await ask(9) == 5
    assert caller.rests("bot")
    shelf.seconds = 60
    assert await ask(3) == 1
    shelf.seconds = 179
    assert await ask() == 0
    shelf.seconds = 180
    module.broken[0] = False
    assert await ask(3) == 3
    assert [vars(one)["seconds"] for one in caplog.records if one.message == "plugin.rests"] == [60, 120]


def test_the_breaker_lets_one_through_at_a_time() -> None:
    """While the one call is under way others are refused; one without an outcome makes room for the next."""
    now = [0.0]
    breaker = Breaker(lambda: now[0])
    assert breaker.open() == 60
    now[0] = 60
    assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.abandon()
    assert breaker.allows()
    assert breaker.fail() == 120
    assert [breaker.open() for _ in range(4)] == [240, 480, 600, 600]


async def test_stuck_threads_keep_it_closed_until_they_end(shelf: Shelf) -> None:
    """More than four of them: not called, whatever the breaker says; called again once they are done."""
    shelf.write(
        "bot",
        """
        free, calls = threading.Event(), []
        @hook
        def message_received():
            calls.append(1)
            free.wait()
        """,
    )
    caller = shelf.load(timeout_seconds=0.02)
    module = caller.loaded.plugins[0].module

    async def begun(times: int) -> None:
        """A thread may begin when nobody waits for it any more."""
        async with asyncio.timeout(10):
            while len(module.calls) < times:
                await asyncio.sleep(0)
        assert len(module.calls) == times

    await asyncio.gather(*(ask_message_received(caller, asked()) for _ in range(5)))
    await begun(5)
    shelf.seconds = 100_000
    await ask_message_received(caller, asked())
    assert (len(module.calls), caller.rests("bot")) == (5, True)
    module.free.set()
    async with asyncio.timeout(10):
        while caller.rests("bot"):
            await asyncio.sleep(0)
    await ask_message_received(caller, asked())
    await begun(6)


async def test_whoever_asks_may_be_stopped(shelf: Shelf) -> None:
    """A cancelled question cancels the plugin's task and counts as nothing."""
    shelf.write(
        "bot",
        """
        begun, ended = asyncio.Event(), []
        @hook
        async def message_received():
            begun.set()
            try: await asyncio.Event().wait()
            finally: ended.append(1)
        """,
    )
    caller = shelf.load()
    module = caller.loaded.plugins[0].module
    asking = asyncio.create_task(ask_message_received(caller, asked()))
    await module.begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.sleep(0)
    assert module.ended == [1]
    assert not caller.rests("bot")


async def test_a_failing_condition_does_not_hold(shelf: Shelf) -> None:
    """Nor does a failing action do anything; what is told afterwards may fail as it likes."""
    shelf.write(
        "bot",
        """
        @condition("sure")
        def sure(): return "yes"
        @action("act")
        def act(): raise RuntimeError
        @hook
        def after_reply(): raise RuntimeError
        """,
    )
    caller = shelf.load()
    assert await ask_condition(caller, "bot.sure", asked(), {}) is False
    assert (await ask_action(caller, "bot.act", asked(), {})).reply.messages == ()
    await tell_after_reply(caller, asked(), [])


async def test_each_company_has_storage_of_its_own(shelf: Shelf) -> None:
    """The same plugin, asked by two companies, finds only what it kept for each."""
    shelf.write(
        "bot",
        """
        @hook
        async def message_received(message, context):
            seen = await context.storage.get("seen", 0) + 1
            await context.storage.set("seen", seen)
            return str(seen)
        """,
    )
    caller = shelf.load()
    for tenant_id, count in (("ten_a", "1"), ("ten_a", "2"), ("ten_b", "1")):
        answered = await ask_message_received(caller, asked(tenant_id=tenant_id))
        assert answered.reply.messages[0].text == count


async def test_the_log_of_a_plugin_is_under_its_name(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    """`context.log` is an ordinary logger; what it writes is masked like every line."""
    shelf.write("bot", "@hook\ndef message_received(context): context.log.info('question.missed')")
    with caplog.at_level(logging.INFO):
        await ask_message_received(shelf.load(), asked())
    assert ("relay.plugins.bot", "question.missed") in {(one.name, one.message) for one in caplog.records}
