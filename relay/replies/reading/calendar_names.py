"""Whether time zones, countries and dates of a rule set are ones that exist."""

from collections.abc import Iterator
from datetime import date
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from relay.replies.reading.problems import Path
from relay.replies.reading.wording import quote, suggest
from relay.replies.said import either, said
from relay.replies.schema import RuleSet

_LEAP_YEAR = 2024


def calendar_faults(rule_set: RuleSet) -> Iterator[tuple[Path, str]]:
    """Of `defaults.timezone` and `holidays`."""
    yield from zone_faults(rule_set.defaults.timezone, ("defaults", "timezone"))
    days = rule_set.holidays
    for place, day in enumerate(days.dates):
        if not _is_date(day):
            yield ("holidays", "dates", place), said("{day} is no day of the calendar.", day=quote(day))
    if days.country is None:
        if days.state is not None:
            yield ("holidays", "state"), said("needs `country` beside it.")
    elif days.country not in _countries():
        yield (
            ("holidays", "country"),
            said("{country} has no known holidays: write them in `dates`.", country=quote(days.country)),
        )
    elif days.state is not None and days.state not in _countries()[days.country]:
        states = _countries()[days.country]
        known = said(": write one of {states}", states=either(states)) if states else said(": leave it out")
        yield (
            ("holidays", "state"),
            said(
                "{state} is no state of {country}{known}.",
                state=quote(days.state),
                country=days.country,
                known=known,
            ),
        )


def zone_faults(name: str, path: Path) -> Iterator[tuple[Path, str]]:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        hint = suggest(name, [*available_timezones()]) or said("; write one such as America/Sao_Paulo.")
        yield path, said("{name} is no time zone{hint}", name=quote(name), hint=hint)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text if len(text) == len("2026-12-24") else f"{_LEAP_YEAR}-{text}")
    except ValueError:
        return False
    return True


@cache
def _countries() -> dict[str, list[str]]:
    """The states of each country whose holidays are known."""
    import holidays  # noqa: PLC0415 - it is large, and most rule sets name no country

    return holidays.list_supported_countries(include_aliases=False)
