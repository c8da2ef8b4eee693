"""The tables are total: every status meets every event with a rule, a named no-op, or an error with a name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import pytest

from maestro_py.engine.decide import table
from maestro_py.engine.decide.graph import compile_graphs
from maestro_py.engine.decide.state import Run, StepState
from maestro_py.model.errors import InvalidTransition
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
    InboxEvent,
    LaunchContinued,
    ParamsEvaluated,
    RunEnded,
    RunOverdue,
    RunStarted,
    StopRequested,
    TimerFired,
)
from maestro_py.model.statuses import InstanceStatus, Outcome, StepStatus
from maestro_py.testing.builders import NOON_MS, RUN_UID, a_foreach, a_step, a_workflow
from tests.unit.decide.story import Story
from tests.unit.decide.witness import WITNESS

AStory = Callable[..., Story]

#: One event of each kind; those of a step are about attempt 1 of step "a".
EVENTS: Final[dict[type[Event], Event]] = {
    type(event): event
    for event in (
        RunStarted(),
        StopRequested(InstanceStatus.STOPPED),
        RunOverdue(),
        RunEnded(),
        AttemptReported("a", 1, Outcome.DONE),
        AttemptLost("a", 1),
        AttemptRevoked("a", 1),
        AttemptOverdue("a", 1),
        TimerFired("a", 1),
        ChildFinished("a", 1, 1, InstanceStatus.SUCCEEDED),
        LaunchContinued("a", 1),
        ChildrenStopContinued("a", 1, 0, InstanceStatus.STOPPED),
        EvaluationDue("a", 1),
        ParamsEvaluated("a", 1, {}),
        EdgesEvaluated("a", 1, {}),
    )
}
#: What nobody says of an attempt that a worker may run.
IMPOSSIBLE_AT_WORKER: Final = (ChildFinished, LaunchContinued, ChildrenStopContinued, EdgesEvaluated)
NO_OPS: Final = [(key, rule) for key, rule in table.STEP_TRANSITIONS.items() if rule.__name__.startswith("ignore_")]


def a_run(status: InstanceStatus, step_status: StepStatus | None = None) -> Run:
    """A run with a live step beside step "a", which is at *step_status*."""
    graph = compile_graphs(a_workflow(a_step("a"), a_step("beside")), default_window=1)[""]
    run = Run(partition=1, run_uid=RUN_UID, workflow_id="w", instance_id=1, run_id=1, graph=graph, status=status)
    steps = []
    for ordinal, (step_id, at) in enumerate({"beside": StepStatus.WAITING_FOR_PERMITS, "a": step_status}.items(), 1):
        if at is not None:
            step = StepState(graph.nodes[step_id], 1, ordinal)
            step.status, step.dispatched = at, True
            steps.append(step)
    if status is not InstanceStatus.CREATED:
        run.restore(steps)
    return run


def document(run: Run) -> Any:
    """Everything that a run is, as plain values that can be compared."""
    slots = {name: getattr(run, name) for name in Run.__slots__ if name not in ("graph", "steps", "changed")}
    steps = {
        step.step_id: {name: getattr(step, name) for name in StepState.__slots__ if name not in ("node", "foreach")}
        for step in run.steps.values()
    }
    return copy.deepcopy((slots, steps, sorted(run.changed)))


def named(pair: object) -> str:
    return pair if isinstance(pair, str) else getattr(pair, "__name__", str(pair))


def test_the_tables_speak_of_every_event_that_an_inbox_may_hold() -> None:
    assert set(InboxEvent.__args__) == {*table.RUN_EVENTS, *table.STEP_EVENTS}
    assert set(EVENTS) == {*table.RUN_EVENTS, *table.STEP_EVENTS}


def test_every_pair_of_a_run_status_and_an_event_is_a_row() -> None:
    assert {(s, e) for s in InstanceStatus for e in EVENTS} == table.RUN_TRANSITIONS.keys()


def test_every_pair_of_a_step_status_and_an_event_of_a_step_is_a_row() -> None:
    assert {(s, e) for s in StepStatus for e in table.STEP_EVENTS} == table.STEP_TRANSITIONS.keys()


@pytest.mark.parametrize(("status", "event"), table.RUN_TRANSITIONS, ids=named)
def test_a_run_takes_an_event_or_refuses_it_by_name(status: InstanceStatus, event: type[Event]) -> None:
    run = a_run(status, StepStatus.WAITING_FOR_PERMITS)
    rule = table.RUN_TRANSITIONS[status, event]
    if rule is table.impossible:
        with pytest.raises(InvalidTransition, match=rf"is {status} and cannot take {event.__name__}"):
            table.decide(run, EVENTS[event], NOON_MS)
    elif status is InstanceStatus.IN_PROGRESS and event in IMPOSSIBLE_AT_WORKER:
        with pytest.raises(InvalidTransition, match="so it cannot take"):
            table.decide(run, EVENTS[event], NOON_MS)
    elif status.is_terminal:
        before = document(run)
        assert [] == table.decide(run, EVENTS[event], NOON_MS)
        assert before == document(run)
    else:
        WITNESS.decide(run, EVENTS[event], NOON_MS)


@pytest.mark.parametrize(("status", "event"), table.STEP_TRANSITIONS, ids=named)
def test_a_step_takes_an_event_or_refuses_it_by_name(status: StepStatus, event: type[Event]) -> None:
    rule = table.STEP_TRANSITIONS[status, event]
    run = a_run(InstanceStatus.IN_PROGRESS, status)
    if rule is table.impossible_step:
        with pytest.raises(InvalidTransition, match=rf"step a/1 of run .* is {status}, so it cannot take"):
            table.decide(run, EVENTS[event], NOON_MS)
    elif status is not StepStatus.RUNNING:  # what runs is a Sleep or a foreach: they have tests of their own
        WITNESS.decide(run, EVENTS[event], NOON_MS)


@pytest.mark.parametrize(("key", "rule"), NO_OPS, ids=named)
def test_a_no_op_changes_nothing(key: tuple[StepStatus, type[Event]], rule: Callable[..., None]) -> None:
    status, event = key
    run = a_run(InstanceStatus.IN_PROGRESS, status)
    before = document(run)

    assert [] == table.decide(run, EVENTS[event], NOON_MS + 1)
    assert before == document(run)


@pytest.mark.parametrize("event", [EVENTS[event] for event in table.STEP_EVENTS], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("status", [StepStatus.WAITING_FOR_PERMITS, StepStatus.USER_FAILED])
def test_an_event_about_a_superseded_attempt_changes_nothing(status: StepStatus, event: Event) -> None:
    run = a_run(InstanceStatus.IN_PROGRESS, status)
    run.steps["a"].attempt = 2
    before = document(run)

    assert [] == table.decide(run, event, NOON_MS + 1)
    assert before == document(run)


@pytest.mark.parametrize("event", [EVENTS[event] for event in table.STEP_EVENTS], ids=lambda e: type(e).__name__)
def test_an_event_about_a_step_that_was_never_created_changes_nothing(event: Event) -> None:
    run = a_run(InstanceStatus.IN_PROGRESS)
    before = document(run)

    assert [] == table.decide(run, event, NOON_MS + 1)
    assert before == document(run)


def test_a_second_start_changes_nothing(a_story: AStory) -> None:
    story = a_story(a_step()).start()
    row, attempts = story.run, copy.deepcopy(story.store.attempts)

    assert [] == story.start().effects
    assert (row, attempts) == (story.run, story.store.attempts)


@pytest.mark.parametrize(
    "step", [a_step("a", "Sleep"), a_foreach("a", a_step("body"), items=[1])], ids=["Sleep", "foreach"]
)
@pytest.mark.parametrize("event", [AttemptReported("a", 1, Outcome.DONE), AttemptLost("a", 1), AttemptRevoked("a", 1)])
def test_what_the_engine_runs_itself_takes_no_word_of_a_worker(step: Any, event: Event) -> None:
    run = Story(step).start().engine.load(RUN_UID)

    with pytest.raises(InvalidTransition, match="is RUNNING"):
        table.decide(run, event, NOON_MS)


def test_a_timer_never_ends_a_foreach() -> None:
    run = Story(a_foreach("a", a_step("body"), items=[1])).start().engine.load(RUN_UID)

    with pytest.raises(InvalidTransition, match="cannot take TimerFired"):
        table.decide(run, TimerFired("a", 1), NOON_MS)


@pytest.mark.parametrize(
    "event",
    [
        ChildFinished("a", 1, 1, InstanceStatus.SUCCEEDED),
        LaunchContinued("a", 1),
        ChildrenStopContinued("a", 1, 0, InstanceStatus.STOPPED),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_sleep_has_no_iterations(event: Event) -> None:
    run = Story(a_step("a", "Sleep")).start().engine.load(RUN_UID)

    with pytest.raises(InvalidTransition, match=f"cannot take {type(event).__name__}"):
        table.decide(run, event, NOON_MS)


def test_an_iteration_that_is_said_to_have_ended_when_none_runs_is_refused() -> None:
    """The inbox hands each end over once; a counter that became negative would hide that it did not."""
    run = Story(a_foreach("a", a_step("body"), items=[1]), a_step("b")).start().engine.load(RUN_UID)
    state = run.steps["a"].foreach
    assert state is not None
    state.running, state.counts = 0, {"SUCCEEDED": 1}

    with pytest.raises(InvalidTransition, match="cannot take ChildFinished"):
        table.decide(run, EVENTS[ChildFinished], NOON_MS)
