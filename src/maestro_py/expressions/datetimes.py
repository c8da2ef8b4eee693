"""
``DateTime``, ``DateTimeZone``, ``Days`` and ``Property``: Joda's dates, as far as the language has them.

Adding years, months, weeks and days moves the clock on the wall; adding hours and less moves the instant.
A date without a zone is UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from maestro_py.expressions.builtin import DATETIME, LONG, TEXT, ZONE, Builtin, ClassTable, table
from maestro_py.expressions.civil import (
    DAY_MS,
    FIELDS,
    HOUR_MS,
    LARGEST_YEAR,
    MINUTE_MS,
    SECOND_MS,
    add_months,
    check,
    local_ms,
)
from maestro_py.expressions.errors import ExpressionError
from maestro_py.expressions.iso_dates import iso_text, parse_iso
from maestro_py.expressions.state import State
from maestro_py.expressions.values import Opaque
from maestro_py.expressions.zones import UTC, Zone, zone_for

_LATEST_MS: Final = local_ms(LARGEST_YEAR, 12, 31)
_DAY_NAMES: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTH_NAMES: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DateTime(Opaque):
    """An instant, in milliseconds since 1970, seen in a zone."""

    kind: ClassVar[str] = "DATETIME"
    instant_ms: int
    zone: Zone = UTC

    def __post_init__(self) -> None:
        if not -_LATEST_MS <= self.instant_ms <= _LATEST_MS:
            raise ExpressionError("this date lies beyond the calendar")

    def __str__(self) -> str:
        return iso_text(self.local_ms, self.zone.offset_at(self.instant_ms))

    @property
    def local_ms(self) -> int:
        """What the clock on the wall shows, as milliseconds."""
        return self.instant_ms + self.zone.offset_at(self.instant_ms)

    def moved(self, local: int) -> DateTime:
        """Return the date at which the clock shows *local*, close to this one."""
        if abs(local) > _LATEST_MS:
            raise ExpressionError("this date lies beyond the calendar")
        return DateTime(self.zone.instant_of(local, strict=False, near=self.instant_ms), self.zone)

    def with_field(self, name: str, value: int) -> DateTime:
        """Return this date with a field set; fail if the field cannot have *value* on this date."""
        field = FIELDS[name]
        changed = self.moved(field.set(self.local_ms, value))
        if field.get(changed.local_ms) != value:
            raise ExpressionError(f"the clocks of {self.zone} skip this time")
        return changed


@dataclass(frozen=True, slots=True)
class Property(Opaque):
    """One field of one date."""

    kind: ClassVar[str] = "DATETIME_PROPERTY"
    date: DateTime
    name: str

    def __str__(self) -> str:
        return f"Property[{self.name}]"


@dataclass(frozen=True, slots=True)
class Days(Opaque):
    """A number of days."""

    kind: ClassVar[str] = "DATETIME_DAYS"
    count: int

    def __str__(self) -> str:
        return f"P{self.count}D"


def as_instant(state: State, value: int | str | DateTime, zone: Zone) -> int:
    """Return the instant that *value* is: milliseconds, an ISO text (in *zone* unless it says otherwise), a date."""
    if isinstance(value, DateTime):
        return value.instant_ms
    if isinstance(value, int):
        return value
    state.work(1 + len(value) // 16)
    local, offset = parse_iso(value)
    return local - offset if offset is not None else zone.instant_of(local, strict=True)


def _new_now(state: State) -> DateTime:
    return DateTime(state.sources.now_ms())


def _new(state: State, *given: object) -> DateTime:
    if not given:
        return _new_now(state)
    if len(given) <= 2:
        zone = given[1] if len(given) == 2 else UTC
        assert isinstance(zone, Zone)
        return DateTime(as_instant(state, given[0], zone), zone)  # type: ignore[arg-type]  # the signature says so
    *numbers, zone = given
    assert isinstance(zone, Zone)
    year, month, day, hour, minute, second, milli = (number for number in numbers if isinstance(number, int))
    for name, value, highest in (
        ("hourOfDay", hour, 23),
        ("minuteOfHour", minute, 59),
        ("secondOfMinute", second, 59),
        ("millisOfSecond", milli, 999),
    ):
        check(name, value, 0, highest)
    of_day = hour * HOUR_MS + minute * MINUTE_MS + second * SECOND_MS + milli
    return DateTime(zone.instant_of(local_ms(year, month, day, of_day), strict=True), zone)


def _local_mover(move: Callable[[int, int], int], sign: int) -> Callable[[State, DateTime, int], DateTime]:
    return lambda _state, date, count: date.moved(move(date.local_ms, sign * count)) if count else date


def _instant_mover(unit: int, sign: int) -> Callable[[State, DateTime, int], DateTime]:
    return lambda _state, date, count: DateTime(date.instant_ms + sign * count * unit, date.zone)


def _movers() -> list[Builtin]:
    local: dict[str, Callable[[int, int], int]] = {
        "Years": lambda ms, count: add_months(ms, 12 * count),
        "Months": add_months,
        "Weeks": lambda ms, count: ms + 7 * count * DAY_MS,
        "Days": lambda ms, count: ms + count * DAY_MS,
    }
    instant = {"Hours": HOUR_MS, "Minutes": MINUTE_MS, "Seconds": SECOND_MS, "Millis": 1}
    made = []
    for word, sign in (("plus", 1), ("minus", -1)):
        made += [Builtin(word + name, _local_mover(move, sign), ((LONG,),)) for name, move in local.items()]
        made += [Builtin(word + name, _instant_mover(unit, sign), ((LONG,),)) for name, unit in instant.items()]
    return made


def _setter(name: str) -> Callable[[State, DateTime, int], DateTime]:
    return lambda _state, date, value: date.with_field(name, value)


def _getter(name: str) -> Callable[[State, DateTime], int]:
    return lambda _state, date: FIELDS[name].get(date.local_ms)


def _start_of_day(_state: State, date: DateTime) -> DateTime:
    # Where midnight is skipped, the day begins at the end of the gap.
    midnight = date.local_ms // DAY_MS * DAY_MS
    return DateTime(date.zone.instant_of(midnight, strict=False), date.zone)


def capitalized(name: str) -> str:
    """Return a field name as it stands in a method: ``dayOfMonth`` -> ``DayOfMonth``."""
    return name[0].upper() + name[1:]


_SETTABLE: Final = (
    "year", "weekyear", "monthOfYear", "weekOfWeekyear", "dayOfYear", "dayOfMonth", "dayOfWeek", "hourOfDay",
    "minuteOfHour", "secondOfMinute", "millisOfSecond", "millisOfDay",
)  # fmt: skip
_PROPERTIES: Final = tuple(name for name in FIELDS if name != "year")


def _property(name: str) -> Callable[[State, DateTime], Property]:
    return lambda _state, date: Property(date, name)


DATETIME_METHODS: Final = table(
    *_movers(),
    *(Builtin("with" + capitalized(name), _setter(name), ((LONG,),)) for name in _SETTABLE),
    *(Builtin("get" + capitalized(name), _getter(name), ((),)) for name in FIELDS),
    *(Builtin(name, _property(name), ((),)) for name in _PROPERTIES),
    Builtin("getMillis", lambda _state, date: date.instant_ms, ((),)),
    Builtin("withZone", lambda _state, date, zone: DateTime(date.instant_ms, zone), ((ZONE,),)),
    Builtin("toDateTime", lambda _state, date, zone: DateTime(date.instant_ms, zone), ((ZONE,),)),
    Builtin("withTimeAtStartOfDay", _start_of_day, ((),)),
    Builtin("isAfter", lambda _state, date, other: date.instant_ms > other.instant_ms, ((DATETIME,),)),
    Builtin("isBefore", lambda _state, date, other: date.instant_ms < other.instant_ms, ((DATETIME,),)),
    Builtin("isEqual", lambda _state, date, other: date.instant_ms == other.instant_ms, ((DATETIME,),)),
)


def _at_limit(property_: Property, which: int) -> DateTime:
    field = FIELDS[property_.name]
    return property_.date.with_field(property_.name, field.limits(property_.date.local_ms)[which])


def field_text(name: str, local: int) -> str:
    """Return a field as a person in the United States reads it: ``January``, ``Monday``, else the number."""
    value = FIELDS[name].get(local)
    if name == "monthOfYear":
        return _MONTH_NAMES[value - 1]
    return _DAY_NAMES[value - 1] if name == "dayOfWeek" else str(value)


PROPERTY_METHODS: Final = table(
    Builtin("getAsText", lambda _state, it: field_text(it.name, it.date.local_ms), ((),)),
    Builtin("withMinimumValue", lambda _state, it: _at_limit(it, 0), ((),)),
    Builtin("withMaximumValue", lambda _state, it: _at_limit(it, 1), ((),)),
    Builtin("get", lambda _state, it: FIELDS[it.name].get(it.date.local_ms), ((),)),
)


def _days_between(_state: State, start: DateTime, end: DateTime) -> Days:
    local_end = end.instant_ms + start.zone.offset_at(end.instant_ms)
    gone = local_end - start.local_ms
    return Days(gone // DAY_MS if gone >= 0 else -(-gone // DAY_MS))


DAYS_METHODS: Final = table(Builtin("getDays", lambda _state, days: days.count, ((),)))

DAYS_CLASS: Final = ClassTable(
    kind="DATETIME_DAYS", statics=table(Builtin("daysBetween", _days_between, ((DATETIME, DATETIME),)))
)


def _zone_offset(_state: State, zone: Zone, moment: DateTime | int) -> int:
    return zone.offset_at(moment if isinstance(moment, int) else moment.instant_ms)


def _for_id(state: State, zone_id: str) -> Zone:
    state.work(10)
    return zone_for(zone_id)


ZONE_METHODS: Final = table(Builtin("getOffset", _zone_offset, ((DATETIME | LONG,),)))

ZONE_CLASS: Final = ClassTable(
    kind="DATETIME_ZONE", statics=table(Builtin("forID", _for_id, ((TEXT,),))), constants={"UTC": UTC}
)

_MOMENT: Final = LONG | TEXT | DATETIME

CONSTRUCTOR: Final = Builtin("DateTime", _new, ((), (_MOMENT,), (_MOMENT, ZONE), (LONG,) * 7 + (ZONE,)))
