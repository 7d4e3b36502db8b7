"""Plugins in the processes of a running server."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.store.pool import connect
from tests.flow.serving import Relay, environment, link, make_tenant, program, serving, until

ROOT = Path(__file__).parents[2]


def settings_of(folder: Path, *names: str, **more: Any) -> dict[str, Any]:
    return {"plugins.folder": str(folder), "plugins.enabled": list(names), **more}


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import nothing_like_it", "bot cannot be loaded: ModuleNotFoundError"),
        (
            "from msgspec import Struct\nclass Settings(Struct):\n    limit: int",
            "plugins.settings.bot: Object missing required field `limit`",
        ),
        ("import os\nos._exit(9)", "bot: loading it ended the process that tried"),
    ],
)
async def test_a_plugin_that_cannot_be_loaded_stops_the_start(
    tmp_path: Path, source: str, sentence: str
) -> None:
    """With one sentence, before anything is made."""
    (tmp_path / "bot.py").write_text(source)
    environ = environment(settings_of(tmp_path, "bot"))
    words = ["serve", "--port", "0", "--data-dir", str(tmp_path / "data")]
    async with program(tmp_path, *words, environ=environ) as relay:
        assert await relay.ends(seconds=30) == 2
        assert sentence in relay.told
        assert len(relay.told.splitlines()) == 1, relay.told
    assert not (tmp_path / "data").exists()


async def test_the_doctor_looks_at_plugins(tmp_path: Path) -> None:
    """`relay check` refuses one that is wrong; the doctor says what to do."""
    (tmp_path / "bot.py").write_text("1 / 0")
    environ = environment(settings_of(tmp_path, "bot"))
    async with program(tmp_path, "check", environ=environ) as check:
        assert await check.ends(seconds=30) == 2
        assert "ZeroDivisionError: division by zero (bot.py, line 1)" in check.told
    async with program(tmp_path, "doctor", "--data-dir", str(tmp_path), environ=environ) as doctor:
        line = await doctor.says("wrong  plugins")
        assert "take the plugin out of plugins.enabled" in line


# --- a conversation ----------------------------------------------------------------------------------------------

MARIA = "+5511999990001"
RULES = """
version: 1
rules:
  - id: promo
    when: {equals: promo}
    do: [{reply: "Só hoje!"}]
  - id: stock
    when: {regex: '^tem (?P<item>\\w+)'}
    if: [{plugin: {shop.has: {item: A7}}}]
    do:
      - plugin: {name: shop.count, with: {item: "{{ match.item }}"}}
      - reply: "Temos {{ plugin.left }}."
"""
SHOP = """
from relay.plugin import action, condition, hook, reply

@condition("has")
async def has(arguments, context):
    return arguments["item"] == "A7"

@action("count")
def count(arguments):
    return reply(result={"left": 3 if arguments["item"] == "A7" else 0})

@hook
async def message_received(message, contact, context):
    if message.text == "block":
        while True:
            pass
    if message.text == "break":
        raise RuntimeError
    if message.text == "again":
        times = await context.storage.get(contact.id, 0) + 1
        await context.storage.set(contact.id, times, contact_id=contact.id)
        return f"{times}"

@hook
async def message_sent(message, context):
    await context.storage.set(f"sent/{message.id}", message.type)
"""


class Chat:
    """Maria's chat with a session of a running server."""

    def __init__(self, caller: httpx.AsyncClient, session_id: str) -> None:
        self.caller = caller
        self._path = f"/api/v1/whatsapp/sessions/{session_id}/sandbox"

    async def write(self, text: str) -> None:
        answer = await self.caller.post(f"{self._path}/inbound", json={"from": MARIA, "text": text})
        assert answer.status_code in (200, 201, 202), answer.text

    async def heard(self) -> list[str]:
        """What reached Maria's phone."""
        outbox = (await self.caller.get(f"{self._path}/outbox")).json()["messages"]
        return [message["content"]["text"] for message in outbox]

    async def hears(self, *texts: str, seconds: float = 15) -> None:
        async def all_there() -> bool:
            return await self.heard() == list(texts)

        await until(all_there, seconds=seconds, what=f"Maria hears {texts}")


@asynccontextmanager
async def chatting(folder: Path, *names: str) -> AsyncIterator[tuple[Relay, Chat]]:
    """A server with these plugins, of ours and the shop's, and a session whose bot is on."""
    plugins = folder / "plugins"
    shutil.copytree(ROOT / "plugins", plugins)
    (plugins / "shop.py").write_text(SHOP)
    given = {key.replace(".", "__"): value for key, value in settings_of(plugins, *names).items()}
    async with serving(folder, **given) as relay, await make_tenant(relay) as caller:
        session_id = await link(caller, automation=True, bot={"repliesPerMinute": 50})
        put = await caller.put(
            "/api/v1/rules/shop", content=RULES, headers={"Content-Type": "application/yaml"}
        )
        assert put.status_code in (200, 201), put.text
        yield relay, Chat(caller, session_id)


async def test_plugins_take_part_in_a_conversation(tmp_path: Path) -> None:
    """Conditions and actions in rules, answers where no rule has one, storage, opting out, and what they are told of."""
    async with chatting(tmp_path, "opt_out", "shop", "faq") as (relay, chat):
        said: list[str] = []
        for text, answer in [
            ("tem A7", "Temos 3."),
            ("tem B2", "Temos 0."),
            ("again", "1"),
            ("aceita pix?", "Pix, cartões de débito e crédito em até 6 vezes, e dinheiro."),
        ]:
            await chat.write(text)
            said.append(answer)
            await chat.hears(*said)
        shown = (await chat.caller.get("/api/v1/whatsapp/messages?limit=1")).json()["messages"][0]
        assert shown["automation"]["plugin"] == "faq"
        conn = await connect(relay.database_url(), name="test")

        async def told() -> bool:
            count = await conn.fetchval("SELECT count(*) FROM plugin_values WHERE key LIKE 'sent/%'")
            return bool(count == len(said))

        await until(told, seconds=15, what="the plugin is told of what was sent")
        await conn.close()
        await chat.write("SAIR")
        said.append("Pronto, você não receberá mais mensagens automáticas. Para voltar, escreva VOLTAR.")
        await chat.hears(*said)
        await chat.write("promo")
        await chat.write("voltar")
        said.append("Que bom ter você de volta! Para sair, escreva SAIR.")
        await chat.hears(*said)
        assert "plugin.failed" not in relay.log


async def test_a_plugin_that_blocks_costs_a_restart_and_its_breaker(tmp_path: Path) -> None:
    """The API answers all the while; afterwards rules answer, that plugin rests, the others are asked, nothing is said twice."""
    async with chatting(tmp_path, "shop", "faq") as (relay, chat):
        [before] = relay.pids("responder")
        await chat.write("block")
        await chat.write("promo")

        async def restarted() -> bool:
            assert (await chat.caller.get("/api/v1/whatsapp/health", timeout=2)).status_code == 200
            return relay.pids("responder") not in ([before], [])

        await until(restarted, seconds=40, what="the process is started again")
        await chat.hears("Só hoje!", seconds=30)
        assert "plugin.blocked plugin=shop" in relay.log
        assert "plugin.rests plugin=shop" in relay.log
        await chat.write("aceita pix?")
        await chat.hears("Só hoje!", "Pix, cartões de débito e crédito em até 6 vezes, e dinheiro.")
        trace = (tmp_path / "data" / "plugins" / "shop.blocked.txt").read_text()
        assert "shop.py" in trace
