"""The coloured log of `maestro up`: each line says whose it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Final, TextIO

#: Our own lines; children take the other colours in turn.
OURSELVES: Final = "maestro"

_RESET: Final = "\x1b[0m"
_BOLD: Final = "\x1b[1m"
_COLOURS: Final = ("\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[96m", "\x1b[93m", "\x1b[92m")


class Console:
    """Writes lines to *out*, behind the name of their author, coloured where a person is likely to look."""

    def __init__(self, out: TextIO, environ: Mapping[str, str]) -> None:
        self._out = out
        # https://no-color.org, and its opposite, which many tools know.
        self._coloured = not environ.get("NO_COLOR") and (out.isatty() or bool(environ.get("FORCE_COLOR")))
        self._width = len(OURSELVES)
        self._colours: dict[str, str] = {}

    def say(self, sentence: str) -> None:
        """Write a line of our own."""
        self._write(OURSELVES, _BOLD, sentence)

    def author(self, name: str) -> Callable[[str], None]:
        """Return what writes the lines of *name*."""
        self._width = max(self._width, len(name))
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        return lambda line: self._write(name, colour, line)

    def _write(self, name: str, colour: str, line: str) -> None:
        label = f"{name:<{self._width}} |"
        if self._coloured:
            label = f"{colour}{label}{_RESET}"
        # A log that nobody reads any more is no reason to stop.
        with contextlib.suppress(BrokenPipeError):
            self._out.write(f"{label} {line}\n")
            self._out.flush()
