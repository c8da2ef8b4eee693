"""Signals are numbered without gaps, stored once, and refused when they were announced before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from maestro_py.model.errors import DuplicateSignal
from maestro_py.ports.signal_store import Announcement, SignalInstance
from maestro_py.storage.signals import announce, announce_all, instance_id_of, read_signal
from tests.signal_scene import NOW_MS, Scene, a_scene


@pytest_asyncio.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with a_scene(database_url) as scene:
        yield scene


def an_announcement(name: str, request_id: str | None = None, **params: str | int) -> Announcement:
    return Announcement(name=name, params=params, request_id=request_id, request_time_ms=1)


async def test_a_signal_is_stored_as_it_was_announced_and_answered(scene: Scene) -> None:
    async with scene.database.connection() as conn:
        answer = await announce(conn, "ready", {"region": "eu", "day": 20260101}, "r-1", 5, {"note": [1]}, NOW_MS)
        stored = await read_signal(conn, "ready", 1)

    assert answer == stored
    assert (
        SignalInstance(
            name="ready",
            seq_id=1,
            instance_id="r-1",
            params={"region": "eu", "day": 20260101},
            payload={"note": [1]},
            request_time_ms=5,
            create_time_ms=NOW_MS,
        )
        == stored
    )
    assert [("ready", 1)] == await scene.rows("SELECT name, seq_id FROM signal_pending")


async def test_each_name_has_its_own_numbers(scene: Scene) -> None:
    for name in ("a", "b", "a"):
        await scene.announce(name, f"{name}-{len(await scene.rows('SELECT 1 FROM signal_instance'))}")

    assert [("a", 1), ("a", 2), ("b", 1)] == await scene.rows("SELECT name, seq_id FROM signal_instance ORDER BY 1, 2")


async def test_the_newest_signal_can_be_read_without_its_number(scene: Scene) -> None:
    await scene.announce_many("a", ["1", "2", "3"])

    async with scene.database.connection() as conn:
        newest = await read_signal(conn, "a", None)
        assert newest is not None
        assert 3 == newest.seq_id
        assert await read_signal(conn, "a", 4) is None
        assert await read_signal(conn, "never heard of", None) is None


async def test_a_repeated_request_id_is_a_duplicate_and_uses_up_no_number(scene: Scene) -> None:
    await scene.announce("a", "same", x=1)
    assert isinstance(await scene.announce("a", "same", x=2), DuplicateSignal)
    third = await scene.announce("a", "other", x=1)

    assert isinstance(third, SignalInstance)
    assert 2 == third.seq_id
    assert 2 == await scene.one("SELECT count(*) FROM signal_pending")


async def test_the_same_request_id_under_another_name_is_another_signal(scene: Scene) -> None:
    await scene.announce("a", "same")

    assert isinstance(await scene.announce("b", "same"), SignalInstance)


async def test_without_a_request_id_name_and_params_tell_signals_apart_in_whatever_order(scene: Scene) -> None:
    assert instance_id_of("a", {"x": 1, "y": "z"}, None) == instance_id_of("a", {"y": "z", "x": 1}, None)
    assert instance_id_of("a", {"x": 1}, None) != instance_id_of("a", {"x": "1"}, None)
    assert isinstance(await scene.announce("a", x=1, y="z"), SignalInstance)
    assert isinstance(await scene.announce("a", y="z", x=1), DuplicateSignal)
    assert isinstance(await scene.announce("a", x=2, y="z"), SignalInstance)


async def test_payload_and_time_do_not_tell_signals_apart(scene: Scene) -> None:
    async with scene.database.connection() as conn:
        await announce(conn, "a", {"x": 1}, None, 1, {"p": 1}, NOW_MS)
        with pytest.raises(DuplicateSignal, match="'a' was announced before with the same name and params"):
            await announce(conn, "a", {"x": 1}, None, 2, {"p": 2}, NOW_MS + 1)


async def test_one_request_sent_many_times_at_once_is_stored_once(scene: Scene) -> None:
    answers = await asyncio.gather(*(scene.announce("a", "same") for _ in range(20)))

    assert 1 == sum(isinstance(answer, SignalInstance) for answer in answers)
    assert 1 == await scene.one("SELECT count(*) FROM signal_instance")


async def test_signals_announced_at_once_are_numbered_without_gaps(scene: Scene) -> None:
    names = ("first", "second")
    answers = await asyncio.gather(*(scene.announce(names[i % 2], str(i)) for i in range(200)))

    for name in names:
        numbers = [a.seq_id for a in answers if isinstance(a, SignalInstance) and a.name == name]
        assert list(range(1, 101)) == sorted(numbers)
    assert [("first", 100), ("second", 100)] == await scene.rows("SELECT name, last_seq FROM signal_name ORDER BY 1")


async def test_a_batch_is_numbered_in_its_order_and_of_equal_ones_the_first_counts(scene: Scene) -> None:
    await scene.announce("b", "old")
    batch = [
        an_announcement("b", "x"),
        an_announcement("a", "x"),
        an_announcement("b", "x"),
        an_announcement("b", "old"),
        an_announcement("b", "y"),
    ]
    async with scene.database.connection() as conn:
        answers = await announce_all(conn, batch, NOW_MS)

    def said(answer: SignalInstance | DuplicateSignal) -> Any:
        return (answer.name, answer.seq_id) if isinstance(answer, SignalInstance) else "duplicate"

    assert [("b", 2), ("a", 1), "duplicate", "duplicate", ("b", 3)] == [said(answer) for answer in answers]


async def test_batches_over_the_same_names_in_any_order_do_not_block_one_another_for_good(scene: Scene) -> None:
    names = [f"n{i}" for i in range(20)]

    async def announce_names(batch: int) -> None:
        order = names if batch % 2 else list(reversed(names))
        async with scene.database.connection() as conn:
            await announce_all(conn, [an_announcement(name, str(batch)) for name in order], NOW_MS)

    await asyncio.gather(*(announce_names(batch) for batch in range(12)))

    assert 20 * 12 == await scene.one("SELECT count(*) FROM signal_instance")


async def test_a_signal_announced_inside_a_transaction_that_fails_was_never_announced(scene: Scene) -> None:
    async def fail_after_announcing() -> None:
        async with scene.database.transaction() as conn:
            await announce(conn, "a", {}, "1", 1, {}, NOW_MS)
            raise LookupError

    with pytest.raises(LookupError):
        await fail_after_announcing()

    assert 0 == await scene.one("SELECT count(*) FROM signal_instance")
    first = await scene.announce("a", "1")
    assert isinstance(first, SignalInstance)
    assert 1 == first.seq_id
