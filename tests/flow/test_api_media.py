"""Media files: what is stored is what it is, and comes back as an attachment."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.api import media
from relay.config import Config, Media
from relay.model.ids import MediaId, TenantId, new_media_id, new_message_id
from relay.store.blobs import Stored
from relay.store.pool import Pool
from tests.accounts import add_session
from tests.api_client import Api, serve_api
from tests.files import PNG

MEDIA = "/api/v1/whatsapp/media"


def files(api: Api) -> list[Path]:
    folder = api.services.blobs.path("x").parent.parent
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
async def acme(api: Api) -> Api:
    return await api.as_tenant()


async def test_up_and_down(acme: Api) -> None:
    """Bytes, type and name survive; the download cannot run in the server's name."""
    answer = await acme.post(
        MEDIA,
        params={"fileName": "Orçamento 1.pdf"},
        content=b"%PDF-1.7\n%",
        headers={"Content-Type": "application/pdf"},
    )
    assert answer.status_code == 201
    assert answer.json() == {
        "mediaId": answer.json()["mediaId"],
        "mimetype": "application/pdf",
        "sizeBytes": 10,
        "sha256": hashlib.sha256(b"%PDF-1.7\n%").hexdigest(),
        "fileName": "Orçamento 1.pdf",
    }
    down = await acme.get(f"{MEDIA}/{answer.json()['mediaId']}")
    assert down.content == b"%PDF-1.7\n%"
    assert down.headers["content-type"] == "application/pdf"
    assert down.headers["content-length"] == "10"
    assert down.headers["content-disposition"] == "attachment; filename*=utf-8''Or%C3%A7amento%201.pdf"
    assert down.headers["x-content-type-options"] == "nosniff"
    assert down.headers["content-security-policy"] == "default-src 'none'; sandbox"


async def test_type_is_found_out(acme: Api) -> None:
    """Without a declared type the file's own bytes tell."""
    assert (await acme.post(MEDIA, content=PNG)).json()["mimetype"] == "image/png"
    assert (await acme.post(MEDIA, content=b"\x00\x01\x02?")).json()["mimetype"] == "application/octet-stream"


@pytest.mark.parametrize(
    "content", [b"<html><script>", b"MZ\x90\x00", b"\x7fELF\x02", b"#!/bin/sh\n", b"<svg onload=x>"]
)
async def test_disguises_are_refused(acme: Api, content: bytes) -> None:
    """A page, a program or a script that calls itself an image is not stored."""
    refused = await acme.post(MEDIA, content=content, headers={"Content-Type": "image/jpeg"})
    assert (refused.status_code, refused.json()["code"]) == (400, "media_type_mismatch")
    assert files(acme) == []


async def test_bad_uploads(acme: Api) -> None:
    """Nothing, a form, a name with a path in it, a type that is none: each told by its field, nothing kept."""
    for params, headers, content, path in [
        ({}, {}, b"", "body"),
        ({}, {"Content-Type": "multipart/form-data; boundary=x"}, b"--x", "Content-Type"),
        ({"fileName": "../../x"}, {}, b"abc", "fileName"),
        ({}, {"Content-Type": "nonsense"}, b"abc", "Content-Type"),
    ]:
        refused = await acme.post(MEDIA, params=params, headers=headers, content=content)
        assert (refused.status_code, refused.json()["path"]) == (400, path), refused.text
    assert files(acme) == []


async def test_too_large(pool: Pool, url: str) -> None:
    """A file over the limit is refused, however it is sent, and no part of it stays."""
    async with serve_api(pool, url, config=Config(media=Media(max_bytes=1000))) as operator:
        acme = await operator.as_tenant()

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b"x" * 100

        for content in (b"x" * 1001, chunks()):
            refused = await acme.post(MEDIA, content=content)
            assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
        assert (await acme.post(MEDIA, content=b"x" * 1000)).status_code == 201
        assert len(files(acme)) == 1


async def test_other_company_and_scopes(api: Api, acme: Api) -> None:
    """Another company's file answers 404; uploading and downloading have a scope each."""
    media_id = (await acme.post(MEDIA, content=PNG)).json()["mediaId"]
    stranger = await api.as_tenant("Stranger", "messages:read")
    assert (await stranger.get(f"{MEDIA}/{media_id}")).status_code == 404
    assert (await stranger.post(MEDIA, content=PNG)).json()["code"] == "scope_missing"
    assert (await api.get(f"{MEDIA}/{media_id}")).content == PNG
    assert (await api.post(MEDIA, content=PNG)).json()["code"] == "company_required"
    named = await api.post(MEDIA, params={"companyId": acme.company_id}, content=PNG)
    assert named.status_code == 201


async def test_file_that_is_gone(acme: Api) -> None:
    """A file that was removed from the disk is a 404, not a failure."""
    media_id = (await acme.post(MEDIA, content=PNG)).json()["mediaId"]
    acme.services.blobs.remove_files([media_id])
    assert (await acme.get(f"{MEDIA}/{media_id}")).status_code == 404


async def promised(acme: Api, *, error: str | None = None) -> MediaId:
    """A file of the company's that is still at WhatsApp, or that could not be had."""
    media_id, message_id = new_media_id(), new_message_id()
    async with acme.services.pool.acquire() as conn:
        account = await add_session(conn, tenant_id=TenantId(acme.company_id))
        await conn.execute(
            "INSERT INTO whatsapp_messages (id, tenant_id, session_id, chat, direction, origin, sender, type, content,"
            " status, sent_at) VALUES ($1, $2, $3, 'c', 'inbound', 'contact', 'c', 'image', '{}', 'received', now())",
            message_id,
            *account,
        )
        await conn.execute(
            "INSERT INTO media_fetches (media_id, tenant_id, session_id, message_id, kind, reference, history, error)"
            " VALUES ($1, $2, $3, $4, 'image', $5, false, $6)",
            media_id,
            *account,
            message_id,
            None if error else b"sealed",
            error,
        )
    return media_id


async def test_a_file_on_its_way_is_waited_for(acme: Api) -> None:
    """Who asks too early gets the file as soon as it is there."""
    media_id = await promised(acme)
    asking = asyncio.create_task(acme.get(f"{MEDIA}/{media_id}"))
    blobs, services = acme.services.blobs, acme.services
    path = blobs.path(media_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PNG)
    stored = Stored(id=media_id, path=path, sha256=b"", size_bytes=len(PNG))
    async with services.pool.acquire() as conn, conn.transaction():
        await conn.execute("DELETE FROM media_fetches WHERE media_id = $1", media_id)
        await blobs.insert(
            conn, stored, tenant_id=TenantId(acme.company_id), mimetype="image/png", file_name=None
        )
    services.doorbell.ring("media")
    answer = await asking
    assert (answer.status_code, answer.content) == (200, PNG)


async def test_a_file_that_takes_long_is_to_be_asked_for_again(
    api: Api, acme: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """409 and when to ask again; another company hears of nothing, and does not wait."""
    monkeypatch.setattr(media, "_WAIT_SECONDS", 0.05)
    media_id = await promised(acme)
    for caller in (acme, api):
        answer = await caller.get(f"{MEDIA}/{media_id}")
        assert (answer.status_code, answer.json()["code"]) == (409, "media_pending")
        assert answer.headers["retry-after"] == "10"
    stranger = await api.as_tenant("Stranger")
    assert (await stranger.get(f"{MEDIA}/{media_id}")).json()["code"] == "not_found"


@pytest.mark.parametrize("error", ["media_gone", "media_too_large", "media_damaged", "media_unavailable"])
async def test_a_file_that_could_not_be_had_says_why(api: Api, acme: Api, error: str) -> None:
    """404 with the reason, to its own company."""
    media_id = await promised(acme, error=error)
    answer = await acme.get(f"{MEDIA}/{media_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, error)
    assert len(answer.json()["detail"]) > 30
    stranger = await api.as_tenant("Stranger")
    assert (await stranger.get(f"{MEDIA}/{media_id}")).json()["code"] == "not_found"
