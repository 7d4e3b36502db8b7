"""Conversations in the console: read and answered by a person, live, with the bot in the same chat."""

import asyncio
import base64
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import FilePayload, Locator, expect

from tests.clips import make_sound
from tests.console.browser import Desk
from tests.console.conftest import Company, OpenDesk
from tests.files import PNG
from tests.flow.serving import Relay, carried_out, link, make_tenant, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

API = "/api/v1/whatsapp"
MARIA = {"from": "+5511988887777", "name": "Maria Souza"}
MARIAS_CHAT = "5511988887777@s.whatsapp.net"
GROUP = "120363000000000007@g.us"
RULES = """
version: 1
rules:
  - id: opening-hours
    when: {contains: [horário, hours]}
    do:
      - reply: "Das 8h às 18h."
"""


async def says(company: Company, session: str, **fields: Any) -> str:
    """Somebody writes, Maria unless said; answers the message's WhatsApp id."""
    path = f"{API}/sessions/{session}/sandbox/inbound"
    answer = await company.client.post(path, json={**MARIA, **fields})
    assert answer.status_code == 202, answer.text
    ids = answer.json()["waMessageIds"]
    return str(ids[0]) if ids else ""


async def arrived(company: Company, count: int, chat: str = MARIAS_CHAT) -> None:
    async def there() -> bool:
        params: dict[str, str | int] = {"chat": chat, "limit": count}
        found = (await company.client.get(f"{API}/messages", params=params)).json()["messages"]
        return len(found) >= count

    await until(there, seconds=15, what=f"{count} messages")


async def open_chat(desk: Desk, company: Company, name: str = "Maria Souza") -> None:
    await desk.sign_in(company.key)
    await desk.go("conversations")
    await chat_link(desk, name).click()
    await expect(desk.page.get_by_role("heading", name=name)).to_be_visible()


def chat_link(desk: Desk, name: str) -> Locator:
    return desk.page.get_by_role("list", name=desk.words("conversations.chats")).get_by_role(
        "link", name=re.compile(re.escape(name))
    )


def bubble(desk: Desk, words: str) -> Locator:
    return desk.page.locator(".bubble").filter(has_text=words)


async def write(desk: Desk, words: str) -> None:
    field = desk.field("conversations.write")
    await field.fill(words)
    await field.press("Enter")


async def test_what_a_customer_writes_appears_by_itself(desk: Desk, company: Company) -> None:
    """From nothing: a first chat shows, unread; opened, its messages are there and it is read; the next one appears."""
    session = await link(company.client, name="Loja")
    await desk.sign_in(company.key)
    await desk.go("conversations")
    await expect(desk.page.get_by_text(desk.words("conversations.empty.title"))).to_be_visible()
    await desk.check()
    await says(company, session, text="Bom dia!")
    maria = chat_link(desk, "Maria Souza")
    await expect(maria).to_contain_text("Bom dia!")
    await expect(maria).to_contain_text(f"1 {desk.words('conversations.unread.one')}")
    await maria.click()
    await expect(bubble(desk, "Bom dia!")).to_be_visible()
    await expect(desk.page.get_by_text(desk.words("conversations.beginning"))).to_be_visible()
    await expect(desk.page.get_by_text(desk.words("conversations.today"))).to_be_visible()
    await expect(maria).not_to_contain_text(desk.words("conversations.unread.one"))
    await says(company, session, text="Tem pão?")
    await expect(bubble(desk, "Tem pão?")).to_be_visible()
    await says(company, session, **{"from": "+5511955554444", "name": "João"}, text="Oi")
    await expect(chat_link(desk, "João")).to_be_visible()
    first = desk.page.locator(".chats li").first
    await expect(first).to_contain_text("João")
    await desk.check()


async def test_a_person_answers_and_the_bot_keeps_quiet(desk: Desk, company: Company) -> None:
    """The rule's answer has its name; a person's pauses the bot, until the button lets it speak again."""
    session = await link(company.client, name="Loja", automation=True)
    assert (await company.client.put("/api/v1/rules/shop", content=RULES)).status_code == 201
    await says(company, session, text="Qual o horário?")
    await open_chat(desk, company)
    by_rule = desk.words("conversations.by.rule", rule="opening-hours", ruleSet="shop")
    await expect(bubble(desk, "Das 8h às 18h.").get_by_text(by_rule)).to_be_visible()
    await expect(desk.page.get_by_text(desk.words("conversations.bot.on"))).to_be_visible()
    await write(desk, "Oi Maria, sou eu.")
    mine = bubble(desk, "Oi Maria, sou eu.")
    await expect(mine.get_by_text(desk.words("conversations.by.person"))).to_be_visible()
    await expect(mine.get_by_text(desk.words("conversations.status.read"), exact=True)).to_be_attached()
    await expect(desk.field("conversations.write")).to_have_value("")
    await expect(desk.page.get_by_text(desk.words("conversations.bot.reason.person"))).to_be_visible()
    await expect(chat_link(desk, "Maria Souza")).to_contain_text(desk.words("conversations.bot.pausedShort"))
    await desk.check()
    await desk.button("conversations.bot.resume").click()
    await expect(desk.button("conversations.bot.pause")).to_be_focused()
    await expect(chat_link(desk, "Maria Souza")).not_to_contain_text(
        desk.words("conversations.bot.pausedShort")
    )
    await says(company, session, text="E amanhã, que horário?")
    await expect(bubble(desk, "Das 8h às 18h.")).to_have_count(2)
    await desk.button("conversations.bot.pause").click()
    await expect(desk.page.get_by_text(desk.words("conversations.bot.reason.request"))).to_be_visible()


async def test_in_the_sandbox_one_can_be_the_customer(open_desk: OpenDesk, company: Company) -> None:
    """The other side writes, the composer says so plainly, and the rule answers it."""
    session = await link(company.client, name="Loja", automation=True)
    await company.client.put("/api/v1/rules/shop", content=RULES)
    await says(company, session, text="Oi")
    desk = await open_desk(language="en")
    await open_chat(desk, company)
    await desk.page.get_by_text(desk.words("conversations.side.customer"), exact=True).click()
    note = desk.words("conversations.side.note", name="Maria Souza")
    await expect(desk.page.get_by_text(note)).to_be_visible()
    await desk.check()
    await write(desk, "What are your hours?")
    await expect(desk.page.locator(".bubble.inbound").filter(has_text="your hours?")).to_be_visible()
    await expect(bubble(desk, "Das 8h às 18h.")).to_be_visible()
    outbox = await company.client.get(f"{API}/sessions/{session}/sandbox/outbox")
    assert "What are your hours?" not in outbox.text


async def test_files_are_sent_and_shown(desk: Desk, company: Company, tmp_path: Path) -> None:
    """A picture with words beside it, and a document: both reach the customer, and are seen here."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="Manda a foto?")
    await open_chat(desk, company)
    picker = desk.page.locator("input[type=file]")
    await picker.set_input_files(FilePayload(name="pão.png", mimeType="image/png", buffer=PNG))
    await expect(desk.page.get_by_text("pão.png")).to_be_visible()
    await write(desk, "Fresquinho")
    sent = bubble(desk, "Fresquinho")
    picture = sent.get_by_role("img", name="Fresquinho")
    await expect(picture).to_be_visible()
    await expect(picture).to_have_js_property("naturalWidth", 1)
    await picker.set_input_files(FilePayload(name="menu.txt", mimeType="text/plain", buffer=b"1 pao"))
    await desk.button("conversations.send").click()
    document = bubble(desk, "menu.txt").get_by_role("link")
    async with desk.page.expect_download() as download:
        await document.click()
    assert Path(await (await download.value).path()).read_bytes() == b"1 pao"
    await expect(bubble(desk, "menu.txt")).to_contain_text(desk.words("conversations.status.read"))
    outbox = (await company.client.get(f"{API}/sessions/{session}/sandbox/outbox")).json()["messages"]
    types = [message["type"] for message in outbox if message["kind"] == "message"]
    assert types == ["image", "document"]
    await picture.click()
    await expect(desk.dialog().get_by_role("img")).to_be_visible()
    await desk.check()


async def test_everything_that_can_arrive_is_shown(desk: Desk, company: Company, tmp_path: Path) -> None:
    """A voice note plays; a place, a contact, a poll with its votes, a reaction, an edit, what was deleted."""
    session = await link(company.client, name="Loja")
    first = await says(company, session, text="Olá")
    sound = make_sound(tmp_path / "note.ogg", "libopus", "ogg").read_bytes()
    voice = {"base64": base64.b64encode(sound).decode(), "mimetype": "audio/ogg", "voice": True}
    await says(company, session, type="audio", content=voice)
    await says(
        company, session, type="location", content={"latitude": -23.5, "longitude": -46.6, "name": "Casa"}
    )
    await says(company, session, type="contact", content={"name": "Zé", "phone": "+55 11 97777-6666"})
    poll = await says(
        company, session, type="poll", content={"question": "Quando?", "options": ["hoje", "amanhã"]}
    )
    changed = await says(company, session, text="antes", waId="A1")
    gone = await says(company, session, text="segredo", waId="A2")
    await arrived(company, 7)
    await open_chat(desk, company)
    await expect(bubble(desk, "segredo")).to_be_visible()
    await says(company, session, type="reaction", waId=first, text="👍")
    await says(company, session, type="edit", waId=changed, text="depois")
    await says(company, session, type="revoke", waId=gone)
    await says(company, session, type="poll_vote", content={"waMessageId": poll, "options": ["hoje"]})
    await expect(bubble(desk, "Olá").get_by_text("👍")).to_be_visible()
    await expect(bubble(desk, "depois").get_by_text(desk.words("conversations.edited"))).to_be_visible()
    await expect(bubble(desk, "segredo")).to_have_count(0)
    await expect(bubble(desk, desk.words("conversations.revoked"))).to_be_visible()
    await expect(bubble(desk, "Casa").get_by_role("link")).to_be_visible()
    await expect(bubble(desk, "+55 11 97777-6666")).to_be_visible()
    await expect(bubble(desk, "Quando?")).to_contain_text(desk.words("conversations.votes.one", count=1))
    audio = desk.page.locator("audio")
    await audio.evaluate("audio => { audio.muted = true; return audio.play() }")
    await desk.page.wait_for_function("document.querySelector('audio').currentTime > 0")
    await desk.check()


async def test_what_could_not_be_sent_says_why(desk: Desk, company: Company) -> None:
    """WhatsApp refuses: the message has its sentence. The session is away: the page says that it waits."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="Oi")
    await open_chat(desk, company)
    fault = f"{API}/sessions/{session}/sandbox/fault"
    await company.client.post(fault, json={"kind": "reject", "count": 1})
    await carried_out(desk.relay.database_url(), session)
    await write(desk, "Não vai")
    sentence = desk.words("conversations.error.send_rejected")
    await expect(bubble(desk, "Não vai").get_by_text(sentence)).to_be_visible()
    await company.client.post(f"{API}/sessions/{session}/disconnect")
    await expect(desk.page.get_by_text(desk.words("conversations.away", name="Loja"))).to_be_visible()
    await write(desk, "Depois")
    waiting = bubble(desk, "Depois").get_by_text(desk.words("conversations.status.queued"))
    await expect(waiting).to_be_attached()
    await desk.check()
    await company.client.post(f"{API}/sessions/{session}/connect")
    await expect(bubble(desk, "Depois").get_by_text(desk.words("conversations.status.read"))).to_be_attached()
    await expect(desk.page.get_by_text(desk.words("conversations.away", name="Loja"))).to_be_hidden()


async def test_a_contacts_tags_and_what_bots_remember(desk: Desk, company: Company) -> None:
    """Tags are given and shown beside the name, a variable is forgotten, bots may be kept from a contact."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="Oi")
    await arrived(company, 1)
    (contact,) = (await company.client.get(f"{API}/contacts")).json()["contacts"]
    path = f"{API}/contacts/{contact['id']}"
    await company.client.patch(path, json={"vars": {"order": "42", "plan": "gold"}})
    await open_chat(desk, company)
    await desk.button("conversations.contact.show").click()
    await desk.field("conversations.contact.tagsEdit").fill("vip, atacado")
    await desk.field("conversations.contact.ignored").check()
    await desk.page.get_by_label(desk.words("conversations.contact.remove", name="order")).check()
    await desk.check()
    await desk.button("common.save").click()
    await expect(desk.dialog()).to_have_count(0)
    await expect(desk.page.locator(".thread-tags")).to_contain_text("atacado")
    saved = (await company.client.get(path)).json()
    assert (sorted(saved["tags"]), saved["vars"], saved["ignored"]) == (
        ["atacado", "vip"],
        {"plan": "gold"},
        True,
    )


async def test_search_and_sessions(desk: Desk, company: Company) -> None:
    """Chats of one session or of all; a contact is found by name or number, and nobody is said to be nobody."""
    shop = await link(company.client, name="Loja")
    support = await link(company.client, name="Suporte")
    await says(company, shop, text="Oi loja")
    await says(company, support, **{"from": "+5511955554444", "name": "João"}, text="Oi suporte")
    await arrived(company, 1)
    await desk.sign_in(company.key)
    await desk.go("conversations")
    await expect(chat_link(desk, "João")).to_contain_text("Suporte")
    await desk.field("conversations.session").select_option(label="Loja")
    await expect(chat_link(desk, "João")).to_have_count(0)
    await expect(chat_link(desk, "Maria Souza")).to_be_visible()
    await desk.field("conversations.session").select_option(label=desk.words("conversations.session.all"))
    search = desk.page.get_by_role("searchbox")
    await search.fill("5544")
    await expect(chat_link(desk, "Maria Souza")).to_have_count(0)
    await expect(chat_link(desk, "João")).to_be_visible()
    await search.fill("ninguém mesmo")
    await expect(desk.page.get_by_text(desk.words("conversations.notFound"))).to_be_visible()
    await search.fill("")
    await chat_link(desk, "João").click()
    await expect(bubble(desk, "Oi suporte")).to_be_visible()
    await desk.check()


async def test_a_conversation_is_begun(desk: Desk, company: Company) -> None:
    """With a number that is none the field says so; with a real one the chat opens. No number is in the address."""
    await link(company.client, name="Loja")
    await desk.sign_in(company.key)
    await desk.go("conversations")
    await desk.button("conversations.new").click()
    await desk.dialog().get_by_role("radio", name=desk.words("conversations.side.us")).check()
    await desk.field("conversations.new.to").fill("12")
    await desk.field("conversations.new.text").fill("Seu pedido está pronto.")
    await desk.check()
    await desk.button("conversations.send", within=desk.dialog()).click()
    await expect(desk.field("conversations.new.to")).to_have_attribute("aria-invalid", "true")
    await desk.field("conversations.new.to").fill("+55 11 98888-7777")
    await desk.button("conversations.send", within=desk.dialog()).click()
    await expect(bubble(desk, "Seu pedido está pronto.")).to_be_visible()
    assert "98888" not in desk.page.url
    await desk.page.reload()
    await expect(bubble(desk, "Seu pedido está pronto.")).to_be_visible()


async def test_a_chat_that_is_not_there(desk: Desk, company: Company) -> None:
    """Behind its address it is said so, on a phone's screen too, with the way back to the list."""
    session = await link(company.client, name="Loja")
    await desk.sign_in(company.key)
    await desk.go("conversations", session, "ctc_nope")
    missing = desk.page.get_by_role("alert").get_by_text(desk.words("conversations.missing.title"))
    await expect(missing).to_be_visible()
    await desk.check()
    await desk.page.set_viewport_size({"width": 360, "height": 640})
    await expect(missing).to_be_visible()
    await desk.check()
    await desk.page.get_by_role("alert").get_by_role("link", name=desk.words("conversations.back")).click()
    await expect(desk.page.get_by_text(desk.words("conversations.empty.title"))).to_be_visible()
    await expect(missing).to_have_count(0)


async def test_groups_have_names(desk: Desk, company: Company) -> None:
    """Where it cannot be had, the end of its number; then WhatsApp's, which stays when the session is away again."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="Bom dia, grupo", chat=GROUP)
    await arrived(company, 1, GROUP)
    await company.client.post(f"{API}/sessions/{session}/disconnect")
    await desk.sign_in(company.key)
    await desk.go("conversations")
    unnamed = desk.words("conversations.group", end="0007")
    await chat_link(desk, unnamed).click()
    await expect(desk.page.get_by_role("heading", name=unnamed)).to_be_visible()
    await company.client.post(f"{API}/sessions/{session}/connect")
    group = chat_link(desk, "Group 0007")
    await expect(group).to_contain_text("Maria Souza: Bom dia, grupo")
    await expect(desk.page.get_by_role("heading", name="Group 0007")).to_be_visible()
    await expect(bubble(desk, "Bom dia, grupo")).to_contain_text("Maria Souza")
    await desk.check()
    await company.client.post(f"{API}/sessions/{session}/disconnect")
    await desk.page.reload()
    await expect(desk.page.get_by_role("heading", name="Group 0007")).to_be_visible()
    await expect(group).to_be_visible()


async def test_ten_thousand_messages_stay_usable(open_desk: OpenDesk, company: Company) -> None:
    """Only some have elements, as far back as one reads; where one reads stays in place when new ones come."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="número", count=10_000)
    await arrived(company, 1)
    desk = await open_desk()

    async def all_there() -> bool:
        chats = (await company.client.get(f"{API}/chats")).json()["chats"]
        return bool(chats[0]["unread"] == 10_000)

    await until(all_there, seconds=60, what="10,000 messages")
    await open_chat(desk, company)
    await expect(bubble(desk, "número 10000")).to_be_visible()
    page = desk.page
    log = page.locator(".log")
    # As far back as a person would not scroll: to the very first.
    async with asyncio.timeout(60):
        await log.evaluate("""log => new Promise((done) => {
          const up = () => {
            if (log.scrollTop === 0 && log.querySelector('.bubble').innerText.startsWith('número 1\\n')) done();
            else { log.scrollTop = 0; requestAnimationFrame(up); }
          };
          up();
        })""")
    await expect(page.get_by_text(desk.words("conversations.beginning"))).to_be_visible()
    assert await page.locator(".bubble").count() <= 160
    await says(company, session, text="mais um", count=20)
    newest = desk.words("conversations.newBelow.other", count=20)
    await expect(page.get_by_role("button", name=newest)).to_be_visible()
    assert await log.evaluate("log => log.scrollTop") == 0
    await page.get_by_role("button", name=newest).click()
    await expect(log.get_by_text("mais um 20", exact=True)).to_be_in_viewport()
    assert await page.locator(".bubble").count() <= 160


async def test_on_a_phones_screen(open_desk: OpenDesk, company: Company) -> None:
    """One thing at a time: the list, then the chat, and back, where the focus was."""
    session = await link(company.client, name="Loja", automation=True)
    await says(company, session, text="Uma mensagem comprida " * 20)
    desk = await open_desk(width=360, height=640)
    await desk.sign_in(company.key)
    await desk.go("conversations")
    maria = chat_link(desk, "Maria Souza")
    await maria.click()
    await expect(desk.page.locator(".bubble")).to_be_visible()
    await expect(maria).to_be_hidden()
    await write(desk, "Oi Maria")
    await expect(bubble(desk, "Oi Maria")).to_be_in_viewport()
    await desk.check()
    await desk.page.get_by_role("link", name=desk.words("conversations.back")).click()
    await expect(maria).to_be_focused()
    await desk.check()


async def test_a_key_that_only_reads(open_desk: OpenDesk, company: Company) -> None:
    """It sees chats and messages, and nothing that it may not do."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="Oi")
    await arrived(company, 1)
    made = await company.client.post("/api/v1/admin/keys", json={"name": "eye", "scopes": ["messages:read"]})
    desk = await open_desk()
    await desk.sign_in(made.json()["key"])
    await desk.go("conversations")
    await chat_link(desk, "Maria Souza").click()
    await expect(bubble(desk, "Oi")).to_be_visible()
    await expect(desk.page.get_by_text(desk.words("conversations.readOnly"))).to_be_visible()
    await expect(desk.button("conversations.bot.pause")).to_have_count(0)
    await expect(desk.button("conversations.new")).to_have_count(0)
    await desk.check()


async def test_another_companys_chats_are_not_there(
    open_desk: OpenDesk, company: Company, relay: Relay
) -> None:
    """Neither in the list, nor behind their address, nor as they happen."""
    session = await link(company.client, name="Loja")
    await says(company, session, text="Segredo")
    await arrived(company, 1)
    (contact,) = (await company.client.get(f"{API}/contacts")).json()["contacts"]
    async with await make_tenant(relay, "Other") as other:
        own = await link(other, name="Nossa")
        desk = await open_desk()
        await desk.sign_in(other.headers["Authorization"].removeprefix("Bearer "))
        await desk.go("conversations", session, contact["id"])
        await expect(desk.page.get_by_text(desk.words("conversations.empty.title"))).to_be_visible()
        await says(company, session, text="Segredo dois")
        await arrived(company, 2)
        await other.post(f"{API}/sessions/{own}/sandbox/inbound", json={**MARIA, "text": "Nosso"})
        await expect(chat_link(desk, "Maria Souza")).to_contain_text("Nosso")
        await expect(desk.page.get_by_text("Segredo")).to_have_count(0)
        await expect(desk.page.locator(".chats li")).to_have_count(1)
