"""Conditions of rules: opening hours and holidays, variables, cooldowns, shares of contacts, plugins."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from relay.model.ids import ContactId
from relay.replies import schema
from relay.replies.matching.conditions import Failed, check
from relay.replies.matching.hours import Calendar
from relay.replies.outcome import AskCondition
from relay.replies.situation import Situation
from tests.unit.bot_situations import MONDAY_NOON, contact, incoming, situation

_KEY = "own:loja/status"
_HOLIDAYS = schema.Holidays(country="BR", state="SP", dates=["12-24", "2026-03-10"])
_CALENDAR = Calendar(schema.Defaults(), _HOLIDAYS)


def _check(
    *conditions: Mapping[str, Any],
    seen: Situation | None = None,
    default_cooldown: float = 0,
    answers: Mapping[str, bool] | None = None,
) -> tuple[str, str] | None:
    """Of conditions as the YAML has them; `answers` are the plugins'."""
    asking = check(
        [
            msgspec.convert(one, schema.Condition, dec_hook=lambda kind, value: kind(value))
            for one in conditions
        ],
        seen or situation(),
        key=_KEY,
        calendar=_CALENDAR,
        default_cooldown=default_cooldown,
    )
    try:
        asked = next(asking)
        while True:
            asked = asking.send((answers or {})[asked.name])
    except StopIteration as ended:
        failed: Failed | None = ended.value
        return None if failed is None else (failed[0], failed[1]())


def _at(local: str) -> datetime:
    return datetime.fromisoformat(local).replace(tzinfo=_CALENDAR.zone).astimezone(UTC)


# 2026-01-05 is a Monday.
HOURS: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "open": ({"after": "09:00", "before": "18:00"}, "2026-01-05T09:00", None),
    "just before": (
        {"after": "09:00", "before": "18:00"},
        "2026-01-05T08:59:59",
        "It is 08:59, not between 09:00 and 18:00.",
    ),
    "closed": (
        {"after": "09:00", "before": "18:00"},
        "2026-01-05T18:00",
        "It is 18:00, not between 09:00 and 18:00.",
    ),
    "only after": ({"after": "09:00"}, "2026-01-05T23:59", None),
    "not yet after": ({"after": "09:00"}, "2026-01-05T08:00", "It is 08:00, not 09:00 or later."),
    "only before": ({"before": "12:00"}, "2026-01-05T00:00", None),
    "no longer before": ({"before": "12:00"}, "2026-01-05T12:00", "It is 12:00, not before 12:00."),
    "to the day's end": ({"after": "18:00", "before": "24:00"}, "2026-01-05T23:59:59.999", None),
    "24:00 is not the morning": (
        {"after": "18:00", "before": "24:00"},
        "2026-01-05T00:00",
        "It is 00:00, not between 18:00 and 24:00.",
    ),
    "night, evening": ({"after": "22:00", "before": "06:00"}, "2026-01-05T22:00", None),
    "night, morning": ({"after": "22:00", "before": "06:00"}, "2026-01-06T05:59", None),
    "not night": (
        {"after": "22:00", "before": "06:00"},
        "2026-01-06T06:00",
        "It is 06:00, not between 22:00 and 06:00.",
    ),
    "weekday": ({"weekday": ["mon", "tue"]}, "2026-01-05T12:00", None),
    "another weekday": ({"weekday": ["sat", "sun"]}, "2026-01-05T12:00", "The day is mon, not sat or sun."),
    "the night that began on Friday": (
        {"after": "22:00", "before": "06:00", "weekday": ["fri"]},
        "2026-01-10T03:00",
        None,
    ),
    "the night that began on Saturday": (
        {"after": "22:00", "before": "06:00", "weekday": ["fri"]},
        "2026-01-10T23:00",
        "The day is sat, not fri.",
    ),
    "Friday's morning is Thursday's night": (
        {"after": "22:00", "before": "06:00", "weekday": ["fri"]},
        "2026-01-09T03:00",
        "The day is thu, not fri.",
    ),
    "the country's holiday": ({"holiday": True}, "2026-09-07T12:00", None),
    "the state's holiday": ({"holiday": True}, "2026-07-09T12:00", None),
    "every year's own": ({"holiday": True}, "2027-12-24T12:00", None),
    "one year's own": ({"holiday": True}, "2026-03-10T12:00", None),
    "not in another year": ({"holiday": True}, "2027-03-10T12:00", "2027-03-10 is no holiday."),
    "never on holidays": ({"holiday": False}, "2026-12-25T12:00", "2026-12-25 is a holiday."),
    "a working day": ({"holiday": False}, "2026-01-05T12:00", None),
    "another time zone": (
        {"after": "12:00", "timezone": "America/Manaus"},
        "2026-01-05T12:30",
        "It is 11:30, not 12:00 or later.",
    ),
    "another time zone's day": ({"weekday": ["tue"], "timezone": "Asia/Tokyo"}, "2026-01-05T13:00", None),
}


@pytest.mark.parametrize(("time", "local", "sentence"), HOURS.values(), ids=HOURS)
def test_time(time: dict[str, Any], local: str, sentence: str | None) -> None:
    """Hours of the day, nights over midnight, weekdays and holidays, in the set's time zone or the condition's."""
    failed = _check({"time": time}, seen=situation(now=_at(local)))
    assert failed == (None if sentence is None else ("condition.time", sentence))


def test_calendar_without_a_country() -> None:
    """No holidays but its own dates; the zone is the set's."""
    calendar = Calendar(schema.Defaults(timezone="Europe/Lisbon"), schema.Holidays(dates=["06-13"]))
    assert calendar.is_holiday(datetime(2026, 6, 13, tzinfo=UTC).date())
    assert not calendar.is_holiday(datetime(2026, 12, 25, tzinfo=UTC).date())
    assert calendar.local(datetime(2026, 7, 1, 12, tzinfo=UTC)).hour == 13


_VARS = {"plan": "Prêmio", "orders": "3", "age": 41.0, "cart": ["Pão", 2], "ok": True, "map": {"a": 1}}
VARS: dict[str, tuple[Any, str | None]] = {
    "same": ({"plan": "premio"}, None),
    "other": ({"plan": "free"}, 'The variable plan is not "free".'),
    "number in words": ({"orders": 3}, None),
    "number as words": ({"age": "41"}, None),
    "other number": ({"age": 42}, "The variable age is not 42."),
    "truth": ({"ok": True}, None),
    "truth in words": ({"ok": "true"}, None),
    "not truth": ({"ok": False}, "The variable ok is not false."),
    "truth is no number": ({"ok": 1}, "The variable ok is not 1."),
    "missing": ({"nope": "a"}, 'The variable nope is not "a".'),
    "null": ({"nope": None}, None),
    "two": ({"plan": "premio", "age": 1}, "The variable age is not 1."),
    "list": ({"cart": ["Pão", 2]}, None),
    "exists": ({"plan": {"exists": True}}, None),
    "does not exist": ({"nope": {"exists": True}}, "The variable nope does not exist."),
    "is not to exist": ({"plan": {"exists": False}}, "The variable plan exists."),
    "equals": ({"plan": {"equals": "PREMIO"}}, None),
    "equals null": ({"plan": {"equals": None}}, "The variable plan is not null."),
    "not": ({"plan": {"not": "free"}}, None),
    "not, but is": ({"plan": {"not": "prêmio"}}, 'The variable plan is "prêmio".'),
    "not null": ({"nope": {"not": None}}, "The variable nope is null."),
    "above": ({"orders": {"above": 2}}, None),
    "not above": ({"orders": {"above": 3}}, "The variable orders is not above 3."),
    "below": ({"age": {"below": 41.5}}, None),
    "not below": ({"age": {"below": 41}}, "The variable age is not below 41."),
    "between": ({"age": {"above": 18, "below": 65}}, None),
    "words are not above": ({"plan": {"above": 0}}, "The variable plan is not above 0."),
    "nothing is not below": ({"nope": {"below": 9}}, "The variable nope is not below 9."),
    "in": ({"plan": {"in": ["free", "premio"]}}, None),
    "not in": ({"plan": {"in": ["free"]}}, "The variable plan is none of those under `in`."),
    "contains": ({"plan": {"contains": "REM"}}, None),
    "list contains": ({"cart": {"contains": "pao"}}, None),
    "does not contain": ({"cart": {"contains": "ovo"}}, 'The variable cart does not contain "ovo".'),
    "nothing contains nothing": (
        {"nope": {"contains": "none"}},
        'The variable nope does not contain "none".',
    ),
}


@pytest.mark.parametrize(("wanted", "sentence"), VARS.values(), ids=VARS)
def test_vars(wanted: dict[str, Any], sentence: str | None) -> None:
    """A value, or a comparison of which each key holds; what the customer said is not quoted."""
    failed = _check({"vars": wanted}, seen=situation(who=contact(vars=_VARS)))
    assert failed == (None if sentence is None else ("condition.vars", sentence))


def test_contact_and_session() -> None:
    """Tags, the first message, and the session by id or name."""
    tagged = situation(who=contact(tags=frozenset({"vip"}), first=True))
    assert _check({"tags": ["a", "vip"]}, {"first_contact": True}, seen=tagged) is None
    assert _check({"tags": ["a", "b"]}, seen=tagged) == (
        "condition.tags",
        'The contact has no tag "a" or "b".',
    )
    told = ("condition.first_contact", "It is the first message of this chat.")
    assert _check({"first_contact": False}, seen=tagged) == told
    told = ("condition.first_contact", "It is not the first message of this chat.")
    assert _check({"first_contact": True}) == told
    assert _check({"session": "loja sao joao"}) is None
    assert _check({"session": ["x", "ses_1"]}) is None
    assert _check({"session": "loja"}) == ("condition.session", 'The session is not "loja".')


def _rests(seconds_ago: float, *conditions: Mapping[str, Any], default: float = 0) -> tuple[str, str] | None:
    fired = {_KEY: MONDAY_NOON - timedelta(seconds=seconds_ago), "own:loja/other": MONDAY_NOON}
    return _check(*conditions, seen=situation(who=contact(fired=fired)), default_cooldown=default)


def test_cooldown() -> None:
    """A rule rests after it fired; its own condition goes before the set's default."""
    told = ("condition.cooldown", "The rule has fired for this contact and rests for 11 s more.")
    assert _rests(19.5, {"cooldown": 30}) == told
    assert _rests(19.5, default=30) == told
    assert _rests(30, {"cooldown": 30}) is None
    assert _rests(30, default=30) is None
    assert _rests(5, {"cooldown": 3}, default=30) is None
    assert _rests(5) is None
    assert _check({"cooldown": 3600}, default_cooldown=3600) is None


def test_percentage_is_stable_and_fair() -> None:
    """The same contacts always, about as many as said, and others for another rule."""
    condition = [schema.Condition(percentage=30)]

    def chosen(key: str) -> set[int]:
        found = set()
        for number in range(2000):
            seen = situation(who=contact(id=ContactId(f"con_{number}")))
            asking = check(condition, seen, key=key, calendar=_CALENDAR, default_cooldown=0)
            with pytest.raises(StopIteration) as ended:
                next(asking)
            if ended.value.value is None:
                found.add(number)
        return found

    first, other = chosen("own:a/x"), chosen("own:a/y")
    assert 540 <= len(first) <= 660
    assert chosen("own:a/x") == first
    assert 120 <= len(first & other) <= 240
    assert _check({"percentage": 100}) is None
    assert _check({"percentage": 0}) == ("condition.percentage", "The contact is not among the 0 percent.")


def test_plugins_are_asked_in_order() -> None:
    """Each is asked with its arguments until one says no; conditions before it have held."""
    conditions = [
        schema.Condition(first_contact=False, plugin={"a.x": {"desk": 1}, "b.y": None}),
        schema.Condition(plugin={"c.z": {}}),
    ]
    asking = check(conditions, situation(), key=_KEY, calendar=_CALENDAR, default_cooldown=0)
    assert next(asking) == AskCondition(contact=contact(), name="a.x", arguments={"desk": 1})
    assert asking.send(True) == AskCondition(contact=contact(), name="b.y", arguments={})
    with pytest.raises(StopIteration) as ended:
        asking.send(False)
    code, sentence = ended.value.value
    assert (code, sentence()) == ("condition.plugin", "The plugin's condition b.y does not hold.")
    assert _check({"first_contact": True, "plugin": {"a.x": {}}}, answers={}) is not None


ANY_NOT: dict[str, tuple[dict[str, Any], bool, tuple[str, str] | None]] = {
    "any holds": ({"any": [{"first_contact": True}, {"tags": "vip"}]}, True, None),
    "any by plugin": ({"any": [{"first_contact": True}, {"plugin": {"p.q": {}}}]}, True, None),
    "none of any": (
        {"any": [{"first_contact": True}, {"plugin": {"p.q": {}}}]},
        False,
        (
            "condition.any",
            "None under `any` holds: It is not the first message of this chat. The plugin's condition p.q does not hold.",
        ),
    ),
    "not holds": ({"not": {"first_contact": True}}, True, None),
    "not does not": ({"not": {"tags": "vip"}}, True, ("condition.not", "What stands under `not` holds.")),
    "not of two": ({"not": {"tags": "vip", "first_contact": True}}, True, None),
    "not of a plugin": ({"not": {"plugin": {"p.q": {}}}}, False, None),
}


@pytest.mark.parametrize(("condition", "answer", "failed"), ANY_NOT.values(), ids=ANY_NOT)
def test_any_and_not(condition: dict[str, Any], answer: bool, failed: tuple[str, str] | None) -> None:
    """Conditions within conditions, plugins among them."""
    seen = situation(message=incoming(), who=contact(tags=frozenset({"vip"})))
    assert _check(condition, seen=seen, answers={"p.q": answer}) == failed


def test_the_first_that_fails_is_told() -> None:
    """In the order of the list."""
    failed = _check({"first_contact": False}, {"tags": "x"}, {"session": "y"})
    assert failed is not None
    assert failed[0] == "condition.tags"
