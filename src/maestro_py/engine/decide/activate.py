"""Begin a step whose gate has opened, or the next attempt of one that failed."""

from __future__ import annotations

from typing import Any, Final

from maestro_py.engine.decide.finish import finish_step
from maestro_py.engine.decide.foreach import start_foreach
from maestro_py.engine.decide.graph import Node
from maestro_py.engine.decide.parking import park_params
from maestro_py.engine.decide.retries import KIND_OF, PLATFORM, TIMEOUT, USER
from maestro_py.engine.decide.scope import RunScope, visible_values
from maestro_py.engine.decide.state import Decision, Run, StepState, set_status
from maestro_py.model.effects import Dispatch, SetTimer
from maestro_py.model.errors import OverBudget, ParamError
from maestro_py.model.events import AttemptOverdue, TimerFired
from maestro_py.model.statuses import StepStatus
from maestro_py.params import Parameter, evaluate_step_params, evaluate_timeout

#: A step's timeout when it states none, in ms: 10 days (specification 2.7).
DEFAULT_TIMEOUT_MS: Final = 10 * 24 * 3_600_000
#: A Sleep without ``sleep_seconds``, in seconds (specification 2.5).
DEFAULT_SLEEP_SECONDS: Final = 3


def activate(run: Run, node: Node, satisfied: bool, failed: StepState | None, decision: Decision) -> None:
    """
    Create the first attempt of a step, or the attempt after *failed*, and take it to its first wait state.

    A step none of whose incoming edges is true becomes UNSATISFIED, and so do its outgoing edges (specification 2.3).
    """
    step = _new_attempt(run, node, failed)
    set_status(run, step, StepStatus.CREATED, decision.now_ms)
    if not satisfied:
        step.edges = dict.fromkeys((successor for successor, _ in node.successors), False)
        _end_unsatisfied(run, step, decision)
        return
    try:
        if node.step.params:
            step.params = _evaluated(run, step, decision)
    except OverBudget:
        park_params(run, step, decision)
    except ParamError as exc:
        finish_step(run, step, StepStatus.INTERNALLY_FAILED, decision, str(exc))
    else:
        begin_step(run, step, decision)


def begin_step(run: Run, step: StepState, decision: Decision) -> None:
    """Take an attempt whose parameters are known to its first wait state."""
    try:
        step.timeout_ms = _timeout_ms(run, step)
        _BEGIN.get(step.node.step.type, _dispatch)(run, step, decision)
    except ParamError as exc:
        # The author's mistake, but no retry would mend it (specification 4.4).
        finish_step(run, step, StepStatus.INTERNALLY_FAILED, decision, str(exc))


def _evaluated(run: Run, step: StepState, decision: Decision) -> dict[str, Parameter]:
    budget = decision.budget
    scope = RunScope(run, step, decision.now_ms, budget)
    return evaluate_step_params(step.node.step.params, scope, decision.now_ms, step_id=step.step_id, budget=budget)


def _new_attempt(run: Run, node: Node, failed: StepState | None) -> StepState:
    if failed is None:
        step = StepState(node, 1, run.next_seq)
        run.next_seq += 1
        run.live += 1
    else:
        step = StepState(node, failed.attempt + 1, failed.seq)
        kind = KIND_OF[failed.status]
        step.error_retries = failed.error_retries + (kind is USER)
        step.platform_retries = failed.platform_retries + (kind is PLATFORM)
        step.timeout_retries = failed.timeout_retries + (kind is TIMEOUT)
    run.steps[node.step.id] = step
    return step


def _end_unsatisfied(run: Run, step: StepState, decision: Decision) -> None:
    set_status(run, step, StepStatus.UNSATISFIED, decision.now_ms)
    run.live -= 1
    for successor, satisfied in run.open_gates(step):
        decision.ready.append((successor, satisfied, None))


def _timeout_ms(run: Run, step: StepState) -> int:
    timeout = step.node.step.timeout
    if timeout is None:
        return DEFAULT_TIMEOUT_MS
    timeout_ms = evaluate_timeout(timeout, RunScope(run), f"steps.{step.step_id}.timeout")
    return DEFAULT_TIMEOUT_MS if timeout_ms is None else timeout_ms


def _succeed(run: Run, step: StepState, decision: Decision) -> None:
    finish_step(run, step, StepStatus.SUCCEEDED, decision)


def _sleep(run: Run, step: StepState, decision: Decision) -> None:
    """Wait for a timer; a timeout that comes first is the only timer set."""
    parameter = step.params.get("sleep_seconds")
    seconds = DEFAULT_SLEEP_SECONDS if parameter is None else parameter.evaluated_result
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds < 0:
        raise ParamError(f"steps.{step.step_id}.params.sleep_seconds", f"must be a number of seconds, not {seconds!r}")
    set_status(run, step, StepStatus.RUNNING, decision.now_ms)
    sleep_ms = int(seconds * 1000)
    timeout_ms = step.timeout_ms or DEFAULT_TIMEOUT_MS
    if sleep_ms <= timeout_ms:
        decision.effects.append(SetTimer(decision.now_ms + sleep_ms, TimerFired(step.step_id, step.attempt)))
    else:
        decision.effects.append(SetTimer(decision.now_ms + timeout_ms, AttemptOverdue(step.step_id, step.attempt)))


def _foreach(run: Run, step: StepState, decision: Decision) -> None:
    start_foreach(run, step, decision)
    if not step.is_live or step.timeout_ms is None:
        return
    overdue_ms = decision.now_ms + step.timeout_ms
    # One without a timeout of its own almost always ends with its run, or with the foreach around it, before the ten
    # days are over: no timer shall lie there for so long.
    if step.node.step.timeout is not None or (run.deadline_ms is not None and overdue_ms < run.deadline_ms):
        decision.effects.append(SetTimer(overdue_ms, AttemptOverdue(step.step_id, step.attempt)))


def _dispatch(run: Run, step: StepState, decision: Decision) -> None:
    step.dispatched = True
    step.task = _task(run, step)
    set_status(run, step, StepStatus.WAITING_FOR_PERMITS, decision.now_ms)
    decision.effects.append(Dispatch(step.step_id, step.attempt))


def _task(run: Run, step: StepState) -> dict[str, Any]:
    """Return what a worker needs; an iteration refers to its parent's parameters rather than copying them."""
    task: dict[str, Any] = {
        "workflow_id": run.workflow_id,
        "instance_id": run.instance_id,
        "run_id": run.run_id,
        "step_id": step.step_id,
        "attempt": step.attempt,
        "step_type": step.node.step.type,
        "correlation_id": run.correlation_id,
    }
    if run.parent is None:
        values = visible_values(run)
    else:
        values = dict(run.loop_values)
        task["outer"] = [run.parent.partition, run.parent.run_uid.hex, run.parent.step_id, run.parent.attempt]
    for name, parameter in step.params.items():
        values[name] = parameter.evaluated_result
    task["params"] = values
    return task


#: How the step types that the engine runs itself begin; any other type is dispatched to a worker.
_BEGIN: Final = {"NoOp": _succeed, "Sleep": _sleep, "foreach": _foreach}
