"""
Errors of the expression language: one family, each with the place and the values it saw.

Tree::

    ExpressionError            anything wrong with an expression, or with what it did
    ├── ExpressionSyntaxError  the text is not an expression of the language
    ├── ExpressionThrown       the expression itself said ``throw``
    └── LimitExceeded          the expression asked for more than it may use
        └── BudgetExceeded     of visits: the same expression may succeed with a larger budget
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Self

_SHOWN_LINE = 100  # characters of a long line that are shown around the place


class ExpressionError(Exception):
    """
    An expression is wrong or went wrong; the person who wrote it can mend it.

    Args:
        message: What happened, without the place.
        source: The whole text of the expression, once known.
        offset: The character in *source* at which it happened, once known.
        values: The variables the expression had read by then, as short texts.
    """

    def __init__(
        self,
        message: str,
        source: str | None = None,
        offset: int | None = None,
        values: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.source = source
        self.offset = offset
        self.values: dict[str, str] = dict(values or {})

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.source, self.offset, self.values)

    def __str__(self) -> str:
        return self.render()

    @property
    def line(self) -> int:
        """The line of the place, from 1 (1 as long as the place is unknown)."""
        return self._before().count("\n") + 1

    @property
    def column(self) -> int:
        """The column of the place, from 1 (1 as long as the place is unknown)."""
        return len(self._before()) - (self._before().rfind("\n") + 1) + 1

    def at(self, offset: int) -> Self:
        """Remember *offset* as the place, unless a place nearer to the cause is already known."""
        if self.offset is None:
            self.offset = offset
        return self

    def inside(self, source: str, values: Mapping[str, str]) -> Self:
        """Remember the expression and what it had read, unless they are already known."""
        if self.source is None:
            self.source = source
            self.values = dict(values)
        return self

    def render(self, *, hidden: Set[str] = frozenset()) -> str:
        """
        Return the message, the line of the expression, a caret under the place, and the values seen.

        Args:
            hidden: Names whose values are secrets; they are shown as ``***``.
        """
        if self.source is None:
            return self.message
        where = f" (line {self.line}, column {self.column})" if self.offset is not None else ""
        parts = [self.message + where, *self._excerpt()]
        if self.values:
            shown = (f"{name} = {'***' if name in hidden else text}" for name, text in self.values.items())
            parts.append("  with " + ", ".join(shown))
        return "\n".join(parts)

    def _before(self) -> str:
        return (self.source or "")[: self.offset or 0]

    def _excerpt(self) -> list[str]:
        lines = (self.source or "").split("\n")
        text, column = lines[min(self.line, len(lines)) - 1], self.column - 1
        start = max(0, min(column - _SHOWN_LINE // 2, len(text) - _SHOWN_LINE))
        shown = text[start : start + _SHOWN_LINE].replace("\t", " ").replace("\r", " ")
        lead, tail = "..." if start else "", "..." if start + _SHOWN_LINE < len(text) else ""
        excerpt = ["  " + lead + shown + tail]
        if self.offset is not None:
            excerpt.append("  " + " " * (len(lead) + column - start) + "^")
        return excerpt


class ExpressionSyntaxError(ExpressionError):
    """The text is not an expression of the language.  Change the text."""


class ExpressionThrown(ExpressionError):
    """The expression itself said ``throw``; the message is its own."""


class LimitExceeded(ExpressionError):
    """The expression asked for more than it may use.  *limit* names which limit."""

    def __init__(
        self,
        message: str,
        source: str | None = None,
        offset: int | None = None,
        values: Mapping[str, str] | None = None,
        limit: str = "",
    ) -> None:
        super().__init__(message, source, offset, values)
        self.limit = limit

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.source, self.offset, self.values, self.limit)


class BudgetExceeded(LimitExceeded):
    """The visits are used up.  With a larger ``visit`` limit the same expression may succeed."""
