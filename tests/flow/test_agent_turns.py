"""A turn's life while things go wrong: a person takes over, a process dies, two processes share, a tenant's agent hangs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relay.loops import run_until
from relay.replies.agents import turns as turns_module
from relay.replies.agents.turns import AgentTurns
from relay.store import agent_questions, agent_turns, bot_chats
from relay.store.pool import Pool
from tests.accounts import MARIA_CHAT
from tests.agents_desk import AgentsDesk
from tests.model_server import ModelServer, hang, serve_model, text, tool


@pytest.fixture
async def desk(pool: Pool, url: str, tmp_path: Path) -> AgentsDesk:
    return AgentsDesk(pool, url, tmp_path)


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with serve_model() as server:
        yield server


def chat_number(number: int) -> str:
    return f"55119555500{number:02}@s.whatsapp.net"


async def take_over(desk: AgentsDesk, session_id: str, chat: str = MARIA_CHAT) -> None:
    """What a person's answer does to the agent's turn."""
    async with desk.pool.acquire() as conn:
        await agent_turns.delete_turns(conn, {(session_id, chat)})  # type: ignore[arg-type]


async def run_out(desk: AgentsDesk) -> None:
    """Every lease runs out: whoever held one is thought dead."""
    await desk.pool.execute("UPDATE agent_turns SET due_at = now() WHERE claim IS NOT NULL")


async def seen(event: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await event.wait()


async def begin(turns: AgentTurns, model: ModelServer) -> None:
    """Claim what is due, and let the call get as far as the model."""
    await turns.work()
    await seen(model.hanging)


async def test_a_person_who_takes_over_cancels_the_call(desk: AgentsDesk, model: ModelServer) -> None:
    """At the next look the model's connection is given up, and nothing is said."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account, fallback="Já volto.")
    model.will(hang())
    async with desk.responder() as turns:
        await begin(turns, model)
        await turns.watch()
        assert not model.gave_up.is_set()
        await take_over(desk, account[1])
        await turns.watch()
        await seen(model.gave_up)
        await turns.finish()
    assert await desk.said(account) == []
    [call] = await desk.calls(account)
    assert call.outcome == "cancelled"


async def test_an_answer_that_comes_after_a_person_is_not_said(desk: AgentsDesk, model: ModelServer) -> None:
    """Though nobody looked in between: the turn is gone when the answer is to be written."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account)
    go_on = asyncio.Event()
    model.will(hang(go_on))
    async with desk.responder() as turns:
        await begin(turns, model)
        await take_over(desk, account[1])
        go_on.set()
        await turns.finish()
    assert await desk.said(account) == []


async def test_a_chat_that_was_paused_meanwhile(desk: AgentsDesk, model: ModelServer) -> None:
    """The bot may not speak there any more, and what was written since is not asked."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account)
    go_on = asyncio.Event()
    model.will(hang(go_on))
    async with desk.responder() as turns:
        await begin(turns, model)
        await desk.write(account, "Alô?")
        async with desk.pool.acquire() as conn:
            until = await conn.fetchval("SELECT now() + interval '1 hour'")
            await bot_chats.pause_chat(
                conn,
                tenant_id=account[0],
                session_id=account[1],
                chat=MARIA_CHAT,
                until=until,
                reason="request",
            )
        go_on.set()
        await turns.finish()
    assert (await desk.said(account), await desk.turns_left()) == ([], 0)


@pytest.mark.parametrize("handoff", [False, True], ids=["answer", "handoff"])
async def test_a_stop_word_during_the_call(desk: AgentsDesk, model: ModelServer, handoff: bool) -> None:
    """Nothing is said to what was asked before it, nor to what is written after it; nobody is called."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, stopWords=["parar"])
    await desk.write(account, "Uma pergunta", fallback="Já volto.")
    go_on = asyncio.Event()
    model.will(hang(go_on, then=tool("handoff", saying="Um momento.") if handoff else "Olá!"))
    async with desk.responder() as turns:
        await begin(turns, model)
        await desk.write(account, "PARAR")
        await desk.write(account, "Alô?")
        go_on.set()
        await turns.finish()
    assert (await desk.said(account), await desk.turns_left()) == ([], 0)
    assert await desk.events("automation.handoff") == []


async def test_automation_that_goes_off_during_the_call(desk: AgentsDesk, model: ModelServer) -> None:
    """The bot says nothing more, calls nobody, and what was written since is not asked."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account)
    go_on = asyncio.Event()
    model.will(hang(go_on, then=tool("handoff", saying="Um momento.")))
    async with desk.responder() as turns:
        await begin(turns, model)
        await desk.write(account, "Alô?")
        await desk.pool.execute("UPDATE whatsapp_sessions SET automation = false")
        go_on.set()
        await turns.finish()
    assert (await desk.said(account), await desk.turns_left()) == ([], 0)
    assert await desk.events("automation.handoff") == []


async def test_a_contact_who_is_ignored_by_the_time_of_the_answer(
    desk: AgentsDesk, model: ModelServer
) -> None:
    """Nothing is said to them; somebody else is answered."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account)
    go_on = asyncio.Event()
    model.will(hang(go_on))
    async with desk.responder() as turns:
        await begin(turns, model)
        await desk.pool.execute(
            "INSERT INTO bot_contacts (contact_id, session_id, tenant_id, ignored) "
            "SELECT id, session_id, tenant_id, true FROM whatsapp_contacts"
        )
        go_on.set()
        await turns.finish()
    assert (await desk.said(account), await desk.turns_left()) == ([], 0)


async def test_what_is_written_during_the_call_is_the_next_question(
    desk: AgentsDesk, model: ModelServer
) -> None:
    """One call in a chat at a time; the second one knows the first one's answer."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account, "Um")
    go_on = asyncio.Event()
    model.will(hang(go_on, then="Primeira."), text("Segunda."))
    async with desk.responder() as turns:
        await begin(turns, model)
        await desk.write(account, "Dois")
        await turns.work()
        assert len(model.received) == 1
        go_on.set()
        await turns.finish()
        await turns.work()
        await turns.finish()
    assert await desk.said(account) == ["Primeira.", "Segunda."]
    told = [(one["role"], one["content"]) for one in model.received[1].body["messages"]]
    assert told == [("user", "Um"), ("assistant", "Primeira."), ("user", "Dois")]


async def test_a_crash_in_the_middle_answers_once(desk: AgentsDesk, model: ModelServer) -> None:
    """Another process asks again when the lease is over; the first one, not dead after all, writes nothing."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account)
    go_on = asyncio.Event()
    model.will(hang(go_on, then="Zu spät."), text("Antwort."))
    async with desk.responder() as first:
        await begin(first, model)
        await desk.answer()
        assert len(model.received) == 1
        await run_out(desk)
        await desk.answer()
        assert await desk.said(account) == ["Antwort."]
        go_on.set()
        await first.finish()
    assert await desk.said(account) == ["Antwort."]
    assert len(model.received) == 2


async def test_only_who_holds_the_claim_writes(desk: AgentsDesk, model: ModelServer) -> None:
    """One that was thought dead answers first, while its successor is still asking: nothing of it is said."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account)
    late, due = asyncio.Event(), asyncio.Event()
    model.will(hang(late, then="Zu spät."), hang(due, then="Antwort."))
    async with desk.responder() as first, desk.responder() as second:
        await begin(first, model)
        model.hanging.clear()
        await run_out(desk)
        await begin(second, model)
        late.set()
        await first.finish()
        assert (await desk.said(account), await desk.turns_left()) == ([], 1)
        due.set()
        await second.finish()
    assert await desk.said(account) == ["Antwort."]


async def test_a_call_whose_turn_another_process_has_is_cancelled(
    desk: AgentsDesk, model: ModelServer
) -> None:
    """Renewing finds the claim to be another's."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account)
    model.will(hang(), hang())
    async with desk.responder() as first, desk.responder() as second:
        await begin(first, model)
        model.hanging.clear()
        await run_out(desk)
        await begin(second, model)
        await second.watch()
        await first.watch()
        await first.finish()
        [call] = await desk.calls(account)
        assert call.outcome == "cancelled"
        await take_over(desk, account[1])
        await second.watch()
    assert len(model.received) == 2


async def test_a_lease_is_kept_while_the_call_runs(desk: AgentsDesk, model: ModelServer) -> None:
    """The first look renews it, so that no other process thinks this one dead."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account)
    model.will(hang())
    async with desk.responder() as turns:
        await begin(turns, model)
        await run_out(desk)
        await turns.watch()
        await desk.answer()
        assert len(model.received) == 1
        await take_over(desk, account[1])
        await turns.watch()


async def test_two_processes_share_the_work(desk: AgentsDesk, model: ModelServer) -> None:
    """Each question is asked once, whoever is quicker."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    chats = [chat_number(number) for number in range(12)]
    for chat in chats:
        await desk.write(account, chat, chat=chat)
    async with desk.responder() as one, desk.responder() as two:
        for _ in range(4):
            await asyncio.gather(one.work(), two.work())
            await asyncio.gather(one.finish(), two.finish())
    assert sorted(request.body["messages"][-1]["content"] for request in model.received) == chats
    assert [await desk.said(account, chat=chat) for chat in chats] == [["Olá!"]] * len(chats)


async def test_a_tenant_whose_agent_hangs_delays_no_other(desk: AgentsDesk, model: ModelServer) -> None:
    """It fills its own slots; another tenant's question is answered at once, in the same process."""
    slow, quick = await desk.add_account(), await desk.add_account()
    await desk.add_agent(slow, baseUrl=model.url)
    await desk.add_agent(quick, baseUrl=model.url)
    for number in range(10):
        await desk.write(slow, chat=chat_number(number))
    model.will(hang(), hang(), hang())
    async with desk.responder(concurrency=4, concurrency_per_tenant=3) as turns:
        await begin(turns, model)
        while len(model.received) < 3:
            await asyncio.sleep(0)
        await turns.work()
        await desk.write(quick)
        await turns.work()
        while not await desk.said(quick):
            await asyncio.sleep(0)
        assert len(model.received) == 4
        for number in range(10):
            await take_over(desk, slow[1], chat_number(number))
        await turns.watch()


async def test_a_process_that_ends_gives_back_what_it_has(desk: AgentsDesk, model: ModelServer) -> None:
    """Another one need not wait for the lease."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account)
    model.will(hang())
    async with desk.responder(drain_seconds=0.01) as turns:
        await begin(turns, model)
    await desk.answer()
    assert await desk.said(account) == ["Olá!"]


async def test_a_question_that_brings_its_process_down_is_given_up(
    desk: AgentsDesk, model: ModelServer
) -> None:
    """After three claims that came to nothing the fallback is said, and nobody is asked."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account, fallback="Já volto.")
    await desk.pool.execute("UPDATE agent_turns SET attempt = 3")
    await desk.answer()
    assert (model.received, await desk.said(account)) == ([], ["Já volto."])


async def test_the_loops_answer_and_give_way_by_themselves(desk: AgentsDesk, model: ModelServer) -> None:
    """Running as in a process: a question is answered when it is due, a takeover heard of by the doorbell."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    stopping = asyncio.Event()
    async with desk.responder() as turns:
        running = asyncio.create_task(run_until(turns.loops(), stopping))
        async with asyncio.timeout(20):
            await desk.write(account, debounce_seconds=0.3)
            while not await desk.said(account):
                await asyncio.sleep(0.01)
            model.will(hang())
            await desk.write(account)
            desk.doorbell.ring("replies")
            await seen(model.hanging)
            await take_over(desk, account[1])
            desk.doorbell.ring("replies")
            await seen(model.gave_up)
        stopping.set()
        await running
    assert await desk.said(account) == ["Olá!"]


# --- the budget -----------------------------------------------------------------------------------------------------


async def test_two_processes_stay_within_one_budget(desk: AgentsDesk, model: ModelServer) -> None:
    """However many ask at once, no more requests go out than the day has; the others get the fallback."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    chats = [chat_number(number) for number in range(8)]
    for chat in chats:
        await desk.write(account, chat=chat, fallback="Já volto.")
    async with desk.responder(calls_per_day=3) as one, desk.responder(calls_per_day=3) as two:
        for _ in range(3):
            await asyncio.gather(one.work(), two.work())
            await asyncio.gather(one.finish(), two.finish())
    assert len(model.received) == 3
    said = [words for chat in chats for words in await desk.said(account, chat=chat)]
    assert sorted(said) == ["Já volto."] * 5 + ["Olá!"] * 3
    outcomes = [call.outcome.value for call in await desk.calls(account)]
    assert (outcomes.count("answered"), outcomes.count("budget_exhausted")) == (3, 5)


async def test_tokens_are_taken_before_the_call_and_settled_after_it(
    desk: AgentsDesk, model: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """What a call might use has to be left; what it did not use is given back. It is said once that nothing is left."""
    account = await desk.add_account()
    await desk.add_agent(
        account,
        baseUrl=model.url,
        maxTokens=1000,
        tools=False,
        pricePerMillionInput=2,
        pricePerMillionOutput=10,
    )
    for number in range(4):
        await desk.write(account, chat=chat_number(number), fallback="Já volto.")
    async with desk.responder(tokens_per_day=1100, concurrency_per_tenant=1) as turns:
        while await turns.work():
            await turns.finish()
    # 42 each: 1,001 fit once, and again while at most 99 are used.
    assert len(model.received) == 3
    used = await desk.pool.fetchrow("SELECT calls, tokens, cost FROM agent_usage")
    assert used is not None
    assert (used["calls"], used["tokens"]) == (3, 126)
    assert float(used["cost"]) == pytest.approx(3 * (30 * 2 + 12 * 10) / 1_000_000)
    assert [record.message for record in caplog.records].count("agent.budget_exhausted") == 1


async def test_budgets_are_each_tenants_own(desk: AgentsDesk, model: ModelServer) -> None:
    """One that has used its own up takes nothing from another."""
    one, two = await desk.add_account(), await desk.add_account()
    for account in (one, two):
        await desk.add_agent(account, baseUrl=model.url)
        await desk.write(account)
    await desk.answer(calls_per_day=1)
    await desk.write(one)
    await desk.answer(calls_per_day=1)
    assert (await desk.said(one), await desk.said(two)) == (["Olá!"], ["Olá!"])


async def test_another_tenants_agent_is_nobodys(desk: AgentsDesk, model: ModelServer) -> None:
    """An agent is found among the tenant's own, whatever its name."""
    ours, theirs = await desk.add_account(), await desk.add_account()
    await desk.add_agent(theirs, baseUrl=model.url)
    await desk.write(ours, fallback="Já volto.")
    await desk.answer()
    assert (model.received, await desk.said(ours)) == ([], ["Já volto."])


async def test_what_is_written_after_a_deleted_question_is_answered(
    desk: AgentsDesk, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question was deleted for everyone; what joined it after the claim is the next one."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account, "Ops")
    await desk.pool.execute("UPDATE whatsapp_messages SET revoked_at = now()")
    find = agent_questions.list_asked

    async def write_meanwhile(*given: Any) -> Any:
        found = await find(*given)
        monkeypatch.undo()
        await desk.write(account, "Vocês abrem amanhã?")
        return found

    monkeypatch.setattr(agent_questions, "list_asked", write_meanwhile)
    await desk.answer()
    await desk.answer()
    assert await desk.said(account) == ["Olá!"]
    assert await desk.turns_left() == 0


async def test_a_process_that_stops_keeps_the_leases_of_what_it_waits_for(
    desk: AgentsDesk, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a stop waits for a call: nobody else asks the agent meanwhile."""
    monkeypatch.setattr(turns_module, "_POLL_SECONDS", 0.01)
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account)
    go_on = asyncio.Event()
    model.will(hang(go_on))
    async with desk.responder(lease_seconds=3) as turns:
        await begin(turns, model)
        await run_out(desk)
        stopping = asyncio.create_task(turns.finish())
        async with asyncio.timeout(10):
            while not await desk.pool.fetchval("SELECT due_at > now() FROM agent_turns"):
                pass
        go_on.set()
        await stopping
    assert len(await desk.said(account)) == 1
