"""When a bot has to keep quiet: a person takes over, in each way that there is; two bots talk to each other.

One `relay serve` lives through all of it; each test has a company of its own.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.flow.bot_talk import WHATSAPP, Server, Shop, enter_shop, happens, open_server, open_shop, phone
from tests.flow.ledger import WIDE_LIMITS, Sink, open_sink
from tests.flow.serving import Relay, link, serving, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOW = """
    version: 1
    rules:
      - {id: slow, when: {equals: oi}, do: [{reply: um}, {wait: 5m}, {reply: dois}, {reply: três}]}
      - {id: ask, when: {equals: pergunta}, do: [{agent: {name: main, debounce: 0s, fallback: never}}]}
      - {id: call, when: {equals: chama}, do: [{http: {url: "$URL/call", timeout: 20s, else: [{reply: never}]}}, {reply: never}]}
      - {id: rest, priority: 0, when: {always: true}, do: [{reply: rest}]}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    folder: Path = tmp_path_factory.mktemp("quiet")
    async with serving(folder) as relay:
        yield relay


class Owner:
    """Somebody of the company, who takes a chat over."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    async def take_over(self, way: str, person: int) -> list[str]:
        """What the customer hears of it."""
        shop = self._shop
        if way == "phone":
            await shop.hears(person, {"text": "Já te respondo", "fromMe": True})
            return []
        if way == "api":
            body = {"to": phone(person), "type": "text", "content": "Aqui é a Ana", "byPerson": True}
            await self._post("send", body)
            return ["Aqui é a Ana"]
        await self._post("chats/automation", {"chat": phone(person), "action": "pause"})
        return []

    async def resume(self, person: int) -> None:
        await self._post("chats/automation", {"chat": phone(person), "action": "resume"})

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        answer = await self._shop.caller.post(
            f"{WHATSAPP}/{path}", json={"sessionId": self._shop.session_id, **body}
        )
        assert answer.is_success, answer.text


@pytest.mark.parametrize("way", ["phone", "api", "request"])
async def test_a_person_takes_over(relay: Relay, way: str) -> None:
    """What the bot had still to say is taken back, a call and an agent's answer are not said, and events tell of it."""
    async with open_server() as server, open_sink() as sink, open_shop(relay) as shop:
        await sink.register(shop.caller, "/in", events=["automation.*", "message.status"])
        await make_agent(shop, server)
        await shop.obeys(SLOW, url=server.url)
        owner, waiting, asking = Owner(shop), shop.somebody(), shop.somebody()
        # One has heard the first of three answers, the other's question is with the agent.
        await shop.hears(waiting, "oi")
        await shop.hears(asking, "pergunta")
        await happens(server.hanging)

        async def first_is_out() -> bool:
            return await shop.heard(phone(waiting)) == ["um"]

        await until(first_is_out, seconds=15, what="the first answer is out")
        heard = {person: await owner.take_over(way, person) for person in (waiting, asking)}
        # The agent's connection is given up, long before it would have answered.
        await happens(server.given_up)
        await shop.settles()
        for person in (waiting, asking):
            assert await shop.says(person, "alô?") == []
        assert await shop.heard(phone(waiting)) == ["um", *heard[waiting]]
        assert await shop.heard(phone(asking)) == heard[asking]
        await check_events(sink, "request" if way == "request" else "person")
        for person in (waiting, asking):
            await owner.resume(person)
            assert await shop.says(person, "alô?") == ["rest"]


async def make_agent(shop: Shop, server: Server) -> None:
    """One that never answers."""
    server.answers["/agent"] = None
    settings = {"url": f"{server.url}/agent", "timeoutSeconds": 60, "retries": 0}
    made = await shop.caller.post(
        "/api/v1/agents", json={"name": "main", "kind": "http", "settings": settings}
    )
    assert made.status_code == 201, made.text


async def check_events(sink: Sink, reason: str) -> None:
    """Both chats are paused, and two messages were taken back."""

    def told() -> tuple[list[str], list[str]]:
        arrived = sink.arrived["/in"]
        paused = [one.data["reason"] for one in arrived if one.type == "automation.paused"]
        return paused, [one.data["error"] for one in arrived if one.data.get("status") == "failed"]

    async def all_told() -> bool:
        return told() == ([reason] * 2, ["cancelled"] * 2)

    await until(all_told, seconds=15, what="the events have arrived")
    assert sink.forged == 0


@pytest.mark.parametrize("way", ["phone", "api", "request"])
async def test_a_person_takes_over_during_a_call(relay: Relay, way: str) -> None:
    """The call's answer comes, and nothing is said."""
    async with open_server() as server, open_shop(relay) as shop:
        server.answers["/call"] = None
        await shop.obeys(SLOW.replace("timeout: 20s", "timeout: 2s"), url=server.url)
        person = shop.somebody()
        await shop.hears(person, "chama")
        await happens(server.hanging)
        heard = await Owner(shop).take_over(way, person)
        await shop.settles()
        assert await shop.heard(phone(person)) == heard
        assert server.given_up.is_set()


# --- two bots ----------------------------------------------------------------------------------------------------


async def test_two_bots_come_to_an_end(relay: Relay) -> None:
    """Each answers whatever it hears, and what one says is carried to the other: the fifth answer of a minute is the last."""
    said = await let_talk(relay, "Recebi: {{ message.text | truncate(60) }}")
    assert len(said) == 10
    assert said[0] == "Recebi: oi"


async def test_two_bots_that_say_the_same_stop_at_once(relay: Relay) -> None:
    """What comes back as it was said is an echo."""
    assert await let_talk(relay, "Não entendi.") == ["Não entendi."] * 2


async def let_talk(relay: Relay, words: str) -> list[str]:
    """All that two bots say to each other, beginning with «oi», until neither has anything more to say."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_shop(relay))
        other = await link(first.caller, name="other", automation=True, limits=WIDE_LIMITS)
        second = await stack.enter_async_context(enter_shop(relay, first.caller, other))
        await first.obeys(
            f'version: 1\nrules: [{{id: any, when: {{always: true}}, do: [{{reply: "{words}"}}]}}]'
        )
        numbers = [await number_of(shop) for shop in (first, second)]
        talk, turn, words_now = [first, second], 0, ["oi"]
        said: list[tuple[int, str]] = []
        while words_now:
            for text in words_now:
                await talk[turn].hears(0, {"text": text, "from": numbers[1 - turn]})
            await talk[turn].settles()
            heard = await talk[turn].heard(numbers[1 - turn])
            words_now = heard[len([who for who, _ in said if who == turn]) :]
            said += [(turn, text) for text in words_now]
            assert len(said) <= 40, "they do not stop"
            turn = 1 - turn
    return [text for _, text in said]


async def number_of(shop: Shop) -> str:
    found = (await shop.caller.get(f"{WHATSAPP}/sessions/{shop.session_id}")).json()
    return str(found["phone"]).lstrip("+")
