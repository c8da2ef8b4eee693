"""What happens to a step or a run that takes too long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from maestro_py.model.events import AttemptOverdue
from maestro_py.model.statuses import FailureMode, InstanceStatus, Outcome
from maestro_py.testing.builders import NOON_MS, a_foreach, a_retry_policy, a_step, a_workflow
from tests.unit.decide.story import Story

AStory = Callable[..., Story]

DAY_MS = 24 * 3_600_000


# --- of a dispatched step -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeout", "expected_ms"), [(None, 10 * DAY_MS), (30, 30_000), ("1 hour 5 sec", 3_605_000), ("${t}", 90_000)]
)
def test_an_attempt_carries_its_timeout_which_is_ten_days_by_default(
    a_story: AStory, timeout: int | str | None, expected_ms: int
) -> None:
    story = a_story(a_step(timeout=timeout), params={"t": "90s"}).start()

    assert expected_ms == story.attempt("a").timeout_ms
    assert [] == story.timers, "the owner finds it by its deadline, which counts from the claim"


def test_a_timeout_that_cannot_be_read_fails_the_step_internally(a_story: AStory) -> None:
    story = a_story(a_step(timeout="${t}"), params={"t": "soon"}).start()

    assert {"a": "INTERNALLY_FAILED"} == story.statuses
    assert "steps.a.timeout" in (story.attempt("a").message or "")


def test_an_overdue_attempt_is_cancelled_and_ends_when_its_worker_says_so(a_story: AStory) -> None:
    story = a_story(a_step()).start().claim("a").overdue("a")

    assert {"a": "WAITING_FOR_PERMITS"} == story.statuses
    assert story.attempt("a").cancel_requested
    assert "TIMED_OUT" == story.report("a", Outcome.STOPPED).statuses["a"]
    assert "TIMED_OUT" == story.status


def test_an_overdue_attempt_that_nobody_has_claimed_is_taken_back(a_story: AStory) -> None:
    assert "TIMED_OUT" == a_story(a_step()).start().overdue("a").status


@pytest.mark.parametrize("end", ["report", "lose", "revoke"])
def test_a_timeout_is_retried_within_its_budget_however_the_attempt_ended(a_story: AStory, end: str) -> None:
    story = a_story(a_step(retries=a_retry_policy(timeout=1))).start()
    if end == "revoke":
        story.overdue("a")
    elif end == "lose":
        story.claim("a").overdue("a").lose("a")
    else:
        story.claim("a").overdue("a").report("a", Outcome.USER_ERROR)

    assert ["TIMEOUT_FAILED"] == story.history("a")
    assert ["TIMEOUT_FAILED", "WAITING_FOR_PERMITS"] == story.pass_seconds(60).history("a")
    assert 1 == story.attempt("a").timeout_retries


def test_work_that_was_done_when_the_timeout_came_is_done(a_story: AStory) -> None:
    story = a_story(a_step(then="b"), a_step("b", "NoOp")).start().claim("a").overdue("a").report("a", outputs={"x": 1})

    assert {"a": "SUCCEEDED", "b": "SUCCEEDED"} == story.statuses
    assert {"x": 1} == story.attempt("a").outputs


def test_a_second_word_about_the_timeout_changes_nothing(a_story: AStory) -> None:
    story = a_story(a_step()).start().claim("a").overdue("a")

    assert [] == story.overdue("a").effects
    assert "TIMED_OUT" == story.report("a", Outcome.STOPPED).statuses["a"]


def test_a_stop_counts_for_more_than_the_timeout_it_follows(a_story: AStory) -> None:
    story = a_story(a_step(retries=a_retry_policy(timeout=1))).start().claim("a").overdue("a").stop()

    assert "STOPPED" == story.report("a", Outcome.STOPPED).status


def test_a_timeout_counts_for_nothing_after_a_stop(a_story: AStory) -> None:
    story = a_story(a_step(retries=a_retry_policy(timeout=1))).start().claim("a").stop().overdue("a")

    assert "STOPPED" == story.report("a", Outcome.STOPPED).status


def test_a_timed_out_step_is_no_fatal_failure(a_story: AStory) -> None:
    story = a_story(a_step("a", fails=FailureMode.FAIL_IMMEDIATELY), a_step("b")).start().overdue("a")

    assert {"a": "TIMED_OUT", "b": "WAITING_FOR_PERMITS"} == story.statuses


# --- of a foreach ---------------------------------------------------------------------------------------------


def test_an_overdue_foreach_times_its_iterations_out_and_then_itself(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[1, 2, 3], concurrency=2, timeout=60)).start()
    first = story.iterations()[1].run_uid
    assert [(60, AttemptOverdue("loop", 1))] == story.timers

    story.claim("body", first).pass_seconds(60)
    assert {"loop": "RUNNING"} == story.statuses, "an iteration is still at its worker"
    assert {1: "IN_PROGRESS", 2: "TIMED_OUT"} == story.ends()
    story.report("body", Outcome.STOPPED, run_uid=first)
    assert {1: "TIMED_OUT", 2: "TIMED_OUT"} == story.ends(), "the third was never launched"
    assert {"loop": "TIMED_OUT"} == story.statuses
    assert "TIMED_OUT" == story.status


def test_a_failed_iteration_counts_for_more_than_the_timeout_of_its_foreach(a_story: AStory) -> None:
    story = a_story(a_foreach("loop", a_step("body"), items=[1, 2], timeout=60)).start()
    first, second = (row.run_uid for row in story.iterations().values())
    story.claim("body", second).report("body", Outcome.FATAL_ERROR, run_uid=first).pass_seconds(60)

    assert "FATALLY_FAILED" == story.report("body", Outcome.STOPPED, run_uid=second).statuses["loop"]


def test_an_iteration_has_no_deadline_of_its_own(a_story: AStory) -> None:
    story = a_story(a_workflow(a_foreach("loop", a_step("body"), items=[1]), timeout=60)).start()

    assert story.iterations()[1].deadline_ms is None


# --- of a run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("timeout", "expected_ms"), [(None, 10 * DAY_MS), (60, 60_000), ("${t}", 7_200_000)])
def test_a_run_is_given_its_deadline_when_it_begins(
    a_story: AStory, timeout: int | str | None, expected_ms: int
) -> None:
    story = a_story(a_workflow(a_step(), timeout=timeout), params={"t": "2 hours"}).start()

    assert NOON_MS + expected_ms == story.run.deadline_ms


def test_an_overdue_run_ends_its_live_steps_as_timed_out(a_story: AStory) -> None:
    story = a_story(
        a_step("done", "NoOp"),
        a_step("sleep", "Sleep"),
        a_step("waits"),
        a_step("runs"),
        a_step("user", retries=a_retry_policy(error=1)),
        a_step("platform", retries=a_retry_policy(platform=1)),
        a_step("timeout", retries=a_retry_policy(timeout=1)),
    ).start()
    story.report("user", Outcome.USER_ERROR).report("platform", Outcome.PLATFORM_ERROR)
    story.report("timeout", Outcome.TIMED_OUT).claim("runs").run_overdue()

    assert "IN_PROGRESS" == story.status, "a worker still has one of its steps"
    assert "TIMED_OUT" == story.report("runs", Outcome.STOPPED).status
    assert {"done": "SUCCEEDED"} == {k: v for k, v in story.statuses.items() if v != "TIMED_OUT"}
    assert story.run.deadline_ms is None
    assert "exceeded its timeout" in story.timeline


def test_a_failed_step_counts_for_more_than_the_timeout_of_the_run(a_story: AStory) -> None:
    story = a_story(a_step("a"), a_step("b")).start().report("a", Outcome.FATAL_ERROR).run_overdue()

    assert {"a": "FATALLY_FAILED", "b": "TIMED_OUT"} == story.statuses
    assert "FAILED" == story.status


@pytest.mark.parametrize("target", [InstanceStatus.STOPPED, InstanceStatus.FAILED])
def test_a_deadline_that_passes_while_a_run_is_stopped_changes_nothing(a_story: AStory, target: InstanceStatus) -> None:
    story = a_story(a_step()).start().claim("a").stop(target).run_overdue()

    assert target == story.report("a", Outcome.STOPPED).status


def test_a_deadline_that_passes_twice_is_one_timeout(a_story: AStory) -> None:
    story = a_story(a_step()).start().claim("a").run_overdue()
    timeline = story.timeline

    assert timeline == story.run_overdue().timeline
    assert "TIMED_OUT" == story.report("a", Outcome.STOPPED).status


def test_a_run_that_has_not_begun_cannot_be_overdue(a_story: AStory) -> None:
    assert "CREATED" == a_story(a_step()).run_overdue().status
