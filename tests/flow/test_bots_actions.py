"""Bots on a running server, from a customer's phone and back: each action.

One `relay serve` lives through all of it; each test has a company, a session and customers of its own.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.files import PNG
from tests.flow.bot_talk import Server, Shop, phone, serving_store
from tests.flow.ledger import Sink
from tests.flow.serving import Relay, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLUGIN = """
from relay.plugin import action, reply

@action("price")
def price(arguments):
    return reply("Um momento.", set={"asked": arguments["item"]}, tag="buyer", result={"price": 7})
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    async with serving_store(tmp_path_factory.mktemp("actions"), PLUGIN) as relay:
        yield relay


async def test_words_and_files(shop: Shop, server: Server) -> None:
    """Texts, templates, files by address and by id, polls, choices, a quote, and typing before it."""
    server.answers["/cake.png"] = PNG
    kept = (await shop.caller.post("/api/v1/whatsapp/media", content=PNG)).json()["mediaId"]
    await shop.obeys(
        """
        version: 1
        templates: {hello: "Olá {{ contact.first_name }}{% if contact.tags %}!{% endif %}"}
        rules:
          - {id: template, when: {equals: oi}, do: [{tag: seen}, {reply: {template: hello}}]}
          - {id: file, when: {equals: bolo}, do: [{reply: {text: Bolo, media: {url: "$URL/cake.png", fileName: bolo.png}}}]}
          - {id: kept, when: {equals: foto}, do: [{reply: {media: {mediaId: $KEPT, caption: "{{ message.text }}"}}}]}
          - {id: gone, when: {equals: nada}, do: [{reply: {text: Nada, media: {url: "$URL/none.png"}}}]}
          - {id: inside, when: {equals: dentro}, do: [{reply: {text: Dentro, media: {url: "http://10.1.2.3/x.png"}}}]}
          - {id: choices, when: {equals: menu}, do: [{reply: {text: Escolha, choices: {options: [Pão, Bolo], footer: Obrigado}}}]}
          - {id: typing, when: {equals: espera}, do: [{typing: 0.3s}, {reply: {text: um, quote: true}}, {wait: 0.2s}, {reply: dois}]}
        """,
        url=server.url,
        kept=kept,
    )
    assert await shop.says(shop.somebody(), {"text": "oi", "name": "Ana Lima"}) == ["Olá Ana!"]
    for text, caption, name in (("bolo", "Bolo", "bolo.png"), ("foto", "foto", None)):
        ((kind, content),) = await shop.says(shop.somebody(), text)
        assert (kind, content["caption"], content["mimetype"], content["sizeBytes"]) == (
            "image",
            caption,
            "image/png",
            len(PNG),
        )
        assert content["fileName"] == name
    await shop.answers(
        {"nada": ["Nada"], "dentro": ["Dentro"], "menu": ["Escolha\n\n1. Pão\n2. Bolo\n\nObrigado"]}
    )
    person = shop.somebody()
    assert await shop.says(person, {"text": "espera", "waId": "M1"}) == ["um", "dois"]
    assert await shop.heard(phone(person), "typing", "message") == ["typing", "um", "dois"]
    one, two = [entry for entry in await shop.outbox(phone(person)) if entry["kind"] == "message"]
    assert (one["replyTo"], two["replyTo"]) == ("M1", None)
    assert datetime.fromisoformat(two["at"]) - datetime.fromisoformat(one["at"]) >= timedelta(seconds=0.15)


async def test_what_is_remembered(shop: Shop) -> None:
    """Variables and tags are set, used in the same breath, taken away again, and seen on the contact."""
    await shop.obeys(
        """
        version: 1
        rules:
          - {id: set, when: {starts: "sou "}, do: [{set: {who: "{{ message.text | last }}", n: "{{ 3 }}"}}, {tag: [new, vip]}, {untag: new}, {reply: "{{ vars.who }} {{ contact.tags | join }}"}]}
          - {id: forget, when: {equals: esquece}, do: [{unset: who}, {untag: vip}, {reply: "{{ vars.who }}."}]}
        """
    )
    person = shop.somebody()
    assert await shop.says(person, "sou z") == ["z vip"]
    contact = await shop.contact(person)
    assert (contact["tags"], contact["vars"]) == (["vip"], {"who": "z", "n": 3})
    assert await shop.says(person, "esquece") == ["."]
    contact = await shop.contact(person)
    assert (contact["tags"], contact["vars"]) == ([], {"n": 3})


async def test_calls(shop: Shop, server: Server) -> None:
    """What is sent, what comes back in templates, and what is done where a call fails or is not allowed."""
    server.answers |= {"/orders/42": {"status": "enviado", "items": [1, 2]}, "/text": b"ok", "/broken": 500}
    await shop.obeys(
        r"""
        version: 1
        rules:
          - id: order
            when: {regex: '^pedido (?P<order>\d+)$'}
            do:
              - http: {url: "$URL/orders/{{ match.order }}", method: POST, headers: {X-Key: k1}, body: {from: "{{ contact.phone }}", n: "{{ 7 }}"}, as: order, else: [{reply: "{{ order.status }}"}]}
              - {reply: "{{ order.json.status }} {{ order.json.items | length }} {{ order.status }}"}
          - {id: text, when: {equals: texto}, do: [{http: {url: "$URL/text"}}, {reply: "{{ http.text }} {{ http.ok }}"}]}
          - {id: goes-on, when: {equals: segue}, do: [{http: {url: "$URL/broken"}}, {reply: "{{ http.ok }} {{ http.status }}"}]}
          - {id: stops, when: {equals: para}, do: [{http: {url: "$URL/broken", else: [{reply: failed}]}}, {reply: never}]}
          - {id: inside, when: {starts: "dentro "}, do: [{http: {url: "http://{{ message.text | last }}/", else: [{reply: refused}]}}, {reply: never}]}
          - {id: own, when: {equals: nós}, do: [{http: {url: "$OWN/livez", else: [{reply: refused}]}}, {reply: never}]}
        """,
        url=server.url,
        own=shop.relay.url,
    )
    await shop.answers(
        {
            "pedido 42": ["enviado 2 200"],
            "pedido 43": ["404"],
            "texto": ["ok true"],
            "segue": ["false 500"],
            "para": ["failed"],
            "nós": ["refused"],
        }
    )
    call = next(one for one in server.calls if one.path == "/orders/42")
    assert (call.method, call.headers["X-Key"]) == ("POST", "k1")
    assert call.body == b'{"from":"%s","n":7}' % phone(1).encode()


async def test_a_call_to_the_inside_is_refused(shop: Shop) -> None:
    """Addresses of the operator's network and of clouds, however they are written; the answer says nothing of why."""
    await shop.obeys(
        """
        version: 1
        rules:
          - {id: inside, when: {starts: "ver "}, do: [{http: {url: "{{ message.text | replace('ver ', '') }}", timeout: 2s, as: it}}, {reply: "{{ it.error }}"}]}
        """
    )
    inside = ("http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[::1]/", "http://0.0.0.0/", "http://[::ffff:10.0.0.1]/")  # fmt: skip
    people = {url: shop.somebody() for url in inside}
    for url, person in people.items():
        await shop.hears(person, f"ver {url}")
    await shop.settles()
    said = {url: await shop.heard(phone(person)) for url, person in people.items()}
    assert all(len(words) == 1 for words in said.values()), said
    assert len({words[0] for words in said.values()}) == 1, said
    assert await shop.says(shop.somebody(), "ver file:///etc/passwd") != [""]


async def test_which_rules_follow(shop: Shop) -> None:
    """One that fires ends it, one with `continue` does not; `stop` leaves out what is after it."""
    await shop.obeys(
        """
        version: 1
        rules:
          - {id: log, priority: 9, when: {contains: a}, do: [{set: {seen: "1"}}, {continue: true}]}
          - {id: greet, priority: 8, when: {contains: ab}, do: [{reply: "hello {{ vars.seen }}"}, {continue: true}]}
          - {id: stop, priority: 7, when: {contains: abc}, do: [{reply: one}, {stop: true}, {reply: two}, {continue: true}]}
          - {id: rest, when: {always: true}, do: [{reply: rest}]}
        """
    )
    await shop.answers({"xa": ["rest"], "xab": ["hello 1", "rest"], "xabc": ["hello 1", "one"]})


async def test_rules_see_what_those_before_them_did(shop: Shop, server: Server) -> None:
    """Tags and variables of the same message: from its words, a call and a plugin; the explanation says so, too."""
    server.answers["/customers"] = {"plan": "gold"}
    await shop.obeys(
        r"""
        version: 1
        rules:
          - {id: name, when: {regex: '^sou (?P<who>\w+)'}, do: [{set: {who: "{{ match.who }}"}}, {tag: known}, {continue: true}]}
          - {id: look-up, when: {tags: known}, do: [{http: {url: "$URL/customers"}}, {set: {plan: "{{ http.json.plan }}"}}, {continue: true}]}
          - {id: price, when: {always: true}, if: [{vars: {plan: gold}}], do: [{plugin: {name: store.price, with: {item: "{{ who }}"}}}, {continue: true}]}
          - {id: buyer, when: {tags: buyer}, if: [{vars: {asked: {exists: true}}}], do: [{reply: "{{ asked }} {{ plan }} {{ contact.tags | join }}"}]}
          - {id: rest, when: {always: true}, do: [{reply: rest}]}
        """,
        url=server.url,
    )
    person = shop.somebody()
    assert await shop.says(person, "oi") == ["rest"]
    assert await shop.says(person, "sou ana") == ["Um momento.", "ana gold buyerknown"]
    body = {"text": "sou ana", "http": {"plan": "gold"}}
    told = (await shop.caller.post("/api/v1/rules/explain", json=body)).json()
    # Plugins are not asked here.
    assert [(note["rule"], note["code"]) for note in told["notes"]] == [
        ("name", "fired"),
        ("look-up", "fired"),
        ("price", "fired"),
        ("buyer", "trigger.tags"),
        ("rest", "fired"),
    ]


async def test_conversations(shop: Shop) -> None:
    """Steps that ask, check, ask again, branch, go to each other and to other flows, are left and end."""
    await shop.obeys(
        """
        version: 1
        rules:
          - {id: start, when: {keyword: menu}, do: [{flow: menu}]}
          - {id: rest, priority: 0, when: {always: true}, do: [{reply: rest}]}
        flows:
          menu:
            cancel: [sair]
            cancel_text: Até logo
            steps:
              - {id: what, ask: {text: Escolha, choices: {options: [Vendas, Suporte]}}, capture: choice, match: {Vendas: sales, '2|suporte': support}, retry: 1, retry_text: "1 ou 2?", else: handoff}
              - {id: sales, ask: Quantos?, validate: {type: integer, min: 1}, capture: count, do: [{set: {double: "{{ vars.count * 2 }}"}}]}
              - {do: [{reply: "{{ vars.choice }}: {{ vars.double }}"}, {goto: end}]}
              - {id: never, do: [{reply: never}]}
          support:
            steps:
              - {ask: "Qual o problema?", capture: problem}
              - {do: [{reply: "Anotado: {{ vars.problem }}"}, {goto: menu}]}
        """
    )
    menu = "Escolha\n\n1. Vendas\n2. Suporte"
    buyer = shop.somebody()
    for text, answers in [
        ("menu", [menu]),
        ("talvez", ["1 ou 2?"]),
        ("1)", ["Quantos?"]),
        ("três", ["Quantos?"]),
        ("3", ["Vendas: 6"]),
    ]:
        assert await shop.says(buyer, text) == answers, text
    assert (await shop.causes(phone(buyer)))[-1]["flow"] == "menu"  # type: ignore[index]
    caller = shop.somebody()
    for text, answers in [
        ("menu", [menu]),
        ("suporte", ["Qual o problema?"]),
        ("Quebrou", ["Anotado: Quebrou", menu]),
    ]:
        assert await shop.says(caller, text) == answers, text
    assert await shop.says(caller, "Sair") == ["Até logo"]
    assert await shop.says(caller, "oi") == ["rest"]
    lost = shop.somebody()
    for text, answers in [("menu", [menu]), ("x", ["1 ou 2?"]), ("y", []), ("alô?", [])]:
        assert await shop.says(lost, text) == answers, text


async def test_a_chat_is_handed_over_paused_and_taken_up_again(shop: Shop, sink: Sink) -> None:
    """The bot keeps quiet, the company's server is told why, and only a rule that resumes is heard."""
    await sink.register(shop.caller, "/in", events=["automation.*"])
    await shop.obeys(
        """
        version: 1
        rules:
          - {id: human, when: {keyword: atendente}, do: [{reply: "Um momento…"}, {handoff: {pause: 1h, note: "quer {{ message.text }}"}}]}
          - {id: quiet, when: {equals: silêncio}, do: [{pause: 10m}]}
          - {id: back, when: {equals: voltar}, do: [{resume: true}, {reply: "De volta"}]}
          - {id: order, when: {equals: pedido}, do: [{emit: {name: order.asked, data: {text: "{{ message.text }}"}}}, {reply: ok}]}
          - {id: rest, priority: 0, when: {always: true}, do: [{reply: rest}]}
        """
    )
    first, second = shop.somebody(), shop.somebody()
    for text, answers in [
        ("atendente", ["Um momento…"]),
        ("alô?", []),
        ("voltar", ["De volta"]),
        ("oi", ["rest"]),
    ]:
        assert await shop.says(first, text) == answers, text
    for text, answers in [("pedido", ["ok"]), ("silêncio", []), ("oi", [])]:
        assert await shop.says(second, text) == answers, text

    async def told() -> bool:
        return len(sink.arrived["/in"]) == 4

    await until(told, seconds=15, what="four events have arrived")
    assert sink.forged == 0
    found: dict[str, dict[str, Any]] = {one.type: one.data for one in sink.arrived["/in"]}
    assert {name: data["rule"] for name, data in found.items()} == {
        "automation.handoff": "human",
        "automation.resumed": "back",
        "automation.event": "order",
        "automation.paused": "quiet",
    }
    assert found["automation.handoff"]["note"] == "quer atendente"
    assert found["automation.event"]["data"] == {"text": "pedido"}
    assert (found["automation.event"]["name"], found["automation.paused"]["reason"]) == (
        "order.asked",
        "rule",
    )


async def test_a_plugins_action(shop: Shop) -> None:
    """What it says, keeps and gives back to the rule."""
    await shop.obeys(
        """
        version: 1
        rules: [{id: ask, when: {starts: preço}, do: [{plugin: {name: store.price, with: {item: "{{ message.text | last }}"}}}, {reply: "{{ plugin.price }} {{ vars.asked }}"}]}]
        """
    )
    person = shop.somebody()
    assert await shop.says(person, "preço z") == ["Um momento.", "7 z"]
    assert [cause and cause.get("plugin") for cause in await shop.causes(phone(person))] == ["store", None]
    assert (await shop.contact(person))["tags"] == ["buyer"]


async def test_an_agent(shop: Shop, server: Server) -> None:
    """It gets what rules hand to it, and what no rule knows where the session names it; its fallback where it fails."""
    server.answers |= {
        "/agent": {"messages": ["Sim.", {"type": "location", "content": {"latitude": 1, "longitude": 2}}]}
    }
    for name, path in (("main", "/agent"), ("broken", "/none")):
        settings = {"url": server.url + path, "typing": False, "retries": 0}
        made = await shop.caller.post(
            "/api/v1/agents", json={"name": name, "kind": "http", "settings": settings}
        )
        assert made.status_code == 201, made.text
    await shop.caller.patch(f"/api/v1/whatsapp/sessions/{shop.session_id}", json={"bot": {"agent": "main"}})
    await shop.obeys(
        """
        version: 1
        rules:
          - {id: ask, when: {starts: pergunta}, do: [{reply: "Vou ver."}, {agent: {name: main, debounce: 0s}}]}
          - {id: lost, when: {equals: perdido}, do: [{agent: {name: broken, debounce: 0s, fallback: "Já volto."}}]}
        """
    )
    person, other, third = shop.somebody(), shop.somebody(), shop.somebody()
    await shop.hears(person, "pergunta: tem pão?")
    await shop.hears(other, "perdido")
    await shop.hears(third, "ninguém sabe")
    await shop.settles()
    place = ("location", {"latitude": 1, "longitude": 2})
    assert await shop.heard(phone(person)) == ["Vou ver.", "Sim.", place]
    assert await shop.heard(phone(other)) == ["Já volto."]
    assert await shop.heard(phone(third)) == ["Sim.", place]
    causes = await shop.causes(phone(person))
    assert [(cause or {}).get("agent") for cause in causes] == [None, "main", "main"]
    assert all((cause or {})["rule"] == "ask" for cause in causes)
