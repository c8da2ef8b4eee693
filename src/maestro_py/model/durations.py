"""Read durations as people write them (specification 2.7): seconds, or text such as ``1 day 2 hours``."""

from __future__ import annotations

import re
from typing import Final

#: Longer timeouts are refused.
MAX_DURATION_MS: Final = 120 * 24 * 3_600_000

# Each unit at most once, the largest first; there is no `m`, which could be minutes or months.
_DURATION: Final = re.compile(
    r"\s*(?:(\d+)\s*(?:days|day|d))?"
    r"\s*(?:(\d+)\s*(?:hours|hour|h))?"
    r"\s*(?:(\d+)\s*(?:minutes|minute|min))?"
    r"\s*(?:(\d+)\s*(?:seconds|second|sec|s))?"
    r"\s*(?:(\d+)\s*(?:milliseconds|millisecond|ms))?\s*",
    re.ASCII,
)
_UNITS_MS: Final = (86_400_000, 3_600_000, 60_000, 1_000, 1)
_SECONDS: Final = re.compile(r"\d{1,12}", re.ASCII)
_LONGEST_TEXT: Final = 200


def parse_duration(text: int | str) -> int:
    """
    Return the milliseconds that *text* means: a number is seconds, ``"90"`` too, else unit groups.

    Raises:
        ValueError: *text* is no duration, is not positive, or is longer than 120 days.
    """
    millis = _millis(text)
    if millis is None:
        raise ValueError(f"{text!r} is not a duration; write seconds, or for example '1 day 2 hours' or '30min'")
    if millis <= 0:
        raise ValueError("a duration must be positive")
    if millis > MAX_DURATION_MS:
        raise ValueError("a duration may not be longer than 120 days")
    return millis


def _millis(text: int | str) -> int | None:
    if isinstance(text, bool):
        return None
    if isinstance(text, int):
        return text * 1_000
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT:
        return None
    stripped = text.strip()
    if _SECONDS.fullmatch(stripped):
        return int(stripped) * 1_000
    match = _DURATION.fullmatch(stripped)
    if match is None or not any(match.groups()):
        return None
    return sum(int(group) * unit for group, unit in zip(match.groups(), _UNITS_MS, strict=True) if group)
