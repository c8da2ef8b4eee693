"""
Park a step whose expressions need more work than the engine's loop may do (DESIGN section 4).

The effect has them evaluated elsewhere after the commit; the timer, set in the same transaction, has whoever owns the
run then see to it again.  Either may be lost, and the step still goes on.
"""

from __future__ import annotations

from typing import Final

from maestro_py.engine.decide.scope import RunScope, conditions_of, own_values
from maestro_py.engine.decide.state import Decision, Run, StepState, set_status
from maestro_py.model.effects import EvaluateElsewhere, SetTimer
from maestro_py.model.events import EvaluationDue
from maestro_py.model.statuses import StepStatus
from maestro_py.params import edge_work, step_work

#: After so long without an answer an evaluation is seen to again, in ms.
DUE_AFTER_MS: Final = 10_000


def park_params(run: Run, step: StepState, decision: Decision) -> None:
    """Let the attempt wait until its parameters have been evaluated elsewhere."""
    set_status(run, step, StepStatus.EVALUATING_PARAMS, decision.now_ms)
    give_away(run, step, decision)


def park_edges(run: Run, step: StepState, status: StepStatus, decision: Decision) -> None:
    """Let the step, whose work is done, wait until its edges have been evaluated; it ends with *status* then."""
    step.intent = status
    set_status(run, step, StepStatus.FINISHING, decision.now_ms)
    give_away(run, step, decision)


def give_away(run: Run, step: StepState, decision: Decision) -> None:
    """Have what the parked step waits for evaluated elsewhere, and look after it later."""
    scope = RunScope(run, step, decision.now_ms)
    if step.status is StepStatus.EVALUATING_PARAMS:
        work = step_work(step.node.step.params, scope, step.step_id)
        decision.effects.append(EvaluateElsewhere(step.step_id, step.attempt, work))
    else:
        edges = edge_work(conditions_of(step), own_values(step), scope, step.step_id)
        decision.effects.append(EvaluateElsewhere(step.step_id, step.attempt, edges))
    due = EvaluationDue(step.step_id, step.attempt)
    decision.effects.append(SetTimer(decision.now_ms + DUE_AFTER_MS, due))
