"""Look up what a step's parameters may name: loop values, workflow parameters, outputs of upstream steps."""

from __future__ import annotations

from typing import Any, Final

from maestro_py.engine.decide.state import OuterParams, Run, StepState

#: The conditions that need no evaluation.
_LITERAL: Final = {"true": True, "false": False}


class RunScope:
    """The names that the steps of one run may use, nearest first (specification 4.4)."""

    __slots__ = ("_run",)

    def __init__(self, run: Run) -> None:
        self._run = run

    def param(self, name: str) -> Any:
        """
        Return the value of the loop or workflow parameter *name*.

        Raises:
            KeyError: there is none of this name.
        """
        run = self._run
        if name in run.loop_values:
            return run.loop_values[name]
        if name in run.params:
            return run.params[name].evaluated_result
        if run.outer is not None:
            return run.outer.values[name]
        raise KeyError(name)

    def output(self, step_id: str, name: str) -> Any:
        """
        Return the output *name* of the upstream step *step_id*, here or in an enclosing scope.

        An output is what the step reported; failing that, its evaluated parameter of the same name.

        Raises:
            KeyError: the step is not complete, or has no such output.
        """
        run = self._run
        step = run.steps.get(step_id)
        if step is None:
            if run.outer is not None and step_id in run.outer.outputs:
                return run.outer.outputs[step_id][name]
            raise KeyError(step_id)
        if not step.status.is_complete:
            raise KeyError(step_id)
        if step.outputs is not None and name in step.outputs:
            return step.outputs[name]
        return step.params[name].evaluated_result


def visible_values(run: Run) -> dict[str, Any]:
    """Return every loop and workflow parameter that the run sees, as plain values."""
    values = dict(run.outer.values) if run.outer else {}
    values.update((name, parameter.evaluated_result) for name, parameter in run.params.items())
    values.update(run.loop_values)
    return values


def outer_params(run: Run, step: StepState) -> OuterParams:
    """Return what the iterations of the foreach *step* see of the outside."""
    values = visible_values(run)
    values.update(
        (name, parameter.evaluated_result) for name, parameter in step.params.items() if name != "loop_params"
    )
    scope = RunScope(run)
    outputs: dict[str, dict[str, Any]] = {}
    for reference in step.node.outer_references:
        assert reference.step_id is not None
        for name, _ in reference.readings():
            try:
                value = scope.output(reference.step_id, name)
            except KeyError:
                continue  # a reading that names nothing; the inner step that needs it fails with its own message
            outputs.setdefault(reference.step_id, {})[name] = value
            break
    return OuterParams(values, outputs)


def edge_values(run: Run, step: StepState) -> dict[str, bool]:
    """Return the value of each outgoing edge's condition."""
    return {successor: _LITERAL[condition] for successor, condition in step.node.successors}
