"""Which topic and partition carries a hint, and that a record says what was put into it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.ports.transport import Address, HintKind
from maestro_py.transport.topics import (
    ANYWHERE,
    KEY_LIMIT_BYTES,
    Lane,
    Topics,
    encode,
    is_sendable,
    partitions_of_next,
    passed_on,
)

TOPICS = Topics()
#: What Kafka accepts as the name of a topic.
LEGAL = re.compile(r"[A-Za-z0-9._-]{1,249}")

KEYS = st.text(min_size=1).filter(is_sendable)


def steps(queue: str) -> Address:
    return Address(HintKind.STEPS, queue)


@pytest.mark.parametrize(
    ("address", "lane"),
    [
        (Address(HintKind.ENGINE, "17"), Lane("maestro.engine", 17)),
        (Address(HintKind.ENGINE, "17w"), Lane("maestro.engine", 17)),
        (Address(HintKind.ENGINE, "100"), Lane("maestro.engine", 36)),
        (Address(HintKind.SIGNALS, ""), Lane("maestro.signals", 0)),
        (steps("gpu"), Lane("maestro.steps.gpu", ANYWHERE)),
    ],
)
def test_the_lane_of_an_address(address: Address, lane: Lane) -> None:
    """Events for workflows of a partition lie where its owner reads; more partitions than 64 share."""
    assert lane == TOPICS.lane(address)


def test_a_topic_with_fewer_partitions_is_shared() -> None:
    assert 1 == Lane("maestro.engine", 17).partition(8)


def test_a_worker_has_one_partition_in_every_process() -> None:
    address = Address(HintKind.WORKER, "0198f3c2-7e00-7000-8000-000000000001")

    assert Lane("maestro.workers", 9) == TOPICS.lane(address)


@given(st.lists(KEYS, unique=True, min_size=2, max_size=20))
def test_every_queue_has_a_legal_topic_of_its_own(queues: list[str]) -> None:
    names = [TOPICS.steps(queue).name for queue in queues]

    assert all(LEGAL.fullmatch(name) for name in names)
    # Kafka refuses names that differ in dots and underscores only.
    assert len(queues) == len({name.replace(".", "_") for name in names})


@pytest.mark.parametrize("pair", [("a.b", "a_b"), ("a b", "a-b"), ("x" * 200, "x" * 201), ("ä", "ö")])
def test_queues_that_look_alike_are_told_apart(pair: tuple[str, str]) -> None:
    one, other = (TOPICS.steps(queue).name.replace(".", "_") for queue in pair)

    assert one != other


@given(st.lists(KEYS, unique=True, min_size=1))
def test_a_record_carries_its_keys(keys: list[str]) -> None:
    assert [(steps(key), 0) for key in keys] == list(TOPICS.decode("maestro.steps.any", encode(keys)))


def test_the_empty_key_of_signals_survives() -> None:
    assert [(Address(HintKind.SIGNALS, ""), 0)] == list(TOPICS.decode("maestro.signals", encode([""])))


def test_a_record_of_somebody_else_does_no_harm() -> None:
    """Whoever writes to our topics by mistake wakes nobody by an address that does not exist."""
    assert [] == list(TOPICS.decode("maestro.engine", None))
    assert [(Address(HintKind.ENGINE, "\ufffd"), 0)] == list(TOPICS.decode("maestro.engine", b"\xff"))


@pytest.mark.parametrize("key", ["two\nlines", "nul\0", "half \ud800", "x" * (KEY_LIMIT_BYTES + 1)])
def test_some_keys_cannot_be_sent(key: str) -> None:
    assert not is_sendable(key)


def test_an_installation_may_have_topics_of_its_own() -> None:
    topics = Topics("team-a")

    assert ["team-a.engine", "team-a.signals", "team-a.workers"] == [topic.name for topic in topics.fixed]
    assert "team-a.steps.gpu" == topics.steps("gpu").name


def test_a_record_says_how_often_a_hint_was_passed_on() -> None:
    value = encode(["gpu", passed_on("gpu", 3), passed_on("cpu", 1)])

    assert [(steps("gpu"), 0), (steps("gpu"), 3), (steps("cpu"), 1)] == list(TOPICS.decode("maestro.steps.any", value))


def test_a_record_that_says_something_else_there_is_a_hint_all_the_same() -> None:
    assert [(steps("gpu"), 0)] == list(TOPICS.decode("maestro.steps.gpu", b"gpu\0often"))


@pytest.mark.parametrize("members", [1, 2, 3, 5, 7, 16, 63, 64, 70])
def test_a_hint_that_is_passed_on_comes_to_every_member_and_ends(members: int) -> None:
    """Whoever hears it first, and whichever partition is taken; members without a partition are never told."""
    dealt = [{number for number in range(64) if number % members == member} for member in range(members)]
    for first in range(min(members, 64)):
        for choose in (min, max):
            at, passes, visited = first, 0, {first}
            while others := partitions_of_next(dealt[at], 64, passes):
                at = choose(others) % members
                passes += 1
                visited.add(at)

            assert set(range(min(members, 64))) == visited
            assert passes <= members
