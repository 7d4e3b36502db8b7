"""The HTTP call of a rule: where the guard allows, with a deadline, and an answer whatever happens."""

import asyncio
import logging

import httpx
import msgspec

from relay.egress.guard import UNREACHABLE
from relay.egress.urls import check_headers, check_url
from relay.replies.outcome import HttpAnswer, HttpCall
from relay.replies.said import said

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 256 * 1024
_TIMEOUT_MOST_SECONDS = 30.0


async def call(client: httpx.AsyncClient, wanted: HttpCall) -> HttpAnswer:
    """Never raises for what the server, or the address, does."""
    try:
        url = check_url(wanted.url).url
        check_headers(wanted.headers)
    except ValueError as error:
        return HttpAnswer(error=str(error))
    headers = {"Idempotency-Key": wanted.key, **wanted.headers}
    content = None
    if wanted.body is not None:
        content = msgspec.json.encode(wanted.body)
        headers = {"Content-Type": "application/json", **headers}
    try:
        async with asyncio.timeout(min(wanted.timeout_seconds, _TIMEOUT_MOST_SECONDS)):
            response = await client.request(wanted.method, url, headers=headers, content=content)
    except TimeoutError:
        return HttpAnswer(error=said("The server did not answer in time."))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        log.info("rules.http_failed", extra={"error": type(error).__name__})
        return HttpAnswer(error=UNREACHABLE)
    return _answer(response)


def _answer(response: httpx.Response) -> HttpAnswer:
    # Postgres text holds no NUL, and what is said of it may end there.
    text = response.content.decode(errors="replace").replace("\0", "")
    try:
        parsed = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        parsed = None
    if parsed is not None and "\\u0000" in text:
        parsed = None
    return HttpAnswer(status=response.status_code, text=text, json=parsed)
