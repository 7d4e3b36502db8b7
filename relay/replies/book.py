"""The rules that serve a tenant, made ready: every set compiled once, all rules in the order in which they are asked.

    rule sets (the tenant's own, the operator's files) ──compile_set──► Compiled … ──make_book──► Book

By priority, then the tenant's own before the operator's, then by the set's name and the rule's place in it.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

from msgspec import Struct

from relay.plugin import Abilities
from relay.replies import schema
from relay.replies.matching.hours import Calendar
from relay.replies.matching.match import Matcher, digits_of
from relay.replies.matching.text import fold
from relay.replies.situation import Incoming
from relay.replies.templates.render import Templates


class Compiled(Struct, frozen=True, kw_only=True, dict=True):
    """A rule set, ready to be asked."""

    key: str
    """`own:NAME` or `file:NAME`: unique in a book, and part of what is remembered of flows and cooldowns."""
    name: str
    version: int | None
    source: schema.RuleSet
    digest: str = ""
    """Of the text it was made from."""

    @classmethod
    def none(cls) -> "Compiled":
        """An empty set, whose defaults are the schema's."""
        return cls(key="", name="", version=None, source=schema.RuleSet(version=1))

    @cached_property
    def templates(self) -> Templates:
        return Templates(self.source.templates)

    @cached_property
    def calendar(self) -> Calendar:
        return Calendar(self.source.defaults, self.source.holidays)

    @cached_property
    def lists(self) -> Mapping[str, frozenset[str]]:
        return {name: frozenset(map(digits_of, numbers)) for name, numbers in self.source.lists.items()}

    @cached_property
    def _sessions(self) -> frozenset[str]:
        return frozenset(fold(name) for name in self.source.sessions)

    def serves(self, message: Incoming) -> bool:
        """Whether it is for the message's session."""
        names = self._sessions
        return not names or message.session_id in names or fold(message.session_name) in names


class Entry(Struct, frozen=True, kw_only=True, dict=True):
    """One rule in its place."""

    set: Compiled
    rule: schema.Rule

    @property
    def lists(self) -> Mapping[str, frozenset[str]]:
        return self.set.lists

    @cached_property
    def key(self) -> str:
        return f"{self.set.key}/{self.rule.id}"

    @cached_property
    def shadow(self) -> bool:
        return self.rule.shadow or self.set.source.shadow

    @cached_property
    def resumes(self) -> bool:
        """It may end a pause, so it is asked in one as well."""
        return any(action.resume for action in self.rule.do)

    @cached_property
    def cooldown_seconds(self) -> float:
        """A rule that hands on to an agent, a flow or a person rests only where it says so itself."""
        if self.rule.cooldown is not None:
            return self.rule.cooldown
        hands_on = any(
            action.agent or action.flow or action.goto or action.handoff or action.resume
            for action in self.rule.do
        )
        return 0.0 if hands_on else self.set.source.defaults.cooldown

    @cached_property
    def remembered_seconds(self) -> float:
        """How long it matters when it has fired."""
        asked = [condition.cooldown or 0.0 for condition in self.rule.if_]
        return max([self.cooldown_seconds, *asked])


class Book(Struct, frozen=True, kw_only=True):
    """All that can answer a tenant's messages."""

    sets: Mapping[str, Compiled]
    entries: tuple[Entry, ...]
    matcher: Matcher
    interrupts: bool
    """One of the rules is asked before a running flow."""
    abilities: Abilities = Abilities()


def compile_set(
    rules: schema.RuleSet, *, name: str, version: int | None, own: bool, digest: str = ""
) -> Compiled:
    """Of a set that has been checked."""
    key = f"{'own' if own else 'file'}:{name}"
    return Compiled(key=key, name=name, version=version, source=rules, digest=digest)


def make_book(sets: Sequence[Compiled], abilities: Abilities = Abilities()) -> Book:  # noqa: B008 - frozen
    """`sets` in the order in which equals are asked: the tenant's own first."""
    enabled = [one for one in sets if one.source.enabled]
    entries = [Entry(set=one, rule=rule) for one in enabled for rule in one.source.rules if rule.enabled]
    entries.sort(key=lambda entry: -entry.rule.priority)
    return Book(
        sets={one.key: one for one in enabled},
        entries=tuple(entries),
        matcher=Matcher(entries),
        interrupts=any(entry.rule.interrupts for entry in entries),
        abilities=abilities,
    )
