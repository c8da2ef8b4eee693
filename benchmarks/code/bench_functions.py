"""What the python steps of the benchmarks call."""

from __future__ import annotations


def noop() -> None:
    """Do nothing."""
