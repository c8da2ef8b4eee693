"""When a step begins: after all of its predecessors are complete, if any condition towards it is true."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from maestro_py.model.statuses import Outcome
from maestro_py.testing.builders import a_chain, a_step, a_workflow
from tests.unit.decide.story import Story

AStory = Callable[..., Story]


def test_a_run_begins_with_every_step_that_waits_for_nothing(a_story: AStory) -> None:
    story = a_story(a_step("a", then="c"), a_step("b"), a_step("c")).start()

    assert {"a": "WAITING_FOR_PERMITS", "b": "WAITING_FOR_PERMITS"} == story.statuses
    assert "IN_PROGRESS" == story.status


def test_a_chain_of_no_ops_ends_within_one_decision(a_story: AStory) -> None:
    story = a_story(a_chain(50)).start()

    assert {f"s{i}": "SUCCEEDED" for i in range(1, 51)} == story.statuses
    assert "SUCCEEDED" == story.status


def test_steps_are_numbered_as_they_are_created(a_story: AStory) -> None:
    story = a_story(a_step("a", then="b"), a_step("z", "NoOp"), a_step("b", "NoOp")).start().report("a")

    assert {"a": 1, "z": 2, "b": 3} == {a.key.step_id: a.step_seq for a in story.attempts()}


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_join_waits_for_the_last_of_its_predecessors(a_story: AStory, order: str) -> None:
    story = a_story(a_step("a", then="join"), a_step("b", then="join"), a_step("join")).start()

    assert "join" not in story.report(order[0]).statuses
    assert "WAITING_FOR_PERMITS" == story.report(order[1]).statuses["join"]


@pytest.mark.parametrize(
    ("of_a", "of_b", "expected"),
    [
        ("true", "true", "SUCCEEDED"),
        ("true", "false", "SUCCEEDED"),
        ("false", "true", "SUCCEEDED"),
        ("false", "false", "UNSATISFIED"),
    ],
)
def test_one_true_condition_is_enough(a_story: AStory, of_a: str, of_b: str, expected: str) -> None:
    story = a_story(a_step("a", then={"j": of_a}), a_step("b", then={"j": of_b}), a_step("j", "NoOp")).start()

    assert expected == story.report("a").report("b").statuses["j"]
    assert "SUCCEEDED" == story.status


def test_a_true_condition_does_not_let_a_step_begin_before_the_others_are_complete(a_story: AStory) -> None:
    story = a_story(a_step("a", then={"join": "false"}), a_step("b", "NoOp", then="join"), a_step("join", "NoOp"))

    assert "join" not in story.start().statuses
    assert "SUCCEEDED" == story.report("a").statuses["join"]


def test_what_follows_an_unsatisfied_step_is_unsatisfied_too(a_story: AStory) -> None:
    story = a_story(
        a_step("a", "NoOp", then={"b": "false"}), a_step("b", then="c"), a_step("c", then="d"), a_step("d")
    ).start()

    assert {"a": "SUCCEEDED", "b": "UNSATISFIED", "c": "UNSATISFIED", "d": "UNSATISFIED"} == story.statuses
    assert "SUCCEEDED" == story.status


def test_an_unsatisfied_step_does_not_keep_a_join_from_running(a_story: AStory) -> None:
    story = a_story(
        a_step("a", "NoOp", then={"left": "false", "right": "true"}),
        a_step("left", "NoOp", then="join"),
        a_step("right", then="join"),
        a_step("join", "NoOp"),
    ).start()

    assert "join" not in story.statuses
    assert "SUCCEEDED" == story.report("right").statuses["join"]


@pytest.mark.parametrize("outcome", [Outcome.FATAL_ERROR, Outcome.STOPPED, Outcome.TIMED_OUT])
def test_a_predecessor_that_is_not_complete_keeps_what_follows_from_being_created(
    a_story: AStory, outcome: Outcome
) -> None:
    story = a_story(a_step("a", then="c"), a_step("b", then="c"), a_step("c", then="d"), a_step("d")).start()
    story.report("b").report("a", outcome)

    assert {"a", "b"} == story.statuses.keys()


def test_a_run_ends_as_failed_when_no_step_was_ever_created(a_story: AStory) -> None:
    story = a_story(a_workflow(a_step(), timeout="${nobody_knows}")).start()

    assert {} == story.statuses
    assert "FAILED" == story.status
    assert "nobody_knows" in story.timeline


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["FATAL_ERROR", "TIMED_OUT", "STOPPED", "DONE"], "FAILED"),
        (["TIMED_OUT", "STOPPED", "DONE"], "TIMED_OUT"),
        (["STOPPED", "DONE"], "STOPPED"),
        (["DONE", "DONE"], "SUCCEEDED"),
    ],
)
def test_the_worst_end_of_a_step_is_the_end_of_the_run(a_story: AStory, outcomes: list[str], expected: str) -> None:
    story = a_story(*(a_step(f"s{i}") for i in range(len(outcomes)))).start()
    for i, outcome in reversed([*enumerate(outcomes)]):
        assert "IN_PROGRESS" == story.status
        story.report(f"s{i}", Outcome(outcome))

    assert expected == story.status
