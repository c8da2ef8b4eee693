"""
The log of `maestro up`: each line says whose it is.

For people it is text, coloured on a terminal; for machines every line is one JSON object, whoever wrote it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

#: Our own lines; children take the other colours in turn.
OURSELVES: Final = "maestro"

_RESET: Final = "\x1b[0m"
_BOLD: Final = "\x1b[1m"
_COLOURS: Final = ("\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[96m", "\x1b[93m", "\x1b[92m")


class Console:
    """
    Writes lines to *out*, behind the name of their author.

    Args:
        out: Where to.
        environ: Says whether colours are welcome.
        log_format: ``text``, ``coloured``, ``json``, or ``auto``: coloured where a person is likely to look, else JSON.
    """

    def __init__(self, out: TextIO, environ: Mapping[str, str], log_format: str = "auto") -> None:
        self._out = out
        #: What children are to write: ``text``, ``coloured`` or ``json``.
        self.log_format: Final = _chosen(out, environ, log_format)
        # The children come when the first lines stand already, and all lines shall begin in one column.
        self._width = len("worker-1")
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
        if self.log_format == "json":
            line = json.dumps({"child": name, **_event(line)}, ensure_ascii=False)
        else:
            label = f"{name:<{self._width}} |"
            line = f"{colour}{label}{_RESET} {line}" if self.log_format == "coloured" else f"{label} {line}"
        # A log that nobody reads any more is no reason to stop.
        with contextlib.suppress(BrokenPipeError):
            self._out.write(f"{line}\n")
            self._out.flush()


def _chosen(out: TextIO, environ: Mapping[str, str], log_format: str) -> str:
    if log_format != "auto":
        return log_format
    # https://no-color.org, and its opposite, which many tools know.
    if out.isatty() or environ.get("FORCE_COLOR"):
        return "text" if environ.get("NO_COLOR") else "coloured"
    return "json"


def _event(line: str) -> dict[str, Any]:
    """Return the event that *line* is, or one that has it as its text."""
    if line.startswith("{"):
        with contextlib.suppress(ValueError):
            event: dict[str, Any] = json.loads(line)
            return event
    return {"event": line, "level": "info", "timestamp": datetime.now(tz=UTC).isoformat().replace("+00:00", "Z")}
