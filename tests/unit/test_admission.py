"""Admission: what each run strategy does with one more run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.admission import (
    ADMISSIONS,
    Admission,
    Standing,
    admit,
    dequeue_count,
    trigger_uuid,
)
from maestro_py.model.definition import RunStrategy
from maestro_py.model.statuses import RunStrategyRule

SEQUENTIAL = RunStrategy(rule=RunStrategyRule.SEQUENTIAL)
PARALLEL_3 = RunStrategy(rule=RunStrategyRule.PARALLEL, workflow_concurrency=3)
FIRST_ONLY = RunStrategy(rule=RunStrategyRule.FIRST_ONLY)
IDLE = Standing()


@pytest.mark.parametrize(
    ("strategy", "standing", "expected"),
    [
        (SEQUENTIAL, IDLE, Admission.RUN),
        (SEQUENTIAL, Standing(running=1), Admission.QUEUE),
        (SEQUENTIAL, Standing(queued=True), Admission.QUEUE),
        (PARALLEL_3, IDLE, Admission.RUN),
        (PARALLEL_3, Standing(running=2), Admission.RUN),
        (PARALLEL_3, Standing(running=3), Admission.QUEUE),
        (PARALLEL_3, Standing(running=4), Admission.QUEUE),
        (PARALLEL_3, Standing(running=2, queued=True), Admission.QUEUE),
        (FIRST_ONLY, IDLE, Admission.RUN),
        (FIRST_ONLY, Standing(running=1), Admission.STOPPED),
        (FIRST_ONLY, Standing(queued=True), Admission.STOPPED),
    ],
)
def test_each_strategy_admits_as_the_specification_says(
    strategy: RunStrategy, standing: Standing, expected: Admission
) -> None:
    assert expected is admit(strategy, standing)


@pytest.mark.parametrize("rule", ADMISSIONS)
def test_a_request_that_started_a_run_before_starts_nothing_under_any_strategy(rule: RunStrategyRule) -> None:
    assert Admission.DUPLICATED is admit(RunStrategy(rule=rule), Standing(known_request=True))


@pytest.mark.parametrize("rule", sorted(set(RunStrategyRule) - set(ADMISSIONS)))
def test_a_strategy_without_a_row_is_an_error_and_not_a_guess(rule: RunStrategyRule) -> None:
    with pytest.raises(KeyError):
        admit(RunStrategy(rule=rule), IDLE)


@given(
    rule=st.sampled_from(sorted(ADMISSIONS)),
    concurrency=st.integers(1, 5),
    arrivals=st.lists(st.booleans(), max_size=60),
)
def test_no_more_run_at_a_time_than_the_strategy_allows_and_nobody_who_queues_is_passed(
    rule: RunStrategyRule, concurrency: int, arrivals: list[bool]
) -> None:
    """Whatever starts and ends in whatever order: the limit holds, and those who wait begin in their order."""
    strategy = RunStrategy(rule=rule, workflow_concurrency=concurrency if rule is RunStrategyRule.PARALLEL else 1)
    running: list[int] = []
    waiting: list[int] = []
    begun: list[int] = []
    for number, starts in enumerate(arrivals):
        if starts:
            admission = admit(strategy, Standing(running=len(running), queued=bool(waiting)))
            if admission is Admission.RUN:
                running.append(number)
                begun.append(number)
            elif admission is Admission.QUEUE:
                waiting.append(number)
        elif running:
            running.pop(0)
            count = dequeue_count(strategy, len(running), len(waiting))
            begun += waiting[:count]
            running += waiting[:count]
            del waiting[:count]

        assert len(running) <= strategy.workflow_concurrency
        assert not waiting or len(running) == strategy.workflow_concurrency
    assert begun == sorted(begun)


@pytest.mark.parametrize(
    ("running", "queued", "expected"), [(0, 0, 0), (0, 5, 3), (2, 5, 1), (3, 5, 0), (9, 5, 0), (1, 1, 1)]
)
def test_as_many_leave_the_queue_as_slots_are_free(running: int, queued: int, expected: int) -> None:
    assert expected == dequeue_count(PARALLEL_3, running, queued)


def test_the_standing_counts_what_was_just_admitted() -> None:
    standing = IDLE.after(Admission.RUN).after(Admission.QUEUE).after(Admission.STOPPED)

    assert Standing(running=1, queued=True) == standing


def test_a_trigger_keeps_its_identity_for_as_long_as_it_says_the_same() -> None:
    """The order in which its keys are written is not part of what it says."""
    trigger = {"definitions": {"a": {"match_params": {"x": {"value": 1, "operator": "="}}}}}
    reordered = {"definitions": {"a": {"match_params": {"x": {"operator": "=", "value": 1}}}}}
    other = {"definitions": {"a": {"match_params": {"x": {"value": 2, "operator": "="}}}}}

    assert trigger_uuid(trigger) == trigger_uuid(reordered)
    assert trigger_uuid(trigger) != trigger_uuid(other)
