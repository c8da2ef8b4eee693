"""Look up what a step's parameters may name: loop values, workflow parameters, outputs of upstream steps, facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from maestro_py.engine.decide.state import OuterParams, Run, StepState, step_uuid
from maestro_py.model.given_names import STEP_PARAMS
from maestro_py.model.statuses import StepStatus
from maestro_py.params import (
    DERIVED_PARAMS,
    STEP_END_TIME,
    STEP_STATUS,
    Budget,
    Facts,
    Loop,
    ResultsKey,
    ResultsUnread,
    derived_param,
    evaluate_conditions,
    loop_of,
    results_key,
    signals_of,
    trigger_params_of,
)

#: The conditions that need no evaluation.
_LITERAL: Final = {"true": True, "false": False}
_MISSING: Final[Any] = object()


class RunScope:
    """
    The names that the steps of one run may use, nearest first (specification 4.4).

    Args:
        run: Whose names.
        step: Whose parameters are evaluated; None for what belongs to the run.
        now_ms: The time that its expressions see, UTC epoch ms.
        budget: Of the expressions of derived parameters.
    """

    __slots__ = ("_budget", "_facts", "_now_ms", "_run", "_step")

    def __init__(self, run: Run, step: StepState | None = None, now_ms: int = 0, budget: Budget | None = None) -> None:
        self._run = run
        self._step = step
        self._now_ms = now_ms
        self._budget = budget
        self._facts: Facts | None = None

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
        if run.outer is not None and name in run.outer.values:
            return run.outer.values[name]
        if name in DERIVED_PARAMS:
            return derived_param(name, self, self._budget)
        if self._step is not None and name in STEP_PARAMS:
            return self.facts().step_param(name)
        raise KeyError(name)

    def all_params(self) -> Mapping[str, Any]:
        """Return every loop and workflow parameter that the run sees."""
        return visible_values(self._run)

    def output(self, step_id: str, name: str) -> Any:
        """
        Return the output *name* of the upstream step *step_id*, here or in an enclosing scope.

        An output is what the step reported; failing that, its evaluated parameter of the same name.

        Raises:
            KeyError: the step is not complete, or has no such output.
            ResultsUnread: results of a foreach are meant; they lie with its iterations.
        """
        try:
            return self._own_output(step_id, name)
        except KeyError:
            key = results_key(step_id, name, self.loop)
            if key is None:
                raise
        raise ResultsUnread(key)

    def results(self, foreach: str, step_id: str, name: str) -> list[Any]:
        """
        Never return: the results of a foreach lie with its iterations.

        Raises:
            KeyError: there is no such foreach, or it is not complete, or it has no such step.
            ResultsUnread: there is.
        """
        loop = self.loop(foreach)
        if loop is None or step_id not in loop.steps:
            raise KeyError(foreach, step_id)
        raise ResultsUnread(ResultsKey(foreach, step_id, name))

    def loop(self, step_id: str) -> Loop | None:
        """Return the foreach *step_id* if its results may be read: by a later step, or by its own edges."""
        step = self._run.steps.get(step_id)
        if step is None or step.foreach is None or self._step is None:
            return None  # what belongs to the run, such as a timeout, is evaluated where nothing can be read
        if not step.status.is_complete and step is not self._step:
            return None
        return loop_of(step.node.step, self._run.iterations_id(step_id), step.foreach.total)

    def all_loops(self) -> Mapping[str, Loop]:
        """Return every foreach whose results may be read, by its id."""
        return {step_id: loop for step_id in self._run.steps if (loop := self.loop(step_id)) is not None}

    def _own_output(self, step_id: str, name: str) -> Any:
        run = self._run
        step = run.steps.get(step_id)
        if step is None:
            if run.outer is not None and step_id in run.outer.outputs:
                return run.outer.outputs[step_id][name]
            raise KeyError(step_id)
        if not step.status.is_complete:
            raise KeyError(step_id)
        value = own_value(step, name)
        if value is _MISSING:
            value = _told_of(run, step).get(name, _MISSING)
        if value is _MISSING:
            raise KeyError(name)
        return value

    def all_outputs(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the outputs of every completed step in sight, by step."""
        outputs: dict[str, Mapping[str, Any]] = dict(self._run.outer.outputs) if self._run.outer else {}
        for step_id, step in self._run.steps.items():
            if step.status.is_complete:
                outputs[step_id] = own_values(step) | _told_of(self._run, step)
        return outputs

    def facts(self) -> Facts:
        """Return the time, and what is known of the instance, the step and the signal that started the run."""
        if self._facts is None:
            self._facts = _facts_of(self._run, self._step, self._now_ms)
        return self._facts


def own_value(step: StepState, name: str) -> Any:
    """Return the output *name* of the step, else its parameter of that name, or `_MISSING`."""
    if step.outputs is not None and name in step.outputs:
        return step.outputs[name]
    parameter = step.params.get(name)
    return _MISSING if parameter is None else parameter.evaluated_result


def own_values(step: StepState) -> dict[str, Any]:
    """Return the step's parameters, its outputs among them."""
    values = {name: parameter.evaluated_result for name, parameter in step.params.items()}
    if step.outputs:
        values.update(step.outputs)
    return values


def _told_of(run: Run, step: StepState) -> dict[str, Any]:
    """Return what the service tells of a completed step: how it ended, and the parameters that every step has."""
    status = str(step.status)
    return {
        STEP_STATUS: status,
        STEP_END_TIME: step.times.get(status, 0),
        "workflow_instance_id": run.instance_id,
        "step_instance_uuid": str(step_uuid(run.run_uid, step.step_id, step.attempt)),
        "step_attempt_id": step.attempt,
        "step_id": step.step_id,
        "maestro_step_satisfied": step.status is not StepStatus.UNSATISFIED,
    }


def _facts_of(run: Run, step: StepState | None, now_ms: int) -> Facts:
    initiator = msgspec.json.decode(run.initiator)
    user = initiator.get("user")
    instance = {
        "INITIATOR_TYPE": initiator.get("type"),
        "INITIATOR_TIMEZONE": initiator.get("timezone"),
        "INITIATOR_RUNNER_NAME": (user.get("name") if isinstance(user, dict) else user),
        "RUN_POLICY": "START_FRESH_NEW_RUN",
        "workflow_id": run.workflow_id,
        "workflow_instance_id": run.instance_id,
        "workflow_run_id": run.run_id,
    }
    seed = f"{run.run_uid}:{step.step_id}:{step.attempt}" if step else str(run.run_uid)
    return Facts(
        now_ms=now_ms,
        seed=seed,
        instance=instance,
        step=_step_facts(run, step) if step else None,
        signals=signals_of(initiator),
        trigger=trigger_params_of(initiator),
    )


def _step_facts(run: Run, step: StepState) -> dict[str, Any]:
    kind = step.node.step
    described = {"type": kind.type, "sub_type": kind.sub_type, "sub_type_version": kind.sub_type_version}
    told = {name: value for name, value in described.items() if value is not None}
    return {
        "step_id": step.step_id,
        "step_instance_id": step.seq,
        "step_instance_uuid": str(step_uuid(run.run_uid, step.step_id, step.attempt)),
        "step_attempt_id": step.attempt,
        "step_type_info": msgspec.json.encode(told).decode(),
        "MAESTRO_STEP_ERROR_RETRIES": step.error_retries,
        "maestro_step_satisfied": True,  # parameters of others are not evaluated
    }


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


def edge_values(run: Run, step: StepState, now_ms: int, budget: Budget) -> dict[str, bool]:
    """
    Return the value of each outgoing edge's condition.

    Raises:
        ParamError: a condition cannot be evaluated.
        OverBudget: the conditions need more than *budget*.
    """
    edges = literal_edges(step)
    conditions = conditions_of(step)
    if conditions:
        scope = RunScope(run, step, now_ms, budget)
        edges |= evaluate_conditions(conditions, own_values(step), scope, step_id=step.step_id, budget=budget)
    return edges


def literal_edges(step: StepState) -> dict[str, bool]:
    """Return the edges of *step* by successor, in the author's order; one whose condition is no literal is False."""
    return {successor: _LITERAL.get(condition, False) for successor, condition in step.node.successors}


def conditions_of(step: StepState) -> dict[str, str]:
    """Return the conditions of *step* that are no literals, by successor."""
    return {successor: condition for successor, condition in step.node.successors if condition not in _LITERAL}
