"""Guess which known word somebody meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

#: Among more names than this none is suggested: comparing takes time.
_MOST_COMPARED: Final = 300


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a question that names the known word nearest to *name*, or nothing."""
    known = list(known)
    if len(known) > _MOST_COMPARED:
        return ""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
