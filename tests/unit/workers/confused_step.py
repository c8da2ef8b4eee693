"""A step type that breaks the contract, for the test of the registry."""

from __future__ import annotations

from maestro_py.ports.step_type import DONE, StepContext, StepReport, StepTask


class ConfusedStep:
    """It is instant, and it is not."""

    kind = "both"

    async def run(self, task: StepTask, context: StepContext) -> StepReport:
        """Return that it is done."""
        return DONE

    def run_now(self, task: StepTask) -> StepReport:
        """Return that it is done."""
        return DONE
