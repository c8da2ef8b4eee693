"""The public state of an attempt is derived from what the engine wrote and from where the work is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.api.views.step_states import public_state
from maestro_py.model.statuses import Dispatch, StepStatus

#: The times of the statuses that every attempt passes, in their order.
PATH = [
    *("create_time", "initialize_time", "wait_signal_time", "evaluate_param_time", "wait_permit_time"),
    *("start_time", "execute_time", "finish_time"),
]


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, tz=UTC)


def test_a_step_that_the_engine_ran_itself_passed_every_status() -> None:
    state = public_state("SUCCEEDED", {"CREATED": 10, "SUCCEEDED": 20}, None, None, None)

    assert StepStatus.SUCCEEDED is state.status
    assert dict.fromkeys(PATH, 10) | dict.fromkeys(("finish_time", "end_time", "modify_time"), 20) == state.times


def test_a_step_whose_condition_was_never_true_passed_no_status_but_the_first() -> None:
    state = public_state("UNSATISFIED", {"CREATED": 10, "UNSATISFIED": 12}, None, None, None)

    assert {"create_time": 10, "end_time": 12, "modify_time": 12} == state.times


def test_a_step_that_failed_before_it_ran_has_no_start() -> None:
    times = {"CREATED": 10, "EVALUATING_PARAMS": 11, "INTERNALLY_FAILED": 12}

    state = public_state("INTERNALLY_FAILED", times, None, None, None)

    assert {"create_time": 10, "initialize_time": 10, "wait_signal_time": 10, "evaluate_param_time": 11} == {
        name: ms for name, ms in state.times.items() if name not in ("end_time", "modify_time")
    }
    assert 12 == state.times["end_time"]


def test_a_claimed_attempt_runs_since_its_claim() -> None:
    state = public_state("WAITING_FOR_PERMITS", {"CREATED": 10, "WAITING_FOR_PERMITS": 11}, "CLAIMED", at(15), None)

    assert (StepStatus.RUNNING, 11, 15, 15) == (
        state.status,
        state.times["wait_permit_time"],
        state.times["start_time"],
        state.times["execute_time"],
    )
    assert "finish_time" not in state.times


def test_an_attempt_that_a_dead_worker_left_waits_again_and_has_not_begun() -> None:
    state = public_state("WAITING_FOR_PERMITS", {"CREATED": 10, "WAITING_FOR_PERMITS": 11}, "QUEUED", at(15), None)

    assert StepStatus.WAITING_FOR_PERMITS is state.status
    assert not state.times.keys() & {"start_time", "execute_time", "finish_time", "end_time"}


def test_what_the_engine_has_decided_counts_whatever_the_dispatch_says() -> None:
    """A report that was applied, or an attempt that was lost and then ended by the engine."""
    for dispatch in Dispatch:
        state = public_state("USER_FAILED", {"CREATED": 10, "USER_FAILED": 20}, dispatch, at(15), at(18))
        assert (StepStatus.USER_FAILED, 20) == (state.status, state.times["end_time"])


@given(
    status=st.sampled_from([s for s in StepStatus if s is not StepStatus.NOT_CREATED]),
    dispatch=st.none() | st.sampled_from(list(Dispatch)),
    steps=st.lists(st.integers(0, 5), min_size=4, max_size=4),
)
def test_times_never_run_backwards(status: StepStatus, dispatch: Dispatch | None, steps: list[int]) -> None:
    """Whatever the state: those times that are told come in the order of the statuses, the end last."""
    created = 1_000
    waiting, claimed, reported, ended = (created + sum(steps[: n + 1]) for n in range(4))
    times = {"CREATED": created}
    if dispatch is not None:
        times["WAITING_FOR_PERMITS"] = waiting
    times.setdefault(status.value, ended if status.is_terminal else waiting)
    has_claim = dispatch in (Dispatch.CLAIMED, Dispatch.REPORTED, Dispatch.LOST)
    has_report = dispatch is Dispatch.REPORTED

    state = public_state(
        status, times, dispatch, at(claimed) if has_claim else None, at(reported) if has_report else None
    )

    told = [state.times[name] for name in [*PATH, "end_time"] if name in state.times]
    assert told == sorted(told)
    assert created == state.times["create_time"]
    assert state.times["modify_time"] == max(state.times.values())


@pytest.mark.parametrize("dispatch", [None, *Dispatch])
def test_every_dispatch_gives_a_status(dispatch: Dispatch | None) -> None:
    times = {"CREATED": 1, "WAITING_FOR_PERMITS": 1}

    assert isinstance(public_state("WAITING_FOR_PERMITS", times, dispatch, None, None).status, StepStatus)
