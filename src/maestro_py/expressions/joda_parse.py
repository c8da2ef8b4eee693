"""
Dates read by a Joda pattern.

What the text does not say is taken from 1970-01-01T00:00, or from the year 2000 if it says a month or a day but
no year.
Two digits for ``yy`` mean the year within fifty of thirty years ago.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from maestro_py.expressions.civil import DAY_MS, FIELDS, HOUR_MS, MINUTE_MS, SECOND_MS, check, local_ms
from maestro_py.expressions.errors import ExpressionError
from maestro_py.expressions.joda_pattern import NUMBERS, Part
from maestro_py.expressions.state import short_text
from maestro_py.expressions.zones import UTC, zone_for

_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_OFFSET: Final = re.compile(r"Z|([+-])([0-9]{2}):?([0-9]{2})?(?::?([0-9]{2}))?")
_ZONE_ID: Final = re.compile(r"[A-Za-z0-9_+:/-]+")
_DEFAULT_YEAR = 2000
_LONGEST = 1000

#: The order in which fields are set: the larger first, so that a day finds its month.
_ORDER: Final = (
    "year", "weekyear", "monthOfYear", "weekOfWeekyear", "dayOfYear", "dayOfMonth", "dayOfWeek",
    "hourOfDay", "minuteOfHour", "secondOfMinute",
)  # fmt: skip
_WITHOUT_YEAR: Final = frozenset({"monthOfYear", "dayOfYear", "dayOfMonth", "weekOfWeekyear", "dayOfWeek"})
_RANGES: Final = {"hourOfHalfday": (0, 11), "clockhourOfHalfday": (1, 12), "clockhourOfDay": (1, 24)}


class _Reading:
    """A text while it is read: how far, and the fields found."""

    __slots__ = ("fields", "fraction_ms", "offset_ms", "position", "text", "zone")

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.fields: dict[str, int] = {}
        self.fraction_ms = 0
        self.offset_ms: int | None = None
        self.zone = UTC

    def fail(self) -> ExpressionError:
        """Return the error for a text that does not fit from here on."""
        return ExpressionError(
            f"{short_text(self.text)} does not fit the date pattern at character {self.position + 1}"
        )

    def digits(self, most: int) -> str:
        """Take up to *most* digits, one at least."""
        end = self.position
        while end < len(self.text) and end - self.position < most and self.text[end] in "0123456789":
            end += 1
        if end == self.position:
            raise self.fail()
        taken = self.text[self.position : end]
        self.position = end
        return taken

    def word(self, words: tuple[str, ...]) -> int:
        """Take one of *words* (or its first three letters), in any case; return which."""
        rest = self.text[self.position : self.position + 12].lower()
        for length in (None, 3):
            for index, word in enumerate(words):
                if rest.startswith(word[:length]):
                    self.position += len(word[:length])
                    return index
        raise self.fail()

    def literal(self, text: str) -> None:
        """Take *text*, in any case."""
        end = self.position + len(text)
        if self.text[self.position : end].lower() != text.lower():
            raise self.fail()
        self.position = end


def parse_date(parts: tuple[Part, ...], text: str, now_ms: Callable[[], int]) -> tuple[int, int | None]:
    """
    Return the local milliseconds and the offset (None if it has none) that *text* says by a pattern.

    Raises:
        ExpressionError: *text* does not fit, or there is no such date.
    """
    if len(text) > _LONGEST:
        raise ExpressionError("a date of more than 1000 characters")
    reading = _Reading(text)
    for part in parts:
        if not part.letter:
            reading.literal(part.text)
        elif part.is_number:
            _read_number(part, reading, now_ms)
        else:
            _read_name(part, reading)
    if reading.position != len(text):
        raise reading.fail()
    local = _combined(reading)
    if reading.zone is not UTC:
        return local, reading.zone.offset_from_local(local)
    return local, reading.offset_ms


def _read_number(part: Part, reading: _Reading, now_ms: Callable[[], int]) -> None:
    if part.letter == "S":
        digits = reading.digits(part.width)
        reading.fraction_ms = int(digits[:3].ljust(3, "0"))
        return
    name, most = NUMBERS[part.letter]
    years = most == 9
    sign = reading.text[reading.position : reading.position + 1] if years and part.letter in "yx" else ""
    if sign in ("-", "+") and sign:
        reading.position += 1
    two_digit = part.letter in "yxY" and part.width == 2
    digits = reading.digits(part.width if part.tight else most)
    value = -int(digits) if sign == "-" else int(digits)
    if two_digit and len(digits) == 2 and sign not in ("-", "+"):
        value = _with_century(value, now_ms())
    reading.fields[name] = value


def _with_century(two_digits: int, now_ms: int) -> int:
    pivot = FIELDS["year"].get(now_ms) - 30
    lowest = pivot - 50
    return lowest + (two_digits - lowest) % 100


def _read_name(part: Part, reading: _Reading) -> None:
    if part.letter == "M":
        reading.fields["monthOfYear"] = reading.word(_MONTHS) + 1
    elif part.letter == "E":
        reading.fields["dayOfWeek"] = reading.word(_DAYS) + 1
    elif part.letter == "a":
        reading.fields["halfday"] = reading.word(("am", "pm"))
    elif part.letter == "G":
        reading.fields["era"] = reading.word(("bc", "ad"))
    elif part.letter == "Z" and part.width < 3:
        _read_offset(reading)
    elif part.letter == "Z":
        found = _ZONE_ID.match(reading.text, reading.position)
        if found is None:
            raise reading.fail()
        reading.zone, reading.position = zone_for(found[0]), found.end()
        reading.offset_ms = 0
    else:
        raise ExpressionError("a zone's name (z) can be written but not read; use Z")


def _read_offset(reading: _Reading) -> None:
    found = _OFFSET.match(reading.text, reading.position)
    if found is None:
        raise reading.fail()
    reading.position = found.end()
    hours, minutes, seconds = (int(digits or 0) for digits in found.group(2, 3, 4))
    check("hours of the offset", hours, 0, 23)
    check("minutes of the offset", minutes, 0, 59)
    offset = hours * HOUR_MS + minutes * MINUTE_MS + seconds * SECOND_MS
    reading.offset_ms = -offset if found[1] == "-" else offset


def _combined(reading: _Reading) -> int:
    fields = reading.fields
    _settle_year(fields)
    _settle_hour(fields)
    if "year" not in fields and "weekyear" not in fields and _WITHOUT_YEAR & fields.keys():
        fields["year"] = _DEFAULT_YEAR
    local = local_ms(1970, 1, 1)
    for name in _ORDER:
        if name in fields:
            local = FIELDS[name].set(local, fields[name])
            if name == "weekyear":  # without a day it is the Monday of the first week
                local = FIELDS["dayOfWeek"].set(FIELDS["weekOfWeekyear"].set(local, 1), 1)
    return local // DAY_MS * DAY_MS + local % DAY_MS + reading.fraction_ms


def _settle_year(fields: dict[str, int]) -> None:
    era = fields.pop("era", 1)
    of_era = fields.pop("yearOfEra", None)
    century = fields.pop("centuryOfEra", None)
    if of_era is None and century is not None:
        of_era = century * 100
    if of_era is not None and "year" not in fields:
        fields["year"] = of_era if era else 1 - of_era


def _settle_hour(fields: dict[str, int]) -> None:
    for name, (lowest, highest) in _RANGES.items():
        if name in fields:
            check(name, fields[name], lowest, highest)
    half = fields.pop("halfday", None)
    hour = fields.pop("hourOfHalfday", None)
    if "clockhourOfHalfday" in fields:
        hour = fields.pop("clockhourOfHalfday") % 12
    if "clockhourOfDay" in fields:
        fields["hourOfDay"] = fields.pop("clockhourOfDay") % 24
    if hour is not None:
        fields["hourOfDay"] = hour + 12 * (half or 0)
    elif half is not None and "hourOfDay" not in fields:
        fields["hourOfDay"] = 12 * half
