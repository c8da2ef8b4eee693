"""Go on with a step whose expressions were evaluated elsewhere; see to it again when no answer comes."""

from __future__ import annotations

from maestro_py.engine.decide.activate import begin_step
from maestro_py.engine.decide.finish import finish_step, settle_step
from maestro_py.engine.decide.parking import give_away
from maestro_py.engine.decide.scope import literal_edges
from maestro_py.engine.decide.state import Decision, Run, StepState
from maestro_py.model.events import EdgesEvaluated, EvaluationDue, Event, ParamsEvaluated
from maestro_py.model.statuses import StepStatus
from maestro_py.params import parameter_of


def apply_params(run: Run, step: StepState, event: ParamsEvaluated, decision: Decision) -> None:
    """Take the parameters over and take the attempt to its next wait; it fails if they cannot be evaluated."""
    step.is_evaluated = True
    definitions = step.node.step.params
    if event.results is None:
        finish_step(run, step, StepStatus.INTERNALLY_FAILED, decision, event.error)
        return
    results = event.results
    step.params = {name: parameter_of(given, results[name], decision.now_ms) for name, given in definitions.items()}
    begin_step(run, step, decision)


def apply_edges(run: Run, step: StepState, event: EdgesEvaluated, decision: Decision) -> None:
    """End the step as its work ended, and let its edges speak; it fails if they cannot be evaluated."""
    status, step.intent = step.intent or StepStatus.SUCCEEDED, None
    if event.edges is None:
        status, step.message = StepStatus.INTERNALLY_FAILED, event.error
    else:
        step.edges = literal_edges(step) | event.edges
    settle_step(run, step, status, decision)


def evaluate_again(run: Run, step: StepState, event: EvaluationDue, decision: Decision) -> None:
    """No answer has come: whoever evaluated may be gone, so have it done once more."""
    give_away(run, step, decision)


def ignore_evaluated(run: Run, step: StepState, event: Event, decision: Decision) -> None:
    """What was to be evaluated has been; a second answer, or the reminder of it, changes nothing."""


def ignore_finishing(run: Run, step: StepState, event: Event, decision: Decision) -> None:
    """The work of the attempt is done and only its edges are awaited; a late word about the work changes nothing."""
