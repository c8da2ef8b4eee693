"""The step type ``bench_noop``: the cheapest step that still goes through a worker, for benchmarks."""

from __future__ import annotations

from typing import Final

from maestro_py.ports.step_type import DONE, StepReport, StepTask


class BenchNoopStep:
    """Do nothing, at once."""

    kind: Final = "bench_noop"

    def run_now(self, task: StepTask) -> StepReport:
        """Return that it is done."""
        return DONE
