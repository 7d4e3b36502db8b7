"""Messages by their words, through the API."""

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relay.store.pool import Pool
from tests.api_client import Api
from tests.files import PNG
from tests.serving import link_session, serve_all, until_messages

WHATSAPP = "/api/v1/whatsapp"
MESSAGES = f"{WHATSAPP}/messages"
MARIA, MARIA_CHAT = "+55 11 99999-0001", "5511999990001@s.whatsapp.net"
PEDRO, PEDRO_CHAT = "+55 11 99999-0002", "5511999990002@s.whatsapp.net"


@pytest.fixture
async def live(pool: Pool, url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """A company's caller; a host runs its sessions."""
    async with serve_all(pool, url, tmp_path) as api:
        yield api


async def hear(api: Api, session_id: str, **inbound: Any) -> str:
    """Somebody writes, Maria unless said; the message's id at WhatsApp."""
    body = {"from": MARIA, **inbound}
    response = await api.post(f"{WHATSAPP}/sessions/{session_id}/sandbox/inbound", json=body)
    assert response.status_code == 202, response.text
    return str((response.json()["waMessageIds"] or [""])[0])


async def said(api: Api, text: str, **filters: Any) -> list[str]:
    """What is found, newest first, whole: its words, or its type where it has none."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        response = await api.get(MESSAGES, params={"text": text, **filters, **cursor})
        assert response.status_code == 200, response.text
        page = response.json()
        found += [message["content"].get("text", message["type"]) for message in page["messages"]]
        if page["nextCursor"] is None:
            return found
        cursor = {"cursor": page["nextCursor"]}


async def test_case_accents_and_plain_characters(live: Api) -> None:
    """Neither case nor accents matter, however either side writes them; what is special elsewhere is not here."""
    session_id = await link_session(live)
    texts = [
        "Não tem PÃO",
        "coraça\u0303o",
        "50% de desconto_",
        "preço [novo] (a|b) ^.*$ c:\\x",
        "ÀÉÎÕÜÇ ΣΊΣΥΦΟΣ Ёлка",
    ]
    for text in texts:
        await hear(live, session_id, text=text)
    await until_messages(live, session_id, len(texts))
    for text in ("nao", "NÃO", "pão", "Pa\u0303O", "o tem p"):
        assert await said(live, text) == [texts[0]], text
    for text, found in {
        "coracao": [texts[1]],
        "CORAÇÃO": [texts[1]],
        "\u0303": [texts[1]],
        "0%": [texts[2]],
        "%": [texts[2]],
        "o_": [texts[2]],
        "_": [texts[2]],
        "[Novo]": [texts[3]],
        "(a|b)": [texts[3]],
        "^.*$": [texts[3]],
        ".*$": [texts[3]],
        "C:\\X": [texts[3]],
        "\\": [texts[3]],
        "aeiouc": [texts[4]],
        "σισυφος": [texts[4]],
        "елка": [texts[4]],
        "n.o": [],
        "***:a": [],
    }.items():
        assert await said(live, text) == found, text


async def test_what_has_words(live: Api) -> None:
    """Captions, files' names, polls with their options, contacts, places; not reactions, not votes."""
    session_id = await link_session(live)
    picture = {"base64": b64encode(PNG).decode(), "fileName": "orçamento.png", "caption": "A fachada"}
    await hear(live, session_id, type="image", content=picture)
    poll = await hear(
        live, session_id, type="poll", content={"question": "Que dia?", "options": ["sexta", "sábado"]}
    )
    await hear(live, session_id, type="contact", content={"name": "Zélia", "phone": "+55 11 3333-4444"})
    place = {"latitude": 1, "longitude": 2, "name": "Loja", "address": "Rua Ágata 5"}
    await hear(live, session_id, type="location", content=place)
    await until_messages(live, session_id, 4)
    await hear(live, session_id, type="poll_vote", content={"waMessageId": poll, "options": ["sábado"]})
    await until_messages(live, session_id, 5)
    words = {
        "orcamento": "image",
        "FACHADA": "image",
        "que dia": "poll",
        "sabado": "poll",
        "zelia": "contact",
    }
    for text, kind in (words | {"3333-4444": "contact", "agata": "location"}).items():
        assert await said(live, text) == [kind], text


async def test_the_other_filters_hold(live: Api) -> None:
    """A search narrows them; pages follow each other, newest first, as in every list."""
    session_id = await link_session(live)
    await hear(live, session_id, text="pão", count=5)
    await hear(live, session_id, **{"from": PEDRO}, text="Pão de Pedro")
    await until_messages(live, session_id, 6)
    assert await said(live, "pao", limit=2) == ["Pão de Pedro", *(f"pão {n}" for n in range(5, 0, -1))]
    assert await said(live, "pao", sessionId=session_id, chat=PEDRO_CHAT) == ["Pão de Pedro"]
    assert await said(live, "pao", chat=PEDRO_CHAT) == ["Pão de Pedro"]
    assert len(await said(live, "pao", sessionId=session_id, chat=MARIA_CHAT, limit=1)) == 5
    for none in (
        {"direction": "outgoing"},
        {"type": "image"},
        {"status": "failed"},
        {"contactId": "ctc_0"},
        {"sessionId": "ses_other"},
        {"since": "2100-01-01T00:00:00Z"},
        {"until": "2000-01-01T00:00:00Z"},
    ):
        assert await said(live, "pao", **none) == [], none
    for wrong in ("", "x" * 101):
        refused = await live.get(MESSAGES, params={"text": wrong})
        assert (refused.status_code, refused.json()["path"]) == (400, "text")
    assert len(await said(live, "P" * 100)) == 0


async def test_a_long_way_back_is_gone_in_parts(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call looks at so many messages; where it found too few, or none, its cursor goes on, and nothing is left out."""
    session_id = await link_session(live)
    await hear(live, session_id, text="agulha 1")
    await hear(live, session_id, text="palha", count=30)
    await hear(live, session_id, text="agulha 2")
    await until_messages(live, session_id, 32)
    monkeypatch.setattr("relay.store.message_search.WINDOW", 4)
    monkeypatch.setattr("relay.store.message_search.WINDOWS", 2)
    for filters in ({}, {"sessionId": session_id, "chat": MARIA_CHAT}):
        pages: list[list[str]] = []
        cursor: dict[str, str] = {}
        while True:
            params = {"text": "agulha", **filters, **cursor}
            page = (await live.get(MESSAGES, params=params)).json()
            pages.append([message["content"]["text"] for message in page["messages"]])
            if page["nextCursor"] is None:
                break
            cursor = {"cursor": page["nextCursor"]}
        assert pages[:4] == [["agulha 2"], [], [], ["agulha 1"]]
        assert pages[4:] in ([], [[]])
    monkeypatch.setattr("relay.store.message_search.SECONDS", -1)
    first = (await live.get(MESSAGES, params={"text": "agulha 1"})).json()
    assert (first["messages"], first["nextCursor"] is not None) == ([], True)
    assert await said(live, "agulha 1") == ["agulha 1"]


async def test_what_was_revoked_is_not_found(live: Api, pool: Pool) -> None:
    """Not even where its words should still be in the row; what was edited is found by its new words."""
    session_id = await link_session(live)
    kept = await hear(live, session_id, text="Segredo um")
    gone = await hear(live, session_id, text="Segredo dois")
    await until_messages(live, session_id, 2)
    await pool.execute("UPDATE whatsapp_messages SET revoked_at = now() WHERE wa_id = $1", gone)
    await pool.execute(
        """UPDATE whatsapp_messages SET content = '{"text": "Notícia"}' WHERE wa_id = $1""", kept
    )
    assert await said(live, "segredo") == []
    assert await said(live, "noticia") == ["Notícia"]


async def test_another_tenants_words(live: Api) -> None:
    """Nobody finds them: not by any filter, and not by a cursor of the other's."""
    session_id = await link_session(live)
    await hear(live, session_id, text="Palavra", count=3)
    await until_messages(live, session_id, 3)
    cursor = (await live.get(MESSAGES, params={"text": "palavra", "limit": 1})).json()["nextCursor"]
    stranger = await live.as_tenant("Stranger")
    own = await link_session(stranger)
    await hear(stranger, own, text="Palavra nossa")
    await until_messages(stranger, own, 1)
    assert await said(stranger, "palavra") == ["Palavra nossa"]
    assert await said(stranger, "palavra", sessionId=session_id) == []
    assert await said(stranger, "palavra", sessionId=session_id, chat=MARIA_CHAT) == []
    assert "Palavra 1" not in await said(stranger, "palavra", cursor=cursor)
    assert sorted(await said(live, "palavra")) == [f"Palavra {n}" for n in (1, 2, 3)]
