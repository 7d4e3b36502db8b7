"""Groups as WhatsApp has them just now, asked of the session's engine. To write in one, send to its JID."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from litestar import get
from litestar.params import FromPath
from msgspec import structs

from relay.api.auth import requires
from relay.api.engine_calls import call_engine
from relay.api.request import Request
from relay.api.services import Services
from relay.api.session_view import get_callers_session
from relay.api.wire import Out
from relay.model.errors import NotFound
from relay.model.ids import ContactId
from relay.model.message import Party
from relay.model.session import Session
from relay.model.tenant import Scope
from relay.store import chats, parties


class ParticipantOut(Out, frozen=True, kw_only=True):
    pn: str | None
    lid: str | None
    contact_id: ContactId | None = None
    is_admin: bool


class GroupOut(Out, frozen=True, kw_only=True):
    jid: str
    """Where to send to."""
    name: str
    description: str | None
    owner: Party | None
    created_at: datetime | None
    announce_only: bool
    """Only admins may write."""
    participants: list[ParticipantOut]


class GroupList(Out, frozen=True, kw_only=True):
    groups: list[GroupOut]


@get(
    "/sessions/{session_id:str}/groups",
    opt=requires(Scope.MESSAGES_READ),
    summary="List the groups that the account is in",
)
async def list_groups(request: Request, session_id: FromPath[str]) -> GroupList:
    session = await _get_session(request, session_id)
    answer = await call_engine(request.services, session, {"kind": "groups"})
    groups = msgspec.convert(answer["groups"], list[GroupOut])
    return GroupList(groups=await _settle(request.services, session, groups))


@get("/sessions/{session_id:str}/groups/{jid:str}", opt=requires(Scope.MESSAGES_READ), summary="Read a group")
async def read_group(request: Request, session_id: FromPath[str], jid: FromPath[str]) -> GroupOut:
    session = await _get_session(request, session_id)
    if not jid.endswith("@g.us"):
        raise NotFound("There is no such group.")
    answer = await call_engine(request.services, session, {"kind": "group", "jid": jid})
    group = msgspec.convert(answer["group"], GroupOut)
    return (await _settle(request.services, session, [group]))[0]


async def _get_session(request: Request, session_id: str) -> Session:
    async with request.services.pool.acquire() as conn:
        return await get_callers_session(request, conn, session_id)


async def _settle(services: Services, session: Session, groups: Sequence[GroupOut]) -> list[GroupOut]:
    """The groups, with a contactId for whomever the session has met; their chats are called as they are from now on."""
    people: list[ParticipantOut | Party] = [one for group in groups for one in group.participants]
    people.extend(group.owner for group in groups if group.owner is not None)
    async with services.pool.acquire() as conn:
        await chats.name_groups(
            conn, session.tenant_id, session.id, {group.jid: group.name for group in groups}
        )
        met = await parties.find_contact_ids(
            conn,
            session.tenant_id,
            session.id,
            pns=[one.pn for one in people if one.pn is not None],
            lids=[one.lid for one in people if one.lid is not None],
        )

    def find(one: ParticipantOut | Party) -> ContactId | None:
        return met.get(one.pn or "") or met.get(one.lid or "")

    return [
        structs.replace(
            group,
            owner=group.owner and structs.replace(group.owner, contact_id=find(group.owner)),
            participants=[structs.replace(one, contact_id=find(one)) for one in group.participants],
        )
        for group in groups
    ]
