"""The bots in rules/ behind a real server: the session that is named is answered, no other, and a company may have its own."""

from pathlib import Path
from typing import Any

import httpx

from tests.flow.serving import link, serving, until

RULES = Path(__file__).parents[2] / "rules"
CUSTOMER = "+55 11 98888-7777"


async def write(caller: httpx.AsyncClient, session: str, text: str, *, customer: str = CUSTOMER) -> None:
    body = {"from": customer, "name": "Maria Silva", "text": text}
    said = await caller.post(f"/api/v1/whatsapp/sessions/{session}/sandbox/inbound", json=body)
    assert said.status_code < 300, said.text


async def told(caller: httpx.AsyncClient, session: str, start: str) -> dict[str, Any]:
    """Why the bot has said what begins so, once it has."""

    async def look() -> dict[str, Any] | None:
        query = {"sessionId": session, "direction": "outgoing"}
        found = (await caller.get("/api/v1/whatsapp/messages", params=query)).json()["messages"]
        causes = [one["automation"] for one in found if one["content"].get("text", "").startswith(start)]
        return causes[0] if causes else None

    cause: dict[str, Any] = await until(look, seconds=20, what=f"the bot says «{start}»")
    return cause


async def test_each_bot_serves_its_session_and_no_other(tmp_path: Path) -> None:
    """As an operator's files in the folder; then one of them as the company's own, which goes first."""
    async with (
        serving(tmp_path, operator_key=None, rules__folder=str(RULES)) as relay,
        relay.client(relay.printed("demo key")) as caller,
    ):
        plain = await link(caller, name="Plain", automation=True)
        shop, desk, hotel = [
            await link(caller, name=name, automation=True) for name in ("Loja", "Support", "Concierge")
        ]
        await write(caller, plain, "atendente, human")
        await write(caller, shop, "Aceitam pix?")
        assert (await told(caller, shop, "💳 *Pagamento*"))["rule"] == "pagamento"
        await write(caller, desk, "What about ticket 4711?")
        assert (await told(caller, desk, "Thank you. I have asked"))["ruleSet"] == "support"
        await write(caller, hotel, "wifi?")
        assert (await told(caller, hotel, "📶 Network"))["ruleSet"] == "concierge"
        await write(caller, hotel, "What is worth seeing here?")
        assert (await told(caller, hotel, "Sorry, I cannot answer"))["agent"] == "concierge"

        own = (RULES / "loja.yaml").read_text().replace("\ntenants: [Demo]\n", "\n")
        own = own.replace("📍 Rua das Flores", "📍 Rua das Rosas")
        put = await caller.put("/api/v1/rules/loja", content=own)
        assert put.status_code == 201, put.text
        await write(caller, shop, "Onde fica?", customer="+55 11 97777-6666")
        cause = await told(caller, shop, "📍 Rua das Rosas")
        assert (cause["ruleSet"], cause["version"]) == ("loja", 1)

        found = await caller.get("/api/v1/whatsapp/messages", params={"sessionId": plain})
        assert [one["direction"] for one in found.json()["messages"]] == ["inbound"]
