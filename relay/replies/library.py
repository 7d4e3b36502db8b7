"""Each tenant's book, compiled when it is first needed and again when it has changed.

rule_sets in force (a change raises the tenant's rules_version) ─┐
the operator's files that name the tenant ───────────────────────┴─► Book, kept until either changes
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

from msgspec import Struct

from relay.model.ids import TenantId
from relay.plugin import Abilities
from relay.replies.book import Book, Compiled, compile_set, make_book
from relay.replies.matching.text import fold
from relay.replies.reading.check import read_rules
from relay.replies.reading.problems import RulesInvalid
from relay.replies.reading.rule_files import RuleFiles
from relay.store import rule_sets
from relay.store.pool import Connection
from relay.store.rule_sets import InForce

log = logging.getLogger(__name__)

_BOOKS_KEPT = 1000


class _Kept(Struct, frozen=True, kw_only=True):
    rules_version: int
    generation: int
    book: Book


class Library:
    """One in each process that decides. `look` at the operator's files from time to time."""

    def __init__(
        self, files: RuleFiles, abilities_for: Callable[[TenantId], Abilities] = lambda _: Abilities()
    ) -> None:
        self._files = files
        self._abilities_for = abilities_for
        self._generation = 0
        self._from_files: dict[str, Compiled] = {}
        self._books: OrderedDict[TenantId, _Kept] = OrderedDict()
        self._shared: dict[tuple[object, ...], Book] = {}
        """Of tenants without rules of their own, by the plugins and the files that serve them."""
        self._take_files()

    async def look(self) -> bool:
        """See whether the operator's files have changed; never more, so always False: wait for the next look."""
        if await asyncio.to_thread(self._files.look):
            self._take_files()
            log.info("rules.reloaded", extra={"files": len(self._from_files)})
        return False

    def _take_files(self) -> None:
        self._from_files = {
            file.name: compile_set(file.rule_set, name=file.name, version=None, own=False)
            for file in self._files.sets
        }
        self._shared.clear()
        self._generation += 1

    def find(self, tenant_id: TenantId, rules_version: int) -> Book | None:
        """The book of just this version, if it is at hand."""
        kept = self._books.get(tenant_id)
        if kept is None or (kept.rules_version, kept.generation) != (rules_version, self._generation):
            return None
        self._books.move_to_end(tenant_id)
        return kept.book

    async def book_of(
        self, conn: Connection, tenant_id: TenantId, *, tenant_name: str, rules_version: int
    ) -> Book:
        """Never in a transaction that holds locks: it may take a while."""
        found = self.find(tenant_id, rules_version)
        if found is not None:
            return found
        generation = self._generation
        in_force = await rule_sets.list_in_force(conn, tenant_id)
        before = self._books.get(tenant_id)
        known = {} if before is None else dict(before.book.sets)
        files = [one for one in self._from_files.values() if _serves(one, tenant_id, tenant_name)]
        abilities = self._abilities_for(tenant_id)
        book = await asyncio.to_thread(self._make, in_force, known, files, abilities, generation)
        self._books[tenant_id] = _Kept(rules_version=rules_version, generation=generation, book=book)
        self._books.move_to_end(tenant_id)
        if len(self._books) > _BOOKS_KEPT:
            self._books.popitem(last=False)
        return book

    def _make(
        self,
        in_force: Sequence[InForce],
        known: dict[str, Compiled],
        files: Sequence[Compiled],
        abilities: Abilities,
        generation: int,
    ) -> Book:
        if not in_force:
            # Should the files change just now, these are not taken for the new ones.
            key = (generation, abilities, *(one.key for one in files))
            book = self._shared.get(key)
            if book is None:
                book = self._shared[key] = make_book(files, abilities)
            return book
        own = [compiled for one in in_force if (compiled := _compile(one, known)) is not None]
        return make_book([*own, *files], abilities)


def _compile(one: InForce, known: dict[str, Compiled]) -> Compiled | None:
    # Not by the version: a set that was deleted and made anew begins with the first again.
    digest = hashlib.sha256(one.source.encode()).hexdigest()
    before = known.get(f"own:{one.name}")
    if before is not None and (before.version, before.digest) == (one.version, digest):
        return before
    try:
        rules = read_rules(one.source, operator=False)
    except RulesInvalid as error:
        # It was checked when it was put there: a later Relay reads more strictly.
        log.error("rules.set_refused", extra={"rule_set": one.name, "detail": str(error.detail)})
        return None
    return compile_set(rules, name=one.name, version=one.version, own=True, digest=digest)


def _serves(compiled: Compiled, tenant_id: TenantId, tenant_name: str) -> bool:
    named = compiled.source.tenants or []
    return any(name in ("*", tenant_id) or fold(name) == fold(tenant_name) for name in named)
