"""A company's own rule sets: written as YAML, checked to the last line, and put in force at once.

    PUT (the YAML as the body) ──► read ──► its own tests ──► a new version in force
                                     └► 422, line by line ◄┘
    ?dryRun=true says the same and changes nothing; rollback makes a new version of an old text.

Reading and testing happen in threads: a text that is hard to read delays nobody else.
"""

import asyncio
from datetime import datetime
from typing import Annotated, Any, TypeAlias

from litestar import Response, delete, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta, field, structs

from relay.api.auth import requires, tenant_of
from relay.api.owner import Company
from relay.api.paging import Cursor, Limit, Page
from relay.api.request import Request
from relay.api.rule_diff import unified_diff
from relay.api.rule_reading import Checked, RulesBody, check_name, check_source, read_source
from relay.api.wire import In, Out
from relay.model.errors import NotFound
from relay.model.tenant import Scope
from relay.store import rule_sets
from relay.store.rule_sets import RuleSetRow

_RULES = requires(Scope.RULES)
_YAML, _JSON, _TEXT = "application/yaml", "application/json", "text/plain"
_VERSION_MOST = 2**31 - 1
# A browser shows it as text, whatever it looks like.
_HEADERS = {"X-Content-Type-Options": "nosniff"}

Note: TypeAlias = Annotated[
    str, QueryParameter(max_length=200, description="Why, for those who read the versions.")
]
DryRun: TypeAlias = Annotated[bool, QueryParameter(name="dryRun", description="Only check; change nothing.")]
SkipTests: TypeAlias = Annotated[
    bool, QueryParameter(name="skipTests", description="Put it in force although its own tests fail.")
]
From: TypeAlias = Annotated[
    int | None,
    QueryParameter(name="from", ge=1, le=_VERSION_MOST, description="A version; the one before `to`."),
]
To: TypeAlias = Annotated[
    int | None, QueryParameter(name="to", ge=1, le=_VERSION_MOST, description="A version; the one in force.")
]


class RuleSetItem(Out, frozen=True, kw_only=True):
    """`createdAt` is the set's, `updatedAt` and `note` are those of the version in force."""

    name: str
    version: int
    note: str
    created_at: datetime
    updated_at: datetime


class RuleSetOut(RuleSetItem, frozen=True, kw_only=True):
    source: str


class RuleSetList(Out, frozen=True, kw_only=True):
    rule_sets: list[RuleSetItem]
    next_cursor: str | None


class PutOut(Out, frozen=True, kw_only=True):
    """What is in force now; after a dry run of a set that is not there: none."""

    name: str
    version: int | None
    rules: int
    flows: int
    tests: int
    created_at: datetime | None
    updated_at: datetime | None
    changed: bool
    """Whether this text is another than the one that was in force."""


class VersionItem(Out, frozen=True, kw_only=True):
    version: int
    note: str
    created_at: datetime


class VersionOut(VersionItem, frozen=True, kw_only=True):
    name: str
    source: str


class VersionList(Out, frozen=True, kw_only=True):
    versions: list[VersionItem]
    next_cursor: str | None


class DiffOut(Out, frozen=True, kw_only=True):
    from_: int = field(name="from")
    to: int
    diff: str
    """Unified; empty where nothing differs."""


class RollbackIn(In, frozen=True, kw_only=True):
    company_id: str | None = None
    version: Annotated[int, Meta(ge=1, le=_VERSION_MOST)]


def _put_out(checked: Checked, row: RuleSetRow | None, name: str, *, changed: bool) -> PutOut:
    return PutOut(
        name=name,
        version=None if row is None else row.version,
        rules=checked.rules,
        flows=checked.flows,
        tests=checked.tests,
        created_at=None if row is None else row.created_at,
        updated_at=None if row is None else row.updated_at,
        changed=changed,
    )


def _item(row: RuleSetRow) -> RuleSetItem:
    return RuleSetItem(
        name=row.name,
        version=row.version,
        note=row.note,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


@put(
    "/rules/{name:str}",
    operation_class=RulesBody,
    opt=_RULES,
    summary="Put a rule set in force: the YAML as the body",
    responses={201: ResponseSpec(data_container=PutOut, description="It is new.")},
)
async def put_rule_set(
    request: Request,
    *,
    name: FromPath[str],
    company_id: Company = None,
    note: Note = "",
    dry_run: DryRun = False,
    skip_tests: SkipTests = False,
) -> Response[PutOut]:
    tenant_id = tenant_of(request.principal, company_id)
    check_name(name)
    body = await read_source(request)
    source, checked = await request.services.rule_checks.run(
        tenant_id, lambda: check_source(body, name=name, try_tests=not skip_tests)
    )
    async with request.services.pool.acquire() as conn:
        if dry_run:
            row = await rule_sets.find_rule_set(conn, tenant_id, name)
            return Response(_put_out(checked, row, name, changed=row is None or row.source != source))
        row, changed = await rule_sets.put_rule_set(conn, tenant_id, name, source, note)
    is_new = changed and row.version == 1
    return Response(_put_out(checked, row, name, changed=changed), status_code=201 if is_new else 200)


@get("/rules", opt=_RULES, summary="List rule sets, by name")
async def list_rule_sets(
    request: Request, company_id: Company = None, limit: Limit = 50, cursor: Cursor = None
) -> RuleSetList:
    page = Page.of(limit, cursor)
    tenant_id = tenant_of(request.principal, company_id)
    async with request.services.pool.acquire() as conn:
        rows = await rule_sets.list_rule_sets(conn, tenant_id, after=page.before, limit=page.fetch)
    shown, next_cursor = page.cut(rows, lambda row: row.name)
    return RuleSetList(rule_sets=[_item(row) for row in shown], next_cursor=next_cursor)


@get(
    "/rules/{name:str}",
    opt=_RULES,
    summary="Read a rule set; with Accept: application/yaml its YAML alone",
    responses={200: ResponseSpec(data_container=RuleSetOut, description="Or `application/yaml`.")},
)
async def read_rule_set(request: Request, name: FromPath[str], company_id: Company = None) -> Response[Any]:
    tenant_id = tenant_of(request.principal, company_id)
    async with request.services.pool.acquire() as conn:
        row = await rule_sets.get_rule_set(conn, tenant_id, name)
    if request.accept.best_match([_JSON, _YAML]) == _YAML:
        return _as_yaml(row.source)
    return Response(RuleSetOut(source=row.source, **structs.asdict(_item(row))))


@delete("/rules/{name:str}", opt=_RULES, summary="Remove a rule set and all its versions")
async def delete_rule_set(request: Request, name: FromPath[str], company_id: Company = None) -> None:
    tenant_id = tenant_of(request.principal, company_id)
    async with request.services.pool.acquire() as conn:
        await rule_sets.delete_rule_set(conn, tenant_id, name)


@get("/rules/{name:str}/versions", opt=_RULES, summary="List the versions of a rule set, newest first")
async def list_rule_set_versions(
    request: Request,
    name: FromPath[str],
    company_id: Company = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> VersionList:
    page = Page.of(limit, cursor)
    tenant_id = tenant_of(request.principal, company_id)
    before = None if page.before is None else _number(page.before)
    async with request.services.pool.acquire() as conn:
        await rule_sets.get_rule_set(conn, tenant_id, name)
        rows = await rule_sets.list_versions(conn, tenant_id, name, before=before, limit=page.fetch)
    shown, next_cursor = page.cut(rows, lambda row: str(row.version))
    items = [VersionItem(version=row.version, note=row.note, created_at=row.created_at) for row in shown]
    return VersionList(versions=items, next_cursor=next_cursor)


@get(
    "/rules/{name:str}/versions/{version:str}",
    opt=_RULES,
    summary="Read a version of a rule set; with Accept: application/yaml its YAML alone",
    responses={200: ResponseSpec(data_container=VersionOut, description="Or `application/yaml`.")},
)
async def read_rule_set_version(
    request: Request, name: FromPath[str], version: FromPath[str], company_id: Company = None
) -> Response[Any]:
    tenant_id = tenant_of(request.principal, company_id)
    async with request.services.pool.acquire() as conn:
        row = await rule_sets.get_version(conn, tenant_id, name, _number(version))
    if request.accept.best_match([_JSON, _YAML]) == _YAML:
        return _as_yaml(row.source)
    return Response(VersionOut(**structs.asdict(row)))


@get(
    "/rules/{name:str}/diff",
    opt=_RULES,
    summary="What differs between two versions; with Accept: text/plain the unified diff alone",
    responses={200: ResponseSpec(data_container=DiffOut, description="Or `text/plain`.")},
)
async def diff_rule_set(
    request: Request,
    *,
    name: FromPath[str],
    company_id: Company = None,
    from_version: From = None,
    to_version: To = None,
) -> Response[Any]:
    tenant_id = tenant_of(request.principal, company_id)
    async with request.services.pool.acquire() as conn:
        to = to_version or (await rule_sets.get_rule_set(conn, tenant_id, name)).version
        new = await rule_sets.get_version(conn, tenant_id, name, to)
        old = await rule_sets.get_version(conn, tenant_id, name, from_version or max(1, to - 1))
    diff = await asyncio.to_thread(
        unified_diff,
        old.source,
        new.source,
        old_name=f"{name} (version {old.version})",
        new_name=f"{name} (version {new.version})",
    )
    if request.accept.best_match([_JSON, _TEXT]) == _TEXT:
        return Response(diff, media_type=_TEXT, headers=_HEADERS)
    return Response(DiffOut(from_=old.version, to=new.version, diff=diff))


@post(
    "/rules/{name:str}/rollback",
    opt=_RULES,
    status_code=HTTP_200_OK,
    summary="Put the text of an old version in force again, as a new version",
)
async def roll_back_rule_set(request: Request, name: FromPath[str], data: JSONBody[RollbackIn]) -> PutOut:
    tenant_id = tenant_of(request.principal, data.company_id)
    async with request.services.pool.acquire() as conn:
        old = await rule_sets.get_version(conn, tenant_id, name, data.version)
    # What was valid when it was written may not be so today. Its tests are not run: whoever rolls back is in a hurry.
    _, checked = await request.services.rule_checks.run(
        tenant_id, lambda: check_source(old.source, name=name, try_tests=False)
    )
    async with request.services.pool.acquire() as conn:
        row, changed = await rule_sets.roll_back(conn, tenant_id, name, data.version)
    return _put_out(checked, row, name, changed=changed)


def _number(text: str) -> int:
    """A version's. Raises NotFound on what is none."""
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:10]) <= _VERSION_MOST or len(text) > 10:
        raise NotFound(rule_sets.NO_SUCH_VERSION)
    return int(text)


def _as_yaml(source: str) -> Response[str]:
    return Response(source, media_type=_YAML, headers=_HEADERS)
