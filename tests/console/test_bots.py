"""Bots in the console: rules written, mended, tried out, put in force and taken back, as a person does it."""

import re
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from tests.api_client import ALL_SCOPES, OPERATOR_KEY
from tests.console.browser import Desk
from tests.console.conftest import Company, OpenDesk
from tests.flow.serving import Relay, link, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULES = "/api/v1/rules"
SHOP = """version: 1
rules:
  - id: hours
    when: {keyword: [hours]}
    do: [{reply: From 9 to 18.}]
  - id: book
    when: {keyword: [book]}
    do: [{flow: booking}]
flows:
  booking:
    steps:
      - {id: people, ask: For how many?, capture: people, validate: {type: integer}}
      - {id: day, ask: Which day?, capture: day}
      - do: [{reply: "{{ people }} on {{ day }}."}, {handoff: true}]
tests:
  - name: asks for the hours
    given: {text: your hours?}
    expect: {rule: hours, replies: [From 9 to 18.]}
"""


def editor(desk: Desk) -> Locator:
    return desk.page.locator(".bot-editor textarea")


async def open_set(desk: Desk, company: Company, name: str = "shop", source: str = SHOP) -> None:
    """A rule set in force, and its page."""
    put = await company.client.put(f"{RULES}/{name}", content=source)
    assert put.status_code == 201, put.text
    await desk.sign_in(company.key)
    await desk.go("bots", "rules", name)
    await expect(desk.page.get_by_text(desk.words("bots.check.good"))).to_be_visible()


async def put_in_force(desk: Desk, note: str = "") -> None:
    await desk.button("bots.putInForce").click()
    await desk.field("bots.note", within=desk.dialog()).fill(note)
    await desk.button("bots.putInForce", within=desk.dialog()).click()
    await expect(desk.dialog()).to_have_count(0)


async def say(desk: Desk, text: str) -> Locator:
    """The chat, once it has been answered."""
    await desk.field("bots.sim.message").fill(text)
    answered = await desk.page.locator(".bot-why").count()
    await desk.button("bots.sim.send").click()
    await expect(desk.page.locator(".bot-why")).to_have_count(answered + 1)
    return desk.page.get_by_role("log")


async def source_of(company: Company, name: str) -> str:
    return str((await company.client.get(f"{RULES}/{name}")).json()["source"])


async def test_a_bot_is_written_mended_and_put_in_force(desk: Desk, company: Company) -> None:
    """From nothing: a starter, a mistake whose line is marked and gone to, mended, in force with a note."""
    await desk.sign_in(company.key)
    await desk.go("bots")
    await expect(desk.page.get_by_text(desk.words("bots.empty.title"))).to_be_visible()
    await desk.check()
    await desk.button("bots.new").first.click()
    await desk.check()
    await desk.field("bots.name", within=desk.dialog()).fill("loja")
    await desk.button("bots.new.button").click()
    await expect(desk.page.get_by_text(desk.words("bots.notInForce"))).to_be_visible()
    await expect(desk.page.get_by_text(desk.words("bots.check.good"))).to_be_visible()
    assert (await company.client.get(f"{RULES}/loja")).status_code == 404
    await desk.check()
    starter = await editor(desk).input_value()
    wrong = starter.replace("    do:\n", "    doo:\n", 1)
    line = wrong.split("\n").index("    doo:") + 1
    await editor(desk).fill(wrong)
    problem = desk.page.get_by_role("button", name=desk.words("bots.check.line", line=line))
    await expect(problem).to_contain_text(
        {"en": "did you mean do?", "pt-BR": "você quis dizer do?"}[desk.language]
    )
    await expect(desk.page.locator(f".bot-mark[data-line='{line}']")).to_be_visible()
    await expect(editor(desk)).to_have_attribute("aria-invalid", "true")
    await desk.check()
    await problem.click()
    await expect(editor(desk)).to_be_focused()
    at = await editor(desk).evaluate("(area) => area.value.slice(0, area.selectionStart).split('\\n').length")
    assert at == line
    await desk.button("bots.putInForce").click()
    await expect(desk.page.get_by_text(desk.words("bots.errors.rules_invalid"))).to_be_visible()
    await expect(desk.dialog()).to_have_count(0)
    await editor(desk).fill(starter)
    await expect(desk.page.locator(".bot-mark")).to_have_count(0)
    await put_in_force(desk, "começo")
    await expect(desk.page.get_by_text(desk.words("bots.inForce", version=1)).first).to_be_visible()
    assert await source_of(company, "loja") == starter
    await desk.go("bots")
    row = desk.page.get_by_role("row").filter(has_text="loja")
    await expect(row).to_contain_text("começo")
    await desk.check()


async def test_the_simulator_answers_explains_and_goes_on(desk: Desk, company: Company) -> None:
    """What is being written answers, says why, and a flow goes on over several messages; nothing is in force by it."""
    await open_set(desk, company)
    await editor(desk).fill(SHOP.replace("From 9 to 18.", "From 8 to 20."))
    chat = await say(desk, "your hours?")
    await expect(chat.get_by_text("From 8 to 20.")).to_be_visible()
    why = chat.locator("details").last
    await why.locator("summary").click()
    await expect(why.get_by_role("listitem").filter(has_text="hours")).to_contain_text(
        {"en": "The rule has fired.", "pt-BR": "A regra disparou."}[desk.language]
    )
    await say(desk, "book")
    await expect(chat.get_by_text("For how many?")).to_be_visible()
    await say(desk, "some")
    await expect(chat.get_by_text("For how many?")).to_have_count(2)
    await say(desk, "4")
    await say(desk, "Friday")
    await expect(chat.get_by_text("4 on Friday.")).to_be_visible()
    await expect(chat.get_by_text(desk.words("bots.sim.handoff"))).to_be_visible()
    await desk.check()
    await say(desk, "your hours?")
    await expect(chat.get_by_text(desk.words("bots.sim.guarded"))).to_be_visible()
    await desk.button("bots.sim.startOver").click()
    await expect(desk.page.locator(".bot-bubble")).to_have_count(0)
    await say(desk, "your hours?")
    await expect(chat.get_by_text("From 8 to 20.")).to_be_visible()
    assert await source_of(company, "shop") == SHOP


async def test_what_else_a_message_can_be(desk: Desk, company: Company) -> None:
    """Its time, its kind, and what an HTTP call answers change what the bot says; JSON that is none is said to be."""
    source = """version: 1
rules:
  - {id: night, when: {always: true}, if: [{time: {after: '20:00'}}], do: [{reply: Closed.}]}
  - {id: photo, when: {types: [image]}, do: [{reply: A picture.}]}
  - {id: order, when: {always: true}, do: [{http: {url: 'https://shop.example/'}}, {reply: "It is {{ http.json.state }}."}]}
"""
    await open_set(desk, company, source=source)
    await desk.page.get_by_text(desk.words("bots.sim.more")).click()
    answer = desk.field("bots.sim.http")
    await answer.fill("{state: sent")
    await desk.field("bots.sim.message").fill("Order?")
    await desk.button("bots.sim.send").click()
    await expect(desk.page.get_by_text(desk.words("bots.sim.http.wrong"))).to_be_visible()
    await answer.fill('{"state": "sent"}')
    chat = await say(desk, "Order?")
    await expect(chat.get_by_text("It is sent.")).to_be_visible()
    await desk.field("bots.sim.type").select_option("image")
    await say(desk, "look")
    await expect(chat.get_by_text("A picture.")).to_be_visible()
    await desk.field("bots.sim.at").fill("2026-01-05T22:00")
    await say(desk, "and now?")
    await expect(chat.get_by_text("Closed.")).to_be_visible()
    await desk.check()


async def test_failed_tests_are_named(desk: Desk, company: Company) -> None:
    """A text that does not do what its tests expect is refused, and put in force where one says so."""
    await open_set(desk, company)
    await editor(desk).fill(SHOP.replace("[{reply: From 9 to 18.}]", "[{reply: Never.}]"))
    failed = desk.button("bots.check.test", name="asks for the hours")
    await expect(failed).to_contain_text("Never.")
    await desk.check()
    await failed.click()
    await expect(editor(desk)).to_be_focused()
    await desk.button("bots.putInForce").click()
    await desk.button("bots.putInForce", within=desk.dialog()).click()
    await expect(desk.dialog().get_by_text(desk.words("bots.errors.rules_tests_failed"))).to_be_visible()
    await desk.field("bots.skipTests", within=desk.dialog()).check()
    await desk.button("bots.putInForce", within=desk.dialog()).click()
    await expect(desk.page.get_by_text(desk.words("bots.inForce", version=2)).first).to_be_visible()
    assert "Never." in await source_of(company, "shop")


async def test_versions_what_differs_and_back(desk: Desk, company: Company) -> None:
    """A second version shows what it changed; the first is put in force again, and the editor has its text."""
    await open_set(desk, company)
    await editor(desk).fill(SHOP.replace("9 to 18", "8 to 20"))
    await expect(desk.page.get_by_text(desk.words("bots.unsaved"))).to_be_visible()
    await expect(desk.page.get_by_text(desk.words("bots.check.good"))).to_be_visible()
    await put_in_force(desk, "summer")
    await desk.button("bots.versions").click()
    diff = desk.page.get_by_role("region", name=desk.words("bots.diff"))
    await expect(diff.locator(".removed").first).to_contain_text("From 9 to 18.")
    await expect(diff.locator(".added").first).to_contain_text("From 8 to 20.")
    await expect(desk.dialog().get_by_text("summer")).to_be_visible()
    await desk.check()
    await desk.dialog().get_by_role("button", name=desk.words("bots.versionNumber", version=1)).first.click()
    await desk.button("bots.rollBack", version=1).click()
    await expect(desk.page.get_by_text(desk.words("bots.inForce", version=3)).first).to_be_visible()
    await expect(editor(desk)).to_have_value(SHOP)
    assert await source_of(company, "shop") == SHOP


async def test_what_is_not_in_force_waits_for_its_writer(desk: Desk, company: Company) -> None:
    """Another page and back: the text is as it was left; discarded, it is what is in force; another waits beside it."""
    await open_set(desk, company)
    await editor(desk).fill(SHOP + "# mine\n")
    await desk.page.get_by_role("link", name=desk.words("bots.back")).click()
    rows = desk.page.get_by_role("row")
    await expect(rows.filter(has_text="shop")).to_contain_text(desk.words("bots.unsaved"))
    await desk.button("bots.new").first.click()
    await desk.field("bots.name", within=desk.dialog()).fill("shop")
    await desk.button("bots.new.button").click()
    await expect(desk.page.get_by_text(desk.words("bots.errors.name_taken"))).to_be_visible()
    await desk.field("bots.name", within=desk.dialog()).fill("other")
    await desk.button("bots.new.button").click()
    await expect(desk.page.get_by_text(desk.words("bots.notInForce"))).to_be_visible()
    await desk.page.get_by_role("link", name=desk.words("bots.back")).click()
    await expect(rows.filter(has_text="other")).to_contain_text(desk.words("bots.notInForce"))
    await desk.check()
    await desk.button("bots.deleteOf", name="other").click()
    await desk.button("bots.delete", within=desk.dialog()).click()
    await expect(rows.filter(has_text="other")).to_have_count(0)
    await desk.page.get_by_role("link", name="shop").first.click()
    await expect(editor(desk)).to_have_value(SHOP + "# mine\n")
    await desk.button("bots.discard").click()
    await expect(editor(desk)).to_have_value(SHOP)
    await expect(desk.button("bots.putInForce")).to_be_hidden()


async def test_the_editor_by_keyboard(open_desk: OpenDesk, company: Company) -> None:
    """Tab indents, Shift+Tab takes it back, Enter keeps the indentation; Escape and then Tab leaves the field."""
    desk = await open_desk()
    await open_set(desk, company)
    await editor(desk).fill("rules:")
    await editor(desk).focus()
    keyboard = desk.page.keyboard
    await keyboard.press("Enter")
    await keyboard.type("- id: a")
    await keyboard.press("Enter")
    await keyboard.press("Tab")
    await keyboard.type("when: b")
    await expect(editor(desk)).to_have_value("rules:\n  - id: a\n    when: b")
    await keyboard.press("Shift+Tab")
    await expect(editor(desk)).to_have_value("rules:\n  - id: a\n  when: b")
    await keyboard.press("Control+z")
    await expect(editor(desk)).to_have_value("rules:\n  - id: a\n    when: b")
    await keyboard.press("Escape")
    await keyboard.press("Tab")
    await expect(editor(desk)).not_to_be_focused()


async def test_starters_and_words_are_what_the_server_takes(desk: Desk, company: Company) -> None:
    """Each starter has no mistake and its tests pass; each example below the editor makes a rule."""
    await desk.sign_in(company.key)
    for kind in ("booking", "blank"):
        await desk.go("bots")
        await desk.button("bots.new").first.click()
        await desk.field("bots.name", within=desk.dialog()).fill(kind)
        await desk.dialog().locator(f"[value={kind}]").check()
        await desk.button("bots.new.button").click()
        await expect(desk.page.get_by_text(desk.words("bots.check.good"))).to_be_visible()
    await desk.page.get_by_text(desk.words("bots.words"), exact=True).click()
    await desk.check()
    examples = {
        group: await desk.page.locator(f"code[data-group={group}]").all_inner_texts()
        for group in ("when", "if", "do")
    }
    rules = [
        *(f"{{when: {{{one}}}, do: [{{stop: true}}]}}" for one in examples["when"]),
        *(f"{{when: {{always: true}}, if: [{{{one}}}], do: [{{stop: true}}]}}" for one in examples["if"]),
        *(f"{{when: {{regex: '(?P<order>x)'}}, do: [{{{one}}}]}}" for one in examples["do"]),
    ]
    assert len(rules) > 20
    listed = "".join(f"  - {rule[0]}id: r{number}, {rule[1:]}\n" for number, rule in enumerate(rules))
    source = f"version: 1\nrules:\n{listed}flows:\n  booking: {{steps: [{{ask: Day?}}]}}\n"
    checked = await company.client.put(f"{RULES}/words?dryRun=true", content=source)
    assert checked.status_code == 200, checked.text


async def test_delete_asks_first(desk: Desk, company: Company) -> None:
    """Cancelled, nothing happens; confirmed, the rule set is gone."""
    await company.client.put(f"{RULES}/shop", content=SHOP)
    await desk.sign_in(company.key)
    await desk.go("bots")
    await desk.button("bots.deleteOf", name="shop").click()
    await desk.check()
    await desk.button("common.cancel").click()
    await expect(desk.dialog()).to_have_count(0)
    await desk.button("bots.deleteOf", name="shop").click()
    await desk.button("bots.delete", within=desk.dialog()).click()
    await expect(desk.page.get_by_text(desk.words("bots.empty.title"))).to_be_visible()
    assert (await company.client.get(RULES)).json()["ruleSets"] == []


async def test_all_that_is_in_force_is_tried(desk: Desk, company: Company) -> None:
    """Two rule sets answer in one chat, and each reason names its set."""
    await company.client.put(f"{RULES}/shop", content=SHOP)
    other = "version: 1\nrules: [{id: bye, when: {keyword: bye}, do: [{reply: See you.}]}]\n"
    await company.client.put(f"{RULES}/goodbye", content=other)
    await desk.sign_in(company.key)
    await desk.go("bots", "try")
    chat = await say(desk, "bye")
    await expect(chat.get_by_text("See you.")).to_be_visible()
    await say(desk, "what?")
    await expect(chat.get_by_text(desk.words("bots.sim.nothing"))).to_be_visible()
    await chat.locator("summary").last.click()
    await expect(chat.get_by_role("listitem").filter(has_text="hours")).to_contain_text("(shop)")
    await expect(chat.get_by_role("listitem").filter(has_text="bye").last).to_contain_text("(goodbye)")
    await desk.check()


async def test_shadow_mode_is_read(desk: Desk, company: Company) -> None:
    """A customer writes, a shadow rule would have answered: it is in the list, and nobody heard of it."""
    session = await link(company.client, name="Loja")
    await company.client.patch(f"/api/v1/whatsapp/sessions/{session}", json={"automation": True})
    shadow = "version: 1\nshadow: true\nrules: [{id: bye, when: {keyword: bye}, do: [{reply: See you.}]}]\n"
    await company.client.put(f"{RULES}/goodbye", content=shadow)
    await desk.sign_in(company.key)
    await desk.go("bots", "shadow")
    await expect(desk.page.get_by_text(desk.words("bots.shadow.empty.title"))).to_be_visible()
    inbound = f"/api/v1/whatsapp/sessions/{session}/sandbox/inbound"
    await company.client.post(inbound, json={"from": "5511912345678", "name": "Maria", "text": "bye"})

    async def decided() -> Any:
        return (await company.client.get(f"{RULES}/shadow")).json()["decisions"]

    await until(decided, seconds=15, what="a decision in the shadow")
    await desk.page.reload()
    await expect(desk.page.get_by_role("row").filter(has_text="See you.")).to_contain_text("bye (goodbye)")
    await desk.check()


async def test_another_companys_rules_are_not_there(desk: Desk, company: Company, relay: Relay) -> None:
    """Neither in the list nor behind their address."""
    await company.client.put(f"{RULES}/secret", content=SHOP)
    async with relay.client() as operator:
        other = (await operator.post("/api/v1/admin/tenants", json={"name": "Other"})).json()["companyId"]
        body = {"companyId": other, "name": "k", "scopes": ALL_SCOPES}
        key = (await operator.post("/api/v1/admin/keys", json=body)).json()["key"]
    await desk.sign_in(key)
    await desk.go("bots")
    await expect(desk.page.get_by_text(desk.words("bots.empty.title"))).to_be_visible()
    await desk.page.goto(f"{relay.url}/#/bots/rules/secret")
    await expect(desk.page.get_by_role("alert")).to_contain_text(desk.words("common.errors.not_found"))
    await expect(editor(desk)).to_have_count(0)


async def test_an_address_of_nothing_leads_back(open_desk: OpenDesk, company: Company) -> None:
    """Neither a rule set nor an agent: it is said so, and the way back is the list."""
    desk = await open_desk()
    await desk.sign_in(company.key)
    for place, back in (("rules", "bots.back"), ("agents", "bots.agents.back")):
        await desk.go("bots", place, "nope")
        await expect(desk.page.get_by_text(desk.words("common.errors.not_found"))).to_be_visible()
        await expect(desk.button("common.retry")).to_have_count(0)
        await desk.check()
        await desk.page.get_by_role("link", name=desk.words(back)).click()
        await expect(desk.page.get_by_role("heading", level=1, name=desk.words("bots.title"))).to_be_visible()


async def test_on_a_phones_screen(open_desk: OpenDesk, company: Company) -> None:
    """360 px wide nothing sticks out, with a mistake on show and an answer explained."""
    desk = await open_desk(width=360, height=640)
    await open_set(desk, company)
    chat = await say(desk, "your hours?")
    await chat.locator("summary").last.click()
    await editor(desk).fill(
        SHOP.replace("keyword: [hours]", "keywrd_that_is_much_too_long_for_a_phone: [hours]")
    )
    await expect(desk.page.get_by_role("button", name=re.compile(r"4:"))).to_be_visible()
    await desk.check()
    await desk.go("bots")
    await expect(desk.page.get_by_role("row").filter(has_text="shop")).to_be_visible()
    await desk.check()


async def test_an_operator_works_for_a_company(open_desk: OpenDesk, relay: Relay) -> None:
    """The company chosen above is whose rules are read, tried, put in force and taken back."""
    async with relay.client() as operator:
        made = await operator.post("/api/v1/admin/tenants", json={"name": "Floricultura"})
        company_id = made.json()["companyId"]
        where = {"companyId": company_id}
        await operator.put(f"{RULES}/shop", params=where, content=SHOP)
        await operator.put(f"{RULES}/shop", params=where, content=SHOP + "# two\n")
        desk = await open_desk(language="en")
        await desk.sign_in(OPERATOR_KEY)
        await desk.page.get_by_label(desk.words("shell.company")).select_option(company_id)
        await desk.go("bots", "rules", "shop")
        await expect(editor(desk)).to_have_value(SHOP + "# two\n")
        chat = await say(desk, "your hours?")
        await expect(chat.get_by_text("From 9 to 18.")).to_be_visible()
        await desk.button("bots.versions").click()
        await desk.dialog().get_by_role("button", name="Version 1").first.click()
        await desk.button("bots.rollBack", version=1).click()
        await expect(editor(desk)).to_have_value(SHOP)
        await editor(desk).fill(SHOP + "# four\n")
        await put_in_force(desk)
        await expect(desk.page.get_by_text(desk.words("bots.inForce", version=4)).first).to_be_visible()
        answer = await operator.get(f"{RULES}/shop", params=where)
    assert answer.json()["source"] == SHOP + "# four\n"


async def test_mistakes_follow_the_language_that_is_chosen(open_desk: OpenDesk, company: Company) -> None:
    """Not the browser's: whoever switches the console to Portuguese reads of mistakes in Portuguese."""
    desk = await open_desk(language="en")
    await open_set(desk, company)
    await editor(desk).fill(SHOP.replace("flow: booking", "flow: bookng"))
    await expect(desk.page.get_by_text("“bookng” is no flow; did you mean")).to_be_visible()
    await desk.field("shell.language").select_option("pt-BR")
    await expect(desk.page.get_by_text("não há fluxo com o nome “bookng”; você quis dizer")).to_be_visible()
