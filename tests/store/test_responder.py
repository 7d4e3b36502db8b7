"""The responder over real rows: an answer is given once, in order, and never over a person."""

import textwrap
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from relay.model.message import Party
from relay.replies import answers, responder
from relay.replies.decide import decide
from relay.replies.outcome import HttpAnswer, HttpCall
from relay.store import bot_contacts, bot_states, reply_tasks
from relay.store.pool import Pool
from tests.accounts import add_session
from tests.bot import Bot

HELLO = """
    version: 1
    rules:
      - {id: hello, when: {keyword: [oi, olá]}, do: [{reply: "Olá, {{ contact.first_name }}!"}]}
"""
MENU = """
    version: 1
    rules:
      - {id: menu, when: {keyword: menu, chats: any}, do: [{flow: menu}]}
      - {id: quiet, interrupts: true, when: {keyword: quiet, chats: any}, do: [{pause: 1m}]}
    flows:
      menu:
        steps: [{id: name, ask: Your name?, capture: name}, {do: [{reply: "Hi, {{ vars.name }}!"}]}]
"""
_DELETE_MESSAGE = "UPDATE whatsapp_messages SET revoked_at = now() WHERE session_id = $1"
_SWITCH_OFF = "UPDATE whatsapp_sessions SET automation = false WHERE id = $1"
OWNER = Party(pn="5511888880000")


@pytest.fixture
async def bot(pool: Pool, url: str, tmp_path: Path) -> AsyncIterator[Bot]:
    async with pool.acquire() as conn:
        account = await add_session(conn, automation=True)
    bot = Bot(pool, url, tmp_path, account)
    yield bot
    await bot.close()


async def test_a_rule_answers_and_says_why(bot: Bot) -> None:
    """The answer is queued with the rule that caused it, and the task is gone."""
    await bot.obeys(HELLO)
    assert await bot.answers("Oi, tudo bem?") == ["Olá, Maria!"]
    (row,) = await bot.rows()
    assert row["status"] == "queued"
    assert row["automation"]["rule"] == "hello"
    assert row["automation"]["ruleSet"] == "shop"
    assert row["automation"]["version"] == 1
    assert row["automation"]["messageId"] == row["answers"]
    assert await bot.tasks() == []


async def test_what_no_rule_knows_is_left_alone(bot: Bot) -> None:
    await bot.obeys(HELLO)
    assert await bot.answers("quanto custa?") == []
    assert await bot.tasks() == []


async def test_a_new_version_is_in_force_at_once(bot: Bot) -> None:
    """The very next message is answered by it, whoever has the old one compiled."""
    await bot.obeys(HELLO)
    assert await bot.answers("oi") == ["Olá, Maria!"]
    await bot.obeys(HELLO.replace("Olá, {{", "Bom dia, {{"))
    bot.passes(seconds=10)
    assert await bot.answers("oi") == ["Bom dia, Maria!"]


async def test_the_operators_files_serve_whom_they_name(bot: Bot) -> None:
    """After the tenant's own rules; a tenant that is not named is not served."""
    text = textwrap.dedent(HELLO)
    (bot.rules_folder / "all.yaml").write_text(f"tenants: [nobody]{text}")
    await bot.library.look()
    assert await bot.answers("oi") == []
    (bot.rules_folder / "all.yaml").write_text(f'tenants: ["*"]{text}')
    await bot.library.look()
    assert await bot.answers("oi") == ["Olá, Maria!"]


async def test_a_crash_before_the_commit_answers_once(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the first try is left; the second is the only one."""
    await bot.obeys(HELLO)
    await bot.hears("oi")

    async def die(*_: Any, **__: Any) -> Any:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(reply_tasks, "delete_tasks", die)
        with pytest.raises(ConnectionError):
            await bot.work()
    assert await bot.said() == []
    await bot.expire_claims()
    await bot.work()
    assert await bot.said() == ["Olá, Maria!"]


async def test_a_claim_that_was_lost_writes_nothing(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another has taken the task over in the moment between claim and decision."""
    await bot.obeys(HELLO)
    await bot.hears("oi")
    lock = reply_tasks.lock_tasks

    async def lose(conn: Any, tasks: Any, *, claim: str) -> Any:
        await bot.pool.execute("UPDATE reply_tasks SET claim = 'another'")
        return await lock(conn, tasks, claim=claim)

    with monkeypatch.context() as patch:
        patch.setattr(reply_tasks, "lock_tasks", lose)
        await bot.work()
    assert await bot.said() == []
    assert len(await bot.tasks()) == 1


async def test_two_responders_answer_once(bot: Bot) -> None:
    await bot.obeys(HELLO)
    await bot.hears("oi", "quem é?")
    other = bot.another()
    await bot.work()
    await other.work()
    await bot.work()
    assert await bot.said() == ["Olá, Maria!"]


async def test_a_chat_is_answered_in_order(bot: Bot) -> None:
    """The second message of a chat is not looked at before the first is done, however many responders there are."""
    await bot.obeys(
        """
        version: 1
        rules: [{id: echo, when: {always: true}, do: [{reply: "{{ message.text }}!"}]}]
        """
    )
    await bot.hears("um", "dois", "três")
    async with bot.pool.acquire() as conn:
        first = await reply_tasks.claim_tasks(conn, claim="clm_1", limit=10, lease_seconds=10)
        second = await reply_tasks.claim_tasks(conn, claim="clm_2", limit=10, lease_seconds=10)
        assert (len(first), second) == (1, [])
        await reply_tasks.release_tasks(conn, [first[0].message_id], claim="clm_1")
    for _ in range(3):
        await bot.work()
    assert await bot.said() == ["um!", "dois!", "três!"]


async def test_the_next_message_of_a_chat_waits_for_nobody(bot: Bot) -> None:
    """Two that arrived together rang once: the loop looks again at once, until there is nothing more."""
    await bot.obeys(HELLO)
    await bot.hears("oi", "oi")
    assert [await bot.responder.work() for _ in range(3)] == [True, True, False]
    assert await bot.tasks() == []


async def test_one_tenants_backlog_is_no_others(bot: Bot, pool: Pool) -> None:
    """Of two tenants, the one with a single message does not wait for the other's hundred."""
    for number in range(30):
        await bot.hears("oi", chat=f"55119{number:08}@s.whatsapp.net", sender=Party(pn=f"55119{number:08}"))
    async with pool.acquire() as conn:
        other = await add_session(conn, automation=True)
    quiet, bot.account = bot.account, other
    await bot.hears("oi")
    async with pool.acquire() as conn:
        claimed = await reply_tasks.claim_tasks(conn, claim="clm_1", limit=4, lease_seconds=10)
    assert {task.tenant_id for task in claimed} == {quiet[0], other[0]}


async def test_a_person_on_the_phone_is_not_talked_over(bot: Bot) -> None:
    """The bot is quiet for two hours, and says that it is; then it answers again."""
    await bot.obeys(HELLO)
    await bot.hears("Já te respondo", from_me=True, sender=OWNER)
    await bot.work()
    assert await bot.answers("oi") == []
    bot.passes(hours=1, minutes=59)
    assert await bot.answers("oi") == []
    bot.passes(minutes=2)
    assert await bot.answers("oi") == ["Olá, Maria!"]
    (event,) = await bot.desk.events("automation.paused")
    assert event["data"]["reason"] == "person"


async def test_a_person_who_was_quicker_has_the_word(bot: Bot) -> None:
    """Both wait when the responder comes: the customer's message is answered by then."""
    await bot.obeys(HELLO)
    await bot.hears("oi")
    await bot.hears("Oi Maria, é a Ana", from_me=True, sender=OWNER)
    await bot.work()
    await bot.work()
    assert await bot.said() == []


async def test_a_person_takes_the_bots_words_back(bot: Bot) -> None:
    """What is still queued is cancelled, an agent's question ends."""
    await bot.obeys(
        """
        version: 1
        rules: [{id: slow, when: {always: true}, do: [{reply: um}, {wait: 5m}, {reply: dois}, {agent: main}]}]
        """
    )
    assert await bot.answers("oi") == ["um", "dois"]
    assert await bot.pool.fetchval("SELECT count(*) FROM agent_turns") == 1
    await bot.hears("Deixa comigo", from_me=True, sender=OWNER)
    await bot.work()
    assert [row["error"] for row in await bot.rows()] == ["cancelled", "cancelled"]
    assert await bot.pool.fetchval("SELECT count(*) FROM agent_turns") == 0


async def test_a_wait_begins_once_the_words_before_it_are_typed(bot: Bot) -> None:
    """What is not waited for comes at once, or right behind what is."""
    await bot.obeys(
        """
        version: 1
        rules: [{id: slow, when: {always: true}, do: [{typing: 3s}, {reply: um}, {wait: 2s}, {reply: dois}, {reply: três}]}]
        """
    )
    assert await bot.answers("oi") == ["um", "dois", "três"]
    due = [row["due_at"] for row in await bot.rows()]
    assert due == [None, bot.now + timedelta(seconds=5), bot.now + timedelta(seconds=5)]


async def test_handoff_pauses_and_says_so(bot: Bot) -> None:
    await bot.obeys(
        """
        version: 1
        rules:
          - {id: human, priority: 5, when: {keyword: atendente}, do: [{reply: "Um momento…"}, {handoff: {pause: 1h, note: "quer {{ message.text }}"}}]}
          - {id: rest, when: {always: true}, do: [{reply: "?"}]}
        """
    )
    assert await bot.answers("atendente") == ["Um momento…"]
    (event,) = await bot.desk.events("automation.handoff")
    assert event["data"]["note"] == "quer atendente"
    assert event["data"]["rule"] == "human"
    bot.passes(minutes=59)
    assert await bot.answers("alô?") == []
    bot.passes(minutes=2)
    assert await bot.answers("alô?") == ["?"]


async def test_a_rule_ends_a_pause_and_says_so(bot: Bot) -> None:
    """Once: where there is no pause, nothing has ended."""
    await bot.obeys(
        """
        version: 1
        rules:
          - {id: quiet, when: {keyword: silêncio}, do: [{pause: 1h}]}
          - {id: back, when: {keyword: voltar}, do: [{resume: true}, {reply: "De volta"}]}
        """
    )
    assert await bot.answers("silêncio", "voltar", "voltar") == ["De volta", "De volta"]
    (event,) = await bot.desk.events("automation.resumed")
    assert event["data"]["rule"] == "back"


async def test_two_bots_stop(bot: Bot) -> None:
    """An echo within five seconds is not answered, nor anything beyond five answers a minute."""
    await bot.obeys(
        """
        version: 1
        rules: [{id: any, when: {always: true}, do: [{reply: "Recebi: {{ message.text }}"}]}]
        """
    )
    assert await bot.answers("a") == ["Recebi: a"]
    bot.passes(seconds=2)
    assert await bot.answers("RECEBI:  A") == []
    for text in ("b", "c", "d", "e", "f", "g"):
        bot.passes(seconds=1)
        await bot.answers(text)
    assert await bot.said() == [f"Recebi: {text}" for text in "abcde"]
    bot.passes(seconds=60)
    assert await bot.answers("h") == ["Recebi: h"]


@pytest.mark.parametrize("action", ["typing", "wait"])
async def test_an_echo_of_words_that_took_a_while_is_one(bot: Bot, action: str) -> None:
    """What was typed, or held back, for twenty seconds comes back after twenty-one; before, a person has said the same."""
    await bot.obeys(
        f"""
        version: 1
        rules: [{{id: any, when: {{always: true}}, do: [{{{action}: 20s}}, {{reply: Não entendi.}}]}}]
        """
    )
    assert await bot.answers("oi") == ["Não entendi."]
    bot.passes(seconds=10)
    assert await bot.answers("não entendi") == ["Não entendi."]
    bot.passes(seconds=21)
    assert await bot.answers("não entendi.") == []
    bot.passes(seconds=10)
    assert await bot.answers("não entendi.") == ["Não entendi."]


async def test_what_arrives_late_is_answered_within_five_minutes(bot: Bot) -> None:
    await bot.obeys(HELLO)
    late = bot.now - timedelta(minutes=4)
    assert await bot.answers("oi", offline=True, sent_at=late) == ["Olá, Maria!"]
    later = bot.now - timedelta(minutes=6)
    assert await bot.answers("olá", offline=True, sent_at=later) == []
    assert await bot.answers("oi", history=True) == []


async def test_a_flow_remembers_where_it_is(bot: Bot) -> None:
    """Across responders: its state is in Postgres. The answers become variables."""
    await bot.obeys(
        """
        version: 1
        rules: [{id: start, when: {keyword: menu, chats: any}, do: [{flow: menu}]}]
        flows:
          menu:
            steps:
              - {id: what, ask: "1) Vendas 2) Suporte", capture: choice, match: {"1": sales, "2|suporte": {reply: "Suporte: 0800"}}}
              - {id: bye, ask: "Mais algo?", capture: more}
              - {id: sales, do: [{reply: "Vendas de {{ vars.choice }}"}]}
        """
    )
    assert await bot.answers("menu") == ["1) Vendas 2) Suporte"]
    bot.responder = bot.another()
    assert await bot.answers("batata") == ["1) Vendas 2) Suporte"]
    assert await bot.answers("2)") == ["Suporte: 0800", "Mais algo?"]
    contact = await bot.contact()
    assert contact["vars"]["choice"]["value"] == "2)"
    assert await bot.answers("não") == ["Vendas de 2)"]
    assert (await bot.contact())["flows"] == {}


async def test_a_rules_pause_ends_the_flow(bot: Bot) -> None:
    """Once the pause is over the next message is no answer to a question of before."""
    await bot.obeys(MENU)
    await bot.answers("menu")
    assert await bot.answers("quiet") == []
    assert (await bot.contact())["flows"] == {}
    bot.passes(minutes=2)
    assert await bot.answers("Maria") == []


async def test_a_pause_of_a_group_ends_everybodys_flow(bot: Bot) -> None:
    """Whoever's message it was that paused the bot."""
    await bot.obeys(MENU)
    group = "120363000000000001@g.us"
    await bot.answers("menu", chat=group)
    await bot.answers("quiet", chat=group, sender=Party(pn="5511999990002"))
    rows = await bot.pool.fetch("SELECT flows FROM bot_contacts")
    assert [row["flows"] for row in rows] == [{}] * len(rows)


async def test_an_expired_flow_is_over(bot: Bot) -> None:
    await bot.obeys(
        """
        version: 1
        rules: [{id: start, when: {keyword: menu, chats: any}, do: [{flow: menu}]}]
        flows: {menu: {expire: 30m, steps: [{ask: "Nome?", capture: name}]}}
        """
    )
    await bot.answers("menu")
    bot.passes(minutes=31)
    assert await bot.answers("Maria") == []
    assert (await bot.contact())["vars"] == {}


async def test_a_call_is_made_outside_the_transaction(bot: Bot, caplog: pytest.LogCaptureFixture) -> None:
    """Its answer is in the templates after it; its key names the message; one that fails stands in the log."""
    await bot.obeys(
        """
        version: 1
        rules:
          - id: order
            when: {regex: '^pedido (?P<order>\\d+)$'}
            do:
              - http: {url: "https://shop.example.com/orders/{{ match.order }}", else: [{reply: "Tente mais tarde."}]}
              - {reply: "Pedido {{ match.order }}: {{ http.json.status }}"}
        """
    )
    bot.needs.http = HttpAnswer(status=200, json={"status": "enviado"})
    assert await bot.answers("Pedido 42") == ["Pedido 42: enviado"]
    (asked,) = bot.needs.asked
    assert asked.url == "https://shop.example.com/orders/42"  # type: ignore[union-attr]
    bot.needs.http = HttpAnswer(status=503)
    bot.passes(seconds=10)
    assert await bot.answers("Pedido 43") == ["Tente mais tarde."]
    assert [record.trouble for record in caplog.records if record.msg == "reply.decided"] == ["http_failed"]  # type: ignore[attr-defined]


async def test_a_person_who_answers_during_a_call_has_the_word(bot: Bot) -> None:
    await bot.obeys(
        """
        version: 1
        rules: [{id: call, when: {always: true}, do: [{http: {url: "https://shop.example.com/"}}, {reply: "Pronto"}]}]
        """
    )

    async def person_first(_: Any) -> HttpAnswer:
        await bot.hears("Oi, sou a Ana", from_me=True, sender=OWNER)
        return HttpAnswer(status=200)

    bot.needs.http = person_first
    assert await bot.answers("oi") == []
    assert len(await bot.tasks()) == 1


@pytest.mark.parametrize("change", ["_SWITCH_OFF", "_DELETE_MESSAGE"])
async def test_a_bot_switched_off_during_a_call_says_nothing(bot: Bot, change: str) -> None:
    """Nor does it answer a message that was deleted meanwhile; the task is done."""
    await bot.obeys(
        """
        version: 1
        rules: [{id: call, when: {always: true}, do: [{http: {url: "https://shop.example.com/"}}, {reply: "Pronto"}]}]
        """
    )

    async def changed_first(_: Any) -> HttpAnswer:
        await bot.pool.execute(globals()[change], bot.account[1])
        return HttpAnswer(status=200)

    bot.needs.http = changed_first
    assert await bot.answers("oi") == []
    assert await bot.tasks() == []


async def test_each_sets_calls_have_keys_of_their_own(bot: Bot) -> None:
    """Of rules with the same id, in two sets, which both see one message; tried again, a call has the same key."""
    call = """
        version: 1
        rules:
          - {id: lookup, when: {always: true}, do: [{http: {url: "https://shop.example.com/"}}, {continue: true}]}
        """
    await bot.obeys(call, name="orders")
    await bot.obeys(call, name="stock")
    await bot.answers("oi")
    first, second = (need.key for need in bot.needs.asked if isinstance(need, HttpCall))
    assert first != second
    assert first.startswith("msg_")
    assert first.endswith("-own:orders/lookup-1")


async def test_a_lost_lease_ends_a_slow_decision(bot: Bot) -> None:
    """Whoever took the task over answers it, and nobody else."""
    await bot.obeys(
        """
        version: 1
        rules: [{id: call, when: {always: true}, do: [{http: {url: "https://shop.example.com/"}}, {reply: "Pronto"}]}]
        """
    )
    other = bot.another()
    slow = bot.slow

    async def taken_over(_: Any) -> HttpAnswer:
        bot.needs.http = HttpAnswer(status=200)
        await bot.expire_claims()
        await other.work()
        await slow.finish()
        return HttpAnswer(status=200)

    bot.needs.http = taken_over
    bot.responder = bot.another()
    assert await bot.answers("oi") == ["Pronto"]


async def test_one_message_that_breaks_costs_no_other(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of its batch is answered; it is tried again, and given up in the end."""
    await bot.obeys(HELLO)
    await bot.hears("oi", "x")
    await bot.hears("oi", chat="5511777770000@s.whatsapp.net", sender=Party(pn="5511777770000"), name="Ana")

    def breaks(situation: Any, book: Any) -> Any:
        if situation.contact.name == "Maria":
            raise ZeroDivisionError
        return decide(situation, book)

    monkeypatch.setattr(responder, "decide", breaks)
    await bot.work()
    assert await bot.said() == ["Olá, Ana!"]
    for _ in range(5):
        await bot.expire_claims()
        await bot.work()
    assert len(await bot.tasks()) == 1


async def test_a_message_that_ends_its_process_costs_no_other(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was claimed with it is answered in the end, however often; and it is given up."""
    await bot.obeys(HELLO)
    people = [f"55119{number:08}" for number in range(1, 41)]
    for number in people:
        sender = Party(pn=number)
        await bot.hears("oi", chat=f"{number}@s.whatsapp.net", sender=sender, name=f"N{number}")

    def dies(situation: Any, book: Any) -> Any:
        if situation.contact.pn == people[20]:
            raise KeyboardInterrupt
        return decide(situation, book)

    monkeypatch.setattr(responder, "decide", dies)
    while await bot.tasks():
        bot.responder = bot.another()
        with suppress(KeyboardInterrupt):
            while await bot.responder.work():
                pass
        await bot.expire_claims()
    said = await bot.said()
    assert sorted(said) == [f"Olá, N{number}!" for number in people if number != people[20]]


async def test_shadow_rules_say_nothing(bot: Bot) -> None:
    """What they would have said is recorded, and the rules below go on as if they were not there."""
    await bot.obeys(
        """
        version: 1
        rules:
          - {id: new, shadow: true, priority: 5, when: {keyword: oi}, do: [{reply: "Novo!"}, {set: {seen: "1"}}]}
          - {id: old, when: {keyword: oi}, do: [{reply: "Velho"}]}
        """
    )
    assert await bot.answers("oi") == ["Velho"]
    row = await bot.pool.fetchrow("SELECT * FROM shadow_decisions")
    assert row is not None
    assert (row["cause"]["rule"], row["messages"][0]["content"]) == ("new", {"text": "Novo!"})
    assert await bot.contact() is None


async def test_tags_and_variables_are_kept(bot: Bot) -> None:
    await bot.obeys(
        """
        version: 1
        rules:
          - {id: set, when: {starts: "sou "}, do: [{set: {who: "{{ message.text }}"}}, {tag: [vip, new]}, {untag: new}]}
          - {id: vip, when: {tags: vip, keyword: quem}, if: [{vars: {who: {exists: true}}}], do: [{reply: "{{ vars.who }}"}]}
        """
    )
    await bot.answers("sou Maria")
    assert (await bot.contact())["tags"] == ["vip"]
    assert await bot.answers("quem?") == ["sou Maria"]
    bot.passes(days=91)
    assert await bot.answers("quem?") == []


async def test_a_cooldown_holds_an_answer_back(bot: Bot) -> None:
    await bot.obeys(HELLO.replace("rules:", "defaults: {cooldown: 30s}\n    rules:"))
    assert await bot.answers("oi") == ["Olá, Maria!"]
    bot.passes(seconds=20)
    assert await bot.answers("oi") == []
    bot.passes(seconds=20)
    assert await bot.answers("oi") == ["Olá, Maria!"]


async def test_a_session_without_automation_answers_nothing(bot: Bot) -> None:
    """Switched off while a message waits."""
    await bot.obeys(HELLO)
    await bot.hears("oi")
    await bot.pool.execute("UPDATE whatsapp_sessions SET automation = false")
    await bot.work()
    assert (await bot.said(), await bot.tasks()) == ([], [])


async def test_an_agent_is_handed_the_message(bot: Bot) -> None:
    """A second one, quickly after, belongs to the same question."""
    await bot.obeys(
        """
        version: 1
        rules: [{id: ask, when: {always: true}, do: [{agent: {name: main, debounce: 8s, fallback: "Já volto."}}]}]
        """
    )
    await bot.answers("oi", "tem bolo?")
    row = await bot.pool.fetchrow("SELECT * FROM agent_turns")
    assert row is not None
    assert (row["agent"], row["fallback"], len(row["message_ids"])) == ("main", "Já volto.", 2)
    assert row["cause"]["rule"] == "ask"


async def test_an_agents_answer_is_not_said_in_a_pause(bot: Bot) -> None:
    """`say` refuses once a person has the chat."""
    tenant_id, session_id = bot.account
    chat = "5511999990001@s.whatsapp.net"
    given: dict[str, Any] = {
        "tenant_id": tenant_id,
        "session_id": session_id,
        "chat": chat,
        "contact_id": None,
        "messages": [],
        "now": bot.now,
    }
    async with bot.pool.acquire() as conn, conn.transaction():
        assert await answers.say(conn, task="trn_1", **given)
        await conn.execute(
            "UPDATE bot_chats SET paused_until = $1, paused_reason = 'person'", bot.now + timedelta(hours=1)
        )
        assert not await answers.say(conn, task="trn_1", **given)


async def test_an_agents_answer_is_not_said_where_the_bot_is_off(bot: Bot) -> None:
    """`say` refuses once the session's automation is off, or the contact is ignored."""
    await bot.answers("oi")
    tenant_id, session_id = bot.account
    contact_id = await bot.pool.fetchval("SELECT id FROM whatsapp_contacts WHERE session_id = $1", session_id)
    given: dict[str, Any] = {
        "tenant_id": tenant_id,
        "session_id": session_id,
        "contact_id": contact_id,
        "chat": "5511999990001@s.whatsapp.net",
        "messages": [],
        "now": bot.now,
    }
    async with bot.pool.acquire() as conn, conn.transaction():
        assert await answers.say(conn, task="trn_1", **given)
        known = await bot_contacts.lock_contact(conn, tenant_id, contact_id)
        await bot_contacts.update_contact(conn, tenant_id, contact_id, structs.replace(known, ignored=True))
        assert not await answers.say(conn, task="trn_1", **given)
        await bot_contacts.update_contact(conn, tenant_id, contact_id, known)
        await conn.execute(_SWITCH_OFF, session_id)
        assert not await answers.say(conn, task="trn_1", **given)


@pytest.mark.parametrize("group", [None, "120363000000000001@g.us"])
async def test_a_pause_ends_the_flows_of_its_chat(bot: Bot, group: str | None) -> None:
    """Of a private chat, and of everybody in a group; the contact's flow in another chat goes on."""
    where = {} if group is None else {"chat": group}
    await bot.obeys(MENU)
    await bot.answers("menu", **where)
    tenant_id, session_id = bot.account
    chat = group or "5511999990001@s.whatsapp.net"
    assert list((await bot.contact())["flows"]) == [chat]
    async with bot.pool.acquire() as conn:
        await bot_states.end_flows(conn, tenant_id, session_id, "another@g.us")
        await bot_states.end_flows(conn, tenant_id, session_id, "5511999990002@s.whatsapp.net")
        assert list((await bot.contact())["flows"]) == [chat]
        await bot_states.end_flows(conn, tenant_id, session_id, chat)
    assert (await bot.contact())["flows"] == {}
