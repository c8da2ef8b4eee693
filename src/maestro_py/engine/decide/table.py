"""
The transition tables of a run and of its steps, and `decide`, which reads them.

Pure and total: every pair of status and event is a row, a named no-op, or `impossible`, an error with a name.  The
diagrams in ``docs/state_machines.md`` are generated from these tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from maestro_py.engine.decide.activate import DEFAULT_TIMEOUT_MS, activate
from maestro_py.engine.decide.evaluations import (
    apply_edges,
    apply_params,
    evaluate_again,
    ignore_evaluated,
    ignore_finishing,
)
from maestro_py.engine.decide.finish import end_run, finish_step, set_run_status
from maestro_py.engine.decide.foreach import continue_launch, continue_stop, fold_child
from maestro_py.engine.decide.reports import apply_loss, apply_report, apply_revocation
from maestro_py.engine.decide.scope import RunScope
from maestro_py.engine.decide.state import Decision, Run, StepState
from maestro_py.engine.decide.stopping import (
    force_end,
    stop_other_steps,
    stop_run,
    stop_unstarted,
    time_out_run,
    time_out_step,
)
from maestro_py.model.effects import Effect, StopIterations
from maestro_py.model.errors import InvalidTransition, ParamError
from maestro_py.model.events import (
    AttemptLost,
    AttemptOverdue,
    AttemptReported,
    AttemptRevoked,
    ChildFinished,
    ChildrenStopContinued,
    EdgesEvaluated,
    EvaluationDue,
    Event,
    LaunchContinued,
    ParamsEvaluated,
    RunEnded,
    RunOverdue,
    RunStarted,
    StopRequested,
    TimerFired,
)
from maestro_py.model.statuses import InstanceStatus, StepStatus
from maestro_py.params import Budget, evaluate_timeout

RunRule = Callable[[Run, Any, Decision], None]
StepRule = Callable[[Run, StepState, Any, Decision], None]

# --- rules that are too short for a file of their own ------------------------------------------------------


def start_run(run: Run, event: RunStarted, decision: Decision) -> None:
    """Begin with the steps that wait for nothing."""
    set_run_status(run, InstanceStatus.IN_PROGRESS, decision)
    run.start_time_ms = decision.now_ms
    if run.parent is None:
        try:
            timeout_ms = evaluate_timeout(run.graph.workflow.timeout, RunScope(run))
        except ParamError as exc:
            # Nothing has begun, so the run ends as failed at once (specification 5.1: no step ever created).
            run.note(str(exc), decision.now_ms, "ERROR")
            return
        run.deadline_ms = decision.now_ms + (DEFAULT_TIMEOUT_MS if timeout_ms is None else timeout_ms)
    decision.ready.extend((node, True, None) for node in run.graph.roots)


def ignore_second_start(run: Run, event: RunStarted, decision: Decision) -> None:
    """The run has begun already."""


def ignore_end(run: Run, event: Event, decision: Decision) -> None:
    """The run has ended; whatever is still said of it changes nothing."""


def go_on_telling(run: Run, event: ChildrenStopContinued, decision: Decision) -> None:
    """A quarantined run was ended at once: its iterations that still run are told all the same, chunk by chunk."""
    if run.quarantine_reason is not None:
        told = StopIterations(event.step_id, event.attempt, event.after_iteration, event.target)
        decision.effects.append(told)


def ignore_early_deadline(run: Run, event: RunOverdue, decision: Decision) -> None:
    """A run that has not begun has no deadline."""


def impossible(run: Run, event: Event, decision: Decision) -> None:
    """Raise `InvalidTransition`: nothing of ours sends this event in this status."""
    raise InvalidTransition(f"run {run.run_uid} is {run.status} and cannot take {type(event).__name__}")


def end_sleep(run: Run, step: StepState, event: TimerFired, decision: Decision) -> None:
    """The Sleep is over."""
    if step.foreach is not None:
        impossible_step(run, step, event, decision)
    finish_step(run, step, StepStatus.SUCCEEDED, decision)


def retry(run: Run, step: StepState, event: TimerFired, decision: Decision) -> None:
    """The backoff is over: make the next attempt."""
    decision.ready.append((step.node, True, step))


def overdue(run: Run, step: StepState, event: AttemptOverdue, decision: Decision) -> None:
    """The timeout of the step has passed."""
    time_out_step(run, step, decision)


def ignore_late(run: Run, step: StepState, event: Event, decision: Decision) -> None:
    """The attempt has ended; a late word about it changes nothing."""


def ignore_backoff(run: Run, step: StepState, event: Event, decision: Decision) -> None:
    """The attempt has failed and the next waits for its backoff; a late word about the failed one changes nothing."""


def ignore_unneeded(run: Run, step: StepState, event: Event, decision: Decision) -> None:
    """The step waits for something else; a word meant for another kind of wait changes nothing."""


def impossible_step(run: Run, step: StepState, event: Event, decision: Decision) -> None:
    """Raise `InvalidTransition`: nothing of ours sends this event to a step in this status."""
    raise InvalidTransition(
        f"step {step.step_id}/{step.attempt} of run {run.run_uid} is {step.status}, "
        f"so it cannot take {type(event).__name__}"
    )


def of_step(run: Run, event: Any, decision: Decision) -> None:
    """Hand the event to the step it names; one about a superseded attempt, or an unknown step, changes nothing."""
    step = run.steps.get(event.step_id)
    if step is not None and step.attempt == event.attempt:
        STEP_TRANSITIONS[step.status, type(event)](run, step, event, decision)


# --- the tables --------------------------------------------------------------------------------------------

STEP_EVENTS: Final = (
    AttemptReported,
    AttemptLost,
    AttemptRevoked,
    AttemptOverdue,
    TimerFired,
    ChildFinished,
    LaunchContinued,
    ChildrenStopContinued,
    EvaluationDue,
    ParamsEvaluated,
    EdgesEvaluated,
)
RUN_EVENTS: Final = (RunStarted, StopRequested, RunOverdue, RunEnded)

_S = StepStatus
_STEP_ROWS: Final[dict[tuple[StepStatus, type[Event]], StepRule]] = {
    # its parameters are being evaluated elsewhere
    (_S.EVALUATING_PARAMS, ParamsEvaluated): apply_params,
    (_S.EVALUATING_PARAMS, EvaluationDue): evaluate_again,
    **{
        (status, event): ignore_evaluated
        for status in (_S.WAITING_FOR_PERMITS, _S.RUNNING)
        for event in (ParamsEvaluated, EvaluationDue)
    },
    # dispatched to a worker; the public status is derived from the dispatch columns
    (_S.WAITING_FOR_PERMITS, AttemptReported): apply_report,
    (_S.WAITING_FOR_PERMITS, AttemptLost): apply_loss,
    (_S.WAITING_FOR_PERMITS, AttemptRevoked): apply_revocation,
    (_S.WAITING_FOR_PERMITS, AttemptOverdue): overdue,
    (_S.WAITING_FOR_PERMITS, TimerFired): ignore_unneeded,
    # run by the engine: a Sleep or a foreach
    (_S.RUNNING, TimerFired): end_sleep,
    (_S.RUNNING, AttemptOverdue): overdue,
    (_S.RUNNING, ChildFinished): fold_child,
    (_S.RUNNING, LaunchContinued): continue_launch,
    (_S.RUNNING, ChildrenStopContinued): continue_stop,
    # its work is done, its edges are being evaluated elsewhere
    (_S.FINISHING, EdgesEvaluated): apply_edges,
    (_S.FINISHING, EvaluationDue): evaluate_again,
    (_S.FINISHING, ParamsEvaluated): ignore_evaluated,
    **{
        (_S.FINISHING, event): ignore_finishing
        for event in STEP_EVENTS
        if event not in (EdgesEvaluated, EvaluationDue, ParamsEvaluated)
    },
    # failed, the next attempt waits for its backoff
    **{(status, TimerFired): retry for status in (_S.USER_FAILED, _S.PLATFORM_FAILED, _S.TIMEOUT_FAILED)},
    **{
        (status, event): ignore_backoff
        for status in (_S.USER_FAILED, _S.PLATFORM_FAILED, _S.TIMEOUT_FAILED)
        for event in STEP_EVENTS
        if event is not TimerFired
    },
    # ended
    **{
        (status, event): ignore_late
        for status in _S
        if status.is_terminal and not status.is_retried
        for event in STEP_EVENTS
    },
}
STEP_TRANSITIONS: Final[Mapping[tuple[StepStatus, type[Event]], StepRule]] = {
    (status, event): _STEP_ROWS.get((status, event), impossible_step) for status in StepStatus for event in STEP_EVENTS
}

_R = InstanceStatus
_RUN_ROWS: Final[dict[tuple[InstanceStatus, type[Event]], RunRule]] = {
    (_R.CREATED, RunStarted): start_run,
    (_R.CREATED, StopRequested): stop_unstarted,
    (_R.CREATED, RunOverdue): ignore_early_deadline,
    (_R.IN_PROGRESS, RunStarted): ignore_second_start,
    (_R.IN_PROGRESS, StopRequested): stop_run,
    (_R.IN_PROGRESS, RunOverdue): time_out_run,
    **{(_R.IN_PROGRESS, event): of_step for event in STEP_EVENTS},
    **{(status, event): ignore_end for status in _R if status.is_terminal for event in (*RUN_EVENTS[:3], *STEP_EVENTS)},
    **{(status, ChildrenStopContinued): go_on_telling for status in _R if status.is_terminal},
}
RUN_TRANSITIONS: Final[Mapping[tuple[InstanceStatus, type[Event]], RunRule]] = {
    (status, event): _RUN_ROWS.get((status, event), impossible)
    for status in InstanceStatus
    for event in (*RUN_EVENTS, *STEP_EVENTS)
}


def decide(run: Run, event: Event, now_ms: int, budget: Budget | None = None) -> list[Effect]:
    """
    Apply *event* to *run*, follow everything that follows from it up to the next wait, and return the effects.

    Args:
        run: The working copy; changed in place.
        event: What happened.
        now_ms: UTC epoch ms; the caller's clock.
        budget: Of the expressions; without, what one decision may do.

    Raises:
        InvalidTransition: the table has no row for this event in this status; the caller quarantines it.
    """
    decision = Decision(now_ms, budget)
    if run.quarantine_reason is not None and isinstance(event, StopRequested) and not run.status.is_terminal:
        force_end(run, event, decision)
        return decision.effects
    RUN_TRANSITIONS[run.status, type(event)](run, event, decision)
    _settle(run, decision)
    return decision.effects


def _settle(run: Run, decision: Decision) -> None:
    """Run internal follow-ups until every live step waits for something; end the run when none is live."""
    ready = decision.ready
    while ready or decision.stop_others:
        if decision.stop_others:
            decision.stop_others = False
            stop_other_steps(run, decision)
        elif run.is_closing:
            _drop_ready(run, decision)
        else:
            node, satisfied, failed = ready.popleft()
            activate(run, node, satisfied, failed, decision)
    if run.live == 0 and run.status is InstanceStatus.IN_PROGRESS:
        end_run(run, decision)


def _drop_ready(run: Run, decision: Decision) -> None:
    """Begin nothing more; a failed attempt whose retry was due ends here."""
    for _, _, failed in decision.ready:
        if failed is not None and failed.is_live:
            finish_step(run, failed, StepStatus.STOPPED, decision)
    decision.ready.clear()
