"""A stop or kill that was acknowledged is obeyed, whatever the run is doing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from maestro_py.model.effects import CancelAttempt
from maestro_py.model.events import AttemptRevoked, StopRequested
from maestro_py.model.statuses import FailureMode, InstanceStatus, Outcome
from maestro_py.testing.builders import a_retry_policy, a_step
from tests.unit.decide.story import Story

AStory = Callable[..., Story]

STOP, KILL, TIME_OUT = InstanceStatus.STOPPED, InstanceStatus.FAILED, InstanceStatus.TIMED_OUT
#: (target, how the live steps end, how the run ends)
TARGETS = pytest.mark.parametrize(
    ("target", "end", "status"),
    [(STOP, "STOPPED", "STOPPED"), (KILL, "FATALLY_FAILED", "FAILED"), (TIME_OUT, "TIMED_OUT", "TIMED_OUT")],
    ids=["stop", "kill", "time out"],
)


@TARGETS
def test_a_run_that_has_not_begun_ends_at_once(a_story: AStory, target: InstanceStatus, end: str, status: str) -> None:
    story = a_story(a_step()).stop(target)

    assert status == story.status
    assert {} == story.statuses
    assert (None, story.now_ms) == (story.run.start_time_ms, story.run.end_time_ms)
    assert "before the run began" in story.timeline
    assert ["w"] == story.store.ended_workflows, "its place is free for another run"


@TARGETS
def test_a_start_that_comes_after_the_stop_starts_nothing(
    a_story: AStory, target: InstanceStatus, end: str, status: str
) -> None:
    story = a_story(a_step()).stop(target).start()

    assert {} == story.statuses
    assert status == story.status


@TARGETS
def test_an_attempt_that_nobody_claimed_is_taken_back(
    a_story: AStory, target: InstanceStatus, end: str, status: str
) -> None:
    story = a_story(a_step(then="b"), a_step("b")).start().stop(target)

    assert {"a": end} == story.statuses
    assert "REVOKED" == story.attempt("a").dispatch
    assert status == story.status


def test_an_attempt_that_waits_in_the_engine_is_taken_back_too(a_story: AStory) -> None:
    story = a_story(a_step("a"), a_step("b"), a_step("c"), slots=1).start()
    assert ["QUEUED", "QUEUED", "READY"] == [a.dispatch for a in story.attempts()]

    assert {"a": "STOPPED", "b": "STOPPED", "c": "STOPPED"} == story.stop().statuses


@TARGETS
@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.DONE])
def test_a_claimed_attempt_is_cancelled_and_ends_as_asked_whatever_its_worker_says(
    a_story: AStory, target: InstanceStatus, end: str, status: str, outcome: Outcome
) -> None:
    story = a_story(a_step(retries=a_retry_policy(error=9, platform=9, timeout=9))).start().claim("a").stop(target)

    assert "IN_PROGRESS" == story.status
    assert story.attempt("a").cancel_requested
    assert [end] == story.report("a", outcome).history("a")
    assert status == story.status


@TARGETS
def test_a_claimed_attempt_that_is_lost_ends_as_asked_and_is_not_retried(
    a_story: AStory, target: InstanceStatus, end: str, status: str
) -> None:
    story = a_story(a_step(retries=a_retry_policy(platform=9))).start().claim("a").stop(target).lose("a")

    assert [end] == story.history("a")
    assert status == story.status


@TARGETS
def test_work_that_was_done_when_the_stop_came_is_done_but_the_run_ends_as_asked(
    a_story: AStory, target: InstanceStatus, end: str, status: str
) -> None:
    story = a_story(a_step(then="b"), a_step("b")).start().claim("a").stop(target).report("a")

    assert {"a": "SUCCEEDED"} == story.statuses
    assert status == story.status


@TARGETS
def test_a_step_that_waits_for_its_retry_ends_at_once(
    a_story: AStory, target: InstanceStatus, end: str, status: str
) -> None:
    policy = a_retry_policy(error=9, platform=9, timeout=9)
    story = a_story(*(a_step(step, retries=policy) for step in ("user", "platform", "timeout"))).start()
    story.report("user", Outcome.USER_ERROR).report("platform", Outcome.PLATFORM_ERROR)
    story.report("timeout", Outcome.TIMED_OUT).stop(target)

    assert {"user": end, "platform": end, "timeout": end} == story.statuses
    assert status == story.status
    assert [] == story.pass_seconds(3600).effects, "the timers of the backoffs come too late"
    assert 3 == len(story.attempts())


@TARGETS
def test_a_sleep_ends_at_once(a_story: AStory, target: InstanceStatus, end: str, status: str) -> None:
    story = a_story(a_step("a", "Sleep")).start().stop(target)

    assert {"a": end} == story.statuses
    assert status == story.status


@pytest.mark.parametrize("ended_as", [Outcome.DONE, Outcome.FATAL_ERROR, Outcome.STOPPED, Outcome.TIMED_OUT])
@TARGETS
def test_a_run_that_has_ended_stays_as_it_is(
    a_story: AStory, ended_as: Outcome, target: InstanceStatus, end: str, status: str
) -> None:
    story = a_story(a_step()).start().report("a", ended_as)
    row = story.run

    assert row == story.stop(target).run


def test_a_kill_counts_for_more_than_the_stop_before_it(a_story: AStory) -> None:
    story = a_story(a_step()).start().claim("a").stop().kill().report("a", Outcome.STOPPED)

    assert {"a": "FATALLY_FAILED"} == story.statuses
    assert "FAILED" == story.status


@pytest.mark.parametrize("milder", [STOP, TIME_OUT], ids=["stop", "time out"])
def test_a_kill_stands_whatever_is_asked_for_after_it(a_story: AStory, milder: InstanceStatus) -> None:
    story = a_story(a_step("a"), a_step("b", fails=FailureMode.IGNORE_FAILURE)).start().claim("a").claim("b")
    story.kill().tell(StopRequested(milder, by="bob", reason="it is late")).report("a", Outcome.STOPPED)

    assert {"a": "FATALLY_FAILED", "b": "WAITING_FOR_PERMITS"} == story.statuses
    assert {"a": "FATALLY_FAILED", "b": "FATALLY_FAILED"} == story.report("b", Outcome.STOPPED).statuses
    assert "FAILED" == story.status
    assert "by bob: it is late; the kill before it stands" in story.timeline


def test_the_same_request_twice_is_one_request(a_story: AStory) -> None:
    story = a_story(a_step()).start().claim("a").stop()
    row = story.run

    assert [] == story.stop().effects
    assert row == story.run


def test_the_timeline_says_who_stopped_the_run_and_why(a_story: AStory) -> None:
    story = a_story(a_step()).start().tell(StopRequested(STOP, by="ana", reason="it is late"))

    assert "Stop requested by ana: it is late" in story.timeline


def test_a_step_that_would_begin_in_the_batch_of_the_stop_does_not(a_story: AStory) -> None:
    story = a_story(a_step(then="b"), a_step("b", "NoOp")).start().claim("a")
    story.store.send(story.run.run_uid, StopRequested(STOP))
    story.store.report(story.attempt("a"), Outcome.DONE)
    stop, done = sorted(story.store.inbox.values(), key=lambda row: row.id)
    story.deliver([stop, done])

    assert {"a": "SUCCEEDED"} == story.statuses
    assert "STOPPED" == story.status


def test_a_step_that_was_dispatched_in_the_batch_of_the_stop_is_taken_back(a_story: AStory) -> None:
    story = a_story(a_step(then="b"), a_step("b")).start().claim("a")
    story.store.send(story.run.run_uid, StopRequested(STOP))
    story.store.report(story.attempt("a"), Outcome.DONE)
    stop, done = sorted(story.store.inbox.values(), key=lambda row: row.id)
    story.deliver([done, stop])

    assert {"a": "SUCCEEDED", "b": "WAITING_FOR_PERMITS"} == story.statuses
    assert {"a": "SUCCEEDED", "b": "STOPPED"} == story.settle().statuses
    assert "STOPPED" == story.status


def test_steps_are_stopped_in_the_order_in_which_they_were_created(a_story: AStory) -> None:
    """Also by an engine that has read them from their rows: what it does must not depend on that."""
    story = a_story(a_step("z"), a_step("b", then="a"), a_step("a"), a_step("m")).start().report("b").stop()
    cancelled = [effect.step_id for effect in story.effects if isinstance(effect, CancelAttempt)]

    assert ["z", "m", "a"] == cancelled


def test_a_revocation_without_a_request_stops_the_step(a_story: AStory) -> None:
    """Nothing revokes an attempt but the engine itself; should it have forgotten why, the step was stopped."""
    story = a_story(a_step()).start().tell(AttemptRevoked("a", 1))

    assert "STOPPED" == story.status


# --- a quarantined run ----------------------------------------------------------------------------------------


@TARGETS
def test_a_quarantined_run_is_ended_at_once(a_story: AStory, target: InstanceStatus, end: str, status: str) -> None:
    """Its later events are not applied, so that no report would ever end it."""
    story = a_story(
        a_step("sleep", "Sleep"),
        a_step("runs", then="next"),
        a_step("next"),
        a_step("done", "NoOp"),
        a_step("user", retries=a_retry_policy(error=1)),
        a_step("platform", retries=a_retry_policy(platform=1)),
        a_step("timeout", retries=a_retry_policy(timeout=1)),
    ).start()
    story.report("user", Outcome.USER_ERROR).report("platform", Outcome.PLATFORM_ERROR)
    story.report("timeout", Outcome.TIMED_OUT).claim("runs").quarantine().stop(target)

    assert status == story.status
    assert {"done": "SUCCEEDED"} == {k: v for k, v in story.statuses.items() if v != end}
    assert [CancelAttempt("runs", 1)] == [e for e in story.effects if isinstance(e, CancelAttempt)]
    assert story.attempt("runs").cancel_requested
    assert ["w"] == story.store.ended_workflows


@TARGETS
def test_a_run_that_was_quarantined_before_it_began_is_ended_at_once(
    a_story: AStory, target: InstanceStatus, end: str, status: str
) -> None:
    assert status == a_story(a_step()).quarantine().stop(target).status


def test_a_quarantined_run_that_has_ended_stays_as_it_is(a_story: AStory) -> None:
    story = a_story(a_step()).start().report("a").quarantine().kill()

    assert "SUCCEEDED" == story.status


def test_later_events_of_a_quarantined_run_queue_behind(a_story: AStory) -> None:
    story = a_story(a_step()).start().quarantine().report("a")

    assert {"a": "WAITING_FOR_PERMITS"} == story.statuses
    assert ["an event was poisonous"] == [letter["r"] for letter in story.store.dead_letters]
    assert "AttemptReported" == story.store.dead_letters[0]["e"]["kind"]
