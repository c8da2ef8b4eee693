"""What the failure of one step does to the others, and what is no such failure."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from maestro_py.model.statuses import FailureMode, InstanceStatus, Outcome
from maestro_py.testing.builders import a_foreach, a_retry_policy, a_step
from tests.unit.decide.story import Story

AStory = Callable[..., Story]

AFTER = FailureMode.FAIL_AFTER_RUNNING
IMMEDIATELY = FailureMode.FAIL_IMMEDIATELY
IGNORE = FailureMode.IGNORE_FAILURE


def test_other_branches_go_on_to_their_end_after_a_failure(a_story: AStory) -> None:
    story = a_story(a_step("a", fails=AFTER), a_step("b", then="c"), a_step("c")).start()
    story.report("a", Outcome.FATAL_ERROR).report("b")

    assert {"a": "FATALLY_FAILED", "b": "SUCCEEDED", "c": "WAITING_FOR_PERMITS"} == story.statuses
    assert "FAILED" == story.report("c").status


def test_fail_immediately_takes_back_what_no_worker_has_claimed(a_story: AStory) -> None:
    story = a_story(a_step("a", fails=IMMEDIATELY), a_step("b", then="c"), a_step("c")).start()
    story.report("a", Outcome.FATAL_ERROR, message="broken")

    assert {"a": "FATALLY_FAILED", "b": "STOPPED"} == story.statuses
    assert "FAILED" == story.status
    assert "broken" == story.attempt("a").message


def test_fail_immediately_asks_workers_to_cancel_and_waits_for_them(a_story: AStory) -> None:
    story = a_story(a_step("a", fails=IMMEDIATELY), a_step("b")).start().claim("b")

    assert "IN_PROGRESS" == story.report("a", Outcome.FATAL_ERROR).status
    assert story.attempt("b").cancel_requested
    assert "FAILED" == story.report("b", Outcome.STOPPED).status
    assert "STOPPED" == story.statuses["b"]


def test_what_succeeds_while_the_others_are_stopped_starts_nothing_more(a_story: AStory) -> None:
    story = a_story(a_step("a", fails=IMMEDIATELY), a_step("b", then="c"), a_step("c")).start().claim("b")
    story.report("a", Outcome.FATAL_ERROR).report("b", Outcome.DONE)

    assert {"a": "FATALLY_FAILED", "b": "SUCCEEDED"} == story.statuses
    assert "FAILED" == story.status


def test_fail_immediately_ends_sleeps_and_backoffs_at_once(a_story: AStory) -> None:
    story = a_story(
        a_step("a", fails=IMMEDIATELY),
        a_step("sleep", "Sleep", params={"sleep_seconds": 60}),
        a_step("user", retries=a_retry_policy(error=1)),
        a_step("platform", retries=a_retry_policy(platform=1)),
        a_step("timeout", retries=a_retry_policy(timeout=1)),
    ).start()
    story.report("user", Outcome.USER_ERROR).report("platform", Outcome.PLATFORM_ERROR)
    story.report("timeout", Outcome.TIMED_OUT)
    assert {"USER_FAILED", "PLATFORM_FAILED", "TIMEOUT_FAILED"} <= set(story.statuses.values())

    assert "FAILED" == story.report("a", Outcome.FATAL_ERROR).status
    assert {"sleep", "user", "platform", "timeout"} == {step for step, s in story.statuses.items() if s == "STOPPED"}
    assert story.statuses == story.pass_seconds(3600).statuses


def test_fail_immediately_is_a_matter_of_the_last_attempt(a_story: AStory) -> None:
    story = a_story(a_step("a", fails=IMMEDIATELY, retries=a_retry_policy(error=1)), a_step("b")).start()

    assert "WAITING_FOR_PERMITS" == story.report("a", Outcome.USER_ERROR).statuses["b"]
    story.pass_seconds(60).report("a", Outcome.USER_ERROR)
    assert "STOPPED" == story.statuses["b"]


@pytest.mark.parametrize("outcome", [Outcome.STOPPED, Outcome.TIMED_OUT])
def test_only_a_fatal_failure_stops_the_others(a_story: AStory, outcome: Outcome) -> None:
    story = a_story(a_step("a", fails=IMMEDIATELY), a_step("b")).start().report("a", outcome)

    assert "WAITING_FOR_PERMITS" == story.statuses["b"]


def test_our_own_error_ignores_the_failure_mode(a_story: AStory) -> None:
    broken = {"x": "${nothing}"}
    story = a_story(
        a_step("a", fails=IMMEDIATELY, params=broken), a_step("b", fails=IGNORE, params=broken), a_step("c")
    ).start()

    assert {"a": "INTERNALLY_FAILED", "b": "INTERNALLY_FAILED", "c": "WAITING_FOR_PERMITS"} == story.statuses
    assert "FAILED" == story.report("c").status


def test_an_ignored_failure_counts_as_complete(a_story: AStory) -> None:
    story = a_story(a_step("a", fails=IGNORE, then="b"), a_step("b", "NoOp")).start()
    story.report("a", Outcome.FATAL_ERROR)

    assert {"a": "COMPLETED_WITH_ERROR", "b": "SUCCEEDED"} == story.statuses
    assert "SUCCEEDED" == story.status


def test_conditions_of_a_step_with_an_ignored_failure_still_count(a_story: AStory) -> None:
    story = a_story(a_step("a", fails=IGNORE, then={"b": "false", "c": "true"}), a_step("b"), a_step("c")).start()
    story.report("a", Outcome.FATAL_ERROR)

    assert {"a": "COMPLETED_WITH_ERROR", "b": "UNSATISFIED", "c": "WAITING_FOR_PERMITS"} == story.statuses


def test_failures_are_ignored_only_when_no_retry_is_left(a_story: AStory) -> None:
    story = a_story(a_step("a", fails=IGNORE, retries=a_retry_policy(error=1))).start()

    assert ["USER_FAILED"] == story.report("a", Outcome.USER_ERROR).history("a")
    story.pass_seconds(60).report("a", Outcome.USER_ERROR)
    assert ["USER_FAILED", "COMPLETED_WITH_ERROR"] == story.history("a")


@pytest.mark.parametrize(
    ("outcome", "expected"), [(Outcome.STOPPED, "STOPPED"), (Outcome.TIMED_OUT, "TIMED_OUT")], ids=str
)
def test_other_ends_than_a_failure_are_not_ignored(a_story: AStory, outcome: Outcome, expected: str) -> None:
    story = a_story(a_step("a", fails=IGNORE, then="b"), a_step("b")).start().report("a", outcome)

    assert {"a": expected} == story.statuses
    assert expected == story.status


def test_a_kill_is_not_swallowed_by_ignore_failure(a_story: AStory) -> None:
    story = a_story(a_step("a", fails=IGNORE, then="b"), a_step("b")).start().kill()

    assert {"a": "FATALLY_FAILED"} == story.statuses
    assert "FAILED" == story.status


def test_a_stop_does_not_turn_an_ignored_failure_into_a_real_one(a_story: AStory) -> None:
    """The iteration failed by itself before the stop; the step would have been COMPLETED_WITH_ERROR without it."""
    loop = a_foreach("loop", a_step("body"), items=[1, 2], fails=IGNORE)
    story = a_story(loop).start()
    first, second = (row.run_uid for row in story.iterations().values())
    story.claim("body", second).report("body", Outcome.FATAL_ERROR, run_uid=first)
    story.stop().report("body", Outcome.STOPPED, run_uid=second)

    assert {"loop": "COMPLETED_WITH_ERROR"} == story.statuses
    assert "STOPPED" == story.status


def test_a_killed_step_does_not_make_the_others_stopped(a_story: AStory) -> None:
    """Each live step of a killed run is killed, whatever the failure modes of the others."""
    story = a_story(
        a_step("a", "Sleep", fails=IMMEDIATELY), a_step("b", fails=IMMEDIATELY), a_step("c", fails=IMMEDIATELY)
    ).start()
    story.claim("c").kill()

    assert {"a": "FATALLY_FAILED", "b": "FATALLY_FAILED", "c": "WAITING_FOR_PERMITS"} == story.statuses
    assert "FATALLY_FAILED" == story.report("c", Outcome.STOPPED).statuses["c"]


def test_a_second_failure_under_fail_immediately_asks_nobody_again(a_story: AStory) -> None:
    loop = a_foreach("loop", a_step("body"), items=[1], fails=IMMEDIATELY)
    story = a_story(a_step("a", fails=IMMEDIATELY), a_step("b"), loop).start().claim("b")
    (body,) = (row.run_uid for row in story.iterations().values())
    story.claim("body", body).report("a", Outcome.FATAL_ERROR)
    story.report("body", Outcome.DONE, run_uid=body)

    assert [] == [effect for effect in story.effects if type(effect).__name__ == "CancelAttempt"]
    assert {"a": "FATALLY_FAILED", "b": "WAITING_FOR_PERMITS", "loop": "STOPPED"} == story.statuses


def test_a_kill_after_the_others_were_stopped_kills_what_is_live(a_story: AStory) -> None:
    story = a_story(a_step("a", fails=IMMEDIATELY), a_step("b")).start().claim("b").report("a", Outcome.FATAL_ERROR)

    assert "FATALLY_FAILED" == story.stop(InstanceStatus.FAILED).report("b", Outcome.STOPPED).statuses["b"]
