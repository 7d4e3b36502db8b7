"""Bots on a running server, from a customer's phone and back: each trigger, each condition, each action.

One `relay serve` lives through all of it; each test has a company, a session and customers of its own.
"""

import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.flow.bot_talk import Server, Shop, open_server, open_shop, phone
from tests.flow.ledger import Sink, open_sink
from tests.flow.serving import Relay, serving, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

GROUP = "120363000000000001"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
PLUGIN = """
from relay.plugin import action, condition, reply

@condition("cheap")
def cheap(arguments, message):
    return message.text.endswith("pão")

@action("price")
def price(arguments):
    return reply("Um momento.", set={"asked": arguments["item"]}, tag="buyer", result={"price": 7})
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    folder: Path = tmp_path_factory.mktemp("bots")
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "store.py").write_text(PLUGIN)
    async with serving(folder, plugins__folder=str(plugins), plugins__enabled=["store"]) as relay:
        yield relay


@pytest_asyncio.fixture(loop_scope="module")
async def shop(relay: Relay) -> AsyncIterator[Shop]:
    async with open_shop(relay) as shop:
        yield shop


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with open_server() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def sink() -> AsyncIterator[Sink]:
    async with open_sink() as sink:
        yield sink


# --- triggers ----------------------------------------------------------------------------------------------------


async def test_what_a_message_says(shop: Shop) -> None:
    """Each way to look at words; the rule that fired is named on the message."""
    await shop.obeys(
        r"""
        version: 1
        rules:
          - {id: equals, when: {equals: [bom dia]}, do: [{reply: equals}]}
          - {id: contains, when: {contains: entreg}, do: [{reply: contains}]}
          - {id: starts, when: {starts: quero }, do: [{reply: starts}]}
          - {id: ends, when: {ends: por favor}, do: [{reply: ends}]}
          - {id: keyword, when: {keyword: [pix, cartão]}, do: [{reply: keyword}]}
          - {id: regex, when: {regex: '^pedido (?P<order>\d+)$'}, do: [{reply: "order {{ match.order }}"}]}
          - {id: fuzzy, when: {fuzzy: {like: devolução, score: 80}}, do: [{reply: fuzzy}]}
          - {id: case, when: {keyword: SUS, case: true}, do: [{reply: case}]}
          - {id: accents, when: {equals: avó, accents: true}, do: [{reply: accents}]}
          - {id: both, when: {all: [{keyword: um}, {keyword: dois}], not: [{keyword: três}]}, do: [{reply: both}]}
          - {id: either, when: {any: [{equals: sim}, {regex: '^s+$'}]}, do: [{reply: either}]}
          - {id: first, priority: 9, when: {keyword: urgente}, do: [{reply: first}]}
          - {id: off, priority: 9, enabled: false, when: {always: true}, do: [{reply: never}]}
          - {id: rest, priority: 0, when: {always: true}, do: [{reply: "?"}]}
        """
    )
    expected = {
        "BOM  DIA": ["equals"],
        "bom dia, Ana": ["?"],
        "A entrega?": ["contains"],
        "Quero pão": ["starts"],
        "Um, por favor": ["ends"],
        "aceita Cartao?": ["keyword"],
        "pixel": ["?"],
        "Pedido 42": ["order 42"],
        "pedido 42b": ["?"],
        "devolusão": ["fuzzy"],
        "SUS": ["case"],
        "sus": ["?"],
        "avó": ["accents"],
        "avô": ["?"],
        "dois e um": ["both"],
        "um, dois, três": ["?"],
        "Sim": ["either"],
        "sss": ["either"],
        "urgente: pix": ["first"],
    }
    await shop.answers(expected)
    (cause,) = await shop.causes(phone(8))
    assert cause is not None
    about = cause.pop("messageId")
    assert cause == {"ruleSet": "shop", "version": 1, "rule": "regex"}
    asked = (await shop.caller.get(f"/api/v1/whatsapp/messages/{about}")).json()
    assert asked["content"] == {"text": "Pedido 42"}


async def test_what_a_message_is(shop: Shop) -> None:
    """Pictures, with a caption and without, places, and votes in a poll of the bot's, which answer by their option."""
    await shop.obeys(
        """
        version: 1
        rules:
          - {id: sunny, priority: 5, when: {types: [image], contains: sol}, do: [{reply: sunny}]}
          - {id: image, when: {types: [image]}, do: [{reply: picture}]}
          - {id: place, when: {types: [location]}, do: [{reply: "a {{ message.type }}"}]}
          - {id: vote, when: {types: [poll_vote], equals: amanhã}, do: [{reply: tomorrow}]}
          - {id: ask, when: {types: [text], keyword: quando}, do: [{reply: {poll: {question: Quando?, options: [hoje, amanhã]}}}]}
        """
    )
    picture = {"type": "image", "content": {"base64": base64.b64encode(PNG).decode()}}
    place = {"type": "location", "content": {"latitude": -23.5, "longitude": -46.6}}
    assert await shop.says(shop.somebody(), picture) == ["picture"]
    assert await shop.says(shop.somebody(), {**picture, "text": "O sol!"}) == ["sunny"]
    assert await shop.says(shop.somebody(), place) == ["a location"]
    voter = shop.somebody()
    poll = {"question": "Quando?", "options": ["hoje", "amanhã"], "selectable": 1}
    assert await shop.says(voter, "quando?") == [("poll", poll)]
    wa_id = (await shop.outbox(phone(voter)))[-1]["waId"]
    for option, answer in {"hoje": [], "amanhã": ["tomorrow"]}.items():
        hashes = [hashlib.sha256(option.encode()).hexdigest()]
        vote = {"type": "poll_vote", "content": {"waMessageId": wa_id, "optionHashes": hashes}}
        assert await shop.says(voter, vote) == answer


async def test_where_a_message_is_written(shop: Shop) -> None:
    """In private unless a rule says otherwise; in groups to all, or only to who speaks to the account."""
    await shop.obeys(
        """
        version: 1
        rules:
          - {id: called, priority: 5, when: {chats: mentioned, keyword: oi}, do: [{reply: {text: called, quote: true}}]}
          - {id: group, when: {chats: group, keyword: todos}, do: [{reply: group}]}
          - {id: private, when: {keyword: [oi, todos]}, do: [{reply: private}]}
          - {id: any, when: {chats: any, keyword: qualquer}, do: [{reply: any}]}
        """
    )
    account = (await shop.caller.get(f"/api/v1/whatsapp/sessions/{shop.session_id}")).json()["phone"]
    said: list[dict[str, Any]] = [
        {"text": "oi"},
        {"text": "todos"},
        {"text": "oi @bot", "mentions": [account.lstrip("+")], "waId": "M1"},
        {"text": "qualquer"},
    ]
    person = shop.somebody()
    for one in said:
        await shop.hears(person, {**one, "chat": f"{GROUP}@g.us"})
        await shop.settles()
    assert await shop.heard(GROUP) == ["group", "called", "any"]
    assert [one["replyTo"] for one in await shop.outbox(GROUP)] == [None, "M1", None]
    answering = {
        "text": "oi de novo",
        "chat": f"{GROUP}@g.us",
        "replyTo": (await shop.outbox(GROUP))[0]["waId"],
    }
    await shop.hears(person, answering)
    await shop.settles()
    assert (await shop.heard(GROUP))[3:] == ["called"]
    assert await shop.heard(phone(person)) == []
    await shop.answers({"oi": ["private"], "todos": ["private"], "qualquer": ["any"]})


async def test_who_writes(shop: Shop) -> None:
    """Numbers, lists of them, tags that a rule has given, and whoever writes for the first time."""
    await shop.obeys(
        """
        version: 1
        lists: {friends: ["$SECOND"]}
        rules:
          - {id: one, priority: 9, when: {from: "$FIRST"}, do: [{reply: number}]}
          - {id: list, priority: 8, when: {from: friends}, do: [{reply: friend}]}
          - {id: vip, priority: 7, when: {tags: vip}, do: [{reply: "vip {{ contact.first_name }}"}]}
          - {id: join, priority: 6, when: {keyword: clube}, do: [{tag: vip}, {reply: welcome}]}
          - {id: new, when: {first_contact: true}, do: [{reply: "first time"}]}
          - {id: rest, priority: 0, when: {always: true}, do: [{reply: again}]}
        """,
        first=f"+{phone(1)}",
        second=phone(2),
    )
    assert await shop.says(shop.somebody(), "oi") == ["number"]
    assert await shop.says(shop.somebody(), "oi") == ["friend"]
    person = shop.somebody()
    said = [
        await shop.says(person, {"text": text, "name": "Ana Lima"}) for text in ("oi", "olá", "clube", "e aí")
    ]
    assert said == [["first time"], ["again"], ["welcome"], ["vip Ana"]]


# --- conditions --------------------------------------------------------------------------------------------------


async def test_when_a_rule_holds(shop: Shop) -> None:
    """Hours, weekdays and holidays around the real now; a rule whose condition does not hold leaves it to the next."""
    now = datetime.now(UTC)
    soon = ", ".join(f'"{now + timedelta(days=days):%Y-%m-%d}"' for days in (-1, 0, 1))
    other = f"{now + timedelta(days=3):%a}".lower()
    near = ", ".join(f"{now + timedelta(days=days):%a}".lower() for days in (-1, 0, 1))
    await shop.obeys(
        """
        version: 1
        defaults: {timezone: UTC}
        holidays: {dates: [$SOON]}
        rules:
          - {id: open, when: {equals: always}, if: [{time: {after: "00:00", before: "24:00"}}], do: [{reply: open}]}
          - {id: day, when: {equals: day}, if: [{time: {weekday: [$NEAR]}}], do: [{reply: today}]}
          - {id: other, priority: 5, when: {equals: day}, if: [{time: {weekday: [$OTHER]}}], do: [{reply: wrong}]}
          - {id: feast, when: {equals: feast}, if: [{time: {holiday: true}}], do: [{reply: closed}]}
          - {id: work, priority: 5, when: {equals: feast}, if: [{time: {holiday: false}}], do: [{reply: wrong}]}
        """,
        soon=soon,
        other=other,
        near=near,
    )
    await shop.answers({"always": ["open"], "day": ["today"], "feast": ["closed"]})


async def test_for_whom_a_rule_holds(shop: Shop) -> None:
    """Variables, tags, shares of contacts, sessions, plugins, cooldowns, and what is made of them."""
    await shop.obeys(
        """
        version: 1
        rules:
          - {id: learn, when: {starts: "tenho "}, do: [{set: {size: "{{ message.text | last }}"}}, {tag: asked}, {reply: ok}]}
          - {id: big, priority: 5, when: {equals: tamanho}, if: [{vars: {size: {above: 5}}}], do: [{reply: big}]}
          - {id: small, priority: 4, when: {equals: tamanho}, if: [{vars: {size: {exists: true}}}], do: [{reply: small}]}
          - {id: unknown, when: {equals: tamanho}, do: [{reply: unknown}]}
          - {id: nobody, priority: 5, when: {equals: sorte}, if: [{percentage: 0}], do: [{reply: never}]}
          - {id: everybody, when: {equals: sorte}, if: [{percentage: 100}], do: [{reply: lucky}]}
          - {id: elsewhere, priority: 5, when: {equals: onde}, if: [{session: branch}], do: [{reply: branch}]}
          - {id: here, when: {equals: onde}, if: [{session: PHONE}], do: [{reply: here}]}
          - {id: once, priority: 5, when: {equals: promo}, if: [{cooldown: 1h}], do: [{reply: now}]}
          - {id: then, when: {equals: promo}, do: [{reply: later}]}
          - {id: cheap, when: {starts: tem}, if: [{plugin: {store.cheap: {}}}], do: [{reply: cheap}]}
          - {id: either, when: {equals: quem}, if: [{any: [{tags: asked}, {first_contact: true}]}], do: [{reply: known}]}
          - {id: neither, priority: 0, when: {equals: quem}, if: [{not: {tags: asked}}], do: [{reply: stranger}]}
        """
    )
    person = shop.somebody()
    said = [
        ("tamanho", ["unknown"]),
        ("quem", ["stranger"]),
        ("tenho 7", ["ok"]),
        ("tamanho", ["big"]),
        ("quem", ["known"]),
    ]
    for text, answers in said:
        assert await shop.says(person, text) == answers, text
    other = shop.somebody()
    said = [("tenho 3", ["ok"]), ("tamanho", ["small"]), ("promo", ["now"]), ("promo", ["later"])]
    for text, answers in said:
        assert await shop.says(other, text) == answers, text
    await shop.answers(
        {"sorte": ["lucky"], "onde": ["here"], "tem pão": ["cheap"], "tem bolo": [], "quem": ["known"]}
    )


# --- actions -----------------------------------------------------------------------------------------------------


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
