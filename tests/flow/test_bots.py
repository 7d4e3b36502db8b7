"""Bots on a running server, from a customer's phone and back: each trigger and each condition.

One `relay serve` lives through all of it; each test has a company, a session and customers of its own.
"""

import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.files import PNG
from tests.flow.bot_talk import Shop, phone, serving_store
from tests.flow.serving import Relay

pytestmark = pytest.mark.asyncio(loop_scope="module")

GROUP = "120363000000000001"
PLUGIN = """
from relay.plugin import condition

@condition("cheap")
def cheap(arguments, message):
    return message.text.endswith("pão")
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    async with serving_store(tmp_path_factory.mktemp("bots"), PLUGIN) as relay:
        yield relay


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


async def test_what_a_message_holds(shop: Shop) -> None:
    """Places, cards, files and votes, by the names that webhooks have; rules below go by a place's coordinates."""
    rules = """
        version: 1
        rules:
          - {id: place, when: {types: [location]}, do: [{set: {lat: "{{ message.content.latitude }}"}}, {reply: "{{ message.content.name }} {{ message.content.address }} {{ message.content.latitude }},{{ message.content.longitude }}"}, {continue: true}]}
          - {id: south, when: {types: [location]}, if: [{vars: {lat: {below: -30}}}], do: [{reply: south}]}
          - {id: card, when: {types: [contact]}, do: [{reply: "{{ message.content.name }} {{ message.content.phone }}"}]}
          - {id: file, when: {types: [document]}, do: [{reply: "{{ message.content|items|map('first')|sort }}: {{ message.content.fileName }} {{ message.content.mimetype }} {{ message.content.sizeBytes }}"}]}
          - {id: vote, when: {types: [poll_vote]}, do: [{reply: "{{ message.content.options|join(' and ') }}"}]}
          - {id: ask, when: {keyword: quando}, do: [{reply: {poll: {question: Quando?, options: [hoje, amanhã], selectable: 2}}}]}
    """
    await shop.obeys(rules)
    place = {"latitude": -23.5, "longitude": -46.25, "name": "Loja", "address": "Rua A"}
    for given, answers in (
        ({"type": "location", "content": place}, ["Loja Rua A -23.5,-46.25"]),
        ({"type": "location", "content": {**place, "latitude": -30.1}}, ["Loja Rua A -30.1,-46.25", "south"]),
        ({"type": "contact", "content": {"name": "Ana", "phone": "+55 11 97777-6666"}}, ["Ana +55 11 97777-6666"]),
        (
            {"type": "document", "content": {"base64": base64.b64encode(b"hello").decode(), "fileName": "a.txt", "mimetype": "text/plain"}},
            ["fileName, mediaId, mimetype, sizeBytes: a.txt text/plain 5"],
        ),
    ):  # fmt: skip
        assert await shop.says(shop.somebody(), given) == answers
        explained = await shop.caller.post("/api/v1/rules/explain", json=given)
        assert (
            given["type"] == "document"
            or [one["content"]["text"] for one in explained.json()["replies"]] == answers
        )
    voter = shop.somebody()
    await shop.says(voter, "quando?")
    wa_id = (await shop.outbox(phone(voter)))[-1]["waId"]
    hashes = [hashlib.sha256(option.encode()).hexdigest() for option in ("hoje", "amanhã")]
    vote = {"type": "poll_vote", "content": {"waMessageId": wa_id, "optionHashes": hashes}}
    assert await shop.says(voter, vote) == ["hoje and amanhã"]


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
