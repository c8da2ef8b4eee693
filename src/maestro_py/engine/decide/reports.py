"""Apply what is said of a dispatched attempt: a report, its loss, its revocation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maestro_py.engine.decide.finish import finish_step
from maestro_py.engine.decide.retries import PLATFORM, TIMEOUT, USER, FailureKind, fail_attempt
from maestro_py.engine.decide.state import Decision, Run, StepState
from maestro_py.model.errors import ParamError
from maestro_py.model.events import AttemptLost, AttemptReported, AttemptRevoked
from maestro_py.model.statuses import Outcome, StepStatus
from maestro_py.params import merge_outputs

_KIND_OF_OUTCOME: dict[Outcome, FailureKind] = {
    Outcome.USER_ERROR: USER,
    Outcome.PLATFORM_ERROR: PLATFORM,
    Outcome.TIMED_OUT: TIMEOUT,
}


def apply_report(run: Run, step: StepState, event: AttemptReported, decision: Decision) -> None:
    """End the attempt as its worker reports, or as somebody asked before the report came."""
    if event.start_time_ms:
        step.times[StepStatus.RUNNING.value] = event.start_time_ms
    if event.end_time_ms:
        step.times[StepStatus.FINISHING.value] = event.end_time_ms
    if event.outcome is Outcome.DONE:
        # The work is done, whatever was asked meanwhile: its natural end has won.
        _finish_done(run, step, event.outputs, decision)
    elif step.intent is not None:
        _end_as_intended(run, step, event.message, decision)
    elif event.outcome in _KIND_OF_OUTCOME:
        fail_attempt(run, step, _KIND_OF_OUTCOME[event.outcome], event.message, decision)
    elif event.outcome is Outcome.STOPPED:
        finish_step(run, step, StepStatus.STOPPED, decision, event.message)
    else:
        finish_step(run, step, StepStatus.FATALLY_FAILED, decision, event.message)


def _finish_done(run: Run, step: StepState, reported: Mapping[str, Any] | None, decision: Decision) -> None:
    """Lay the outputs over the parameters before anything reads them (specification 4.6), and end the step."""
    if reported:
        try:
            step.outputs = merge_outputs(step.node.step, step.params, reported)
        except ParamError as exc:
            # No retry would mend it, and it is no failure of the work (specification 4.4).
            finish_step(run, step, StepStatus.INTERNALLY_FAILED, decision, str(exc))
            return
    finish_step(run, step, StepStatus.SUCCEEDED, decision)


def apply_loss(run: Run, step: StepState, event: AttemptLost, decision: Decision) -> None:
    """Try again after a lost worker: the first time at once, later with a backoff (a step may kill its workers)."""
    if step.intent is not None:
        _end_as_intended(run, step, event.reason, decision)
    else:
        at_once = step.platform_retries == 0
        fail_attempt(run, step, PLATFORM, event.reason or "the worker was lost", decision, at_once=at_once)


def apply_revocation(run: Run, step: StepState, event: AttemptRevoked, decision: Decision) -> None:
    """End an attempt that no worker had claimed."""
    _end_as_intended(run, step, "", decision)


def _end_as_intended(run: Run, step: StepState, message: str, decision: Decision) -> None:
    intent = step.intent or StepStatus.STOPPED
    if intent is StepStatus.TIMEOUT_FAILED:
        fail_attempt(run, step, TIMEOUT, "the step exceeded its timeout", decision)
    else:
        finish_step(run, step, intent, decision, message or None)
