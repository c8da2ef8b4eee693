"""The step type ``shell``: a command of ``/bin/sh``, or a script file."""

from __future__ import annotations

from typing import Final

from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import StepContext, StepReport, StepTask

#: The kernel bounds one argument to 128 KiB; longer commands go through a file.
_ARGUMENT_LIMIT: Final = 100_000
_RUN_SCRIPT: Final = 'if [ -x "$0" ]; then exec "$0" "$@"; else exec /bin/sh "$0" "$@"; fi'


class ShellStep:
    """
    Run a command.  It runs again if the worker dies before it has reported; ``MAESTRO_IDEMPOTENCY_KEY`` tells.

    Parameters (``params["shell"]``), exactly one of them:
        command: Text for ``/bin/sh -c``.
        script: Path of a file, relative to the directory of the user's code, and ``args``, a list.  A file that is
            executable says itself what runs it; any other is run by ``/bin/sh``.
    """

    kind: Final = "shell"

    async def run(self, task: StepTask, context: StepContext) -> StepReport:
        """Run the command or script that the step names."""
        own = task.own_params
        command, script = own.get("command"), own.get("script")
        if bool(command) == bool(script):
            return StepReport(Outcome.FATAL_ERROR, None, "a shell step has exactly one of: command, script")
        if script:
            path = str(script) if "/" in str(script) else f"./{script}"
            return await context.run_command(["/bin/sh", "-c", _RUN_SCRIPT, path, *map(str, own.get("args") or ())])
        return await run_shell(str(command), context)


async def run_shell(command: str, context: StepContext) -> StepReport:
    """Run *command* by ``/bin/sh``, whatever its length."""
    if len(command.encode()) < _ARGUMENT_LIMIT:
        return await context.run_command(["/bin/sh", "-c", command])
    path = context.work_directory / "command.sh"
    path.write_text(command, encoding="utf-8")
    return await context.run_command(["/bin/sh", str(path)])
