"""Conversations outlive what runs them: a restart of the server, and a kill -9 of the responder, its lease and all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.flow.bot_talk import Server, Shop, enter_shop, happens, open_server, open_shop, phone
from tests.flow.serving import Relay, serving, until

RULES = """
    version: 1
    rules: [{id: start, when: {keyword: menu}, do: [{flow: order}]}]
    flows:
      order:
        steps:
          - {ask: "O quê?", capture: what}
          - {ask: "Quantos?", capture: count, validate: {type: integer}}
          - {ask: "Qual CEP?", capture: zip, do: [{http: {url: "$URL/stock", method: POST, body: {item: "{{ vars.what }}"}}}]}
          - {ask: "{{ vars.count }} {{ vars.what }} para {{ vars.zip }}: certo?", capture: sure}
          - {do: [{reply: "Anotado: {{ vars.what }}"}]}
"""


async def test_a_conversation_goes_on_where_it_was(tmp_path: Path) -> None:
    """After a restart of everything; and after a kill -9 in the middle of a call, which is made again under its key."""
    async with open_server() as server:
        async with serving(tmp_path) as relay, open_shop(relay) as shop:
            await shop.obeys(RULES, url=server.url)
            person = shop.somebody()
            assert await shop.says(person, "menu") == ["O quê?"]
            assert await shop.says(person, "bolo") == ["Quantos?"]
            assert await relay.stop() == 0
        async with serving(tmp_path) as relay, come_back(relay, shop) as again:
            assert await again.says(person, "3") == ["Qual CEP?"]
            before = await again.heard(phone(person))
            await kill_during_a_call(relay, server, again, person)
            # The supervisor has started it again, and the dead one's lease is over.
            await again.settles(seconds=40)
            said = (await again.heard(phone(person)))[len(before) :]
            assert said == ["3 bolo para 01310-100: certo?"]
            assert len({call.headers["Idempotency-Key"] for call in server.calls}) == 1
            assert len(server.calls) == 2
            assert await again.says(person, "sim") == ["Anotado: bolo"]


async def kill_during_a_call(relay: Relay, server: Server, shop: Shop, person: int) -> None:
    server.answers["/stock"] = None
    await shop.hears(person, "01310-100")
    await happens(server.hanging)
    pid = relay.kill("responder")
    server.answers["/stock"] = {"left": 1}

    async def born_again() -> bool:
        return relay.pids("responder") not in ([], [pid])

    await until(born_again, seconds=15, what="the responder is started again")


@asynccontextmanager
async def come_back(relay: Relay, shop: Shop) -> AsyncIterator[Shop]:
    """The same company at a server that was started anew, once its session is connected again."""
    key = str(shop.caller.headers["Authorization"]).partition(" ")[2]
    async with relay.client(key) as caller, enter_shop(relay, caller, shop.session_id) as again:
        again.goes_on_from(shop)

        async def connected() -> bool:
            found = await caller.get(f"/api/v1/whatsapp/sessions/{shop.session_id}")
            return bool(found.json()["status"] == "connected")

        await until(connected, seconds=15, what="the session is connected again")
        yield again
