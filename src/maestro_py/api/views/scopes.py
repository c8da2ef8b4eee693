"""The part of a definition that one run walks: the whole for a root, the body of a foreach for an iteration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maestro_py.model.definition import Step, Workflow
from maestro_py.model.errors import NotFound


def steps_of(workflow: Workflow, scope: str) -> Sequence[Step]:
    """
    Return the steps of *scope*: foreach ids joined by ``/``, empty for the workflow itself.

    Raises:
        NotFound: the definition has no such scope.
    """
    steps: Sequence[Step] = workflow.steps
    for step_id in scope.split("/") if scope else ():
        inner = next((step.steps for step in steps if step.id == step_id), None)
        if inner is None:
            raise NotFound(f"workflow {workflow.id!r} has no foreach {scope!r}")
        steps = inner
    return steps


def dag_of(steps: Sequence[Step]) -> dict[str, dict[str, Any]]:
    """Return the runtime DAG: step id to predecessors and successors, in the author's order."""
    dag: dict[str, dict[str, Any]] = {
        step.id: {"predecessors": [], "successors": dict(step.successors)} for step in steps
    }
    for step in steps:
        for successor in step.successors:
            dag[successor]["predecessors"].append(step.id)
    return dag
