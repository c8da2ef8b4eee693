"""Run the iterations of a foreach: launch them under its window, fold their ends, stop them."""

from __future__ import annotations

from maestro_py.engine.decide.finish import STEP_END_OF, finish_step
from maestro_py.engine.decide.scope import outer_params
from maestro_py.engine.decide.state import CHUNK, Decision, ForeachState, Run, StepState, set_status
from maestro_py.model.effects import LaunchIterations, SendToSelf, StopIterations, StoreIterations
from maestro_py.model.errors import InvalidTransition
from maestro_py.model.events import ChildFinished, ChildrenStopContinued, Event, LaunchContinued
from maestro_py.model.statuses import InstanceStatus, StepStatus
from maestro_py.params import loop_iterations


def start_foreach(run: Run, step: StepState, decision: Decision) -> None:
    """
    Work out the iterations and launch the first of them; an empty list succeeds at once.

    Raises:
        ParamError: a loop parameter is no list, or there are too many iterations.
    """
    definition = step.node.step
    loop_params = step.params["loop_params"].evaluated_result if "loop_params" in step.params else {}
    iterations = loop_iterations(loop_params, definition.spread_items)
    step.foreach = ForeachState(len(iterations))
    outer = outer_params(run, step)
    step.task = {"values": outer.values, "outputs": outer.outputs}
    set_status(run, step, StepStatus.RUNNING, decision.now_ms)
    if not iterations:
        finish_step(run, step, StepStatus.SUCCEEDED, decision)
        return
    decision.effects.append(StoreIterations(step.step_id, step.attempt, iterations))
    fill_window(run, step, decision)


def launch(run: Run, step: StepState, decision: Decision, most: int = CHUNK) -> int:
    """Launch as many iterations as the window has room for, but no more than *most*; return the room that is left."""
    state = step.foreach
    assert state is not None
    room = min(step.node.window - state.running, state.total - state.launched)
    if room <= 0 or state.held or run.is_closing:
        return 0
    count = min(room, most)
    first = state.launched + 1
    state.launched += count
    state.running += count
    run.changed[step.step_id, step.attempt] = step
    decision.effects.append(LaunchIterations(step.step_id, step.attempt, first, count))
    return room - count


def fill_window(run: Run, step: StepState, decision: Decision) -> None:
    """Launch one chunk now, and the rest of a wide window in later batches, so that no batch is long."""
    if launch(run, step, decision):
        decision.effects.append(SendToSelf(LaunchContinued(step.step_id, step.attempt)))


def continue_launch(run: Run, step: StepState, event: LaunchContinued, decision: Decision) -> None:
    """Launch the next chunk of a wide window."""
    _counters(step, event)
    fill_window(run, step, decision)


def fold_child(run: Run, step: StepState, event: ChildFinished, decision: Decision) -> None:
    """Count one iteration as finished; launch the next, or end the foreach when none runs."""
    state = _counters(step, event)
    if state.running == 0:
        # The inbox hands each end over once; a counter below zero would hide that it did not.
        raise InvalidTransition(f"no iteration of step {step.step_id} runs, so it cannot take ChildFinished")
    state.running -= 1
    ended = str(event.status)
    state.counts[ended] = state.counts.get(ended, 0) + 1
    run.changed[step.step_id, step.attempt] = step
    if event.status is not InstanceStatus.SUCCEEDED:
        state.held = True
    if (
        event.status is InstanceStatus.FAILED
        and state.counts[ended] == 1
        and step.node.fails_immediately
        and step.intent is None
        and state.running
    ):
        _stop_iterations(step, InstanceStatus.STOPPED, decision)
    if not state.held:
        # Its own place only: more room there is while `continue_launch` is still filling the window.
        launch(run, step, decision, most=1)
    if state.running == 0 and (state.held or state.launched == state.total):
        _finish(run, step, decision)


def _finish(run: Run, step: StepState, decision: Decision) -> None:
    """End the foreach: failed before timed out before stopped before succeeded (specification 2.6)."""
    assert step.foreach is not None
    counts = step.foreach.counts
    for status in (InstanceStatus.FAILED, InstanceStatus.TIMED_OUT, InstanceStatus.STOPPED):
        # What an ancestor asked for counts like an iteration that ended so; its iterations only obeyed.
        if counts.get(status) or step.intent is STEP_END_OF[status]:
            message = f"{counts.get(status, 0)} of {step.foreach.total} iterations ended {status}"
            finish_step(run, step, STEP_END_OF[status], decision, message)
            return
    finish_step(run, step, StepStatus.SUCCEEDED, decision)


def stop_foreach(run: Run, step: StepState, end: StepStatus, target: InstanceStatus, decision: Decision) -> None:
    """Launch nothing more and tell the live iterations to stop; the step ends with *end* when the last has."""
    state = step.foreach
    assert state is not None
    state.held = True
    step.intent = end
    run.changed[step.step_id, step.attempt] = step
    if state.running == 0:
        _finish(run, step, decision)
    else:
        _stop_iterations(step, told_to_iterations(target), decision)


def told_to_iterations(target: InstanceStatus) -> InstanceStatus:
    """Return the target of the iterations of a run with *target*: those of a killed one become STOPPED (6.2)."""
    return InstanceStatus.STOPPED if target is InstanceStatus.FAILED else target


def _stop_iterations(step: StepState, target: InstanceStatus, decision: Decision) -> None:
    """Begin to tell the iterations in the next batch: those launched in this one have no rows yet."""
    decision.effects.append(SendToSelf(ChildrenStopContinued(step.step_id, step.attempt, 0, target)))


def continue_stop(run: Run, step: StepState, event: ChildrenStopContinued, decision: Decision) -> None:
    """Tell the next chunk of iterations to stop."""
    _counters(step, event)
    decision.effects.append(StopIterations(step.step_id, step.attempt, event.after_iteration, event.target))


def _counters(step: StepState, event: Event) -> ForeachState:
    """Return the counters of a foreach; a Sleep is RUNNING too, and has none."""
    if step.foreach is None:
        raise InvalidTransition(f"step {step.step_id} is no foreach, so it cannot take {type(event).__name__}")
    return step.foreach
