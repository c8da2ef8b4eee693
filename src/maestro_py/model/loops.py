"""Find which loops a step is in, and under which address an iteration of theirs runs.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from maestro_py.model.definition import Step
from maestro_py.model.ids import inline_workflow_id


def way_to(steps: Sequence[Step], step_id: str) -> tuple[Step, ...]:
    """Return the loops around the step, the outermost first, and the step itself; empty if *steps* hold no such one."""
    for step in steps:
        if step.id == step_id:
            return (step,)
        if inner := way_to(step.steps, step_id):
            return (step, *inner)
    return ()


def addresses(
    internal_id: str, workflow_id: str, instance_id: int, loops: Sequence[str], path: Sequence[int]
) -> list[tuple[str, int]]:
    """
    Return the workflow id and the instance id of each iteration that *path* passes, the outermost first.

    Args:
        internal_id: Of the root workflow.
        workflow_id: Of the run that the outermost loop belongs to.
        instance_id: The instance of that run.
        loops: The ids of the loops that stand in one another, the outermost first.
        path: The number of an iteration, from 1, of each of them.
    """
    passed: list[tuple[str, int]] = []
    for step_id, number in zip(loops, path, strict=True):
        workflow_id = inline_workflow_id(internal_id, instance_id, workflow_id, step_id)
        instance_id = number
        passed.append((workflow_id, instance_id))
    return passed


def iteration_id(path: Sequence[int]) -> str:
    """Return how clients name an iteration of loops that stand in one another: ``3-12`` (specification 9.5)."""
    return "-".join(map(str, path))


def iteration_rank(path: Sequence[int]) -> str:
    """Return *path* as a text whose order is the order of the numbers: each behind its count of digits."""
    return "-".join(f"{len(str(number))}{number}" for number in path)
