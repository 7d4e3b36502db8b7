"""What the API asks of running engines: edit, revoke, mark read, type, look up, groups, the profile, calls.

engine_requests ──take──► the session's engine ──► answer ──► the API that waits
"""

import asyncio
import logging
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import msgspec

from relay.engines.engine import Engine
from relay.host.journal import without_nul
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
            # Strangers name their groups, and whoever asked waits for an answer.
            await requests.answer_request(conn, asked.id, without_nul(answer))
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
            # A refusal may have a code of its own; its family says what kind of refusal it is.
            family = type(error).code
            return {"error": {"code": error.code, "family": family, "detail": error.detail}}
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
        case {"kind": "presence", "available": available}:
            await engine.set_presence(available=available)
        case {"kind": "profile_name", "name": name}:
            await engine.set_profile_name(name)
        case {"kind": "profile_picture", "jpeg": jpeg}:
            await engine.set_profile_picture(b64decode(jpeg))
        case {"kind": "reject_call", "callId": call_id, "caller": caller}:
            await engine.reject_call(call_id, caller)
        case _:
            return await _look_up(engine, body)
    return {}


async def _look_up(engine: Engine, body: dict[str, Any]) -> dict[str, Any]:
    """What only asks. Raises InvalidInput for a request that is nobody's."""
    match body:
        case {"kind": "check", "phones": phones}:
            return {"numbers": await engine.check_numbers(phones)}
        case {"kind": "groups"}:
            return {"groups": msgspec.to_builtins(await engine.list_groups())}
        case {"kind": "group", "jid": jid}:
            return {"group": msgspec.to_builtins(await engine.get_group(jid))}
        case {"kind": "picture", "jid": jid}:
            return {"url": await engine.find_profile_picture(jid)}
        case _:
            raise InvalidInput("This host does not know the request: it runs another version than the API.")
