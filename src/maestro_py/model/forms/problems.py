"""Collect everything that is wrong with a document, each with its path as the author wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from maestro_py.model.errors import DefinitionInvalid, FieldError
from maestro_py.model.templates import Location, spell_location

#: More errors than this help nobody, and cost time.
MAX_ERRORS: Final = 200
_LONGEST_TEXT: Final = 600


class Problems:
    """What is wrong with one document, in the order of discovery, each once."""

    def __init__(self) -> None:
        self._found: dict[tuple[Location, str], None] = {}

    def add(self, at: Location, message: str) -> None:
        """Note that what stands at *at* is wrong."""
        if len(self._found) < MAX_ERRORS:
            self._found.setdefault((at, message))

    @property
    def is_full(self) -> bool:
        """Say whether nothing more is noted: looking for more is a waste."""
        return len(self._found) >= MAX_ERRORS

    def __bool__(self) -> bool:
        return bool(self._found)

    def __iter__(self) -> Iterator[tuple[Location, str]]:
        return iter(self._found)

    def raise_if_any(self, what: str) -> None:
        """
        Raise what was found; *what* names the document.

        Raises:
            DefinitionInvalid: there was at least one problem.
        """
        if self._found:
            errors = [FieldError(_shortened(spell_location(at)), _shortened(message)) for at, message in self._found]
            count = f" ({len(errors)} errors)" if len(errors) > 1 else ""
            raise DefinitionInvalid(f"{what} is invalid{count}: {errors[0]}", errors)


def _shortened(text: str) -> str:
    """Return *text* without its middle if it is long: a wrong value may be a megabyte."""
    half = _LONGEST_TEXT // 2
    return text if len(text) <= _LONGEST_TEXT else f"{text[:half]}…{text[-half:]}"
