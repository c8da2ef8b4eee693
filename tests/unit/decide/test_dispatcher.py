"""About twice the slots of a route are offered, fairly between workflows and between lanes; the rest waits."""

from __future__ import annotations

import random
from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.engine.dispatcher import OFFERED_PER_SLOT, Dispatcher, LiveWorker
from maestro_py.ports.engine_store import AttemptKey, DispatchedCount, ReadyRow
from maestro_py.testing.builders import RUN_UID

KEYS = ("python", "python:step=a")


def a_worker(
    number: int = 1, *, slots: int = 4, queue: str = "default", keys: tuple[str, ...] = KEYS[:1]
) -> LiveWorker:
    return LiveWorker(UUID(int=number), frozenset({queue}), frozenset(keys), slots)


def a_dispatcher(*workers: LiveWorker, share: float = 1.0) -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.set_workers(workers, share)
    return dispatcher


def rows(count: int, workflow: str = "w", *, partition: int = 1, queue: str = "default") -> list[ReadyRow]:
    """*count* attempts of one workflow that are READY."""
    return [ReadyRow(AttemptKey(partition, RUN_UID, f"{workflow}{i}", 1), queue, KEYS, workflow) for i in range(count)]


def offered(dispatcher: Dispatcher, tries: int, queue: str = "default", keys: tuple[str, ...] = KEYS) -> int:
    """Return how many of *tries* new attempts are offered at once."""
    return sum(dispatcher.offer(0, queue, keys) for _ in range(tries))


# --- how many -------------------------------------------------------------------------------------------------


def test_twice_as_many_attempts_are_offered_as_there_are_slots() -> None:
    assert OFFERED_PER_SLOT * (4 + 3) == offered(a_dispatcher(a_worker(1, slots=4), a_worker(2, slots=3)), 100)


def test_nothing_is_offered_while_no_worker_can_run_it() -> None:
    dispatcher = a_dispatcher()
    dispatcher.add_ready(0, rows(3))

    assert 0 == offered(dispatcher, 5)
    assert [] == dispatcher.take_ready(0, 100)
    assert [] == dispatcher.lanes_with_work()
    assert 3 == dispatcher.ready_count(0)


def test_it_is_told_of_each_queue_how_many_wait_and_since_when() -> None:
    dispatcher = a_dispatcher(a_worker())
    dispatcher.add_ready(0, [row._replace(since_ms=70) for row in rows(2, "a")])
    dispatcher.add_ready(1, [row._replace(since_ms=50 + n) for n, row in enumerate(rows(3, "b"))])
    dispatcher.add_ready(0, [row._replace(since_ms=90) for row in rows(1, queue="other")])

    assert {"default": (5, 50), "other": (1, 90)} == dispatcher.waiting()
    dispatcher.take_ready(1, 2)
    assert {"default": (3, 52), "other": (1, 90)} == dispatcher.waiting()


def test_what_waited_for_a_worker_is_offered_when_one_has_come() -> None:
    dispatcher = a_dispatcher()
    dispatcher.add_ready(0, rows(3))

    assert dispatcher.set_workers([a_worker()], 1.0)
    assert [0] == dispatcher.lanes_with_work()
    assert rows(3) == dispatcher.take_ready(0, 100)


def test_an_attempt_that_came_back_makes_room_for_another() -> None:
    dispatcher = a_dispatcher(a_worker(slots=1))
    assert 2 == offered(dispatcher, 5)

    dispatcher.release("default", KEYS)
    assert 1 == offered(dispatcher, 5)


def test_more_returns_than_offers_leave_no_more_room_than_there_is() -> None:
    dispatcher = a_dispatcher(a_worker(slots=1))
    for _ in range(9):
        dispatcher.release("default", KEYS)

    assert 2 == offered(dispatcher, 9)


def test_no_more_is_taken_than_was_asked_for() -> None:
    dispatcher = a_dispatcher(a_worker(slots=100))
    dispatcher.add_ready(0, rows(50))

    assert 7 == len(dispatcher.take_ready(0, 7))
    assert 43 == dispatcher.ready_count(0)


@pytest.mark.parametrize(("share", "expected"), [(1.0, 16), (0.5, 8), (0.25, 4), (0.01, 1), (0.0, 1)])
def test_an_engine_offers_its_share_and_one_at_least(share: float, expected: int) -> None:
    assert expected == offered(a_dispatcher(a_worker(slots=8), share=share), 100)


def test_a_new_share_counts_from_then_on() -> None:
    dispatcher = a_dispatcher(a_worker(slots=8), share=0.25)
    assert 4 == offered(dispatcher, 100)

    assert not dispatcher.set_workers([a_worker(slots=8)], 0.5), "the workers are the same"
    assert 4 == offered(dispatcher, 100)


# --- routes ---------------------------------------------------------------------------------------------------


def test_each_queue_has_a_budget_of_its_own() -> None:
    dispatcher = a_dispatcher(a_worker(1, slots=1, queue="small"), a_worker(2, slots=5, queue="large"))

    assert (2, 10, 0) == tuple(offered(dispatcher, 100, queue) for queue in ("small", "large", "nobody's"))


@pytest.mark.parametrize(
    ("served", "able"),
    [(("python",), True), (("python:step=a",), True), (("spark", "python:step=a"), True), (("python:step=b",), False)],
)
def test_a_worker_can_run_what_shares_a_backend_key_with_it(served: tuple[str, ...], able: bool) -> None:
    assert able == (offered(a_dispatcher(a_worker(keys=served)), 1) == 1)


def test_attempts_that_the_same_workers_can_run_share_a_budget() -> None:
    dispatcher = a_dispatcher(a_worker(slots=1, keys=("python",)))

    assert 2 == offered(dispatcher, 9, keys=("python", "python:step=a"))
    assert 0 == offered(dispatcher, 9, keys=("python", "python:step=b"))


def test_a_worker_that_left_takes_its_slots_with_it_and_what_waits_finds_its_new_route() -> None:
    dispatcher = a_dispatcher(a_worker(1, slots=2), a_worker(2, slots=2))
    dispatcher.add_ready(0, rows(20))
    assert dispatcher.set_workers([a_worker(1, slots=2)], 1.0)

    assert rows(4) == dispatcher.take_ready(0, 100), "the counts are for the routes of before"
    assert 16 == dispatcher.ready_count(0)


@pytest.mark.parametrize(
    "other",
    [
        a_worker(1, slots=5),
        a_worker(1, queue="other"),
        a_worker(1, keys=("spark",)),
        a_worker(2),
    ],
)
def test_every_difference_between_workers_is_a_change(other: LiveWorker) -> None:
    dispatcher = a_dispatcher(a_worker())

    assert not dispatcher.set_workers([a_worker()], 1.0)
    assert dispatcher.set_workers([other], 1.0)


# --- fairness -------------------------------------------------------------------------------------------------


def test_a_single_attempt_is_not_delayed_by_a_crowd_of_another_workflow() -> None:
    dispatcher = a_dispatcher(a_worker(slots=1))
    dispatcher.add_ready(0, rows(10_000, "crowd"))
    dispatcher.add_ready(0, rows(1, "single"))

    assert ["crowd", "single"] == [row.root_workflow_id for row in dispatcher.take_ready(0, 100)]


def test_workflows_take_turns_and_each_is_served_in_its_own_order() -> None:
    dispatcher = a_dispatcher(a_worker(slots=100))
    for workflow, count in (("a", 3), ("b", 1), ("c", 2)):
        dispatcher.add_ready(0, rows(count, workflow))

    assert ["a0", "b0", "c0", "a1", "c1", "a2"] == [row.key.step_id for row in dispatcher.take_ready(0, 100)]


def test_workflows_go_on_taking_turns_from_batch_to_batch() -> None:
    dispatcher = a_dispatcher(a_worker(slots=1))
    dispatcher.add_ready(0, rows(100, "a"))
    dispatcher.add_ready(0, rows(100, "b"))
    taken: Counter[str] = Counter()
    for _ in range(50):
        for row in dispatcher.take_ready(0, 100):
            taken[row.root_workflow_id] += 1
            dispatcher.release(row.queue, row.backend_keys)

    assert {"a": 50, "b": 50} == taken


def test_a_new_attempt_overtakes_nobody_who_waits() -> None:
    dispatcher = a_dispatcher(a_worker(slots=1))
    dispatcher.add_ready(1, rows(1))
    assert not dispatcher.offer(0, "default", KEYS)

    dispatcher.take_ready(1, 100)
    assert dispatcher.offer(0, "default", KEYS)


def test_who_waits_on_one_route_does_not_hold_up_another() -> None:
    dispatcher = a_dispatcher(a_worker(1, slots=1), a_worker(2, slots=1, queue="other"))
    dispatcher.add_ready(0, rows(9))

    assert dispatcher.offer(0, "other", KEYS)


def taken_in_turns(dispatcher: Dispatcher) -> Counter[int]:
    """Return how many attempts each lane takes until there is no room or nobody waits."""
    taken: Counter[int] = Counter()
    while lanes := dispatcher.lanes_with_work():
        for lane in lanes:
            taken[lane] += len(dispatcher.take_ready(lane, 100))
    return taken


def test_lanes_share_the_room_of_a_route() -> None:
    dispatcher = a_dispatcher(a_worker(slots=5))
    dispatcher.add_ready(0, rows(100))
    dispatcher.add_ready(1, rows(100))
    taken = taken_in_turns(dispatcher)

    assert 10 == taken.total()
    assert min(taken.values()) >= 4


def test_a_lane_leaves_to_the_others_what_they_need_and_no_more() -> None:
    dispatcher = a_dispatcher(a_worker(slots=5))
    dispatcher.add_ready(0, rows(100))
    dispatcher.add_ready(1, rows(2))

    assert 8 == len(dispatcher.take_ready(0, 100))


def test_no_lane_starves_when_there_is_room_for_one_at_a_time() -> None:
    dispatcher = a_dispatcher(a_worker(slots=1), share=0.5)
    for lane in range(3):
        dispatcher.add_ready(lane, rows(100))
    taken: Counter[int] = Counter()
    for _ in range(30):
        for lane in dispatcher.lanes_with_work():
            for row in dispatcher.take_ready(lane, 100):
                taken[lane] += 1
                dispatcher.release(row.queue, row.backend_keys)

    assert {0, 1, 2} == taken.keys()
    assert max(taken.values()) - min(taken.values()) <= 1


# --- putting right --------------------------------------------------------------------------------------------


def test_a_fresh_count_replaces_the_estimate() -> None:
    dispatcher = a_dispatcher(a_worker(slots=4))
    assert 8 == offered(dispatcher, 100)

    dispatcher.begin_count()
    dispatcher.set_offered(
        [DispatchedCount("default", ("python", "python:step=a"), 2), DispatchedCount("default", KEYS[:1], 3)]
    )
    assert 3 == offered(dispatcher, 100)


def test_what_came_back_while_it_was_counted_is_not_counted() -> None:
    dispatcher = a_dispatcher(a_worker(slots=4))
    offered(dispatcher, 100)
    dispatcher.begin_count()
    dispatcher.release("default", KEYS)
    dispatcher.release("default", KEYS)
    dispatcher.set_offered([DispatchedCount("default", KEYS, 8)])

    assert 2 == offered(dispatcher, 100)


def test_more_returns_than_were_counted_leave_nothing_negative() -> None:
    dispatcher = a_dispatcher(a_worker(slots=1))
    dispatcher.begin_count()
    for _ in range(5):
        dispatcher.release("default", KEYS)
    dispatcher.set_offered([])

    assert 2 == offered(dispatcher, 100)


def test_more_offered_than_there_is_room_for_offers_nothing_until_it_came_back() -> None:
    dispatcher = a_dispatcher(a_worker(slots=1))
    dispatcher.set_offered([DispatchedCount("default", KEYS, 4)])
    for _ in range(2):
        dispatcher.release("default", KEYS)
        assert 0 == offered(dispatcher, 9)

    dispatcher.release("default", KEYS)
    assert 1 == offered(dispatcher, 9)


def test_the_attempts_of_partitions_that_went_away_are_forgotten() -> None:
    dispatcher = a_dispatcher(a_worker(slots=100))
    dispatcher.add_ready(0, rows(3, "gone", partition=1))
    dispatcher.add_ready(0, rows(2, "kept", partition=2))
    dispatcher.add_ready(1, rows(4, "beside", partition=1))
    dispatcher.drop_ready(0, {1})

    assert {"kept"} == {row.root_workflow_id for row in dispatcher.take_ready(0, 100)}
    assert 4 == dispatcher.ready_count(1)


def test_a_lane_that_reads_its_attempts_anew_forgets_all_it_had() -> None:
    dispatcher = a_dispatcher(a_worker(slots=100))
    dispatcher.add_ready(0, rows(3))
    dispatcher.drop_ready(0)

    assert 0 == dispatcher.ready_count(0)
    assert [] == dispatcher.take_ready(0, 100)
    assert dispatcher.offer(0, "default", KEYS)


def test_the_backlog_of_a_queue_is_what_waits_and_what_is_offered() -> None:
    dispatcher = a_dispatcher(a_worker(1, slots=1), a_worker(2, slots=1, queue="other"))
    offered(dispatcher, 9)
    dispatcher.add_ready(0, rows(3))
    dispatcher.add_ready(1, rows(4))
    dispatcher.add_ready(1, rows(5, queue="other"))

    assert {"default": 2 + 3 + 4, "other": 5} == dispatcher.backlog()


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 3))
def test_whatever_happens_the_budget_holds_and_everything_is_offered_once(seed: int, slots: int, lanes: int) -> None:
    draw = random.Random(seed)
    dispatcher = a_dispatcher(a_worker(slots=slots))
    number, at_workers = 0, 0
    waiting: set[str] = set()
    taken: list[str] = []
    for step in range(400):
        lane = draw.randrange(lanes)
        if step < 100:  # then nothing new comes, and what waits is worked off
            number += 1
            row = ReadyRow(AttemptKey(1, RUN_UID, f"s{number}", 1), "default", KEYS, f"w{draw.randrange(3)}")
            if dispatcher.offer(lane, row.queue, row.backend_keys):
                assert not waiting, "it overtook somebody"
                at_workers += 1
                taken.append(row.key.step_id)
            else:
                waiting.add(row.key.step_id)
                dispatcher.add_ready(lane, [row])
        for lane in dispatcher.lanes_with_work():
            for row in dispatcher.take_ready(lane, draw.randint(1, 5)):
                waiting.remove(row.key.step_id)
                taken.append(row.key.step_id)
                at_workers += 1
        assert at_workers <= OFFERED_PER_SLOT * slots
        if at_workers:
            at_workers -= 1
            dispatcher.release("default", KEYS)

    assert set() == waiting
    assert number == len(taken) == len(set(taken))
