"""
The edge of the expressions room: the one file that reads the clock and asks for randomness.

Used only where the caller gives no sources of its own.
"""

from __future__ import annotations

import random
import time
import uuid

from maestro_py.expressions.errors import ExpressionError


class SystemSources:
    """The machine's own clock and randomness; every look-up fails, for nobody is there to answer it."""

    def now_ms(self) -> int:
        """Return the machine's time in milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def random(self) -> float:
        """Return a number from the machine's generator."""
        return random.random()  # noqa: S311 - Math.random() promises no secrecy

    def uuid(self) -> str:
        """Return a random UUID."""
        return str(uuid.uuid4())

    def lookup(self, function: str, arguments: tuple[str, ...]) -> object:
        """Refuse: outside an instance there is nothing to look up."""
        raise ExpressionError(f"params.{function} is not available here")

    def call_util(self, function: str, arguments: tuple[object, ...]) -> object:
        """Refuse: no function was registered."""
        raise ExpressionError(f"there is no function Util.{function}")
