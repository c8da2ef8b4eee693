"""The dispatcher offers about twice the slots, fairly between workflows and between lanes."""

from __future__ import annotations

from uuid import UUID

import pytest

from maestro_py.engine.dispatcher import Dispatcher, LiveWorker
from maestro_py.ports.engine_store import AttemptKey, DispatchedCount, ReadyRow

SLOTS = 4
#: Twice the slots.
ROOM = 8


@pytest.fixture
def dispatcher() -> Dispatcher:
    """One worker of a few slots, and this engine has all of the work."""
    dispatcher = Dispatcher()
    dispatcher.set_workers([a_worker()], share=1.0)
    return dispatcher


def a_worker(number: int = 1, slots: int = SLOTS, *keys: str) -> LiveWorker:
    return LiveWorker(UUID(int=number), frozenset({"default"}), frozenset(keys or ("shell",)), slots)


def rows(workflow: str, count: int, partition: int = 0, key: str = "shell") -> list[ReadyRow]:
    return [
        ReadyRow(AttemptKey(partition, UUID(int=number), workflow, 1), "default", (key,), workflow)
        for number in range(count)
    ]


def offer(dispatcher: Dispatcher, lane: int = 0) -> bool:
    return dispatcher.offer(lane, "default", ("shell",))


def release(dispatcher: Dispatcher, count: int) -> None:
    for _ in range(count):
        dispatcher.release("default", ("shell",))


def count(number: int) -> DispatchedCount:
    return DispatchedCount("default", ("shell",), number)


def test_about_twice_the_slots_are_offered_and_no_more(dispatcher: Dispatcher) -> None:
    assert [True] * ROOM + [False] == [offer(dispatcher) for _ in range(ROOM + 1)]

    release(dispatcher, 3)
    dispatcher.add_ready(0, rows("wf", 10))
    assert 3 == len(dispatcher.take_ready(0, 500))


def test_nothing_is_offered_that_no_worker_can_run(dispatcher: Dispatcher) -> None:
    """It waits, and is offered once such a worker is there."""
    assert not dispatcher.offer(0, "default", ("spark",))
    dispatcher.add_ready(0, rows("wf", 2, key="spark"))
    assert [] == dispatcher.lanes_with_work()

    dispatcher.set_workers([a_worker(), a_worker(2, SLOTS, "spark")], share=1.0)
    assert 2 == len(dispatcher.take_ready(0, 500))


def test_workflows_take_turns(dispatcher: Dispatcher) -> None:
    """A step of a small workflow does not wait behind ten thousand of a large one."""
    dispatcher.add_ready(0, rows("large", 10_000))
    dispatcher.add_ready(0, rows("small", 1))

    assert "small" in [row.root_workflow_id for row in dispatcher.take_ready(0, 2)]


def test_a_new_attempt_overtakes_nobody_who_waits_in_any_lane(dispatcher: Dispatcher) -> None:
    dispatcher.add_ready(1, rows("wf", 1))

    assert not offer(dispatcher, lane=0)


def test_lanes_share_what_room_there_is(dispatcher: Dispatcher) -> None:
    """The lane that asks first leaves the others their part, as far as they have a use for it."""
    dispatcher.add_ready(0, rows("one", 100))
    dispatcher.add_ready(1, rows("two", 100, partition=1))
    dispatcher.add_ready(2, rows("three", 1, partition=2))

    first = {lane: len(dispatcher.take_ready(lane, 500)) for lane in (0, 2, 1)}
    assert 1 == first[2]
    assert first[1] >= 1
    assert ROOM == sum(first.values()) + len(dispatcher.take_ready(0, 500))


def test_a_single_slot_goes_round_the_lanes(dispatcher: Dispatcher) -> None:
    """A lane that is always first, because it has just freed the slot, does not keep it for ever."""
    for lane in range(3):
        dispatcher.add_ready(lane, rows(f"wf{lane}", 50, partition=lane))
    for _ in range(ROOM):
        for lane in range(3):
            dispatcher.take_ready(lane, 500)

    served = []
    for _ in range(6):
        release(dispatcher, 1)
        served += [lane for lane in (0, 1, 2) for _ in dispatcher.take_ready(lane, 500)]
    assert [2, 2, 2] == [served.count(lane) for lane in range(3)]


def test_what_was_released_while_a_count_was_made_is_not_counted(dispatcher: Dispatcher) -> None:
    """Otherwise a worker that is quicker than the count would be offered nothing until the next one."""
    for _ in range(ROOM):
        offer(dispatcher)
    dispatcher.begin_count()
    release(dispatcher, ROOM)
    dispatcher.set_offered([count(ROOM)])

    assert offer(dispatcher)


def test_a_count_puts_the_estimate_right(dispatcher: Dispatcher) -> None:
    """Whatever was lost or doubled on the way."""
    for _ in range(ROOM):
        offer(dispatcher)
    dispatcher.begin_count()
    dispatcher.set_offered([count(2)])

    assert [True] * (ROOM - 2) + [False] == [offer(dispatcher) for _ in range(ROOM - 1)]
    assert {"default": ROOM} == dispatcher.backlog()


def test_an_engine_offers_its_share_and_at_least_one(dispatcher: Dispatcher) -> None:
    dispatcher.set_workers([a_worker()], share=0.5)
    assert [True] * (ROOM // 2) + [False] == [offer(dispatcher) for _ in range(ROOM // 2 + 1)]

    idle = Dispatcher()
    idle.set_workers([a_worker()], share=0.0001)
    assert [True, False] == [offer(idle), offer(idle)]


def test_partitions_that_are_let_go_take_their_attempts_with_them(dispatcher: Dispatcher) -> None:
    dispatcher.add_ready(0, [*rows("stays", 3, partition=0), *rows("goes", 3, partition=2)])
    dispatcher.drop_ready(0, {2})

    assert 3 == dispatcher.ready_count(0)
    assert {"stays"} == {row.root_workflow_id for row in dispatcher.take_ready(0, 500)}


def test_what_waits_survives_a_change_of_workers(dispatcher: Dispatcher) -> None:
    """In its lane and in its turn."""
    dispatcher.add_ready(0, rows("wf", 3))
    dispatcher.add_ready(1, rows("wf", 2, partition=1))
    assert dispatcher.set_workers([a_worker(), a_worker(2)], share=1.0)
    assert not dispatcher.set_workers([a_worker(2), a_worker()], share=0.9)

    assert [3, 2] == [dispatcher.ready_count(lane) for lane in (0, 1)]
    assert [0, 1] == dispatcher.lanes_with_work()
