"""What a person does with a single message in the console: answer it, react, edit, copy, delete; and what others see of it."""

import re
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from tests.console.browser import Desk
from tests.console.conftest import Company, OpenDesk
from tests.console.test_conversations import API, MARIAS_CHAT, arrived, bubble, open_chat, says, write
from tests.flow.serving import carried_out, link

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def open_menu(desk: Desk, words: str) -> Locator:
    """By keyboard, as who has no pointer does."""
    more = bubble(desk, words).locator(".bubble-more")
    await more.focus()
    await more.press("Enter")
    menu = desk.page.get_by_role("menu")
    await expect(menu).to_be_visible()
    return menu


async def choose(desk: Desk, words: str, action: str) -> None:
    menu = await open_menu(desk, words)
    await menu.get_by_role("menuitem", name=desk.words(f"conversations.do.{action}"), exact=True).click()
    await expect(menu).to_have_count(0)


async def react(desk: Desk, words: str, emoji: str) -> None:
    await (await open_menu(desk, words)).get_by_role("menuitemradio", name=emoji).click()


async def received(company: Company, session: str, kind: str) -> list[dict[str, Any]]:
    """What the virtual phones got of one kind."""
    answer = await company.client.get(f"{API}/sessions/{session}/sandbox/outbox")
    return [entry for entry in answer.json()["messages"] if entry["kind"] == kind]


async def last(company: Company) -> dict[str, Any]:
    found = await company.client.get(f"{API}/messages", params={"chat": MARIAS_CHAT, "limit": 1})
    message: dict[str, Any] = found.json()["messages"][0]
    return message


async def test_a_message_is_answered(desk: Desk, company: Company) -> None:
    """It is quoted above the text, Esc lets go of it; the phone gets it as an answer, and the quote leads to the message."""
    session = await link(company.client, name="Loja")
    asked = await says(company, session, text="Tem pão de queijo?")
    await says(company, session, text="mais", count=30)
    await arrived(company, 31)
    await open_chat(desk, company)
    await choose(desk, "Tem pão de queijo?", "reply")
    strip = desk.page.locator(".composer-about")
    await expect(strip).to_contain_text(desk.words("conversations.replying", name="Maria Souza"))
    await expect(strip).to_contain_text("Tem pão de queijo?")
    await desk.check()
    await desk.page.keyboard.press("Escape")
    await expect(strip).to_be_hidden()
    await choose(desk, "Tem pão de queijo?", "reply")
    await write(desk, "Tem sim!")
    await expect(strip).to_be_hidden()
    quote = bubble(desk, "Tem sim!").get_by_role("button", name=re.compile("Tem pão de queijo"))
    await expect(quote).to_be_in_viewport()
    await expect(bubble(desk, "Tem sim!")).to_contain_text(desk.words("conversations.status.read"))
    assert [entry["replyTo"] for entry in await received(company, session, "message")] == [asked]
    await quote.click()
    question = desk.page.locator(".bubble.inbound").filter(has_text="Tem pão de queijo?")
    await expect(question).to_be_in_viewport()
    await expect(question).to_be_focused()


async def test_others_see_it_at_once(desk: Desk, open_desk: OpenDesk, company: Company) -> None:
    """Reacted to, edited and deleted at one desk: the other sees each by itself, and the phone got each."""
    session = await link(company.client, name="Loja")
    hello = await says(company, session, text="Bom dia")
    await open_chat(desk, company)
    other = await open_desk(language=desk.language)
    await open_chat(other, company)
    await react(desk, "Bom dia", "❤️")
    for each in (desk, other):
        await expect(bubble(each, "Bom dia").get_by_text("❤️")).to_be_visible()
    await says(company, session, type="reaction", waId=hello, text="😂")
    await expect(bubble(other, "Bom dia").get_by_text("😂")).to_be_visible()
    await choose(desk, "Bom dia", "unreact")
    await expect(bubble(other, "Bom dia").get_by_text("❤️")).to_have_count(0)
    await expect(bubble(other, "Bom dia").get_by_text("😂")).to_be_visible()
    given = [entry["content"]["emoji"] for entry in await received(company, session, "message")]
    assert given == ["❤️", ""]

    await write(desk, "Bom dai!")
    await expect(bubble(other, "Bom dai!")).to_be_visible()
    await expect(bubble(desk, "Bom dai!")).to_contain_text(desk.words("conversations.status.read"))
    await desk.field("conversations.write").fill("um rascunho")
    await choose(desk, "Bom dai!", "edit")
    field = desk.field("conversations.write")
    await expect(field).to_have_value("Bom dai!")
    await write(desk, "Bom dia, Maria!")
    await expect(field).to_have_value("um rascunho")
    for each in (desk, other):
        mine = bubble(each, "Bom dia, Maria!")
        await expect(mine.get_by_text(each.words("conversations.edited"))).to_be_visible()
        await expect(bubble(each, "Bom dai!")).to_have_count(0)
        await expect(each.page.locator(".chats")).to_contain_text("Bom dia, Maria!")

    await choose(desk, "Bom dia, Maria!", "delete")
    await expect(desk.dialog()).to_contain_text(desk.words("conversations.delete.text"))
    await desk.check()
    await desk.button("conversations.delete.action", within=desk.dialog()).click()
    for each in (desk, other):
        await expect(bubble(each, each.words("conversations.revoked"))).to_be_visible()
        await expect(each.page.locator(".chats")).to_contain_text(each.words("conversations.revoked"))
        await expect(each.page.get_by_text("Bom dia, Maria!")).to_have_count(0)
    assert [len(await received(company, session, kind)) for kind in ("edit", "revoke")] == [1, 1]


async def test_one_that_waits_is_cancelled(desk: Desk, company: Company) -> None:
    """The session is away: what waits is taken back and never goes; what was sent cannot be changed, and says why."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="Oi")
    await open_chat(desk, company)
    await write(desk, "Já foi")
    await expect(bubble(desk, "Já foi")).to_contain_text(desk.words("conversations.status.read"))
    await company.client.post(f"{API}/sessions/{session}/disconnect")
    await expect(desk.page.get_by_text(desk.words("conversations.away", name="Loja"))).to_be_visible()
    await write(desk, "Deixa pra lá")
    await choose(desk, "Deixa pra lá", "delete")
    await expect(desk.dialog()).to_contain_text(desk.words("conversations.cancel.text"))
    await desk.button("conversations.cancel.action", within=desk.dialog()).click()
    cancelled = bubble(desk, "Deixa pra lá").get_by_text(desk.words("conversations.error.cancelled"))
    await expect(cancelled).to_be_visible()
    await choose(desk, "Já foi", "edit")
    await write(desk, "Não foi")
    refused = desk.page.get_by_text(desk.words("conversations.errors.session_not_connected"))
    await expect(refused).to_be_visible()
    await expect(desk.field("conversations.write")).to_have_value("Não foi")
    assert (await last(company))["error"] == "cancelled"


async def test_what_whatsapp_refuses_is_said(desk: Desk, company: Company) -> None:
    """An edit that is refused leaves the message, and what was written; a reaction that does not go is not shown."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="Oi")
    await open_chat(desk, company)
    await write(desk, "Bom dia")
    await expect(bubble(desk, "Bom dia")).to_contain_text(desk.words("conversations.status.read"))
    reject = {"kind": "reject", "count": 2}
    await company.client.post(f"{API}/sessions/{session}/sandbox/fault", json=reject)
    await carried_out(desk.relay.database_url(), session)
    await choose(desk, "Bom dia", "edit")
    await write(desk, "Boa noite")
    await expect(desk.page.get_by_text(desk.words("conversations.errors.send_rejected"))).to_be_visible()
    await expect(desk.field("conversations.write")).to_have_value("Boa noite")
    await desk.check()
    await desk.page.keyboard.press("Escape")
    await expect(desk.field("conversations.write")).to_have_value("")
    await react(desk, "Bom dia", "👍")
    await expect(desk.page.get_by_text(desk.words("conversations.error.send_rejected"))).to_be_visible()
    await expect(desk.page.locator(".bubble .reactions")).to_have_count(0)
    await expect(bubble(desk, "Bom dia")).to_be_visible()
    # The browser notes WhatsApp's no, which the page has put in words.
    [noted] = desk.troubles
    assert "status of 502" in noted
    desk.troubles.clear()


async def test_files_are_dropped_and_pasted(open_desk: OpenDesk, company: Company) -> None:
    """Anywhere on the chat, and into the text: both are there to be sent, and go with the words as one answer."""
    session = await link(company.client, name="Loja")
    asked = await says(company, session, text="Manda a foto?")
    desk = await open_desk()
    await open_chat(desk, company)
    await choose(desk, "Manda a foto?", "reply")
    give = """([selector, kind, name]) => {
      const data = new DataTransfer();
      data.items.add(new File(['x'], name, { type: 'text/plain' }));
      const about = kind === 'paste' ? { clipboardData: data } : { dataTransfer: data };
      const Kind = kind === 'paste' ? ClipboardEvent : DragEvent;
      document.querySelector(selector).dispatchEvent(new Kind(kind, { ...about, bubbles: true, cancelable: true }));
    }"""
    await desk.page.evaluate(give, [".log", "dragover", "drop.txt"])
    await expect(desk.page.locator(".thread.dropping")).to_be_visible()
    await desk.page.evaluate(give, [".log", "drop", "drop.txt"])
    await expect(desk.page.locator(".thread.dropping")).to_have_count(0)
    await desk.page.evaluate(give, [".composer textarea", "paste", "paste.txt"])
    await expect(desk.page.locator(".composer-files li")).to_have_count(2)
    await write(desk, "Aqui")
    await expect(bubble(desk, "paste.txt")).to_contain_text(desk.words("conversations.status.read"))
    sent = await received(company, session, "message")
    assert [entry["replyTo"] for entry in sent] == [asked, None]


async def test_the_menu_by_keyboard_and_touch(open_desk: OpenDesk, company: Company) -> None:
    """One stop for Tab; arrows go from message to message and through the menu; Esc gives the focus back. It fits 360 px."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="primeira")
    await says(company, session, text="segunda")
    await arrived(company, 2)
    for width in (1280, 360):
        desk = await open_desk(width=width, height=640)
        await open_chat(desk, company)
        page = desk.page
        await expect(bubble(desk, "segunda")).to_be_visible()
        await expect(page.locator('.bubble-more[tabindex="0"]')).to_have_count(1)
        menu = await open_menu(desk, "segunda")
        await desk.check()
        await expect(menu.get_by_role("menuitemradio").first).to_be_focused()
        await page.keyboard.press("End")
        await expect(menu.get_by_role("menuitem").last).to_be_focused()
        box = await menu.bounding_box()
        assert box is not None
        assert 0 <= box["x"] <= width - box["width"]
        await page.keyboard.press("Escape")
        await expect(menu).to_have_count(0)
        await expect(bubble(desk, "segunda").locator(".bubble-more")).to_be_focused()
        await page.keyboard.press("ArrowUp")
        await expect(bubble(desk, "primeira").locator(".bubble-more")).to_be_focused()
        await choose(desk, "primeira", "reply")
        await desk.check()


async def test_text_is_copied_and_shown_as_meant(open_desk: OpenDesk, company: Company) -> None:
    """Bold, italic, struck, code and links; no markup of anybody's becomes the page's. Copying takes what was written."""
    session = await link(company.client, name="Loja")
    text = "*Promoção* de _hoje_: ~10~ 8, `código` 2*3*4 snake_case_x https://pao.example/a_b_c <b>não</b> javascript:alert(1)"
    await says(company, session, text=text)
    await arrived(company, 1)
    desk = await open_desk()
    await desk.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await open_chat(desk, company)
    shown = bubble(desk, "Promoção").locator(".bubble-text")
    for tag, words in (("strong", "Promoção"), ("em", "hoje"), ("s", "10"), ("code", "código")):
        await expect(shown.locator(tag)).to_have_text(words)
    await expect(shown.locator("b")).to_have_count(0)
    address = shown.get_by_role("link")
    await expect(address).to_have_attribute("href", "https://pao.example/a_b_c")
    await expect(address).to_have_attribute("rel", "noopener noreferrer")
    await expect(shown).to_contain_text("2*3*4 snake_case_x")
    await choose(desk, "Promoção", "copy")
    await expect(desk.page.locator(".toast").get_by_text(desk.words("common.copied"))).to_be_visible()
    assert await desk.page.evaluate("navigator.clipboard.readText()") == text


async def test_where_one_has_not_read_and_what_one_began(open_desk: OpenDesk, company: Company) -> None:
    """A chat opens at its first unread message, below a line that counts them; what was begun in a chat is there on return."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="antiga", count=10)
    await says(company, session, **{"from": "+5511955554444", "name": "João"}, text="Oi")
    await arrived(company, 10)
    body = {"sessionId": session, "chat": MARIAS_CHAT}
    assert (await company.client.post(f"{API}/chats/read", json=body)).status_code == 204
    await says(company, session, text="nova", count=30)
    await arrived(company, 40)
    desk = await open_desk()
    await open_chat(desk, company)
    line = desk.page.locator(".log").get_by_text(desk.words("conversations.unreadHere.other", count=30))
    await expect(line).to_be_in_viewport()
    await expect(desk.page.locator(".log").get_by_text("nova 1", exact=True)).to_be_in_viewport()
    await desk.button("conversations.toEnd").click()
    await expect(desk.page.locator(".log").get_by_text("nova 30", exact=True)).to_be_in_viewport()
    await desk.field("conversations.write").fill("já volto")
    links = desk.page.locator(".chats")
    await links.get_by_role("link", name=re.compile("João")).click()
    await expect(desk.page.get_by_role("heading", name="João")).to_be_visible()
    await expect(desk.field("conversations.write")).to_have_value("")
    await links.get_by_role("link", name=re.compile("Maria Souza")).click()
    await expect(desk.field("conversations.write")).to_have_value("já volto")
