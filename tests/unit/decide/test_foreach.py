"""A foreach launches its iterations under its window, each a run of its own, and folds their ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from maestro_py.model.effects import LaunchIterations, SendToSelf
from maestro_py.model.events import ChildFinished, LaunchContinued, RunStarted
from maestro_py.model.statuses import FailureMode, InstanceStatus, Outcome
from maestro_py.testing.builders import RUN_UID, a_foreach, a_map, a_step
from tests.unit.decide.store_in_memory import Attempt
from tests.unit.decide.story import Story

AStory = Callable[..., Story]


def end(story: Story, iteration: int, outcome: Outcome = Outcome.DONE) -> Story:
    """Have the worker of one iteration report."""
    return story.report("body", outcome, run_uid=story.iterations()[iteration].run_uid)


def loop_values(story: Story) -> list[dict[str, Any]]:
    return [orjson.loads(row.loop_values or "null") for row in story.iterations().values()]


def body_params(story: Story, iteration: int) -> Any:
    return story.attempt("body", story.iterations()[iteration].run_uid).task["params"]


def launches(story: Story) -> list[tuple[int, int]]:
    """Return (first, count) of what was launched since this was last asked."""
    launched = [(e.first, e.count) for e in story.effects if isinstance(e, LaunchIterations)]
    story.effects.clear()
    return launched


# --- what is launched -----------------------------------------------------------------------------------------


def test_every_item_becomes_an_iteration_numbered_from_one(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=["x", "y", "z"])).start()

    assert {1: "IN_PROGRESS", 2: "IN_PROGRESS", 3: "IN_PROGRESS"} == story.ends()
    assert [("x", 0), ("y", 1), ("z", 2)] == [(v["item"], v["index"]) for v in loop_values(story)]
    assert "RUNNING" == story.statuses["loop"]


def test_iterations_are_runs_of_one_inline_workflow_below_their_parent(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[1, 2])).start()
    first, second = story.iterations().values()

    assert first.workflow_id == second.workflow_id
    assert first.workflow_id.startswith("maestro_foreach_")
    assert ("loop", 1, "w", "c") == (first.scope, first.depth, first.root_workflow_id, first.correlation_id)
    assert orjson.loads(first.initiator) == {
        "type": "FOREACH",
        "ancestors": [
            {"workflow_id": "w", "instance_id": 1, "run_id": 1, "step_id": "loop", "step_attempt_id": 1, "sync": True}
        ],
    }


def test_an_empty_list_succeeds_at_once(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[], then="b"), a_step("b", "NoOp")).start()

    assert {"loop": "SUCCEEDED", "b": "SUCCEEDED"} == story.statuses
    assert {} == story.iterations()
    assert "SUCCEEDED" == story.status


def test_the_list_may_be_what_an_upstream_step_reported(a_story: AStory) -> None:
    loop = a_foreach("loop", a_step("body"), items="${prep.output.segments}")
    story = a_story(a_step("prep", then="loop"), loop).start()
    story.report("prep", outputs={"segments": [{"airport": "JFK", "month": 1}, {"airport": "LGA", "month": 2}]})

    assert ["JFK", "LGA"] == [values["airport"] for values in loop_values(story)]
    assert {"airport": "LGA", "month": 2} == body_params(story, 2)["item"]


def test_several_loop_parameters_make_every_combination_and_the_first_varies_fastest(a_story: AStory) -> None:
    loop = a_foreach("loop", a_step("body"), loop_params=a_map({"i": [1, 2], "s": ["x", "y"]}))
    story = a_story(loop).start()

    assert [
        {"i": 1, "s": "x", "loop_index": 0},
        {"i": 2, "s": "x", "loop_index": 1},
        {"i": 1, "s": "y", "loop_index": 2},
        {"i": 2, "s": "y", "loop_index": 3},
    ] == loop_values(story)


@pytest.mark.parametrize("items", ["text", 5, {"a": 1}, None])
def test_what_is_no_list_fails_the_foreach_internally(a_story: AStory, items: Any) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items="${n}"), params={"n": items}).start()

    assert {"loop": "INTERNALLY_FAILED"} == story.statuses
    assert "loop_params.item" in (story.attempt("loop").message or "")
    assert [] == story.timers


def test_the_body_sees_loop_values_before_parameters_of_the_run_and_of_the_foreach(a_story: AStory) -> None:
    body = a_step("body", params={"says": "${item} ${n} ${m}"})
    loop = a_foreach("loop", body, items=["x"], params={"m": "${n}${n}"})
    story = a_story(loop, params={"n": 4, "item": "hidden"}).start()

    assert "x 4 44" == body_params(story, 1)["says"]


def test_the_body_sees_the_outputs_of_outer_steps_that_it_mentions(a_story: AStory) -> None:
    body = a_step("body", params={"path": "${prep.output.path}/${item}"})
    story = a_story(a_step("prep", then="loop"), a_foreach("loop", body, items=[7])).start()
    story.report("prep", outputs={"path": "/data", "secret": "never copied"})

    assert "/data/7" == body_params(story, 1)["path"]
    assert {"prep": {"path": "/data"}} == story.attempt("loop").task["outputs"]


def test_an_outer_output_that_is_not_there_fails_only_the_iteration_that_needs_it(a_story: AStory) -> None:
    body = a_step("body", params={"path": "${prep.output.path}"})
    story = a_story(a_step("prep", then="loop"), a_foreach("loop", body, items=[7])).start().report("prep")

    assert {"prep": "SUCCEEDED", "loop": "FATALLY_FAILED"} == story.statuses
    assert "prep.output.path" in (story.attempt("body", story.iterations()[1].run_uid).message or "")


def test_an_iteration_refers_to_the_parameters_of_its_parent_instead_of_copying_them(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=["x"]), params={"big": "b" * 1000}).start()
    attempt: Attempt = story.attempt("body", story.iterations()[1].run_uid)

    assert [1, RUN_UID.hex, "loop", 1] == attempt.task["outer"]
    assert {"item", "index", "loop_index"} == attempt.task["params"].keys()


# --- the window -----------------------------------------------------------------------------------------------


def test_no_more_iterations_run_than_the_window_allows(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[*range(5)], concurrency=2)).start()

    assert [1, 2] == story.running()
    assert [1, 3] == end(story, 2).running()
    assert [3, 4] == end(story, 1).running()
    assert [3, 5] == end(story, 4).running()
    assert [5] == end(story, 3).running()
    assert "SUCCEEDED" == end(story, 5).status


def test_ends_that_arrive_in_one_batch_make_room_for_as_many(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[*range(10)], concurrency=3)).start()
    for iteration in (1, 2, 3):
        run_uid = story.iterations()[iteration].run_uid
        story.claim("body", run_uid)
        story.store.report(story.attempt("body", run_uid), Outcome.DONE)

    assert [4, 5, 6] == story.settle().running()


def test_a_foreach_without_a_concurrency_has_the_default_window(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[*range(9)]), window=4).start()

    assert [1, 2, 3, 4] == story.running()


def test_a_wide_window_is_filled_in_chunks_so_that_no_batch_is_long(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[*range(1300)], concurrency=1200)).start()

    assert [(1, 500), (501, 500), (1001, 200)] == launches(story)
    assert 1200 == len(story.running())


def test_iterations_that_end_while_a_wide_window_is_being_filled_are_replaced_one_by_one(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[*range(3000)], concurrency=1200))
    story.store.send(RUN_UID, RunStarted())
    story.deliver([*story.store.inbox.values()])
    assert [(1, 500)] == launches(story)
    (again,) = [row for row in story.store.inbox.values() if "LaunchContinued" in row.payload]

    for iteration in range(1, 4):
        story.store.send(RUN_UID, ChildFinished("loop", 1, iteration, InstanceStatus.SUCCEEDED))
    story.deliver([row for row in story.store.inbox.values() if "ChildFinished" in row.payload])
    assert not any(isinstance(effect, SendToSelf) for effect in story.effects)
    assert [(501, 1), (502, 1), (503, 1)] == launches(story)

    story.deliver([again])
    assert [(504, 500)] == launches(story)


def test_the_values_of_later_chunks_are_read_from_their_rows(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body", "NoOp"), items=[*range(1100)], concurrency=7)).start()

    assert [*range(1100)] == [values["item"] for values in loop_values(story)]
    assert "SUCCEEDED" == story.status


def test_a_second_word_to_go_on_launching_launches_nothing_more(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[*range(5)], concurrency=2)).start()

    assert [1, 2] == story.tell(LaunchContinued("loop", 1)).running()


def test_the_row_of_a_foreach_does_not_grow_with_its_iterations(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body", "NoOp"), items=[*range(1000)], concurrency=100)).start()

    assert {"total": 1000, "launched": 1000, "running": 0, "counts": {"SUCCEEDED": 1000}, "held": False} == (
        story.attempt("loop").runtime
    )


# --- how it ends ----------------------------------------------------------------------------------------------


def test_a_foreach_succeeds_when_its_last_iteration_has(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[1, 2], then="b"), a_step("b", "NoOp")).start()

    assert {"loop": "RUNNING"} == end(story, 2).statuses
    assert {"loop": "SUCCEEDED", "b": "SUCCEEDED"} == end(story, 1).statuses


@pytest.mark.parametrize("outcome", [Outcome.FATAL_ERROR, Outcome.TIMED_OUT, Outcome.STOPPED])
@pytest.mark.parametrize("fails", [FailureMode.FAIL_AFTER_RUNNING, FailureMode.IGNORE_FAILURE])
def test_an_iteration_that_does_not_succeed_stops_the_launching_and_the_others_run_to_their_end(
    a_story: AStory, outcome: Outcome, fails: FailureMode
) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[*range(9)], concurrency=3, fails=fails)).start()

    assert [1, 3] == end(story, 2, outcome).running()
    assert [3] == end(story, 1).running()
    assert [] == end(story, 3).running()
    assert story.statuses["loop"] in ("FATALLY_FAILED", "COMPLETED_WITH_ERROR", "TIMED_OUT", "STOPPED")


def test_a_failed_foreach_may_be_ignored(a_story: AStory) -> None:
    loop = a_foreach("loop", a_step("body"), items=[1], fails=FailureMode.IGNORE_FAILURE, then="b")
    story = end(a_story(loop, a_step("b", "NoOp")).start(), 1, Outcome.FATAL_ERROR)

    assert {"loop": "COMPLETED_WITH_ERROR", "b": "SUCCEEDED"} == story.statuses
    assert "SUCCEEDED" == story.status


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["DONE", "STOPPED", "TIMED_OUT", "FATAL_ERROR"], "FATALLY_FAILED"),
        (["STOPPED", "TIMED_OUT", "DONE"], "TIMED_OUT"),
        (["STOPPED", "DONE"], "STOPPED"),
    ],
)
def test_the_worst_end_of_an_iteration_is_the_end_of_the_foreach(
    a_story: AStory, outcomes: list[str], expected: str
) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=outcomes)).start()
    for iteration, outcome in enumerate(outcomes, 1):
        end(story, iteration, Outcome(outcome))

    assert {"loop": expected} == story.statuses
    counts = story.attempt("loop").runtime["counts"]
    assert len(outcomes) == sum(counts.values())


def test_the_message_of_a_failed_foreach_says_how_many_iterations_failed(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[1, 2, 3])).start()
    end(end(end(story, 1, Outcome.FATAL_ERROR), 2), 3, Outcome.FATAL_ERROR)

    assert "2 of 3 iterations ended FAILED" == story.attempt("loop").message


def test_fail_immediately_stops_the_running_iterations(a_story: AStory) -> None:
    loop = a_foreach("loop", a_step("body"), items=[*range(9)], concurrency=3, fails=FailureMode.FAIL_IMMEDIATELY)
    story = a_story(loop).start()
    story.claim("body", story.iterations()[3].run_uid)

    assert [3] == end(story, 1, Outcome.FATAL_ERROR).running()
    assert {1: "FAILED", 2: "STOPPED", 3: "IN_PROGRESS"} == story.ends()
    assert "FATALLY_FAILED" == end(story, 3, Outcome.STOPPED).statuses["loop"]


def test_fail_immediately_stops_the_iterations_even_after_another_one_was_stopped(a_story: AStory) -> None:
    loop = a_foreach("loop", a_step("body"), items=[1, 2, 3], fails=FailureMode.FAIL_IMMEDIATELY)
    story = a_story(loop).start()

    assert [2, 3] == end(story, 1, Outcome.STOPPED).running()
    assert [] == end(story, 2, Outcome.FATAL_ERROR).running()
    assert {"loop": "FATALLY_FAILED"} == story.statuses


def test_fail_immediately_also_stops_the_steps_beside_the_foreach(a_story: AStory) -> None:
    loop = a_foreach("loop", a_step("body"), items=[1], fails=FailureMode.FAIL_IMMEDIATELY)
    story = end(a_story(loop, a_step("b")).start(), 1, Outcome.FATAL_ERROR)

    assert {"loop": "FATALLY_FAILED", "b": "STOPPED"} == story.statuses


def test_the_steps_of_the_body_do_not_inherit_the_failure_mode(a_story: AStory) -> None:
    loop = a_foreach("loop", a_step("body"), a_step("other"), items=[1], fails=FailureMode.FAIL_IMMEDIATELY)
    story = end(a_story(loop).start(), 1, Outcome.FATAL_ERROR)

    assert {1: "IN_PROGRESS"} == story.ends()
