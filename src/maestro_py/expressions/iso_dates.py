"""ISO 8601 dates: written as Joda's ``toString``, read as its lenient ``dateTimeParser`` reads them."""

from __future__ import annotations

import re
from typing import Final

from maestro_py.expressions.civil import DAY_MS, FIELDS, HOUR_MS, MINUTE_MS, SECOND_MS, check, date_of, local_ms
from maestro_py.expressions.errors import ExpressionError
from maestro_py.expressions.state import short_text
from maestro_py.expressions.zones import offset_text

_ISO: Final = re.compile(
    r"(?P<date>(?P<year>[+-]?[0-9]{1,9})"
    r"(?:-W(?P<week>[0-9]{1,2})(?:-(?P<week_day>[0-9]))?"
    r"|-(?P<day_of_year>[0-9]{3})(?![0-9-])"
    r"|-(?P<month>[0-9]{1,2})(?:-(?P<day>[0-9]{1,2}))?)?)?"
    r"(?:T(?:(?P<hour>[0-9]{1,2})(?P<hour_part>[.,][0-9]+)?"
    r"(?::(?P<minute>[0-9]{1,2})(?P<minute_part>[.,][0-9]+)?"
    r"(?::(?P<second>[0-9]{1,2})(?P<second_part>[.,][0-9]+)?)?)?)?"
    r"(?P<zone>Z|[+-][0-9]{1,2}(?::?[0-9]{2}(?::?[0-9]{2}(?:[.,][0-9]{1,3})?)?)?)?)?"
)
_LONGEST = 100


def iso_text(local: int, offset_ms: int) -> str:
    """Return a local time with its offset: ``2024-02-29T13:00:00.000Z``."""
    days, of_day = divmod(local, DAY_MS)
    year, month, day = date_of(days)
    hour, rest = divmod(of_day, HOUR_MS)
    minute, rest = divmod(rest, MINUTE_MS)
    zone = offset_text(offset_ms, colon=True) if offset_ms else "Z"
    return (
        f"{year_text(year, 4)}-{month:02d}-{day:02d}"
        f"T{hour:02d}:{minute:02d}:{rest // SECOND_MS:02d}.{rest % SECOND_MS:03d}{zone}"
    )


def year_text(year: int, digits: int) -> str:
    """Return a year with *digits* digits at least."""
    return f"{'-' if year < 0 else ''}{abs(year):0{digits}d}"


def parse_iso(text: str) -> tuple[int, int | None]:
    """
    Return the local milliseconds and the offset (None if it has none) of an ISO *text*.

    Raises:
        ExpressionError: *text* is no ISO date, or there is no such date.
    """
    found = _ISO.fullmatch(text) if 0 < len(text) <= _LONGEST else None
    if found is None or text == "T":
        raise ExpressionError(f"{short_text(text)} is not an ISO date")
    local = _date_part(found)
    for name, unit, highest in (("hour", HOUR_MS, 23), ("minute", MINUTE_MS, 59), ("second", SECOND_MS, 59)):
        if found[name]:
            check(name, int(found[name]), 0, highest)
            local += int(found[name]) * unit
        part = found[f"{name}_part"]
        if part:
            local += unit * int(part[1:19]) // 10 ** len(part[1:19])
    return local, _offset_part(found["zone"])


def _date_part(found: re.Match[str]) -> int:
    year = int(found["year"] or 1970)
    if found["week"]:
        local = FIELDS["weekyear"].set(local_ms(1970, 1, 1), year)
        local = FIELDS["weekOfWeekyear"].set(local, int(found["week"]))
        return FIELDS["dayOfWeek"].set(local, int(found["week_day"] or 1))
    if found["day_of_year"]:
        return FIELDS["dayOfYear"].set(local_ms(year, 1, 1), int(found["day_of_year"]))
    return local_ms(year, int(found["month"] or 1), int(found["day"] or 1))


def _offset_part(zone: str | None) -> int | None:
    if zone is None:
        return None
    digits = re.sub(r"[:.,]", "", zone[1:]) if zone != "Z" else ""
    parts = [int(digits[start : start + 2] or 0) for start in (0, 2, 4)]
    check("hours of the offset", parts[0], 0, 23)
    check("minutes of the offset", parts[1], 0, 59)
    offset = parts[0] * HOUR_MS + parts[1] * MINUTE_MS + parts[2] * SECOND_MS
    return -offset if zone[0] == "-" else offset
