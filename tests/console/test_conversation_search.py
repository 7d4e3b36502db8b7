"""The console's search in conversations: chats by name or number, messages by their words, and the way to them."""

import re

import pytest
from playwright.async_api import Locator, Route, expect

from tests.console.browser import Desk
from tests.console.conftest import Company, OpenDesk
from tests.console.test_conversations import API, GROUP, MARIAS_CHAT, arrived, bubble, chat_link, says
from tests.flow.serving import Relay, link, make_tenant

pytestmark = pytest.mark.asyncio(loop_scope="module")

JOAO = {"from": "+5511955554444", "name": "João Lima"}


def hits(desk: Desk) -> Locator:
    return desk.page.get_by_role("list", name=desk.words("conversations.hits.title")).get_by_role("link")


async def search(desk: Desk, text: str) -> None:
    await desk.page.get_by_role("searchbox").fill(text)


async def open_page(desk: Desk, key: str) -> None:
    await desk.sign_in(key)
    await desk.go("conversations")


async def test_words_are_found_and_lead_to_their_message(desk: Desk, company: Company, relay: Relay) -> None:
    """Below the chats, with the words marked; pressed, the chat opens at it. Neither address, storage nor log has them."""
    shop = await link(company.client, name="Loja")
    support = await link(company.client, name="Suporte")
    await says(company, shop, text="Vocês têm <b>PÃO</b> de queijo?")
    await says(company, support, **JOAO, text="Quero um pão doce")
    await says(company, shop, text="Boa tarde, turma do pão", chat=GROUP)
    await says(company, shop, text="palha", count=60)
    await arrived(company, 61)
    await open_page(desk, company.key)
    await search(desk, "pao")
    await expect(hits(desk)).to_have_count(3)
    await expect(hits(desk).locator("mark")).to_have_text(["pão", "pão", "PÃO"])
    group = hits(desk).first
    await expect(group).to_contain_text("Group 0007")
    await expect(group).to_contain_text("Maria Souza: Boa tarde")
    await expect(hits(desk).nth(1)).to_contain_text("João Lima")
    await expect(hits(desk).nth(1)).to_contain_text("Suporte")
    await expect(hits(desk).nth(2)).to_contain_text("<b>PÃO</b>")
    await expect(desk.page.get_by_text(desk.words("conversations.notFound"))).to_be_visible()
    await desk.check()
    await hits(desk).nth(2).click()
    await expect(bubble(desk, "de queijo?")).to_be_focused()
    await expect(bubble(desk, "de queijo?")).to_be_in_viewport()
    await expect(hits(desk).nth(2)).to_have_attribute("aria-current", "true")
    await desk.check()
    await desk.page.get_by_role("button", name=desk.words("conversations.toEnd")).click()
    await hits(desk).nth(2).click()
    await expect(bubble(desk, "de queijo?")).to_be_in_viewport()
    await group.click()
    await expect(bubble(desk, "turma do pão")).to_be_focused()
    stored = await desk.page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, location.href])"
    )
    assert "pao" not in stored.lower()
    assert "text=pao" not in relay.log
    await search(desk, "João")
    await expect(chat_link(desk, "João Lima")).to_be_visible()
    await expect(desk.page.get_by_text(desk.words("conversations.hits.none"))).to_be_visible()
    await desk.check()
    await search(desk, "")
    await expect(hits(desk)).to_have_count(0)
    await expect(chat_link(desk, "Maria Souza").first).to_be_visible()


async def test_many_are_found_in_parts(desk: Desk, company: Company) -> None:
    """The newest first; the button goes on to older ones, and the keyboard does not lose its place."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="pedido", count=45)
    await arrived(company, 45)
    await open_page(desk, company.key)
    await search(desk, "PEDIDO")
    await expect(hits(desk)).to_have_count(20)
    await expect(hits(desk).first).to_contain_text("pedido 45")
    older = desk.button("conversations.hits.older")
    await older.press("Enter")
    await expect(hits(desk)).to_have_count(40)
    await expect(older).to_be_focused()
    await older.press("Enter")
    await expect(hits(desk)).to_have_count(45)
    await expect(older).to_be_hidden()
    await expect(hits(desk).last).to_be_focused()
    await expect(
        desk.page.get_by_text(desk.words("conversations.hits.count.other", count=45))
    ).to_be_visible()
    (last,) = (await company.client.get(f"{API}/messages", params={"text": "pedido 45"})).json()["messages"]
    await says(company, session, type="revoke", waId=last["waMessageId"])
    await expect(hits(desk)).to_have_count(44)


async def test_a_message_from_long_ago(open_desk: OpenDesk, company: Company) -> None:
    """It is gone back to, however far, in its chat: of the 4,500 messages since none is left out."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="A agulha")
    await says(company, session, text="palha", count=4500)
    await arrived(company, 1)
    desk = await open_desk()
    await open_page(desk, company.key)
    await expect(chat_link(desk, "Maria Souza")).to_contain_text("palha 4500")
    await search(desk, "agulha")
    await hits(desk).click()
    await expect(bubble(desk, "A agulha")).to_be_in_viewport()
    await desk.page.reload()
    await expect(bubble(desk, "A agulha")).to_be_in_viewport()
    await expect(desk.page.locator(".chat-pane h2")).to_have_text("Maria Souza")


async def test_only_the_latest_search_counts(open_desk: OpenDesk, company: Company) -> None:
    """The answer to an older one, late, changes nothing; a refusal says so, and is tried again."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="primeiro")
    await says(company, session, text="segundo")
    await arrived(company, 2)
    desk = await open_desk()
    await open_page(desk, company.key)
    held: list[Route] = []
    of_first = re.compile(r"/messages\?.*text=primeiro")

    async def hold(route: Route) -> None:
        held.append(route)

    await desk.page.route(of_first, hold)
    async with desk.page.expect_request(of_first):
        await search(desk, "primeiro")
    await expect(desk.page.get_by_text(desk.words("conversations.hits.asking"))).to_be_visible()
    async with desk.page.expect_event("requestfailed"):
        await search(desk, "segundo")
    await expect(hits(desk)).to_have_count(1)
    await expect(hits(desk)).to_contain_text("segundo")
    assert len(held) == 1
    await desk.page.unroute(of_first)
    problem = {"status": 429, "code": "too_many_requests", "detail": "Slower, please."}
    await desk.page.route("**/messages?*", lambda route: route.fulfill(status=429, json=problem))
    await search(desk, "primeiro")
    await expect(desk.button("common.retry")).to_be_visible()
    await desk.page.unroute("**/messages?*")
    await desk.button("common.retry").click()
    await expect(hits(desk)).to_contain_text("primeiro")


async def test_on_a_phones_screen(open_desk: OpenDesk, company: Company) -> None:
    """The found messages, then the chat at one of them, and back to where one was."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="Uma palavra comprida " * 20 + "agulha " + "e depois mais " * 30)
    await arrived(company, 1)
    desk = await open_desk(width=360, height=640)
    await open_page(desk, company.key)
    await search(desk, "AGULHA")
    await expect(hits(desk).locator("mark")).to_have_text("agulha")
    await expect(hits(desk).locator("mark")).to_be_in_viewport()
    await desk.check()
    await hits(desk).click()
    await expect(bubble(desk, "agulha")).to_be_in_viewport()
    await desk.check()
    await desk.page.get_by_role("link", name=desk.words("conversations.back")).click()
    await expect(hits(desk)).to_be_focused()


async def test_another_companys_words(open_desk: OpenDesk, company: Company, relay: Relay) -> None:
    """Nobody finds them, and their address shows nothing."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="Segredo")
    await arrived(company, 1)
    (message,) = (await company.client.get(f"{API}/messages", params={"chat": MARIAS_CHAT})).json()[
        "messages"
    ]
    async with await make_tenant(relay, "Other") as other:
        await link(other, name="Nossa")
        desk = await open_desk()
        await desk.sign_in(other.headers["Authorization"].removeprefix("Bearer "))
        await desk.go("conversations", session, message["contactId"], message["id"])
        await search(desk, "segredo")
        await expect(desk.page.get_by_text(desk.words("conversations.hits.none"))).to_be_visible()
        await expect(hits(desk)).to_have_count(0)
        await expect(bubble(desk, "Segredo")).to_have_count(0)
