"""Show progress: a table that changes in place on a terminal, a line for each change anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .progress import RunProgress, StepProgress

_COLOURS: Final = {"SUCCEEDED": "green", "RUNNING": "cyan", "NOT_CREATED": "dim"}


class Screen:
    """Shows one run.  Use it as a context manager: the table is finished when it ends."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._began = clock()
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._shown: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: RunProgress) -> bool:
        """Show *progress*; return whether anything has changed since the last time."""
        changed = [step for step in progress.steps if self._shown.get(step.step_id) != step.text]
        self._shown |= {step.step_id: step.text for step in changed}
        if self._live is not None:
            self._live.update(_table(progress), refresh=True)
        else:
            for step in changed:
                self._write(step)
        return bool(changed)

    def _write(self, step: StepProgress) -> None:
        if step.status == "NOT_CREATED":
            return
        elapsed = self._clock() - self._began
        self._console.print(
            f"{elapsed:6.1f} s  {step.step_id:<20} {step.text}", highlight=False, markup=False, soft_wrap=True
        )


def _table(progress: RunProgress) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for step in progress.steps:
        colour = _COLOURS.get(step.status, "yellow")
        table.add_row(step.step_id, Text(step.step_type, "dim"), Text(step.text, colour))
    return table
