"""The conditions of a rule, asked in order; the first that does not hold ends it, with a sentence saying why."""

import math
from collections.abc import Generator, Mapping, Sequence
from datetime import timedelta
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from relay.replies import schema
from relay.replies.matching.hours import Calendar
from relay.replies.matching.text import fold
from relay.replies.outcome import AskCondition
from relay.replies.said import Sentence, any_of, joined, said
from relay.replies.situation import Situation

Failed = tuple[str, Sentence]
"""A stable code and a sentence."""
Asking = Generator[AskCondition, bool, Failed | None]


def check(
    conditions: Sequence[schema.Condition],
    situation: Situation,
    *,
    key: str,
    calendar: Calendar,
    default_cooldown: float,
) -> Asking:
    """None where all hold. `key` is the rule's, as in `Contact.fired`. A condition's own `cooldown` goes before the default."""
    looked = _Look(situation=situation, key=key, calendar=calendar)
    if default_cooldown and all(condition.cooldown is None for condition in conditions):
        failed = looked.cooldown(default_cooldown)
        if failed is not None:
            return failed
    for condition in conditions:
        failed = yield from looked.check(condition)
        if failed is not None:
            return failed
    return None


class _Look(Struct, frozen=True, kw_only=True):
    situation: Situation
    key: str
    calendar: Calendar

    def check(self, condition: schema.Condition) -> Asking:
        failed = self._here(condition)
        if failed is not None:
            return failed
        for name, arguments in (condition.plugin or {}).items():
            given = arguments if isinstance(arguments, dict) else {}
            if not (yield AskCondition(contact=self.situation.contact, name=name, arguments=given)):
                return "condition.plugin", _plugin_says_no(name)
        if condition.any is not None:
            failed = yield from self._any(condition.any)
            if failed is not None:
                return failed
        if condition.not_ is not None and (yield from self.check(condition.not_)) is None:
            return "condition.not", lambda: said("What stands under `not` holds.")
        return None

    def _any(self, conditions: Sequence[schema.Condition]) -> Asking:
        sentences: list[Sentence] = []
        for condition in conditions:
            failed = yield from self.check(condition)
            if failed is None:
                return None
            sentences.append(failed[1])
        return "condition.any", lambda: said(
            "None under `any` holds: {reasons}", reasons=joined((sentence() for sentence in sentences), " ")
        )

    def _here(self, condition: schema.Condition) -> Failed | None:
        """What needs nobody else."""
        contact = self.situation.contact
        if condition.time is not None:
            sentence = self.calendar.holds(condition.time, self.situation.now)
            if sentence is not None:
                return "condition.time", sentence
        if condition.first_contact is not None and contact.first != condition.first_contact:
            return "condition.first_contact", _not_first if condition.first_contact else _first
        if condition.tags is not None and contact.tags.isdisjoint(several(condition.tags)):
            return "condition.tags", lambda: said(
                "The contact has no tag {tags}.", tags=_words(condition.tags)
            )
        for name, wanted in (condition.vars or {}).items():
            sentence = compare(name, contact.vars, wanted)
            if sentence is not None:
                return "condition.vars", sentence
        if condition.session is not None and not self._is_session(condition.session):
            return "condition.session", lambda: said(
                "The session is not {names}.", names=_words(condition.session)
            )
        if condition.percentage is not None and self._share() >= condition.percentage:
            return "condition.percentage", lambda: said(
                "The contact is not among the {share:g} percent.", share=condition.percentage
            )
        return None if condition.cooldown is None else self.cooldown(condition.cooldown)

    def cooldown(self, seconds: float) -> Failed | None:
        fired_at = self.situation.contact.fired.get(self.key)
        if fired_at is None:
            return None
        left = fired_at + timedelta(seconds=seconds) - self.situation.now
        if left <= timedelta():
            return None
        return "condition.cooldown", lambda: said(
            "The rule has fired for this contact and rests for {seconds} s more.",
            seconds=math.ceil(left.total_seconds()),
        )

    def _is_session(self, wanted: schema.Texts) -> bool:
        message = self.situation.message
        folded = fold(message.session_name)
        return any(name == message.session_id or fold(name) == folded for name in several(wanted))

    def _share(self) -> float:
        """0 to 100, the same for a contact and a rule always, and evenly spread."""
        seed = f"{self.key}\0{self.situation.contact.id}".encode()
        return int.from_bytes(blake2b(seed, digest_size=8).digest(), "big") / 2**64 * 100


def _plugin_says_no(name: str) -> Sentence:
    return lambda: said("The plugin's condition {name} does not hold.", name=name)


def _first() -> str:
    return said("It is the first message of this chat.")


def _not_first() -> str:
    return said("It is not the first message of this chat.")


# --- variables ------------------------------------------------------------------------------------------------------


def compare(name: str, variables: Mapping[str, Any], wanted: Any) -> Sentence | None:
    """None where the variable is as wanted, else why not; without quoting its value, which may be a customer's."""
    value = variables.get(name)
    if not isinstance(wanted, Mapping):
        if _same(value, wanted):
            return None
        return lambda: said("The variable {name} is not {value}.", name=name, value=_shown(wanted))
    # A key that is written `null` says something: compared by what was written, not by what the struct defaults to.
    comparison = msgspec.convert(wanted, schema.Comparison)
    for written in wanted:
        sentence = _fault(name, written, comparison, value)
        if sentence is not None:
            return sentence
    return None


def _fault(name: str, key: str, wanted: schema.Comparison, value: Any) -> Sentence | None:
    match key:
        case "exists" if wanted.exists is not None and (value is not None) != wanted.exists:
            if wanted.exists:
                return lambda: said("The variable {name} does not exist.", name=name)
            return lambda: said("The variable {name} exists.", name=name)
        case "equals" if not _same(value, wanted.equals):
            return lambda: said("The variable {name} is not {value}.", name=name, value=_shown(wanted.equals))
        case "not" if _same(value, wanted.not_):
            return lambda: said("The variable {name} is {value}.", name=name, value=_shown(wanted.not_))
        case "above" if wanted.above is not None and not _is_beyond(value, wanted.above, sign=1):
            return lambda: said("The variable {name} is not above {bound:g}.", name=name, bound=wanted.above)
        case "below" if wanted.below is not None and not _is_beyond(value, wanted.below, sign=-1):
            return lambda: said("The variable {name} is not below {bound:g}.", name=name, bound=wanted.below)
        case "in" if wanted.in_ is not None and not any(_same(value, one) for one in wanted.in_):
            return lambda: said("The variable {name} is none of those under `in`.", name=name)
        case "contains" if wanted.contains is not None and not _contains(value, wanted.contains):
            return lambda: said(
                "The variable {name} does not contain {value}.", name=name, value=_shown(wanted.contains)
            )
        case _:
            return None


def _same(value: Any, wanted: Any) -> bool:
    """`5` and `"5.0"` are the same number, `"Sim"` and `"sim"` the same word, `true` is the word `"true"`."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return _truth(value) is _truth(wanted) if None not in (_truth(value), _truth(wanted)) else False
    if value is None or wanted is None:
        return value is wanted
    numbers = _number(value), _number(wanted)
    if None not in numbers:
        return numbers[0] == numbers[1]
    if isinstance(value, str) and isinstance(wanted, str):
        return fold(value) == fold(wanted)
    return bool(value == wanted)


def _truth(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(fold(value)) if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _is_beyond(value: Any, bound: float, *, sign: int) -> bool:
    number = _number(value)
    return number is not None and (number - bound) * sign > 0


def _contains(value: Any, wanted: str) -> bool:
    if isinstance(value, list | tuple):
        return any(_same(one, wanted) for one in value)
    return value is not None and fold(wanted) in fold(str(value))


def _shown(wanted: Any) -> str:
    return f'"{wanted}"' if isinstance(wanted, str) else msgspec.json.encode(wanted).decode()


def several(values: schema.Texts) -> list[str]:
    return [values] if isinstance(values, str) else values


def _words(values: schema.Texts) -> str:
    return any_of(f'"{value}"' for value in several(values))
