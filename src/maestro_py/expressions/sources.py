"""What an expression may ask of the world: the time, chance, and the look-ups of the engine."""

from __future__ import annotations

from typing import Protocol


class Sources(Protocol):
    """
    The world as an expression sees it.  Everything else an expression does is fixed by its text and its parameters.

    A look-up that cannot answer raises `ExpressionError` (or `LookupError`); it is shown at its place in the text.
    """

    def now_ms(self) -> int:
        """Return the time in milliseconds since 1970, UTC."""

    def random(self) -> float:
        """Return a number from 0 (included) to 1 (excluded)."""

    def uuid(self) -> str:
        """Return a random UUID as text."""

    def lookup(self, function: str, arguments: tuple[str, ...]) -> object:
        """Answer ``params.<function>(arguments)``, such as ``getFromStep`` of a step and a parameter."""

    def call_util(self, function: str, arguments: tuple[object, ...]) -> object:
        """Answer a ``Util.<function>`` that is not of the language but registered by the engine's operator."""
