"""Change the status of a step, open its successors, and end the run when nothing in it is live."""

from __future__ import annotations

from typing import Final

from maestro_py.engine.decide.parking import park_edges
from maestro_py.engine.decide.scope import edge_values
from maestro_py.engine.decide.state import Decision, Run, StepState, set_status
from maestro_py.model.effects import NotifyParent, NotifyWorkflow
from maestro_py.model.errors import OverBudget, ParamError
from maestro_py.model.statuses import InstanceStatus, StepStatus

#: How a step ends when its run is asked to end with this status (specification 6.2).
STEP_END_OF: Final = {
    InstanceStatus.STOPPED: StepStatus.STOPPED,
    InstanceStatus.FAILED: StepStatus.FATALLY_FAILED,
    InstanceStatus.TIMED_OUT: StepStatus.TIMED_OUT,
}


def finish_step(run: Run, step: StepState, status: StepStatus, decision: Decision, message: str | None = None) -> None:
    """
    End the latest attempt of a live step for good with *status*, and let the failure mode and the DAG speak.

    IGNORE_FAILURE turns FATALLY_FAILED into COMPLETED_WITH_ERROR, except when somebody killed the run; other ends are
    not swallowed (specification 2.3).
    """
    killed = run.stop_target is InstanceStatus.FAILED
    if status is StepStatus.FATALLY_FAILED and step.node.ignores_failure and not killed:
        status = StepStatus.COMPLETED_WITH_ERROR
    if message is not None:
        step.message = message
    if status.is_complete and step.node.has_conditions:
        try:
            step.edges = edge_values(run, step, decision.now_ms, decision.budget)
        except OverBudget:
            park_edges(run, step, status, decision)
            return
        except ParamError as exc:
            status, step.message = StepStatus.INTERNALLY_FAILED, failed_condition(exc)
    settle_step(run, step, status, decision)


def failed_condition(error: ParamError) -> str:
    """Return the message of a step whose condition cannot be evaluated; the path of *error* names the successor."""
    return f"the condition of the edge to '{error.path}' cannot be evaluated: {error.message}"


def settle_step(run: Run, step: StepState, status: StepStatus, decision: Decision) -> None:
    """Give a live step its final *status*, its edges being known, and let the DAG speak."""
    set_status(run, step, status, decision.now_ms)
    run.live -= 1
    was_closing = run.is_closing
    run.count_end(step)
    if status.is_complete:
        for node, satisfied in run.open_gates(step):
            decision.ready.append((node, satisfied, None))
    elif run.is_closing and not was_closing:
        # Not when the others were told to end before: a killed step does not make them STOPPED.
        decision.stop_others = True


def end_run(run: Run, decision: Decision) -> None:
    """End a run in which nothing is live: FAILED before TIMED_OUT before STOPPED before SUCCEEDED."""
    if run.failed or run.stop_target is InstanceStatus.FAILED:
        status = InstanceStatus.FAILED
    elif run.timed_out or run.stop_target is InstanceStatus.TIMED_OUT:
        status = InstanceStatus.TIMED_OUT
    elif run.stopped or run.stop_target is InstanceStatus.STOPPED:
        status = InstanceStatus.STOPPED
    elif not run.steps:
        status = InstanceStatus.FAILED
    else:
        status = InstanceStatus.SUCCEEDED
    set_run_status(run, status, decision)


def set_run_status(run: Run, status: InstanceStatus, decision: Decision) -> None:
    """Give the run its new *status* and tell whoever waits for its end."""
    run.records.append(("", 0, str(run.status), str(status), decision.now_ms))
    run.status = status
    run.is_dirty = True
    if status.is_terminal:
        run.end_time_ms = decision.now_ms
        decision.effects.append(NotifyParent(status) if run.parent else NotifyWorkflow())
