"""What the API asks of running engines: edit, revoke, mark read, type, look numbers up.

engine_requests ──take──► the session's engine ──► answer ──► the API that waits
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from relay.engines.engine import Engine
from relay.host.session import Session
from relay.model.errors import Conflict, InvalidInput, RelayError
from relay.model.ids import SessionId
from relay.store import requests
from relay.store.doorbell import Doorbell
from relay.store.pool import Pool
from relay.store.requests import Asked

log = logging.getLogger(__name__)

_ANSWER_SECONDS = 15.0


class Requests:
    """Answers for the sessions of one host; `work` takes what is open."""

    def __init__(self, pool: Pool, doorbell: Doorbell, sessions: Mapping[SessionId, Session]) -> None:
        self.bell = doorbell.bell("requests")
        self._pool = pool
        self._doorbell = doorbell
        self._sessions = sessions
        self._answering: set[asyncio.Task[None]] = set()

    async def work(self) -> bool:
        """Take open requests and start answering; True when there were some."""
        if not self._sessions:
            return False
        async with self._pool.acquire() as conn:
            asked = await requests.take_requests(conn, list(self._sessions))
        for one in asked:
            task = asyncio.create_task(self._answer(one))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        return bool(asked)

    async def _answer(self, asked: Asked) -> None:
        answer = await self._try(asked)
        async with self._pool.acquire() as conn:
            await requests.answer_request(conn, asked.id, answer)
        self._doorbell.ring("requests")

    async def _try(self, asked: Asked) -> dict[str, Any]:
        """An engine's every answer, its refusals included."""
        try:
            session = self._sessions.get(asked.session_id)
            engine = session.engine if session else None
            if engine is None:
                raise Conflict("The session is not connected.", code="session_not_connected")
            async with asyncio.timeout(_ANSWER_SECONDS):
                return {"result": await _ask(engine, asked.body)}
        except RelayError as error:
            return {"error": {"code": error.code, "detail": error.detail}}
        except TimeoutError:
            return {"error": {"code": "engine_busy", "detail": "WhatsApp did not answer in time."}}
        except Exception:
            log.exception(
                "engine.request_broke", extra={"session": asked.session_id, "kind": asked.body.get("kind")}
            )
            return {"error": {"code": "engine_error", "detail": "The engine could not do it."}}


async def _ask(engine: Engine, body: dict[str, Any]) -> dict[str, Any]:
    match body:
        case {"kind": "edit", "chat": chat, "waMessageId": wa_id, "text": text}:
            await engine.edit(chat, wa_id, text)
        case {"kind": "revoke", "chat": chat, "waMessageId": wa_id}:
            await engine.revoke(chat, wa_id)
        case {"kind": "mark_read", "chat": chat, "sender": sender, "waMessageIds": wa_ids}:
            await engine.mark_read(chat, sender, wa_ids)
        case {"kind": "typing", "chat": chat, "typing": typing}:
            await engine.set_typing(chat, typing=typing)
        case {"kind": "check", "phones": phones}:
            return {"numbers": await engine.check_numbers(phones)}
        case _:
            raise InvalidInput("This host does not know the request: it runs another version than the API.")
    return {}
