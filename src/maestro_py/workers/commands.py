"""
Run a program as the work of one attempt: what it is told, what it leaves, and what its end means.

The contract is language-neutral (docs/workers.md): parameters in a JSON file and in the environment, outputs in a JSON
file, everything printed goes to the log.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import StepReport, StepTask
from maestro_py.workers.guarded import Ended, GuardedProcess, GuardedProcesses, NotStarted
from maestro_py.workers.report_encoding import OUTPUTS_LIMIT_BYTES

#: Parameters longer than this are in the parameters file only: the kernel bounds each variable to 128 KiB.
_VARIABLE_LIMIT: Final = 32_000
_READ_BYTES: Final = 1 << 16
_PIPE_BYTES: Final = 1 << 20
_MESSAGE_LINES: Final = 10


class Command(NamedTuple):
    """A program, and where and with what it runs."""

    argv: Sequence[str]
    directory: Path
    environment: Mapping[str, str]  #: Beside that of all programs and of the attempt, which wins.


class CommandRunner:
    """
    Runs programs for the attempts of one worker.

    Args:
        processes: Starts them under the guard.
        code: The directory of the user's code, if any: where programs run, and first on PYTHONPATH.
        cancel_grace_ms: Between SIGTERM and SIGKILL.
    """

    def __init__(self, processes: GuardedProcesses, code: Path | None, cancel_grace_ms: int) -> None:
        self._processes = processes
        self._cancel_grace = cancel_grace_ms / 1000
        self.environment: Final = step_environment(os.environ, code)
        self.directory: Final = code or Path.cwd()  #: Where programs run unless something else is said.

    async def run(
        self, command: Command, task: StepTask, work_directory: Path, write_log: Callable[[bytes], None]
    ) -> Ended:
        """
        Run *command* and return how it ended; everything it printed has been written to the log by then.

        Cancellation ends its whole process group before it goes on.

        Raises:
            NotStarted: there is no such program, or the worker's lease is over.
        """
        params_file = work_directory / "params.json"
        params_file.write_bytes(msgspec.json.encode(task.plain_params))
        variables = task_variables(task, params_file, output_file_in(work_directory), work_directory)
        read_end, write_end = os.pipe()
        output = OutputPipe(read_end, write_log)
        try:
            try:
                process = await self._processes.spawn(
                    command.argv, {**self.environment, **command.environment, **variables}, command.directory, write_end
                )
            finally:
                os.close(write_end)
            return await self._ended(process)
        finally:
            output.close()

    async def _ended(self, process: GuardedProcess) -> Ended:
        try:
            return await asyncio.shield(process.ended)
        except asyncio.CancelledError:
            await process.end(self._cancel_grace)
            raise


class OutputPipe:
    """The read end of a pipe whose other end a program prints to; reads it as it comes."""

    def __init__(self, fd: int, write_log: Callable[[bytes], None]) -> None:
        self._fd = fd
        self._write_log = write_log
        self._is_listening = True
        os.set_blocking(fd, False)
        asyncio.get_running_loop().add_reader(fd, self._on_readable)

    def send_to(self, write_log: Callable[[bytes], None]) -> None:
        """Have what comes from now on written to another log."""
        self._write_log = write_log

    def drain(self) -> None:
        """Read what is there now, which is all that a program that has ended, or answered, had printed."""
        # Bounded by what a pipe holds: somebody else may go on printing.
        for _ in range(_PIPE_BYTES // _READ_BYTES):
            if not self._read():
                break

    def close(self) -> None:
        """Read what is there, and close."""
        self.drain()
        self._stop_listening()
        os.close(self._fd)

    def _on_readable(self) -> None:
        self._read()

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._write_log(data)
        else:
            self._stop_listening()
        return bool(data)

    def _stop_listening(self) -> None:
        if self._is_listening:
            self._is_listening = False
            asyncio.get_running_loop().remove_reader(self._fd)


def output_file_in(work_directory: Path) -> Path:
    """Return where a program of the attempt leaves its outputs."""
    return work_directory / "outputs.json"


def step_environment(worker: Mapping[str, str], code: Path | None) -> dict[str, str]:
    """
    Return the environment that all programs of a worker share.

    It is the worker's own without our settings, which hold passwords; ``python`` is the worker's interpreter.
    """
    environment = {name: value for name, value in worker.items() if not name.startswith("MAESTRO_")}
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)],
    )
    # What a program prints is to be seen while it runs.
    environment.setdefault("PYTHONUNBUFFERED", "1")
    if code is not None:
        paths = [str(code), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


def task_variables(task: StepTask, params_file: Path, output_file: Path, work_directory: Path) -> dict[str, str]:
    """Return the variables that tell a program which attempt it is."""
    variables = {
        "MAESTRO_WORKFLOW_ID": task.workflow_id,
        "MAESTRO_INSTANCE_ID": str(task.instance_id),
        "MAESTRO_RUN_ID": str(task.run_id),
        "MAESTRO_STEP_ID": task.step_id,
        "MAESTRO_ATTEMPT": str(task.attempt),
        "MAESTRO_IDEMPOTENCY_KEY": task.idempotency_key,
        "MAESTRO_PARAMS_FILE": str(params_file),
        "MAESTRO_OUTPUT_FILE": str(output_file),
        "MAESTRO_WORK_DIRECTORY": str(work_directory),
    }
    for name, value in task.plain_params.items():
        text = _variable_value(value)
        if text is not None and len(text) <= _VARIABLE_LIMIT and "\0" not in text:
            variables[f"MAESTRO_PARAM_{_variable_name(name)}"] = text
    return variables


def _variable_name(param: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in param).upper()


def _variable_value(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    return None


def failure_of(ended: Ended, last_lines: str) -> StepReport | None:
    """
    Say what the end of a program means; None: it ended well.

    A status other than 0, and a signal, are the user's error.  SIGKILL from outside is the platform's: on Linux it is
    how the kernel takes memory back.
    """
    if ended.by_lease:
        return StepReport(Outcome.PLATFORM_ERROR, None, "killed: the worker could not renew its lease")
    if ended.guard_gone:
        return StepReport(Outcome.PLATFORM_ERROR, None, "killed: the guard of the worker's programs ended")
    if ended.status == 0:
        return None
    said = f"; the last it said:\n{last_lines}" if last_lines else ""
    if ended.status == -signal.SIGKILL:
        return StepReport(Outcome.PLATFORM_ERROR, None, f"killed by SIGKILL, perhaps out of memory{said}")
    if ended.status < 0:
        return StepReport(Outcome.USER_ERROR, None, f"ended by {signal_name(-ended.status)}{said}")
    return StepReport(Outcome.USER_ERROR, None, f"exit status {ended.status}{said}")


def report_of_outputs(output_file: Path) -> StepReport:
    """Return the report of a program that ended well: its outputs are what it left in *output_file*."""
    if not output_file.is_file():  # nor a pipe, say, which would have us wait for ever
        return StepReport(Outcome.DONE)
    size = output_file.stat().st_size
    if size > OUTPUTS_LIMIT_BYTES:
        allowed = OUTPUTS_LIMIT_BYTES >> 20
        return StepReport(Outcome.FATAL_ERROR, None, f"the output file has {size >> 20} MiB; {allowed} MiB are allowed")
    data = output_file.read_bytes()
    if not data.strip():
        return StepReport(Outcome.DONE)
    try:
        outputs = msgspec.json.decode(data)
    except msgspec.DecodeError as exc:
        return StepReport(Outcome.USER_ERROR, None, f"the output file holds no JSON: {exc}")
    if not isinstance(outputs, dict):
        return StepReport(Outcome.USER_ERROR, None, "the output file must hold one JSON object: name to value")
    return StepReport(Outcome.DONE, outputs)


def report_not_started(exc: NotStarted) -> StepReport:
    """Return the report of a program that could not be started."""
    outcome = Outcome.USER_ERROR if exc.is_users_fault else Outcome.PLATFORM_ERROR
    return StepReport(outcome, None, f"cannot start: {exc}")


def signal_name(number: int) -> str:
    """Return the name of a signal, or its number where it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
