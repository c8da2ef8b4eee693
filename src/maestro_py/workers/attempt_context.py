"""What the worker does for one running attempt: the one implementation of `maestro_py.ports.step_type.StepContext`."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from maestro_py.ports.step_type import StepReport, StepTask
from maestro_py.ports.worker_store import Claimed, WorkerStore
from maestro_py.workers.commands import (
    Command,
    CommandRunner,
    failure_of,
    output_file_in,
    report_not_started,
    report_of_outputs,
)
from maestro_py.workers.function_pool import FunctionPool, call_of
from maestro_py.workers.guarded import GuardedProcesses, NotStarted
from maestro_py.workers.log_book import OpenLog


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalMachine:
    """What this worker has for local steps."""

    processes: GuardedProcesses
    commands: CommandRunner
    functions: FunctionPool


class AttemptContext:
    """
    The context of one attempt.

    Args:
        claimed: The attempt.
        task: What it is to do.
        machine: Runs its programs and functions.
        log: Its log.
        store: Keeps its handle.
    """

    def __init__(
        self, claimed: Claimed, task: StepTask, machine: LocalMachine, log: OpenLog, store: WorkerStore
    ) -> None:
        self._claimed = claimed
        self._task = task
        self._machine = machine
        self._log = log
        self._store = store
        self._work_directory: Path | None = None
        self._cancelled = asyncio.Event()
        self._asked_at = 0.0
        self.has_handle = claimed.handle is not None  #: Whether somebody else could attach to its job.
        self.is_waiting = False  #: Whether it waits for a process, and has not begun.
        self.waited_seconds = 0.0  #: How long it waited for a process.

    @property
    def cancelled(self) -> asyncio.Event:
        """Set when the engine wants the attempt to be stopped, before `asyncio.CancelledError` is raised."""
        return self._cancelled

    @property
    def work_directory(self) -> Path:
        """An empty directory of this attempt, made when first asked for and deleted when the attempt ends."""
        if self._work_directory is None:
            self._work_directory = Path(tempfile.mkdtemp(prefix="attempt-", dir=self._machine.processes.scratch))
        return self._work_directory

    @property
    def output_file(self) -> Path:
        """Where a process of the step may leave a JSON object of output parameters."""
        return output_file_in(self.work_directory)

    def log(self, text: str) -> None:
        """Add *text* to the attempt's log as it stands: a line ends with a newline."""
        self._log.write(text.encode("utf-8", "replace"))

    async def save_handle(self, handle: Mapping[str, Any]) -> None:
        """
        Store what finds the job outside again; returns when it is durable.

        Raises:
            AttemptTaken: the attempt is no longer this worker's.
            StoreUnavailable: PostgreSQL is away; whether the handle was stored is unknown.
        """
        await self._store.save_handle(self._claimed.key, self._claimed.token, dict(handle))
        self.has_handle = True

    async def run_command(
        self, argv: Sequence[str], directory: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> StepReport:
        """Run a program in a process group of its own, which ends with the worker; its output goes to the log."""
        commands = self._machine.commands
        command = Command(argv, commands.directory / (directory or ""), environment or {})
        try:
            ended = await commands.run(command, self._task, self.work_directory, self._log.write)
        except NotStarted as exc:
            return report_not_started(exc)
        return failure_of(ended, self._log.last_lines()) or report_of_outputs(self.output_file)

    async def call_function(
        self,
        function: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> StepReport:
        """Call ``module:function`` in a warm Python process with the attempt's parameters; it returns the outputs."""
        call = call_of(self._task, function, args, kwargs or {}, environment or {})
        self.is_waiting = True
        self._asked_at = time.monotonic()
        return await self._machine.functions.call(call, self._log.write, self._log.last_lines, self._on_begin)

    def _on_begin(self) -> None:
        self.is_waiting = False
        self.waited_seconds += time.monotonic() - self._asked_at

    def close(self) -> None:
        """Delete the work directory, in a thread: nobody knows what a step left there."""
        if self._work_directory is not None:
            loop = asyncio.get_running_loop()
            loop.run_in_executor(None, partial(shutil.rmtree, self._work_directory, ignore_errors=True))
