"""Bring the live steps of a run to an end before their own."""

from __future__ import annotations

from maestro_py.engine.decide.finish import STEP_END_OF, finish_step, set_run_status, settle_step
from maestro_py.engine.decide.foreach import stop_foreach, told_to_iterations
from maestro_py.engine.decide.retries import TIMEOUT, fail_attempt
from maestro_py.engine.decide.scope import literal_edges
from maestro_py.engine.decide.state import Decision, Run, StepState
from maestro_py.model.effects import CancelAttempt, StopIterations
from maestro_py.model.events import RunOverdue, StopRequested
from maestro_py.model.statuses import InstanceStatus, StepStatus


def stop_step(run: Run, step: StepState, target: InstanceStatus, decision: Decision) -> None:
    """
    Ask the live *step* to end with *target*.

    A dispatched attempt ends only when it was revoked, reported or lost; here the intent is recorded.
    """
    end = STEP_END_OF[target]
    if step.status is StepStatus.FINISHING:
        # Its work is done, and nothing begins after it any more: its natural end has won.
        step.edges = literal_edges(step)
        settle_step(run, step, step.intent or StepStatus.SUCCEEDED, decision)
    elif step.foreach is not None:
        stop_foreach(run, step, end, target, decision)
    elif _is_at_worker(step):
        # A second request overwrites the first: a kill after a stop ends FAILED.
        step.intent = end
        run.changed[step.step_id, step.attempt] = step
        decision.effects.append(CancelAttempt(step.step_id, step.attempt))
    else:
        finish_step(run, step, end, decision)


def stop_run(run: Run, event: StopRequested, decision: Decision) -> None:
    """
    End the run with the target asked for as soon as its live steps have ended; a kill stands, whatever comes after it.

    Nothing more is started.
    """
    if run.stop_target is event.target:
        return
    asked = f"{_VERB[event.target]} by {event.by or 'the engine'}: {event.reason or 'no reason given'}"
    if run.stop_target is InstanceStatus.FAILED:
        # Whoever killed it was told that it will end FAILED; a milder request does not take that back.
        run.note(f"{asked}; the kill before it stands", decision.now_ms)
        return
    run.stop_target = event.target
    run.note(asked, decision.now_ms)
    decision.ready.clear()
    for step in list(run.steps.values()):
        if step.is_live:
            stop_step(run, step, event.target, decision)


_VERB = {
    InstanceStatus.STOPPED: "Stop requested",
    InstanceStatus.FAILED: "Kill requested",
    InstanceStatus.TIMED_OUT: "Timeout",
}


def stop_unstarted(run: Run, event: StopRequested, decision: Decision) -> None:
    """End a run that has not begun at once."""
    run.stop_target = event.target
    run.note(f"{_VERB[event.target]} by {event.by or 'the engine'} before the run began", decision.now_ms)
    set_run_status(run, event.target, decision)


def time_out_run(run: Run, event: RunOverdue, decision: Decision) -> None:
    """End a run whose timeout has passed as TIMED_OUT (specification 5.1)."""
    run.deadline_ms = None
    if run.stop_target is None:
        stop_run(run, StopRequested(InstanceStatus.TIMED_OUT, reason="the run exceeded its timeout"), decision)
    run.is_dirty = True


def stop_other_steps(run: Run, decision: Decision) -> None:
    """Stop whatever is live, since a step failed for good under FAIL_IMMEDIATELY."""
    decision.ready.clear()
    for step in list(run.steps.values()):
        if step.is_live:
            stop_step(run, step, InstanceStatus.STOPPED, decision)


def time_out_step(run: Run, step: StepState, decision: Decision) -> None:
    """Act on a step whose timeout has passed: a dispatched attempt is cancelled first, a foreach stops its children."""
    if step.intent is not None:
        return
    if step.foreach is not None:
        stop_foreach(run, step, StepStatus.TIMED_OUT, InstanceStatus.TIMED_OUT, decision)
    elif step.dispatched:
        step.intent = StepStatus.TIMEOUT_FAILED
        run.changed[step.step_id, step.attempt] = step
        decision.effects.append(CancelAttempt(step.step_id, step.attempt))
    else:
        fail_attempt(run, step, TIMEOUT, "the step exceeded its timeout", decision)


def force_end(run: Run, event: StopRequested, decision: Decision) -> None:
    """End a quarantined run at once: its later events are not applied, so nothing would ever end it otherwise."""
    run.stop_target = event.target
    for step in list(run.steps.values()):
        if not step.is_live:
            continue
        if step.foreach is not None and step.status is not StepStatus.FINISHING:
            # Now, for an event to ourselves would never be applied.
            told = told_to_iterations(event.target)
            decision.effects.append(StopIterations(step.step_id, step.attempt, 0, told))
        elif _is_at_worker(step):
            decision.effects.append(CancelAttempt(step.step_id, step.attempt))
        finish_step(run, step, STEP_END_OF[event.target], decision, "stopped while quarantined")
    decision.ready.clear()
    run.note("Stopped while quarantined", decision.now_ms, "WARN")
    set_run_status(run, event.target, decision)


def _is_at_worker(step: StepState) -> bool:
    """Say whether the attempt was dispatched and neither reported, lost nor revoked since."""
    return step.dispatched and step.status is StepStatus.WAITING_FOR_PERMITS
