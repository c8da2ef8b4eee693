"""The time of day, for processes that run; tests hand in a clock they move."""

from __future__ import annotations

import time


class SystemClock:
    """Tells the time of this machine (`ports.clock.Clock`)."""

    def now_ms(self) -> int:
        """Return UTC epoch milliseconds."""
        return time.time_ns() // 1_000_000
