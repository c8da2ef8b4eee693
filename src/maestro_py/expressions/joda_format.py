"""``DateTimeFormat``: dates written by a Joda pattern, and the methods of a formatter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from maestro_py.expressions.builtin import DATETIME, LONG, LONG_OR_TEXT, TEXT, ZONE, Builtin, ClassTable, table
from maestro_py.expressions.civil import FIELDS
from maestro_py.expressions.datetimes import CONSTRUCTOR, DateTime, field_text
from maestro_py.expressions.iso_dates import year_text
from maestro_py.expressions.joda_parse import parse_date
from maestro_py.expressions.joda_pattern import NUMBERS, Part, parse_pattern
from maestro_py.expressions.state import State
from maestro_py.expressions.values import Opaque
from maestro_py.expressions.zones import UTC, Zone, offset_text

_FULL_TEXT = 4  # letters from which a name is written in full
_SHORT_TEXT = 3


@dataclass(frozen=True, slots=True)
class Formatter(Opaque):
    """A date pattern, and the zone it reads and writes in if it has one of its own."""

    kind: ClassVar[str] = "DATETIME_FORMATTER"
    parts: tuple[Part, ...]
    zone: Zone | None = None

    def __str__(self) -> str:
        return "DateTimeFormatter"

    def written(self, date: DateTime) -> str:
        """Return *date* as the pattern has it."""
        shown = date if self.zone is None else DateTime(date.instant_ms, self.zone)
        local, offset = shown.local_ms, shown.zone.offset_at(shown.instant_ms)
        return "".join([_written(part, shown, local, offset) for part in self.parts])

    def read(self, state: State, text: str) -> DateTime:
        """Return the date that *text* is by the pattern, or raise `ExpressionError`."""
        zone = self.zone or UTC
        state.work(len(self.parts))
        local, offset = parse_date(self.parts, text, state.sources.now_ms)
        instant = local - offset if offset is not None else zone.instant_of(local, strict=True)
        return DateTime(instant, zone)


def _written(part: Part, date: DateTime, local: int, offset: int) -> str:
    letter, count = part.letter, part.width
    if not letter:
        return part.text
    if letter in "GEaZz" or (letter == "M" and count >= _SHORT_TEXT):
        return _name(part, date, local, offset)
    if letter == "S":
        digits = f"{FIELDS['millisOfSecond'].get(local):03d}"
        return digits[:count].ljust(count, "0")
    value = _number(letter, local)
    if letter in "xYy" and count == 2:
        return f"{abs(value) % 100:02d}"
    return year_text(value, count)


def _name(part: Part, date: DateTime, local: int, offset: int) -> str:
    letter, count = part.letter, part.width
    if letter == "G":
        return "AD" if FIELDS["year"].get(local) > 0 else "BC"
    if letter == "a":
        return "AM" if FIELDS["hourOfDay"].get(local) < 12 else "PM"
    if letter == "z":
        return date.zone.name_at(date.instant_ms)
    if letter == "Z":
        return date.zone.id if count >= _SHORT_TEXT else offset_text(offset, colon=count == 2)
    text = field_text("dayOfWeek" if letter == "E" else "monthOfYear", local)
    return text if count >= _FULL_TEXT else text[:3]


def _number(letter: str, local: int) -> int:
    if letter in "YC":
        year = FIELDS["year"].get(local)
        of_era = year if year > 0 else 1 - year
        return of_era if letter == "Y" else of_era // 100
    if letter in "KhHk":
        hour = FIELDS["hourOfDay"].get(local)
        return {"K": hour % 12, "h": hour % 12 or 12, "H": hour, "k": hour or 24}[letter]
    return FIELDS[NUMBERS[letter][0]].get(local)


def _for_pattern(state: State, pattern: str) -> Formatter:
    state.work(10 + len(pattern))
    return Formatter(parse_pattern(pattern))


def _print(state: State, formatter: Formatter, date: DateTime | int) -> str:
    state.text(sum(part.width + len(part.text) + 20 for part in formatter.parts))
    state.work(2 * len(formatter.parts))
    return formatter.written(DateTime(date) if isinstance(date, int) else date)


def _parse(state: State, formatter: Formatter, text: str | int) -> DateTime:
    return formatter.read(state, str(text))


def _parse_millis(state: State, formatter: Formatter, text: str) -> int:
    return formatter.read(state, text).instant_ms


def _date_text(state: State, date: DateTime, pattern: str | None = None) -> str:
    return str(date) if pattern is None else _print(state, _for_pattern(state, pattern), date)


FORMATTER: Final = frozenset({"DATETIME_FORMATTER"})

FORMATTER_METHODS: Final = table(
    Builtin("withZone", lambda _state, formatter, zone: Formatter(formatter.parts, zone), ((ZONE,),)),
    Builtin("parseDateTime", _parse, ((LONG_OR_TEXT,),)),
    Builtin("parseMillis", _parse_millis, ((TEXT,),)),
    Builtin("print", _print, ((DATETIME | LONG,),)),
)

DATE_TEXT: Final = Builtin("toString", _date_text, ((), (TEXT,)))

DATETIME_CLASS: Final = ClassTable(
    kind="DATETIME",
    statics=table(
        Builtin("parse", lambda state, text, formatter: formatter.read(state, text), ((TEXT, FORMATTER),)),
    ),
    constructor=CONSTRUCTOR,
)

FORMATTER_CLASS: Final = ClassTable(
    kind="DATETIME_FORMATTER", statics=table(Builtin("forPattern", _for_pattern, ((TEXT,),)))
)
