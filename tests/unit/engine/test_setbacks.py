"""What a lane learns from batches that were undone."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from maestro_py.engine.setbacks import LONGEST_PAUSE_SECONDS, STALE_BEFORE_BLAME, Setbacks
from maestro_py.ports.engine_store import RunKey

RUNS = [UUID(int=number) for number in range(1, 41)]


def tried(setbacks: Setbacks, runs: list[UUID]) -> list[UUID]:
    """Return the runs of which the next batch takes events, if all of *runs* have some."""
    trial = setbacks.on_trial
    return [run for run in runs if run not in setbacks.excluded and (trial is None or run in trial)]


@pytest.mark.parametrize("seed", range(20))
def test_halving_finds_all_the_guilty_and_blames_nobody_else(seed: int) -> None:
    """Each innocent run is saved, each guilty one ends as poisoned, and the lane needs few batches for it."""
    chance = random.Random(seed)
    guilty = set(chance.sample(RUNS, chance.randrange(1, 5)))
    setbacks = Setbacks()
    left, buried, batches = list(RUNS), set[UUID](), 0
    while left:
        batches += 1
        batch = tried(setbacks, left)
        if guilty.intersection(batch) - setbacks.poisoned.keys():
            setbacks.suspect(batch, "refused")
            continue
        buried.update(run for run in batch if run in setbacks.poisoned)
        left = [run for run in left if run not in batch]
        if batch:
            setbacks.committed(batch, ())
        else:
            setbacks.found_nothing()

    assert guilty == buried
    assert batches <= 20 * len(guilty)
    assert None is setbacks.on_trial


def test_runs_that_are_always_busy_do_not_hide_the_guilty_one() -> None:
    """While a refused batch is halved nobody else's events are taken, or each half would grow again."""
    setbacks = Setbacks()
    guilty = RUNS[7]
    for _ in range(12):
        batch = tried(setbacks, RUNS)
        if guilty not in batch:
            setbacks.committed(batch, ())
        elif guilty not in setbacks.poisoned:
            setbacks.suspect(batch, "refused")

    assert {guilty} == setbacks.poisoned.keys()


def test_a_run_that_can_neither_go_on_nor_be_stopped_nor_buried_is_left_alone() -> None:
    """Each worse finding has its own answer, so that no lane tries the same for ever."""
    setbacks = Setbacks()
    run = RUNS[0]
    setbacks.poison(run, "first")
    assert ({run: "first"}, set(), []) == (setbacks.poisoned, setbacks.hopeless, setbacks.excluded)
    setbacks.poison(run, "second")
    assert ({run: "first"}, {run}, []) == (setbacks.poisoned, setbacks.hopeless, setbacks.excluded)
    setbacks.poison(run, "third")
    assert [run] == setbacks.excluded


def test_a_parked_run_is_left_out_until_its_time_is_over() -> None:
    setbacks = Setbacks()
    setbacks.park([RunKey(3, RUNS[0])])
    assert [RUNS[0]] == setbacks.excluded
    assert [] == setbacks.unpark()
    wait = setbacks.next_unpark_seconds()
    assert wait is not None
    assert 0 < wait < 1


def test_rows_that_are_always_changed_slow_the_lane_down_and_are_blamed_in_the_end() -> None:
    """Once is somebody else's doing and costs no time; always is a row that is not as it should be."""
    setbacks = Setbacks()
    pauses = [setbacks.stale() for _ in range(STALE_BEFORE_BLAME - 1)]
    assert 0 == pauses[0]
    assert sorted(pauses) == pauses
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    assert not setbacks.is_stale_for_good

    setbacks.stale()
    assert setbacks.is_stale_for_good
    setbacks.committed([], ())
    assert not setbacks.is_stale_for_good


def test_partitions_that_go_take_all_suspicion_with_them() -> None:
    """Their next owner may find that an operator has healed the runs."""
    setbacks = Setbacks()
    setbacks.poison(RUNS[0], "it was")
    setbacks.suspect(RUNS[1:5], "refused")
    setbacks.park([RunKey(3, RUNS[6])])
    setbacks.unreadable[RUNS[7]] = "it was"
    setbacks.forget()

    assert [] == setbacks.excluded
    assert {} == setbacks.poisoned | setbacks.unreadable
    assert None is setbacks.next_unpark_seconds()


def test_batches_stay_within_their_events_for_longer_the_more_often_going_on_undid_them() -> None:
    """Otherwise a loop far from the iteration that cannot be would cost an undone batch for each before it."""
    setbacks = Setbacks()
    stayed = []
    for _ in range(11):
        setbacks.stay_within_events()
        stayed.append(until_it_may_go_on(setbacks))

    assert [1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 256] == stayed

    for _ in range(10):  # those that went on went well
        setbacks.committed([], [])
    setbacks.stay_within_events()
    assert 1 == until_it_may_go_on(setbacks)


def until_it_may_go_on(setbacks: Setbacks) -> int:
    count = 0
    while not setbacks.may_go_on:
        setbacks.committed([], [])
        count += 1
    return count
