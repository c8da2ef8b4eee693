"""
``Util``: dates as numbers like ``20240229`` (always UTC), ranges of numbers, time left until a deadline, JSON.

A date may be given as text or as a LONG.
"""

from __future__ import annotations

import re
from typing import Final

from maestro_py.expressions.builtin import ANY, DATETIME, LONG, LONG_OR_TEXT, TEXT, Builtin, table
from maestro_py.expressions.civil import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, check, date_of, local_ms
from maestro_py.expressions.datetimes import DateTime
from maestro_py.expressions.errors import ExpressionError
from maestro_py.expressions.numerics import parse_long
from maestro_py.expressions.render import json_of
from maestro_py.expressions.state import State, short_text
from maestro_py.expressions.values import Array
from maestro_py.expressions.zones import zone_for

_DATE_INT: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_DURATION: Final = re.compile(
    r"\s*(?:(?P<days>[0-9]{1,9})\s*(?:days|day|d)\b)?\s*(?:(?P<hours>[0-9]{1,9})\s*(?:hours|hour|h)\b)?"
    r"\s*(?:(?P<minutes>[0-9]{1,9})\s*(?:minutes|minute|min)\b)?\s*(?:(?P<seconds>[0-9]{1,9})\s*(?:seconds|second|sec|s)\b)?"
    r"\s*(?:(?P<millis>[0-9]{1,12})\s*(?:milliseconds|millisecond|ms)\b)?\s*"
)
_UNITS: Final = {"days": DAY_MS, "hours": HOUR_MS, "minutes": MINUTE_MS, "seconds": SECOND_MS, "millis": 1}


def _day_ms(state: State, date: str | int) -> int:
    """Return the first instant of a date like ``20240229``, UTC."""
    state.work(2)
    text = str(date) if isinstance(date, int) else date
    found = _DATE_INT.fullmatch(text) if len(text) == 8 else None
    if found is None:
        raise ExpressionError(f"{short_text(date)} is no date of the form yyyyMMdd")
    return local_ms(*(int(part) for part in found.groups()))


def _date_text(instant_ms: int) -> str:
    DateTime(instant_ms)  # refuses what lies beyond the calendar
    year, month, day = date_of(instant_ms // DAY_MS)
    return f"{year:04d}{month:02d}{day:02d}"


def _ts_to_date_int(_state: State, instant_ms: int) -> str:
    return _date_text(instant_ms)


def _increment(state: State, date: str | int, days: int) -> str:
    return _date_text(_day_ms(state, date) + days * DAY_MS)


def _hour_to_ts(state: State, date: str | int, hour: str | int, zone: str, days: int, hours: int) -> int:
    of_day = parse_long(state, hour)
    check("hourOfDay", of_day, 0, 23)
    where = zone_for(zone)
    local = _day_ms(state, date) + of_day * HOUR_MS
    moment = DateTime(where.instant_of(local, strict=True), where)
    moment = moment.moved(moment.local_ms - days * DAY_MS)
    return DateTime(moment.instant_ms - hours * HOUR_MS).instant_ms


def _duration_ms(text: str) -> int:
    """Return the milliseconds of a duration such as ``1 day 2 hours``; a bare number is seconds."""
    if len(text) <= 20 and text.strip().isascii() and text.strip().isdecimal():
        return int(text) * SECOND_MS
    found = _DURATION.fullmatch(text) if len(text) <= 200 else None
    total = sum(int(found[name] or 0) * unit for name, unit in _UNITS.items()) if found else 0
    if total <= 0:
        raise ExpressionError(f"{short_text(text)} is not a duration, such as '1 day 2 hours'")
    return total


def _timeout(state: State, deadline_ms: int, duration: str) -> str:
    left = deadline_ms + _duration_ms(duration) - state.sources.now_ms()
    return f"{max(left, 0)} milliseconds"


def _timeout_for_date_time(state: State, date: DateTime, duration: str) -> str:
    return _timeout(state, date.instant_ms, duration)


def _timeout_for_date_int(state: State, date: str | int, duration: str) -> str:
    return _timeout(state, _day_ms(state, date), duration)


def _range(state: State, start: int, end: int, step: int) -> range:
    if step == 0:
        raise ExpressionError("the increment must not be 0")
    steps = range(start, end, step)
    length = max(0, -((start - end) // step)) if step else 0
    state.items(length)
    return steps


def _date_ints_between(state: State, start: str | int, end: str | int, step: int) -> Array:
    first, last = _day_ms(state, start) // DAY_MS, _day_ms(state, end) // DAY_MS
    days = _range(state, first, last, step)
    state.work(2 * len(days))
    dates = map(date_of, days)
    return Array([year * 10_000 + month * 100 + day for year, month, day in dates], "LONG")


def _ints_between(state: State, start: int, end: int, step: int) -> Array:
    return Array(list(_range(state, start, end, step)), "LONG")


def _day_start(state: State, date: str | int) -> int:
    return _day_ms(state, date)


STATICS: Final = table(
    Builtin("dateIntToTs", _day_start, ((LONG_OR_TEXT,),)),
    Builtin("tsToDateInt", _ts_to_date_int, ((LONG,),)),
    Builtin("incrementDateInt", _increment, ((LONG_OR_TEXT, LONG),)),
    Builtin("dateIntHourToTs", _hour_to_ts, ((LONG_OR_TEXT, LONG_OR_TEXT, TEXT, LONG, LONG),)),
    Builtin("timeoutForDateTimeDeadline", _timeout_for_date_time, ((DATETIME, TEXT),)),
    Builtin("timeoutForDateIntDeadline", _timeout_for_date_int, ((LONG_OR_TEXT, TEXT),)),
    Builtin("dateIntsBetween", _date_ints_between, ((LONG_OR_TEXT, LONG_OR_TEXT, LONG),)),
    Builtin("intsBetween", _ints_between, ((LONG, LONG, LONG),)),
    Builtin("toJson", lambda state, value: json_of(state, value), ((ANY,),)),
)
