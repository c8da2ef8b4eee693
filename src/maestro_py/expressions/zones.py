"""
Time zones: what the clock on the wall shows at an instant, and at which instant it shows something.

The rules are those of the tz database (``zoneinfo``).  Years outside its reach are moved into it by whole
cycles of 400 years, after which the calendar repeats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import ClassVar, Final
from zoneinfo import ZoneInfo

from maestro_py.expressions.civil import DAY_MS, HOUR_MS, MINUTE_MS
from maestro_py.expressions.errors import ExpressionError
from maestro_py.expressions.state import short_text
from maestro_py.expressions.values import Opaque

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - one spelling beside timezone(...) below
_NAIVE_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - a clock on a wall has no zone
_CYCLE_MS: Final = 146_097 * DAY_MS
_EARLIEST_MS: Final = -57_000_000_000_000  # in the year 163
_LATEST_MS: Final = 200_000_000_000_000  # in the year 8307
_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
_OFFSET: Final = re.compile(r"([+-])([0-9]{1,2})(?::?([0-9]{2}))?(?::?([0-9]{2}))?")


@dataclass(frozen=True, slots=True)
class Zone(Opaque):
    """A time zone by its id; *rules* is None for UTC."""

    kind: ClassVar[str] = "DATETIME_ZONE"
    id: str
    rules: tzinfo | None = None

    def __str__(self) -> str:
        return self.id

    def offset_at(self, instant_ms: int) -> int:
        """Return the milliseconds that the wall clock is ahead of UTC at an instant."""
        if self.rules is None:
            return 0
        moment = (_EPOCH + timedelta(milliseconds=_within_reach(instant_ms))).astimezone(self.rules)
        return _milliseconds(moment.utcoffset())

    def offset_from_local(self, local_ms: int) -> int:
        """
        Return the offset when the wall clock shows *local_ms*.

        Where the clock shows it twice, the earlier time is meant; where never, the offset before the gap is returned.
        """
        if self.rules is None:
            return 0
        shown = _NAIVE_EPOCH + timedelta(milliseconds=_within_reach(local_ms))
        return _milliseconds(shown.replace(tzinfo=self.rules, fold=0).utcoffset())

    def instant_of(self, local_ms: int, *, strict: bool, near: int | None = None) -> int:
        """
        Return the instant at which the wall clock shows *local_ms*.

        Args:
            strict: Fail if the clock never shows it; otherwise it is moved on by the length of the gap.
            near: An instant whose offset is kept if it fits.

        Raises:
            ExpressionError: *strict*, and the local time lies in a gap.
        """
        if near is not None:
            kept = local_ms - self.offset_at(near)
            if self.offset_at(kept) == self.offset_at(near):
                return kept
        offset = self.offset_from_local(local_ms)
        instant = local_ms - offset
        if strict and self.offset_at(instant) != offset:
            raise ExpressionError(f"the clocks of {self.id} skip this time")
        return instant

    def name_at(self, instant_ms: int) -> str:
        """Return the short name of the time kept at an instant, such as ``PST``."""
        if self.rules is None:
            return "UTC"
        moment = (_EPOCH + timedelta(milliseconds=_within_reach(instant_ms))).astimezone(self.rules)
        return moment.tzname() or self.id


UTC: Final = Zone("UTC")


@lru_cache(maxsize=256)
def zone_for(zone_id: str) -> Zone:
    """
    Return the zone named *zone_id*: ``America/Los_Angeles``, ``EST``, ``UTC``, ``+02:00``.

    Raises:
        ExpressionError: There is no such zone.
    """
    if zone_id in ("UTC", "Z"):
        return UTC
    found = _OFFSET.fullmatch(zone_id)
    if found is not None:
        hours, minutes, seconds = (int(part or 0) for part in found.group(2, 3, 4))
        offset = (hours * HOUR_MS + minutes * MINUTE_MS + seconds * 1000) * (-1 if found[1] == "-" else 1)
        if hours > 23 or minutes > 59 or seconds > 59:
            raise ExpressionError(f"there is no time zone {zone_id}")
        return fixed_zone(offset)
    if len(zone_id) > 100 or not _ID.fullmatch(zone_id):
        raise ExpressionError(f"there is no time zone {short_text(zone_id)}")
    try:
        return Zone(zone_id, ZoneInfo(zone_id))
    except (LookupError, ValueError, OSError):
        raise ExpressionError(f"there is no time zone {zone_id}") from None


def fixed_zone(offset_ms: int) -> Zone:
    """Return the zone that is always *offset_ms* ahead of UTC."""
    if not offset_ms:
        return UTC
    return Zone(offset_text(offset_ms, colon=True), timezone(timedelta(milliseconds=offset_ms)))


def offset_text(offset_ms: int, *, colon: bool) -> str:
    """Return an offset as ``+02:00`` or ``+0200``."""
    minutes, rest = divmod(abs(offset_ms), MINUTE_MS)
    between = ":" if colon else ""
    text = f"{'-' if offset_ms < 0 else '+'}{minutes // 60:02d}{between}{minutes % 60:02d}"
    return text + (f"{between}{rest // 1000:02d}" if rest else "")


def _within_reach(ms: int) -> int:
    if ms > _LATEST_MS:
        return ms - (ms - _LATEST_MS + _CYCLE_MS - 1) // _CYCLE_MS * _CYCLE_MS
    if ms < _EARLIEST_MS:
        return ms + (_EARLIEST_MS - ms + _CYCLE_MS - 1) // _CYCLE_MS * _CYCLE_MS
    return ms


def _milliseconds(offset: timedelta | None) -> int:
    return 0 if offset is None else (offset.days * 86400 + offset.seconds) * 1000
