"""The step type ``python``: a function in a warm process, or a script or inline source in a process of its own."""

from __future__ import annotations

import sys
from typing import Final

from maestro_py.model.literals import text_of
from maestro_py.ports.step_type import StepContext, StepReport, StepTask
from maestro_py.workers.steps.own_words import (
    WordWrong,
    check_words,
    environment_word,
    list_word,
    object_word,
    one_of,
    text_word,
)

_SOURCE_FILE: Final = "source.py"
_WORK: Final = ("function", "script", "source")
_WORDS: Final = frozenset({*_WORK, "args", "kwargs", "env"})


class PythonStep:
    """
    Run Python.  It runs again if the worker dies before it has reported; hand the attempt's key to what you call.

    Parameters (``params["python"]``), exactly one of the first three:
        function: ``module:function``; it is given the parameters that it names, and returns the outputs.
        script: Path of a file, relative to the directory of the user's code.
        source: The text of a program.
        args: A list; of a function, its first arguments, of a program, its command line.
        kwargs: Of a function: arguments by name, which win over parameters of the step.
        env: Environment variables.
    """

    kind: Final = "python"

    async def run(self, task: StepTask, context: StepContext) -> StepReport:
        """Run the function, script or source that the step names."""
        own = task.own_params
        try:
            check_words(self.kind, own, _WORDS)
            work = one_of(self.kind, own, _WORK)
            text, args, kwargs = text_word(own, work), list_word(own, "args"), object_word(own, "kwargs")
            environment = environment_word(own)
            if kwargs and work != "function":
                raise WordWrong(f"kwargs are for a function; a {work} has args and the parameters of the step")
        except WordWrong as exc:
            return exc.report
        if work == "function":
            return await context.call_function(text, args, kwargs, environment)
        if work == "source":
            path = context.work_directory / _SOURCE_FILE
            path.write_text(text, encoding="utf-8")
            text = str(path)
        return await context.run_command([sys.executable, text, *map(text_of, args)], environment=environment)
