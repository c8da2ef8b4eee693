"""A context for a step type that is run without a worker: it remembers what the type does with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maestro_py.ports.step_type import DONE, StepReport, StepTask


def a_task(step_type: str, own: dict[str, Any] | None = None, **params: Any) -> StepTask:
    """Return attempt 3 of step ``s`` of instance 1 of ``w``."""
    return StepTask("w", 1, 2, "s", 3, step_type, {**params, **({step_type: own} if own is not None else {})})


class RecordingContext:
    """A `maestro_py.ports.step_type.StepContext` whose functions return what the test says."""

    def __init__(self, answer: StepReport = DONE) -> None:
        self.cancelled = asyncio.Event()
        self.work_directory = Path("unused")
        self.output_file = Path("unused")
        self.logged = ""
        self.calls: list[tuple[str, Sequence[Any], Mapping[str, Any]]] = []
        self._answer = answer

    def log(self, text: str) -> None:
        """Remember *text*."""
        self.logged += text

    async def save_handle(self, handle: Mapping[str, Any]) -> None:
        """Refuse: nothing is to be attached to."""
        raise NotImplementedError

    async def run_command(
        self, argv: Sequence[str], directory: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> StepReport:
        """Refuse: there is no guard."""
        raise NotImplementedError

    async def call_function(
        self,
        function: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> StepReport:
        """Remember the call and return the answer."""
        self.calls.append((function, args, kwargs or {}))
        return self._answer
