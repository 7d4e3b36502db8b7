"""The console's page: served from a list, with a policy that lets nothing else in, behind a prefix too."""

from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from relay.api.console.files import read_files
from relay.store.pool import Pool
from tests.api_client import Api

STATIC = Path(str(resources.files("relay.api.console") / "static"))
FILES = sorted(str(path.relative_to(STATIC)) for path in STATIC.rglob("*") if path.is_file())
OWN_PAGE = {"X-Relay-Console": "1"}


class Links(HTMLParser):
    """What a page loads, as it is written there."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [str(given[name]) for name in ("src", "href") if name in given]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag in ("style", "base") or (tag == "script" and "src" not in given):
            self.inline.append(tag)


async def test_the_page_is_shut_tight(api: Api) -> None:
    """No key, no cache without a question, and a policy under which only this server's own files load and run."""
    page = await api.with_key(None).get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' blob:",
        "connect-src": "'self'",
        "font-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'self'",
        "frame-ancestors": "'none'",
    }
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in page.headers["permissions-policy"]
    assert Links(page.text).inline == []


async def test_every_file_is_served(api: Api) -> None:
    """Whole, as what it is, with the page's own headers: none is of a kind that is not known."""
    kinds = {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".svg": "image/svg+xml",
    }
    page = await api.get("/")
    assert FILES
    for name in FILES:
        answer = await api.with_key(None).get(f"/console/{name}")
        assert (answer.status_code, answer.content) == (200, (STATIC / name).read_bytes()), name
        assert answer.headers["content-type"] == kinds[Path(name).suffix]
        for header in ("content-security-policy", "cache-control", "x-content-type-options"):
            assert answer.headers[header] == page.headers[header]


async def test_an_unchanged_file_is_not_sent_again(api: Api) -> None:
    """304 for the ETag that was given, among others or weakened by a proxy; 200 for any other."""
    for path in ("/", "/console/index.html"):
        etag = (await api.get(path)).headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}'):
            again = await api.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == etag
            assert again.headers["cache-control"] == "no-cache"
        for other in ('"other"', etag.strip('"'), ""):
            assert (await api.get(path, headers={"If-None-Match": other})).status_code == 200


def test_a_changed_file_has_another_etag(tmp_path: Path) -> None:
    """An upgrade is seen at once; what no page is made of is not in the list."""
    (tmp_path / "js").mkdir()
    (tmp_path / "js/main.js").write_text("one")
    (tmp_path / "secret.py").write_text("x")
    before = read_files(tmp_path)
    (tmp_path / "js/main.js").write_text("two")
    after = read_files(tmp_path)
    assert list(before) == list(after) == ["js/main.js"]
    assert before["js/main.js"].etag != after["js/main.js"].etag


@pytest.mark.parametrize(
    "path",
    [
        "/console/../serving.py",
        "/console/js/../../serving.py",
        "/console/static/../../serving.py",
        "/console//etc/passwd",
        "/console/../../../../../../../../etc/passwd",
        "/console/..\\serving.py",
        "/console/js",
        "/console/js/",
        "/console/",
        "/console",
        "/console/INDEX.HTML",
        "/console/index.html\x00.css",
        "/console/serving.py",
        "/index.html",
    ],
)
async def test_no_trick_leads_elsewhere(api: Api, path: str) -> None:
    """The path as a server decodes it: neither a folder, nor a file beside the page's, nor another spelling."""
    answer = await ask_raw(api, path)
    assert answer["status"] in (400, 404), path
    assert b"problem" in dict(answer["headers"])[b"content-type"]


async def ask_raw(api: Api, path: str) -> Any:
    """A GET whose path no client has tidied; the head of its answer."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"relay.test")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await api.app(scope, receive, send)
    return sent[0]


async def test_behind_a_prefix(api: Api, pool: Pool) -> None:
    """A proxy that takes `/relay` off: the page's own links, its sign-in and its cookie work as they are."""

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        assert scope["path"].startswith("/relay/"), scope["path"]
        path = scope["path"].removeprefix("/relay")
        await api.app({**scope, "path": path, "raw_path": path.encode()}, receive, send)

    key = await api.make_key(await api.make_tenant())
    transport = httpx.ASGITransport(proxy)
    headers = {**OWN_PAGE, "Origin": "http://proxy.test"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://proxy.test", headers=headers
    ) as browser:
        page = await browser.get("/relay/")
        links = Links(page.text).found
        assert any(link.endswith("main.js") for link in links)
        for link in links:
            assert (await browser.get(urljoin(str(page.url), link))).status_code == 200, link
        signed_in = await browser.post("/relay/api/v1/console/session", json={"key": key})
        assert signed_in.status_code == 200
        assert (await browser.get("/relay/api/v1/whatsapp/sessions")).status_code == 200
