"""Whether and when a failed attempt is tried again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maestro_py.engine.decide.retries import PLATFORM, TIMEOUT, USER, FailureKind, backoff_ms
from maestro_py.model.definition import Backoff, RetryPolicy
from maestro_py.model.statuses import FailureMode, Outcome
from maestro_py.testing.builders import a_retry_policy, a_step, a_workflow
from tests.unit.decide.story import Story

AStory = Callable[..., Story]

#: (outcome, what it is called in a policy, status while a retry follows, status when none does)
KINDS = [
    (Outcome.USER_ERROR, "error", "USER_FAILED", "FATALLY_FAILED"),
    (Outcome.PLATFORM_ERROR, "platform", "PLATFORM_FAILED", "FATALLY_FAILED"),
    (Outcome.TIMED_OUT, "timeout", "TIMEOUT_FAILED", "TIMED_OUT"),
]


@pytest.mark.parametrize(("outcome", "kind", "retried", "final"), KINDS)
def test_each_kind_of_failure_is_retried_as_often_as_its_own_limit_says(
    a_story: AStory, outcome: Outcome, kind: str, retried: str, final: str
) -> None:
    limit: dict[str, Any] = {kind: 2}
    story = a_story(a_step(retries=a_retry_policy(**limit))).start()
    story.report("a", outcome).pass_seconds(60).report("a", outcome).pass_seconds(120).report("a", outcome)

    assert [retried, retried, final] == story.history("a")
    assert {"FATALLY_FAILED": "FAILED", "TIMED_OUT": "TIMED_OUT"}[final] == story.status


@pytest.mark.parametrize(("outcome", "kind", "retried", "final"), KINDS)
def test_a_limit_of_zero_means_no_retry(a_story: AStory, outcome: Outcome, kind: str, retried: str, final: str) -> None:
    others: dict[str, Any] = {"error": 5, "platform": 5, "timeout": 5} | {kind: 0}
    story = a_story(a_step(retries=a_retry_policy(**others))).start().report("a", outcome)

    assert [final] == story.history("a")


def test_the_budgets_do_not_eat_one_another(a_story: AStory) -> None:
    story = a_story(a_step(retries=a_retry_policy(error=1, platform=1, timeout=1))).start()
    for outcome in (Outcome.USER_ERROR, Outcome.PLATFORM_ERROR, Outcome.TIMED_OUT):
        story.report("a", outcome).pass_seconds(60)
    story.report("a", Outcome.USER_ERROR)

    assert ["USER_FAILED", "PLATFORM_FAILED", "TIMEOUT_FAILED", "FATALLY_FAILED"] == story.history("a")
    last = story.attempt("a")
    assert (1, 1, 1) == (last.error_retries, last.platform_retries, last.timeout_retries)


def test_a_fatal_error_is_never_retried(a_story: AStory) -> None:
    story = a_story(a_step(retries=a_retry_policy(error=9, platform=9, timeout=9))).start()

    assert ["FATALLY_FAILED"] == story.report("a", Outcome.FATAL_ERROR).history("a")


def test_the_next_attempt_waits_for_the_backoff(a_story: AStory) -> None:
    story = a_story(a_step(retries=a_retry_policy(error=1))).start().report("a", Outcome.USER_ERROR, message="oh")

    assert [60] == [seconds for seconds, _ in story.timers]
    assert ["USER_FAILED"] == story.pass_seconds(59.9).history("a")
    assert ["USER_FAILED", "WAITING_FOR_PERMITS"] == story.pass_seconds(0.1).history("a")
    assert "oh" == story.attempts("a")[0].message


def test_a_retry_is_a_new_attempt_of_the_same_step(a_story: AStory) -> None:
    story = a_story(a_step("a", "NoOp", then="b"), a_step("b", retries=a_retry_policy(error=1))).start()
    first, second = story.report("b", Outcome.USER_ERROR).pass_seconds(60).attempts("b")

    assert (1, 2) == (first.key.attempt, second.key.attempt)
    assert first.step_seq == second.step_seq
    assert "QUEUED" == second.dispatch


def test_parameters_are_evaluated_for_each_attempt(a_story: AStory) -> None:
    story = a_story(a_step(params={"x": "${n}"}, retries=a_retry_policy(error=1)), params={"n": 4}).start()
    story.report("a", Outcome.USER_ERROR).pass_seconds(60)

    assert [4, 4] == [attempt.task["params"]["x"] for attempt in story.attempts("a")]


def test_what_follows_waits_for_the_attempt_that_succeeds(a_story: AStory) -> None:
    story = a_story(a_step("a", then="b", retries=a_retry_policy(error=1)), a_step("b", "NoOp")).start()

    assert "b" not in story.report("a", Outcome.USER_ERROR).pass_seconds(60).statuses
    assert "SUCCEEDED" == story.report("a").statuses["b"]
    assert "SUCCEEDED" == story.status


def test_without_a_policy_the_defaults_of_the_specification_hold(a_story: AStory) -> None:
    story = a_story(a_step()).start()
    for seconds in (60, 120):
        story.report("a", Outcome.USER_ERROR).pass_seconds(seconds)

    assert ["USER_FAILED", "USER_FAILED", "FATALLY_FAILED"] == story.report("a", Outcome.USER_ERROR).history("a")


# --- how long -------------------------------------------------------------------------------------------------

EXPONENTIAL = Backoff(
    error_retry_backoff_in_secs=5,
    error_retry_exponent=3,
    error_retry_limit_in_secs=100,
    platform_retry_backoff_in_secs=7,
    platform_retry_exponent=1,
    platform_retry_limit_in_secs=1000,
    timeout_retry_backoff_in_secs=90,
    timeout_retry_exponent=2,
    timeout_retry_limit_in_secs=60,
)
FIXED = Backoff(
    type="FIXED_BACKOFF",
    error_retry_backoff_in_secs=5,
    error_retry_limit_in_secs=1,
    platform_retry_backoff_in_secs=7,
    timeout_retry_backoff_in_secs=90,
)


@pytest.mark.parametrize(
    ("backoff", "kind", "seconds"),
    [
        (EXPONENTIAL, USER, [5, 15, 45, 100, 100]),
        (EXPONENTIAL, PLATFORM, [7, 7, 7]),
        (EXPONENTIAL, TIMEOUT, [60, 60]),
        (FIXED, USER, [5, 5, 5]),
        (FIXED, PLATFORM, [7, 7]),
        (FIXED, TIMEOUT, [90, 90]),
        (Backoff(), USER, [60, 120, 240, 480, 600, 600]),
        (Backoff(), PLATFORM, [60, 120, 240, 480, 960, 1920, 3600, 3600]),
    ],
)
def test_the_delay_grows_by_its_exponent_up_to_its_limit_and_a_fixed_one_stays(
    backoff: Backoff, kind: FailureKind, seconds: list[int]
) -> None:
    assert [s * 1000 for s in seconds] == [backoff_ms(backoff, kind, retries) for retries in range(len(seconds))]


def test_the_delay_of_the_last_retry_there_may_be_can_be_computed() -> None:
    steepest = Backoff(error_retry_exponent=86_400, error_retry_limit_in_secs=86_400)

    assert 86_400_000 == backoff_ms(steepest, USER, 98)


def test_the_delay_counts_retries_of_the_same_kind_only(a_story: AStory) -> None:
    policy = a_retry_policy(error=3, platform=3, backoff=EXPONENTIAL)
    story = a_story(a_step(retries=policy)).start()
    delays = []
    for outcome in (Outcome.USER_ERROR, Outcome.USER_ERROR, Outcome.PLATFORM_ERROR, Outcome.USER_ERROR):
        ((seconds, _),) = story.report("a", outcome).timers
        delays.append(seconds)
        story.pass_seconds(seconds)

    assert [5, 15, 7, 45] == delays


# --- templates ------------------------------------------------------------------------------------------------


def test_a_policy_may_take_its_numbers_from_workflow_parameters(a_story: AStory) -> None:
    backoff = Backoff(type="FIXED_BACKOFF", error_retry_backoff_in_secs="${delay}")
    policy = a_retry_policy(error="${tries}", platform="3", backoff=backoff)
    story = a_story(a_step(retries=policy), params={"tries": "1", "delay": 17}).start()

    assert [17] == [seconds for seconds, _ in story.report("a", Outcome.USER_ERROR).timers]
    assert ["USER_FAILED", "FATALLY_FAILED"] == story.pass_seconds(17).report("a", Outcome.USER_ERROR).history("a")


@pytest.mark.parametrize("value", ["a lot", "100", "-1", "", [1], None, {"x": 1}])
def test_a_policy_that_makes_no_sense_at_run_time_is_replaced_by_the_default_one(a_story: AStory, value: Any) -> None:
    story = a_story(a_step(retries=a_retry_policy(error="${tries}", platform=0)), params={"tries": value}).start()
    for seconds in (60, 120):
        story.report("a", Outcome.USER_ERROR).pass_seconds(seconds)

    assert ["USER_FAILED", "USER_FAILED", "FATALLY_FAILED"] == story.report("a", Outcome.USER_ERROR).history("a")


def test_a_delay_out_of_bounds_makes_the_whole_policy_the_default_one(a_story: AStory) -> None:
    policy = RetryPolicy(error_retry_limit=0, backoff=Backoff(error_retry_backoff_in_secs="${delay}"))
    story = a_story(a_step(retries=policy), params={"delay": 86_401}).start().report("a", Outcome.USER_ERROR)

    assert ["USER_FAILED"] == story.history("a")


def test_a_template_that_names_nothing_makes_the_policy_the_default_one(a_story: AStory) -> None:
    story = a_story(a_step(retries=a_retry_policy(error="${nothing}"))).start().report("a", Outcome.USER_ERROR)

    assert ["USER_FAILED"] == story.history("a")


# --- lost workers ---------------------------------------------------------------------------------------------


def test_the_first_loss_is_retried_at_once_and_later_ones_after_a_backoff(a_story: AStory) -> None:
    story = a_story(a_step(retries=a_retry_policy(platform=2))).start().lose("a")

    assert ["PLATFORM_FAILED", "WAITING_FOR_PERMITS"] == story.history("a")
    assert ["PLATFORM_FAILED", "PLATFORM_FAILED"] == story.lose("a").history("a")
    assert [120] == [seconds for seconds, _ in story.timers]
    assert ["PLATFORM_FAILED", "PLATFORM_FAILED", "WAITING_FOR_PERMITS"] == story.pass_seconds(120).history("a")
    assert "FATALLY_FAILED" == story.lose("a").history("a")[-1]


def test_losses_count_against_the_platform_budget(a_story: AStory) -> None:
    story = a_story(a_step(retries=a_retry_policy(error=9, platform=0))).start().lose("a")

    assert ["FATALLY_FAILED"] == story.history("a")
    assert "lost" in (story.attempt("a").message or "")


def test_a_step_that_kills_its_workers_for_good_may_be_ignored(a_story: AStory) -> None:
    step = a_step("a", retries=a_retry_policy(platform=0), fails=FailureMode.IGNORE_FAILURE)

    assert ["COMPLETED_WITH_ERROR"] == a_story(a_workflow(step)).start().lose("a").history("a")
