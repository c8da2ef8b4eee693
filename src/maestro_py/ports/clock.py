"""The port to the time of day."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Tells the time; tests hand in one that they move."""

    def now_ms(self) -> int:
        """Return UTC epoch milliseconds."""
        ...
