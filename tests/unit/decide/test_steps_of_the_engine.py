"""NoOp and Sleep need no worker; everything else is dispatched with all that a worker needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maestro_py.model.events import AttemptOverdue, TimerFired
from maestro_py.testing.builders import NOON_MS, a_retry_policy, a_step
from tests.unit.decide.story import Story

AStory = Callable[..., Story]


def test_a_no_op_succeeds_at_once(a_story: AStory) -> None:
    story = a_story(a_step("a", "NoOp")).start()

    assert "SUCCEEDED" == story.status
    assert {"CREATED": NOON_MS, "SUCCEEDED": NOON_MS} == story.attempt("a").times


# --- Sleep ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("params", "seconds"), [({}, 3), ({"sleep_seconds": 7}, 7), ({"sleep_seconds": 0.25}, 0.25)])
def test_a_sleep_lasts_as_long_as_it_says_and_three_seconds_otherwise(
    a_story: AStory, params: dict[str, Any], seconds: float
) -> None:
    story = a_story(a_step("a", "Sleep", params=params)).start()

    assert [(seconds, TimerFired("a", 1))] == story.timers
    assert "RUNNING" == story.pass_seconds(seconds - 0.01).statuses["a"]
    assert "SUCCEEDED" == story.pass_seconds(0.01).status


def test_a_sleep_may_take_its_length_from_a_parameter(a_story: AStory) -> None:
    story = a_story(a_step("a", "Sleep", params={"sleep_seconds": "${nap}"}), params={"nap": 12}).start()

    assert [12] == [seconds for seconds, _ in story.timers]


@pytest.mark.parametrize("seconds", [-1, "long", True, [3], None, {"s": 1}])
def test_a_sleep_of_no_length_fails_internally(a_story: AStory, seconds: Any) -> None:
    story = a_story(a_step("a", "Sleep", params={"sleep_seconds": "${nap}"}), params={"nap": seconds}).start()

    assert {"a": "INTERNALLY_FAILED"} == story.statuses
    assert "steps.a.params.sleep_seconds" in (story.attempt("a").message or "")
    assert "FAILED" == story.status


def test_a_sleep_longer_than_its_timeout_times_out(a_story: AStory) -> None:
    story = a_story(a_step("a", "Sleep", params={"sleep_seconds": 100}, timeout=40)).start()

    assert [(40, AttemptOverdue("a", 1))] == story.timers
    assert "TIMED_OUT" == story.pass_seconds(40).status


def test_a_sleep_that_timed_out_may_be_retried(a_story: AStory) -> None:
    policy = a_retry_policy(timeout=1)
    story = a_story(a_step("a", "Sleep", params={"sleep_seconds": 100}, timeout=40, retries=policy)).start()

    assert ["TIMEOUT_FAILED"] == story.pass_seconds(40).history("a")
    assert ["TIMEOUT_FAILED", "RUNNING"] == story.pass_seconds(60).history("a")
    assert ["TIMEOUT_FAILED", "TIMED_OUT"] == story.pass_seconds(40).history("a")


def test_a_sleep_as_long_as_its_timeout_succeeds(a_story: AStory) -> None:
    story = a_story(a_step("a", "Sleep", params={"sleep_seconds": 40}, timeout=40)).start()

    assert "SUCCEEDED" == story.pass_seconds(40).status


# --- what goes to a worker ------------------------------------------------------------------------------------


def test_a_step_of_any_other_type_is_dispatched_to_its_queue(a_story: AStory) -> None:
    story = a_story(a_step("a", "python", queue="default")).start()
    attempt = story.attempt("a")

    assert ("QUEUED", "default") == (attempt.dispatch, attempt.queue)
    assert ["python", "python:step=a"] == attempt.backend_keys


def test_a_worker_is_told_everything_it_needs(a_story: AStory) -> None:
    story = a_story(a_step("a", params={"x": 1, "y": "${x}${n}"}), params={"n": 2, "x": 9}).start()

    assert {
        "workflow_id": "w",
        "instance_id": 1,
        "run_id": 1,
        "step_id": "a",
        "attempt": 1,
        "step_type": "python",
        "correlation_id": "c",
        "params": {"n": 2, "x": 1, "y": "12"},
    } == story.attempt("a").task


def test_the_times_of_a_report_are_those_of_the_worker(a_story: AStory) -> None:
    story = a_story(a_step()).start().report("a", start_time_ms=NOON_MS + 5, end_time_ms=NOON_MS + 9)

    times = story.attempt("a").times
    assert (NOON_MS + 5, NOON_MS + 9) == (times["RUNNING"], times["FINISHING"])


def test_a_run_ends_when_its_last_step_has(a_story: AStory) -> None:
    story = a_story(a_step()).start()
    story.now_ms += 5_000
    story.report("a")

    assert (NOON_MS, NOON_MS + 5_000) == (story.run.start_time_ms, story.run.end_time_ms)
    assert ["w"] == story.store.ended_workflows
