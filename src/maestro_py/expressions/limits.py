"""The limits of one evaluation.  Work is counted, never timed, so the same expression always ends the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one evaluation may use."""

    stack: int = 128  #: How deep an expression may nest.
    loop: int = 1_000_000  #: Rounds of one loop.
    array: int = 1_000_000  #: Items of an array that the expression makes.
    length: int = 10_000  #: Characters of the text.
    visit: int = 10_000_000  #: Visited nodes, and the like amount of work inside built-ins.
    memory: int = 100_000_000  #: Bytes that the expression holds at a time, by an approximate count.

    @classmethod
    def of(cls, given: Mapping[str, int]) -> Limits:
        """
        Return the default limits with those of *given* instead.

        Raises:
            ValueError: *given* names a limit that does not exist.
        """
        return _limits_of(tuple(given.items()))


DEFAULT_LIMITS: Final = Limits()


class Usage:
    """What evaluations have used together; each adds to it, those that fail too."""

    __slots__ = ("visits",)

    def __init__(self) -> None:
        self.visits = 0


@lru_cache(maxsize=64)  # callers have a few sets of limits and evaluate often
def _limits_of(given: tuple[tuple[str, int], ...]) -> Limits:
    named = dict(given)
    unknown = sorted(named.keys() - {field.name for field in fields(Limits)})
    if unknown:
        raise ValueError(f"there is no expression limit {unknown[0]!r}")
    return replace(DEFAULT_LIMITS, **named)


#: Nesting beyond this is refused whatever the caller allows: the interpreter's own stack must not be reached.
DEEPEST: Final = 200
