"""A believable company for pictures, told twice: «Padaria Sol» in Portuguese, «Sunrise Bakery» in English.

    Tale ── what people say and what things are called ──► open_story(…) ──► Stage: the keys and ids of what then exists

Its accounts are linked to phones of WhatsApp's stand-in. Everybody in it is invented; so are all numbers.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from msgspec import Struct

from relay.model.ids import TenantId
from relay.store import rates
from relay.store.pool import connect
from tests.api_client import ALL_SCOPES
from tests.console.browser import Language
from tests.console.shop import Shop
from tests.flow.serving import Relay, until
from tests.flow.whatsapp import SESSIONS, Phones, shows_code, stands
from tests.model_server import ModelServer
from tests.phone_network.accounts import Account
from tests.phone_network.inbox import Posted
from tests.phone_network.phones import Person

SEND = "/api/v1/whatsapp/send"


class Line(Struct, frozen=True):
    """Something that a customer wrote, so many minutes ago, and what was answered by a person."""

    name: str
    phone: str
    text: str
    minutes: int
    answer: str = ""


class Tale(Struct, frozen=True, kw_only=True):
    company: str
    owner: str
    newcomer: str
    """Another company, which has nothing yet."""
    others: Sequence[str]
    domain: str
    counter: str
    counter_phone: str
    orders: str
    orders_phone: str
    deliveries: str
    factory: str
    factory_phone: str
    agent: str
    agent_prompt: str
    agent_asked: str
    agent_answer: str
    customer: str
    customer_phone: str
    talk: Sequence[tuple[str, str]]
    """What the customer says, and the bot."""
    wish: str
    promise: str
    """What a person answers to that."""
    notices: Sequence[tuple[str, str, str]]
    """Name, number, and what the company writes of its own accord."""
    chats: Sequence[Line]
    rules_name: str
    rules: str
    endpoints: tuple[str, str]
    """One that works, one that fails."""
    keys: Sequence[tuple[str, Sequence[str]]]


class Stage(Struct, frozen=True, kw_only=True):
    tale: Tale
    key: str
    newcomer_key: str
    waiting: str
    """The session that shows its code."""
    failing: str
    """The endpoint that fails."""
    agent: str
    addresses: Mapping[str, str]
    """What stands in pictures in place of a loopback address."""


_RULES = """version: 1
description: {about}

rules:
  - id: {opening}
    when:
      keyword: [{keywords}]
    do:
      - reply: "{answer}"

  - id: {cake}
    when: {{contains: [{cakes}]}}
    do:
      - flow: {cake}

flows:
  {cake}:
    steps:
      - {{id: people, ask: "{how_many}", capture: people, validate: {{type: integer}}}}
      - {{id: day, ask: "{which_day}", capture: day}}
      - do:
          - reply: "{noted}"
          - handoff: true
"""

PADARIA = Tale(
    company="Padaria Sol",
    owner="Ana",
    newcomer="Café da Praça",
    others=["Oficina Boa Roda", "Clínica Bem-Estar"],
    domain="sol.example",
    counter="Balcão",
    counter_phone="5511900000001",
    orders="Encomendas",
    orders_phone="5511900000002",
    deliveries="Entregas",
    factory="Fábrica",
    factory_phone="5511900000003",
    agent="atendente",
    agent_prompt="Você atende os clientes da Padaria Sol. Responda curto e com simpatia.",
    agent_asked="Vocês têm pão sem glúten?",
    agent_answer="Temos sim! O pão de milho sem glúten sai às terças e sextas, a partir das 10h. Quer que eu separe um para você?",
    customer="Maria Souza",
    customer_phone="5511900000101",
    talk=[
        ("Bom dia! Que horas vocês abrem amanhã?", "Bom dia! Abrimos todos os dias, das 6h às 20h. 🥐"),
        ("Queria encomendar um bolo 🎂", "Que delícia! Para quantas pessoas?"),
        ("20", "E para que dia?"),
        ("Sábado", "Anotei: bolo para 20 pessoas, Sábado. Já chamo alguém da equipe."),
    ],
    wish="Pode ser de morango?",
    promise="Claro, Maria! Morango, sábado às 15h. Beijo da Ana 🍓",
    notices=[
        ("Lucas Prado", "5511900000108", "Lucas, sua torta está pronta! 🥧"),
        ("Hotel Aurora", "5511900000109", "Pedido 312 a caminho: 120 pãezinhos."),
    ],
    chats=[
        Line("Escola Girassol", "5511900000104", "Precisamos de 80 lanches na quinta.", 170),
        Line("Dona Carmem", "5511900000106", "Ainda tem sonho de creme?", 38),
        Line("Rafael Dias", "5511900000107", "Já estou chegando para buscar", 12),
        Line("Seu Antônio", "5511900000102", "Guarda dois pães italianos pra mim?", 1500, "Guardados!"),
        Line("Beatriz Lima", "5511900000103", "Vocês entregam na Vila Mariana?", 1470, "Entregamos, sim. 🛵"),
        Line("João Pereira", "5511900000105", "O troco veio certinho, obrigado!", 95, "Nós que agradecemos!"),
    ],
    rules_name="balcao",
    rules=_RULES.format(
        about="O balcão da padaria",
        opening="horario",
        keywords="horas, horário, abre, abrem, aberto",
        answer="Bom dia! Abrimos todos os dias, das 6h às 20h. 🥐",
        cake="bolo",
        cakes="encomendar um bolo, bolo de",
        how_many="Que delícia! Para quantas pessoas?",
        which_day="E para que dia?",
        noted="Anotei: bolo para {{ people }} pessoas, {{ day }}. Já chamo alguém da equipe.",
    ),
    endpoints=("Estoque e caixa", "CRM"),
    keys=[
        ("Estoque e caixa", ["messages:read", "webhooks"]),
        ("CRM", ["messages:read", "messages:send"]),
        ("Painel do balcão", ["sessions", "messages:read"]),
    ],
)

BAKERY = Tale(
    company="Sunrise Bakery",
    owner="Anna",
    newcomer="Corner Café",
    others=["Blue Door Yoga", "Good Wheel Garage"],
    domain="sunrise.example",
    counter="Counter",
    counter_phone="12025550101",
    orders="Orders",
    orders_phone="12025550102",
    deliveries="Deliveries",
    factory="Bakehouse",
    factory_phone="12025550103",
    agent="assistant",
    agent_prompt="You answer the customers of Sunrise Bakery. Be brief and kind.",
    agent_asked="Do you have gluten-free bread?",
    agent_answer="We do! Our gluten-free corn bread comes out on Tuesdays and Fridays, from 10 am. Shall I keep one for you?",
    customer="Mary Wilson",
    customer_phone="12025550111",
    talk=[
        (
            "Good morning! When do you open tomorrow?",
            "Good morning! We are open every day, from 6 am to 8 pm. 🥐",
        ),
        ("I’d like to order a cake 🎂", "Lovely! For how many people?"),
        ("20", "And for which day?"),
        ("Saturday", "Noted: a cake for 20, Saturday. Somebody of the team will be with you."),
    ],
    wish="Could it be strawberry?",
    promise="Of course, Mary! Strawberry, Saturday at 3 pm. Love, Anna 🍓",
    notices=[
        ("Luke Price", "12025550118", "Luke, your pie is ready! 🥧"),
        ("Hotel Aurora", "12025550119", "Order 312 is on its way: 120 rolls."),
    ],
    chats=[
        Line("Sunflower School", "12025550114", "We need 80 lunches on Thursday.", 170),
        Line("Mrs. Carmen", "12025550116", "Any cream buns left?", 38),
        Line("Ralph Dean", "12025550117", "On my way to pick it up", 12),
        Line(
            "Mr. Anthony",
            "12025550112",
            "Could you keep two sourdough loaves for me?",
            1500,
            "They’re yours!",
        ),
        Line("Beatrice Lee", "12025550113", "Do you deliver to Mill Lane?", 1470, "We do. 🛵"),
        Line("John Parker", "12025550115", "Thanks for the extra croissant!", 95, "Enjoy it!"),
    ],
    rules_name="counter",
    rules=_RULES.format(
        about="The bakery's counter",
        opening="opening-hours",
        keywords="open, hours, close",
        answer="Good morning! We are open every day, from 6 am to 8 pm. 🥐",
        cake="cake",
        cakes="order a cake, birthday cake",
        how_many="Lovely! For how many people?",
        which_day="And for which day?",
        noted="Noted: a cake for {{ people }}, {{ day }}. Somebody of the team will be with you.",
    ),
    endpoints=("Stock and till", "CRM"),
    keys=[
        ("Stock and till", ["messages:read", "webhooks"]),
        ("CRM", ["messages:read", "messages:send"]),
        ("Counter's screen", ["sessions", "messages:read"]),
    ],
)

TALES: Mapping[Language, Tale] = {"pt-BR": PADARIA, "en": BAKERY}


async def open_story(relay: Relay, phones: Phones, shop: Shop, model: ModelServer, tale: Tale) -> Stage:
    """Let it happen."""
    await _prepare_others(relay, tale)
    _, newcomer_key = await _make_company(relay, tale.newcomer, tale.owner)
    company_id, key = await _make_company(relay, tale.company, tale.owner)
    async with relay.client(key) as company:
        await _put(company, f"/api/v1/rules/{tale.rules_name}", tale.rules)
        failing = await _register(company, shop, tale)
        counter, account = await _link(company, phones, tale.counter, tale.counter_phone, automation=True)
        orders, _ = await _link(company, phones, tale.orders, tale.orders_phone)
        waiting = str((await _post(company, SESSIONS, {"name": tale.deliveries}))["sessionId"])
        await _link_and_unlink(company, phones, tale)
        await _notify(company, phones, tale, orders)
        await _write(company, phones, counter, account, tale.chats[:1])
        await _try_again(company, failing)
        await _write(company, phones, counter, account, tale.chats[1:])
        await _talk(company, phones, tale, counter, account)
        agent = await _make_agent(company, model, tale)
        for name, scopes in tale.keys:
            await _make_key(relay, company, name, scopes)
        await _fill_an_hour(relay, company_id)
        return Stage(
            tale=tale,
            key=key,
            newcomer_key=newcomer_key,
            waiting=waiting,
            failing=failing,
            agent=agent,
            addresses={
                f"{shop.url}/in": f"https://till.{tale.domain}/in",
                f"{shop.url}/moved": f"https://crm.{tale.domain}/relay",
            },
        )


async def _post(caller: httpx.AsyncClient, path: str, body: Mapping[str, Any], **headers: str) -> Any:
    answer = await caller.post(path, json=body, headers=headers)
    assert answer.is_success, answer.text
    return answer.json()


async def _put(caller: httpx.AsyncClient, path: str, content: str) -> None:
    answer = await caller.put(path, content=content)
    assert answer.is_success, answer.text


async def _prepare_others(relay: Relay, tale: Tale) -> None:
    async with relay.client() as operator:
        for name in tale.others:
            await _post(operator, "/api/v1/admin/tenants", {"name": name})


async def _make_company(relay: Relay, name: str, key_name: str) -> tuple[TenantId, str]:
    """Its id and its first key."""
    async with relay.client() as operator:
        made = (await _post(operator, "/api/v1/admin/tenants", {"name": name}))["companyId"]
        body = {"companyId": made, "name": key_name, "scopes": ALL_SCOPES}
        return TenantId(made), (await _post(operator, "/api/v1/admin/keys", body))["key"]


async def _make_key(relay: Relay, company: httpx.AsyncClient, name: str, scopes: Sequence[str]) -> None:
    """One that is in use."""
    made = await _post(company, "/api/v1/admin/keys", {"name": name, "scopes": scopes})
    async with relay.client(made["key"]) as system:
        await system.get("/api/v1/whatsapp/messages", params={"limit": 1})


async def _register(company: httpx.AsyncClient, shop: Shop, tale: Tale) -> str:
    """Two endpoints; the id of the one that fails."""
    good, bad = tale.endpoints
    path = "/api/v1/webhooks/endpoints"
    events = ["message.received", "message.status", "session.status"]
    await _post(company, path, {"url": f"{shop.url}/in", "description": good, "events": events})
    body = {"url": f"{shop.url}/moved", "description": bad, "events": ["message.received"]}
    return str((await _post(company, path, body))["id"])


async def _link(
    company: httpx.AsyncClient, phones: Phones, name: str, phone: str, **fields: Any
) -> tuple[str, Account]:
    account = phones.network.new_account(phone=phone, name=name)
    session = str((await _post(company, SESSIONS, {"name": name, **fields}))["sessionId"])
    await account.scan(await shows_code(company, session))
    await stands(company, session, "connected")
    return session, account


async def _link_and_unlink(company: httpx.AsyncClient, phones: Phones, tale: Tale) -> None:
    """Somebody has removed the device on the phone."""
    session, account = await _link(company, phones, tale.factory, tale.factory_phone)
    account.unlink(await account.connected())
    await stands(company, session, "disconnected", "logged_out")


async def _write(
    company: httpx.AsyncClient, phones: Phones, counter: str, account: Account, lines: Sequence[Line]
) -> None:
    """Customers, each when the tale says; answered now."""
    for line in lines:
        somebody = phones.people.new(line.phone, line.name)
        at = time.time() - line.minutes * 60
        phones.people._clock = lambda at=at: at  # type: ignore[misc]
        await somebody.say(account, text=line.text)
        chat = await _arrived(company, counter, line.text)
        if line.answer:
            await _read(company, counter, chat)
            await _answer(company, counter, somebody, line.answer)
    phones.people._clock = time.time


async def _talk(
    company: httpx.AsyncClient, phones: Phones, tale: Tale, counter: str, account: Account
) -> None:
    """Somebody talks with the bot, and then with a person of the company."""
    customer = phones.people.new(tale.customer_phone, tale.customer)
    for said, told in tale.talk:
        await customer.say(account, text=said)
        customer.read(await customer.inbox.first(lambda posted, told=told: posted.text == told))  # type: ignore[misc]
    await customer.say(account, text=tale.wish)
    await _read(company, counter, await _arrived(company, counter, tale.wish))
    await customer.react(await _answer(company, counter, customer, tale.promise), "❤️")


async def _notify(company: httpx.AsyncClient, phones: Phones, tale: Tale, orders: str) -> None:
    for name, phone, words in tale.notices:
        await _answer(company, orders, phones.people.new(phone, name), words)


async def _arrived(company: httpx.AsyncClient, session: str, text: str) -> str:
    """The chat that it has arrived in."""

    async def find() -> str:
        params = {"sessionId": session, "limit": "5"}
        found = (await company.get("/api/v1/whatsapp/messages", params=params)).json()["messages"]
        return next((one["chat"] for one in found if one["content"].get("text") == text), "")

    return str(await until(find, seconds=20, what=f"«{text}» arrives"))


async def _read(company: httpx.AsyncClient, session: str, chat: str) -> None:
    answer = await company.post("/api/v1/whatsapp/chats/read", json={"sessionId": session, "chat": chat})
    assert answer.is_success, answer.text


async def _answer(company: httpx.AsyncClient, session: str, somebody: Person, text: str) -> Posted:
    """Somebody of the company writes, and it is read."""
    body = {"sessionId": session, "to": str(somebody.pn), "type": "text", "content": text, "byPerson": True}
    await _post(company, SEND, body, Prefer="wait=10")
    posted = await somebody.inbox.first(lambda posted: posted.text == text)
    somebody.read(posted)
    return posted


async def _try_again(company: httpx.AsyncClient, endpoint: str) -> None:
    """Somebody has sent the one delivery once more, in vain."""
    path = "/api/v1/webhooks/deliveries"

    async def tried(times: int) -> str:
        (newest,) = (await company.get(path, params={"endpointId": endpoint, "limit": "1"})).json()[
            "deliveries"
        ]
        attempts = (await company.get(f"{path}/{newest['id']}")).json()["attempts"]
        return str(newest["id"]) if len(attempts) >= times else ""

    delivery = await until(lambda: tried(1), seconds=20, what="an attempt")
    await _post(company, f"{path}/{delivery}/redeliver", {})
    await until(lambda: tried(2), seconds=20, what="another attempt")


async def _make_agent(company: httpx.AsyncClient, model: ModelServer, tale: Tale) -> str:
    settings = {"model": "gpt-4o-mini", "prompt": tale.agent_prompt, "baseUrl": model.url}
    made = await _post(
        company, "/api/v1/agents", {"name": tale.agent, "kind": "openai", "settings": settings}
    )
    return str(made["id"])


async def _fill_an_hour(relay: Relay, tenant: TenantId) -> None:
    """A morning: it begins quietly, has its rush, and the CRM is away for the last half."""
    now = int(datetime.now(UTC).timestamp() // 60)
    counts: dict[tuple[TenantId, int, rates.Kind], int] = {}
    for ago in range(1, 60):
        received = max(1, 14 - abs(ago - 25) // 2 + (ago * 7) % 5)
        row: dict[rates.Kind, int] = {
            "received": received,
            "answered": received * 3 // 5,
            "sent": received * 4 // 5 + (ago * 3) % 3,
            "failed": 1 if ago == 41 else 0,
            "delivered": received * (4 if ago > 30 else 2),
            "undelivered": 0 if ago > 30 else received,
        }
        counts |= {(tenant, now - ago, kind): count for kind, count in row.items()}
    conn = await connect(relay.database_url(), name="story")
    await rates.add(conn, counts)
    await conn.close()
