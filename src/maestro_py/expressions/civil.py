"""
The calendar without zones: local milliseconds since 1970 and the fields read off them.

The ISO calendar, extended in both directions (as Joda's is); weeks are ISO weeks.  Each field of `FIELDS` can be
read, has a range that may depend on the others, and can be set; setting a year or month keeps the day within it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from maestro_py.expressions.errors import ExpressionError

SECOND_MS: Final = 1000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
_CYCLE_DAYS: Final = 146_097  # days in 400 years
_EPOCH_DAYS: Final = 719_468  # days from 1 March of year 0 to 1970-01-01
LARGEST_YEAR: Final = 292_000_000


def is_leap(year: int) -> bool:
    """Tell whether *year* has 366 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def days_of(year: int, month: int, day: int) -> int:
    """Return the days from 1970-01-01 to the date."""
    shifted = year - (month <= 2)
    cycle, in_cycle = divmod(shifted, 400)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return cycle * _CYCLE_DAYS + in_cycle * 365 + in_cycle // 4 - in_cycle // 100 + day_of_year - _EPOCH_DAYS


def date_of(days: int) -> tuple[int, int, int]:
    """Return year, month and day of the date *days* after 1970-01-01."""
    cycle, day = divmod(days + _EPOCH_DAYS, _CYCLE_DAYS)
    in_cycle = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day_of_year = day - (365 * in_cycle + in_cycle // 4 - in_cycle // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + (3 if shifted < 10 else -9)
    return in_cycle + cycle * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


def days_in_month(year: int, month: int) -> int:
    """Return how many days *month* has."""
    return 29 if month == 2 and is_leap(year) else (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


def day_of_week(days: int) -> int:
    """Return 1 for Monday to 7 for Sunday."""
    return (days + 3) % 7 + 1


def week_of(days: int) -> tuple[int, int]:
    """Return the ISO week year and the week in it."""
    thursday = days - day_of_week(days) + 4
    year = date_of(thursday)[0]
    return year, (thursday - days_of(year, 1, 1)) // 7 + 1


def weeks_in(weekyear: int) -> int:
    """Return 52 or 53."""
    return week_of(days_of(weekyear, 12, 28))[1]


def local_ms(year: int, month: int, day: int, ms_of_day: int = 0) -> int:
    """
    Return local milliseconds for a date and a time of day.

    Raises:
        ExpressionError: There is no such date.
    """
    check("year", year, -LARGEST_YEAR, LARGEST_YEAR)
    check("monthOfYear", month, 1, 12)
    check("dayOfMonth", day, 1, days_in_month(year, month))
    return days_of(year, month, day) * DAY_MS + ms_of_day


def check(name: str, value: int, lowest: int, highest: int) -> None:
    """Raise `ExpressionError` unless *value* is within the range of the field *name*."""
    if not lowest <= value <= highest:
        raise ExpressionError(f"{value} is no {name}; it must be from {lowest} to {highest}")


def add_months(local: int, months: int) -> int:
    """Return *local* moved by *months*; the day is kept within the month."""
    days, ms_of_day = divmod(local, DAY_MS)
    year, month, day = date_of(days)
    moved = year * 12 + month - 1 + months
    year, month = moved // 12, moved % 12 + 1
    return local_ms(year, month, min(day, days_in_month(year, month)) if abs(year) <= LARGEST_YEAR else 1, ms_of_day)


@dataclass(frozen=True, slots=True)
class CalendarField:
    """A field of a date or a time of day."""

    name: str
    get: Callable[[int], int]
    limits: Callable[[int], tuple[int, int]]  #: Lowest and highest value, for the date given.
    put: Callable[[int, int], int]  #: Local milliseconds with the field set; the value is within the limits.

    def set(self, local: int, value: int) -> int:
        """Return *local* with the field set, or raise `ExpressionError` if it cannot have *value*."""
        check(self.name, value, *self.limits(local))
        return self.put(local, value)


def _date(local: int) -> tuple[int, int, int]:
    return date_of(local // DAY_MS)


def _with_days(local: int, days: int) -> int:
    return days * DAY_MS + local % DAY_MS


def _set_year(local: int, year: int) -> int:
    return add_months(local, 12 * (year - _date(local)[0]))


def _set_month(local: int, month: int) -> int:
    return add_months(local, month - _date(local)[1])


def _set_weekyear(local: int, weekyear: int) -> int:
    days = local // DAY_MS
    week = min(week_of(days)[1], weeks_in(weekyear))
    first_monday = _first_monday(weekyear)
    return _with_days(local, first_monday + 7 * (week - 1) + day_of_week(days) - 1)


def _first_monday(weekyear: int) -> int:
    fourth = days_of(weekyear, 1, 4)  # always in week 1
    return fourth - day_of_week(fourth) + 1


def _day_of_year(local: int) -> int:
    days = local // DAY_MS
    return days - days_of(date_of(days)[0], 1, 1) + 1


def _month_limits(local: int) -> tuple[int, int]:
    year, month, _ = _date(local)
    return 1, days_in_month(year, month)


def _always(lowest: int, highest: int) -> Callable[[int], tuple[int, int]]:
    return lambda _local: (lowest, highest)


def _plus(get: Callable[[int], int], unit: int) -> Callable[[int, int], int]:
    return lambda local, value: local + (value - get(local)) * unit


def _time(name: str, unit: int, count: int) -> CalendarField:
    def get(local: int) -> int:
        return local // unit % count

    return CalendarField(name, get, _always(0, count - 1), _plus(get, unit))


_YEARS: Final = _always(-LARGEST_YEAR, LARGEST_YEAR)

FIELDS: Final = {
    field.name: field
    for field in (
        CalendarField("year", lambda local: _date(local)[0], _YEARS, _set_year),
        CalendarField("weekyear", lambda local: week_of(local // DAY_MS)[0], _YEARS, _set_weekyear),
        CalendarField("monthOfYear", lambda local: _date(local)[1], _always(1, 12), _set_month),
        CalendarField(
            "weekOfWeekyear",
            lambda local: week_of(local // DAY_MS)[1],
            lambda local: (1, weeks_in(week_of(local // DAY_MS)[0])),
            _plus(lambda local: week_of(local // DAY_MS)[1], 7 * DAY_MS),
        ),
        CalendarField(
            "dayOfYear",
            _day_of_year,
            lambda local: (1, 366 if is_leap(_date(local)[0]) else 365),
            _plus(_day_of_year, DAY_MS),
        ),
        CalendarField(
            "dayOfMonth", lambda local: _date(local)[2], _month_limits, _plus(lambda local: _date(local)[2], DAY_MS)
        ),
        CalendarField(
            "dayOfWeek",
            lambda local: day_of_week(local // DAY_MS),
            _always(1, 7),
            _plus(lambda local: day_of_week(local // DAY_MS), DAY_MS),
        ),
        _time("hourOfDay", HOUR_MS, 24),
        _time("minuteOfDay", MINUTE_MS, 24 * 60),
        _time("minuteOfHour", MINUTE_MS, 60),
        _time("secondOfDay", SECOND_MS, 24 * 3600),
        _time("secondOfMinute", SECOND_MS, 60),
        _time("millisOfDay", 1, DAY_MS),
        _time("millisOfSecond", 1, 1000),
    )
}
