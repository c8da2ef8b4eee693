"""The step type ``python``: a function in a warm process, or a script or inline source in a process of its own."""

from __future__ import annotations

import sys
from typing import Final

from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import StepContext, StepReport, StepTask

_SOURCE_FILE: Final = "source.py"


class PythonStep:
    """
    Run Python.  It runs again if the worker dies before it has reported; hand the attempt's key to what you call.

    Parameters (``params["python"]``), exactly one of them:
        function: ``module:function``; it is given the parameters that it names, and returns the outputs.
        script: Path of a file, relative to the directory of the user's code, and ``args``, a list.
        source: The text of a program.
    """

    kind: Final = "python"

    async def run(self, task: StepTask, context: StepContext) -> StepReport:
        """Run the function, script or source that the step names."""
        own = task.own_params
        given = [name for name in ("function", "script", "source") if own.get(name)]
        if len(given) != 1:
            return StepReport(Outcome.FATAL_ERROR, None, "a python step has exactly one of: function, script, source")
        value = str(own[given[0]])
        if given[0] == "function":
            return await context.call_function(value)
        if given[0] == "source":
            path = context.work_directory / _SOURCE_FILE
            path.write_text(value, encoding="utf-8")
            value = str(path)
        return await context.run_command([sys.executable, value, *map(str, own.get("args") or ())])
