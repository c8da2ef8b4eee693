"""A stop reaches every iteration: those that run, those that have just been launched, those of nested loops."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from maestro_py.model.definition import Step
from maestro_py.model.effects import StopIterations
from maestro_py.model.events import ChildFinished, ChildrenStopContinued, StopRequested
from maestro_py.model.statuses import FailureMode, InstanceStatus, Outcome
from maestro_py.testing.builders import RUN_UID, a_foreach, a_step
from tests.unit.decide.story import Story

AStory = Callable[..., Story]

STOP, KILL, TIME_OUT = InstanceStatus.STOPPED, InstanceStatus.FAILED, InstanceStatus.TIMED_OUT
#: (target, how the foreach ends, how its iterations end, how the run ends)
TARGETS = pytest.mark.parametrize(
    ("target", "end", "children", "status"),
    [
        (STOP, "STOPPED", "STOPPED", "STOPPED"),
        (KILL, "FATALLY_FAILED", "STOPPED", "FAILED"),
        (TIME_OUT, "TIMED_OUT", "TIMED_OUT", "TIMED_OUT"),
    ],
    ids=["stop", "kill", "time out"],
)


@TARGETS
def test_a_stop_launches_nothing_more_and_ends_what_runs(
    a_story: AStory, target: InstanceStatus, end: str, children: str, status: str
) -> None:
    """Iterations of a killed run become STOPPED, not killed (specification 6.2)."""
    story = a_story(a_foreach("loop", a_step("body"), items=[*range(9)], concurrency=3)).start()
    claimed = story.iterations()[2].run_uid
    story.claim("body", claimed).stop(target)

    assert {1: children, 2: "IN_PROGRESS", 3: children} == story.ends()
    assert {"loop": "RUNNING"} == story.statuses
    story.report("body", Outcome.STOPPED, run_uid=claimed)
    assert {1: children, 2: children, 3: children} == story.ends()
    assert {"loop": end} == story.statuses
    assert status == story.status


def test_a_foreach_all_of_whose_iterations_succeed_after_the_stop_is_stopped_all_the_same(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[1])).start()
    body = story.iterations()[1].run_uid
    story.claim("body", body).stop().report("body", run_uid=body)

    assert {1: "STOPPED"} == story.ends(), "the run was asked to stop before it ended"
    assert {"loop": "STOPPED"} == story.statuses


def test_an_iteration_that_failed_before_the_stop_fails_the_foreach(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[1, 2])).start()
    story.report("body", Outcome.FATAL_ERROR, run_uid=story.iterations()[1].run_uid).stop()

    assert {"loop": "FATALLY_FAILED"} == story.statuses
    assert "FAILED" == story.status


@pytest.mark.parametrize("order", ["launch first", "stop first"])
def test_iterations_launched_in_the_batch_of_the_stop_are_stopped_too(a_story: AStory, order: str) -> None:
    """Their rows are written after the rows of the live iterations were read."""
    story = a_story(a_foreach("loop", a_step("body"), items=[*range(9)], concurrency=2)).start()
    story.store.send(RUN_UID, ChildFinished("loop", 1, 1, InstanceStatus.SUCCEEDED))
    story.store.send(RUN_UID, StopRequested(STOP))
    events = sorted(story.store.inbox.values(), key=lambda row: row.id, reverse=order == "stop first")
    story.deliver(events)
    story.settle()

    launched = {"launch first": {2, 3}, "stop first": {2}}[order]
    assert launched <= {number for number, status in story.ends().items() if status == "STOPPED"}
    assert [] == [number for number in story.running() if number in launched]


def test_iterations_launched_in_the_batch_of_a_failure_are_stopped_by_fail_immediately(a_story: AStory) -> None:
    loop = a_foreach("loop", a_step("body"), items=[*range(9)], concurrency=2, fails=FailureMode.FAIL_IMMEDIATELY)
    story = a_story(loop).start()
    first, second = (row.run_uid for row in story.iterations().values())
    for run_uid, outcome in ((first, Outcome.DONE), (second, Outcome.FATAL_ERROR)):
        story.claim("body", run_uid)
        story.store.report(story.attempt("body", run_uid), outcome)
    story.settle()

    assert {1: "SUCCEEDED", 2: "FAILED", 3: "STOPPED"} == story.ends()
    assert {"loop": "FATALLY_FAILED"} == story.statuses


def test_iterations_are_told_in_chunks(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[*range(1100)], concurrency=1100)).start().stop()

    told = [effect.after_iteration for effect in story.effects if isinstance(effect, StopIterations)]
    assert [0, 500, 1000] == told
    assert {"STOPPED"} == set(story.ends().values())
    assert "STOPPED" == story.status


def test_a_word_to_go_on_telling_that_comes_after_the_end_tells_nobody(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[1]), a_step("b")).start().claim("b").stop()

    assert [] == story.tell(ChildrenStopContinued("loop", 1, 500, STOP)).effects


def test_a_kill_after_the_stop_is_a_kill(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[1])).start()
    body = story.iterations()[1].run_uid
    story.claim("body", body).stop().kill().report("body", Outcome.STOPPED, run_uid=body)

    assert {"loop": "FATALLY_FAILED"} == story.statuses
    assert "FAILED" == story.status


def test_a_stop_after_the_kill_changes_nothing(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[1])).start()
    body = story.iterations()[1].run_uid
    story.claim("body", body).kill().stop().report("body", Outcome.STOPPED, run_uid=body)

    assert {"loop": "FATALLY_FAILED"} == story.statuses
    assert {1: "STOPPED"} == story.ends()
    assert "FAILED" == story.status


def test_a_timeout_of_the_foreach_counts_for_nothing_after_a_stop(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[1], timeout=60)).start()
    body = story.iterations()[1].run_uid
    story.claim("body", body).stop().pass_seconds(60).report("body", Outcome.STOPPED, run_uid=body)

    assert "STOPPED" == story.status


def test_a_step_that_fails_immediately_stops_the_iterations_beside_it(a_story: AStory) -> None:
    loop = a_foreach("loop", a_step("body"), items=[*range(9)], concurrency=2)
    story = a_story(a_step("a", fails=FailureMode.FAIL_IMMEDIATELY), loop).start().report("a", Outcome.FATAL_ERROR)

    assert {1: "STOPPED", 2: "STOPPED"} == story.ends()
    assert {"a": "FATALLY_FAILED", "loop": "STOPPED"} == story.statuses


def test_iterations_of_a_quarantined_run_are_stopped(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[*range(9)], concurrency=3)).start().quarantine().kill()

    assert {1: "STOPPED", 2: "STOPPED", 3: "STOPPED"} == story.ends()
    assert {"loop": "FATALLY_FAILED"} == story.statuses
    assert "FAILED" == story.status


def test_every_iteration_of_a_quarantined_run_is_stopped_however_many_they_are(a_story: AStory) -> None:
    """The run has ended by the time that the second chunk is told; its iterations are told all the same."""
    loop = a_foreach("loop", a_step("body"), items=[*range(1_100)], concurrency=1_100)
    story = a_story(loop).start().quarantine().kill()

    assert {"STOPPED"} == set(story.ends().values())
    assert 1_100 == len(story.ends())


# --- nested loops ---------------------------------------------------------------------------------------------


def nested(fails: FailureMode = FailureMode.FAIL_AFTER_RUNNING) -> Step:
    inner = a_foreach("inner", a_step("body"), items=["x", "y"], fails=fails)
    return a_foreach("loop", inner, items=[1, 2])


def test_nested_loops_end_from_the_inside(a_story: AStory) -> None:
    story = a_story(nested()).start()
    outer = [row.run_uid for row in story.iterations().values()]
    for run_uid in outer:
        for row in story.iterations("inner", run_uid).values():
            assert "IN_PROGRESS" == story.status
            assert ("loop/inner", 2, "w") == (row.scope, row.depth, row.root_workflow_id)
            story.report("body", run_uid=row.run_uid)

    assert {1: "SUCCEEDED", 2: "SUCCEEDED"} == story.ends()
    assert "SUCCEEDED" == story.status


def test_the_innermost_body_sees_the_loop_values_and_outputs_of_all_levels(a_story: AStory) -> None:
    body = a_step("body", params={"says": "${n} ${outer_item} ${item} ${prep.output.path}"})
    inner = a_foreach("inner", body, items=["x", "y"], params={"outer_item": "${item}"})
    loop = a_foreach("loop", inner, items=[1, 2])
    story = a_story(a_step("prep", then="loop"), loop, params={"n": 9}).start().report("prep", outputs={"path": "/p"})
    said = [
        story.attempt("body", row.run_uid).task["params"]["says"]
        for outer in story.iterations().values()
        for row in story.iterations("inner", outer.run_uid).values()
    ]

    assert ["9 1 x /p", "9 1 y /p", "9 2 x /p", "9 2 y /p"] == said


def test_a_failure_inside_fails_every_loop_around_it(a_story: AStory) -> None:
    story = a_story(nested(fails=FailureMode.FAIL_IMMEDIATELY)).start()
    first, second = (row.run_uid for row in story.iterations().values())
    inside = story.iterations("inner", first)
    story.report("body", Outcome.FATAL_ERROR, run_uid=inside[1].run_uid)

    assert {1: "FAILED", 2: "STOPPED"} == story.ends("inner", first)
    assert {1: "FAILED", 2: "IN_PROGRESS"} == story.ends()
    for row in story.iterations("inner", second).values():
        story.report("body", run_uid=row.run_uid)
    assert "FAILED" == story.status


@TARGETS
def test_a_stop_reaches_the_innermost_iterations(
    a_story: AStory, target: InstanceStatus, end: str, children: str, status: str
) -> None:
    story = a_story(nested()).start().stop(target)

    ends = {row.status for row in story.store.runs.values() if row.run_uid != RUN_UID}
    assert {children} == ends
    assert {"loop": end} == story.statuses
    assert status == story.status
