"""The clock and the calendar of a rule set: opening hours, nights, weekdays, holidays."""

from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from relay.replies import schema
from relay.replies.said import Sentence, any_of, said

_WEEKDAYS: tuple[schema.Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Calendar:
    def __init__(self, defaults: schema.Defaults, holidays: schema.Holidays) -> None:
        self.zone = ZoneInfo(defaults.timezone)
        self._holidays = holidays
        self._dates = frozenset(holidays.dates)

    def local(self, now: datetime) -> datetime:
        return now.astimezone(self.zone)

    def is_holiday(self, day: date) -> bool:
        """One of the set's own dates, or a public holiday of its country and state."""
        iso = day.isoformat()
        return iso in self._dates or iso[5:] in self._dates or day in self._public

    @cached_property
    def _public(self) -> Any:
        if self._holidays.country is None:
            return ()
        from holidays import country_holidays  # noqa: PLC0415 - it is large, and few sets ask

        return country_holidays(self._holidays.country, subdiv=self._holidays.state)

    def holds(self, wanted: schema.Time, now: datetime) -> Sentence | None:
        """None where it does, else the sentence that says why not."""
        local = now.astimezone(ZoneInfo(wanted.timezone)) if wanted.timezone else self.local(now)
        inside, began = _window(wanted, local)
        if not inside:
            return lambda: said(
                "It is {clock}, not {window}.", clock=f"{local:%H:%M}", window=_window_words(wanted)
            )
        weekday = _WEEKDAYS[began.weekday()]
        days = wanted.weekday
        if days is not None and weekday not in days:
            return lambda: said("The day is {day}, not {days}.", day=weekday, days=any_of(days))
        if wanted.holiday is not None and self.is_holiday(began) != wanted.holiday:
            if wanted.holiday:
                return lambda: said("{day:%Y-%m-%d} is no holiday.", day=began)
            return lambda: said("{day:%Y-%m-%d} is a holiday.", day=began)
        return None


def _window(wanted: schema.Time, local: datetime) -> tuple[bool, date]:
    """Whether the time of day fits, and the day on which the window began."""
    today = local.date()
    after = _clock(wanted.after or "00:00")
    before = _clock(wanted.before or "24:00")
    at = local.time().replace(tzinfo=None)
    if before is None:
        return (after is not None and at >= after), today
    if after is None:
        # From 24:00 on: tomorrow's first moment.
        after = time.min
    if after < before:
        return after <= at < before, today
    if at < before:
        return True, today - timedelta(days=1)
    return at >= after, today


def _clock(words: str) -> time | None:
    """None is 24:00, the end of the day."""
    return None if words == "24:00" else time.fromisoformat(words)


def _window_words(wanted: schema.Time) -> str:
    if wanted.after is None:
        return said("before {time}", time=wanted.before)
    if wanted.before is None:
        return said("{time} or later", time=wanted.after)
    return said("between {after} and {before}", after=wanted.after, before=wanted.before)
