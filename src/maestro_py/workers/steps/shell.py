"""The step type ``shell``: a command of ``/bin/sh``, or a script file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from maestro_py.model.literals import text_of
from maestro_py.ports.step_type import StepContext, StepReport, StepTask
from maestro_py.workers.steps.own_words import WordWrong, check_words, environment_word, list_word, one_of, text_word

#: The kernel bounds one argument to 128 KiB; longer commands go through a file.
_ARGUMENT_LIMIT: Final = 100_000
_RUN_SCRIPT: Final = 'if [ -x "$0" ]; then exec "$0" "$@"; else exec /bin/sh "$0" "$@"; fi'
_WORK: Final = ("command", "script")
_WORDS: Final = frozenset({*_WORK, "args", "env", "cwd"})


class ShellStep:
    """
    Run a command.  It runs again if the worker dies before it has reported; ``MAESTRO_IDEMPOTENCY_KEY`` tells.

    Parameters (``params["shell"]``), exactly one of the first two:
        command: Text for ``/bin/sh -c``.
        script: Path of a file, relative to where it runs.  A file that is executable says itself what runs it; any
            other is run by ``/bin/sh``.
        args: A list: ``$1``, ``$2`` and so on.
        env: Environment variables.
        cwd: Where it runs, relative to the directory of the user's code; by default there.
    """

    kind: Final = "shell"

    async def run(self, task: StepTask, context: StepContext) -> StepReport:
        """Run the command or script that the step names."""
        own = task.own_params
        try:
            check_words(self.kind, own, _WORDS)
            work = one_of(self.kind, own, _WORK)
            text, args = text_word(own, work), [text_of(value) for value in list_word(own, "args")]
            environment, directory = environment_word(own), text_word(own, "cwd")
        except WordWrong as exc:
            return exc.report
        if work == "command":
            return await run_shell(text, context, args, directory, environment)
        path = text if "/" in text else f"./{text}"
        return await context.run_command(["/bin/sh", "-c", _RUN_SCRIPT, path, *args], Path(directory), environment)


async def run_shell(
    command: str,
    context: StepContext,
    args: list[str] | None = None,
    directory: str = "",
    environment: Mapping[str, str] | None = None,
) -> StepReport:
    """Run *command* by ``/bin/sh``, whatever its length; *args* are its ``$1``, ``$2`` and so on."""
    if len(command.encode()) < _ARGUMENT_LIMIT:
        # The first word after the command is its $0.
        argv = ["/bin/sh", "-c", command, *(["sh", *args] if args else [])]
    else:
        path = context.work_directory / "command.sh"
        path.write_text(command, encoding="utf-8")
        argv = ["/bin/sh", str(path), *(args or [])]
    return await context.run_command(argv, Path(directory), environment)
