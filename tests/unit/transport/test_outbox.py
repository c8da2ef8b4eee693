"""What waits to be sent waits once, in its lane, and never without bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maestro_py.transport.outbox import RECORD_LIMIT_BYTES, Outbox
from maestro_py.transport.topics import Lane

ONE = Lane("maestro.engine", 1)
TWO = Lane("maestro.engine", 2)


def test_what_waits_already_is_queued_once() -> None:
    outbox = Outbox(10)

    assert outbox.put(ONE, "1")
    assert outbox.put(ONE, "1")
    assert 1 == len(outbox)
    assert ["1"] == outbox.take(ONE)


def test_a_lane_with_a_record_under_way_gathers_the_next() -> None:
    """What comes while a record travels may have been said too late for it: it is sent again."""
    outbox = Outbox(10)
    outbox.put(ONE, "1")
    outbox.take(ONE)
    outbox.put(ONE, "1")
    outbox.put(ONE, "1w")
    outbox.put(TWO, "2")

    assert [TWO] == outbox.ready()
    outbox.sent(ONE)
    assert [TWO, ONE] == outbox.ready()
    assert ["1", "1w"] == outbox.take(ONE)


def test_a_full_queue_takes_nothing_but_what_it_has() -> None:
    outbox = Outbox(2)
    outbox.put(ONE, "1")
    outbox.put(TWO, "2")

    assert not outbox.put(TWO, "2w")
    assert outbox.put(ONE, "1")
    assert 2 == len(outbox)


def test_a_record_that_failed_is_queued_again_with_what_came_meanwhile() -> None:
    outbox = Outbox(10)
    outbox.put(ONE, "1")
    outbox.take(ONE)
    outbox.put(ONE, "1")
    outbox.put(ONE, "1w")

    outbox.failed(ONE)

    assert 2 == len(outbox)
    assert ["1", "1w"] == outbox.take(ONE)


def test_an_answer_after_the_failure_changes_nothing() -> None:
    outbox = Outbox(10)
    outbox.put(ONE, "1")
    outbox.take(ONE)
    outbox.all_failed()

    outbox.sent(ONE)
    outbox.failed(ONE)

    assert [ONE] == outbox.ready()
    assert 1 == len(outbox)


def test_what_is_dropped_leaves_room() -> None:
    outbox = Outbox(1)
    outbox.put(ONE, "1")

    assert 1 == outbox.drop(ONE)
    assert [] == outbox.ready()
    assert outbox.put(TWO, "2")


def test_a_record_stays_small() -> None:
    outbox = Outbox(1_000)
    keys = [f"{number:0100}" for number in range(200)]
    for key in keys:
        outbox.put(ONE, key)
    taken: list[str] = []
    while outbox.ready():
        record = outbox.take(ONE)
        assert sum(len(key) + 1 for key in record) <= RECORD_LIMIT_BYTES
        taken += record
        outbox.sent(ONE)

    assert keys == taken
    assert 0 == len(outbox)


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "take", "sent", "failed", "drop"]), st.integers(0, 3), st.integers(0, 5)),
        max_size=60,
    )
)
def test_nothing_is_lost_or_counted_twice(moves: list[tuple[str, int, int]]) -> None:
    """Whatever happens in whatever order: the size is what waits and travels, and all of it can be sent."""
    outbox = Outbox(8)
    waiting: set[tuple[int, str]] = set()
    travelling: dict[int, set[str]] = {}
    for move, number, key_number in moves:
        lane, key = Lane("t", number), str(key_number)
        if move == "put":
            if outbox.put(lane, key):
                waiting.add((number, key))
        elif move == "take" and lane in outbox.ready():
            travelling[number] = set(outbox.take(lane))
            waiting -= {(number, taken) for taken in travelling[number]}
        elif move == "sent":
            outbox.sent(lane)
            travelling.pop(number, None)
        elif move == "failed":
            outbox.failed(lane)
            waiting |= {(number, returned) for returned in travelling.pop(number, ())}
        elif move == "drop":
            outbox.drop(lane)
            waiting = {(at, waits) for at, waits in waiting if at != number}

        assert len(waiting) + sum(map(len, travelling.values())) == len(outbox)
        assert {number for number, _ in waiting} - travelling.keys() == {lane.number for lane in outbox.ready()}
