"""Engines share the partitions among them while they come, go, stall and lose their database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from uuid import UUID

import pytest
from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow

from maestro_py.model.errors import Fenced, StoreUnavailable
from maestro_py.model.ids import new_uid
from maestro_py.model.statuses import ProcessKind
from maestro_py.storage.connections import Database, application_name
from maestro_py.storage.partitions import PostgresPartitions, fence
from maestro_py.testing.waiting import wait_until_async
from tests.ownership_scene import LONG_MS, PARTITIONS, Subject, Table, running_engine

#: New engines are to be in balance within this many seconds.
CONVERGED_SECONDS = 3.0


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, application_name(ProcessKind.ENGINE, new_uid()), hot=True) as database:
        yield database


@pytest.fixture
def table(database: Database) -> Table:
    return Table(database)


@pytest.fixture
async def subject(database: Database, table: Table) -> Subject:
    subject = Subject(database)
    await table.beat_for(subject.beat)
    return subject


# --- engines that come and go ---


async def test_a_lone_engine_owns_everything_at_once(database_url: str, table: Table) -> None:
    async with running_engine(database_url) as (ownership, lanes):
        await wait_until_async(lambda: len(lanes.held) == PARTITIONS, CONVERGED_SECONDS)

        assert lanes.held == ownership.owned == await table.epochs()


async def test_engines_that_join_take_their_share_within_seconds(database_url: str, table: Table) -> None:
    async with running_engine(database_url) as (_, one):
        await wait_until_async(lambda: len(one.held) == PARTITIONS)
        async with running_engine(database_url) as (_, two):
            await wait_until_async(lambda: len(one.held) == len(two.held) == 32, CONVERGED_SECONDS)
            async with running_engine(database_url) as (_, three):
                shares = [22, 21, 21]
                await wait_until_async(
                    lambda: shares == [len(lanes.held) for lanes in (one, two, three)], CONVERGED_SECONDS
                )

                together = one.held | two.held | three.held
                assert together == await table.epochs()


async def test_an_engine_that_stops_leaves_nothing_and_the_others_take_it_at_once(
    database_url: str, table: Table
) -> None:
    async with running_engine(database_url) as (_, one):
        async with running_engine(database_url) as (_, two):
            await wait_until_async(lambda: len(one.held) == len(two.held) == 32)
        assert {} == two.held

        await wait_until_async(lambda: len(one.held) == PARTITIONS, CONVERGED_SECONDS)
        assert one.held == await table.epochs()
    assert {None} == set((await table.owners()).values())


async def test_a_partition_is_handed_over_only_when_the_lanes_have_let_go(subject: Subject, table: Table) -> None:
    await subject.tick()
    other = await table.an_engine()
    subject.lanes.may_let_go.clear()

    handing_over = asyncio.create_task(subject.tick())
    await wait_until_async(lambda: subject.lanes.asked)
    assert set(range(32)) == set(subject.owned), "nothing new begins for what is being let go"
    assert {subject.beat.process_id} == set((await table.owners()).values())
    subject.lanes.may_let_go.set()
    await handing_over

    assert frozenset(range(32, 64)) == subject.lanes.asked[0]
    assert {p: subject.beat.process_id if p < 32 else None for p in range(64)} == await table.owners()
    assert set(range(32)) == set(subject.owned)
    assert other not in (await table.owners()).values()


async def test_lanes_that_do_not_let_go_keep_their_partitions_and_are_asked_again(
    database: Database, table: Table
) -> None:
    subject = Subject(database, drain_seconds=0.05)
    await table.beat_for(subject.beat)
    await subject.tick()
    await table.an_engine()
    subject.lanes.may_let_go.clear()

    assert not await subject.tick()
    assert subject.lanes.held == subject.owned == await table.epochs()

    subject.lanes.may_let_go.set()
    await subject.tick()
    assert 2 == len(subject.lanes.asked)
    assert 32 == len(subject.owned)


# --- dead engines ---


async def test_the_partitions_of_a_dead_engine_are_taken_under_a_new_epoch(subject: Subject, table: Table) -> None:
    await table.an_engine(silent_ms=2_000, lease_ms=1_000, owns=range(64))

    assert await subject.tick()

    assert dict.fromkeys(range(64), 2) == subject.owned == await table.epochs()


async def test_the_partitions_of_a_living_engine_are_left_alone(subject: Subject, table: Table) -> None:
    living = await table.an_engine(silent_ms=2_000, lease_ms=LONG_MS, owns=range(64))

    assert not await subject.tick()

    assert {living} == set((await table.owners()).values())


async def test_an_owner_without_a_row_is_nobody(subject: Subject, table: Table) -> None:
    await table.own(new_uid(), range(64))

    assert await subject.tick()

    assert PARTITIONS == len(subject.owned)


async def test_an_engine_that_has_not_beaten_for_a_whole_lease_takes_nothing_from_others(
    subject: Subject, table: Table
) -> None:
    """After an outage every beat is old: the database away is nobody's death."""
    silent = await table.an_engine(silent_ms=20_000, lease_ms=6_000, owns=range(64))

    subject.beat.beaten_ms = 5_999
    assert not await subject.tick()
    assert {silent} == set((await table.owners()).values())

    subject.beat.beaten_ms = 6_000
    assert await subject.tick()
    assert PARTITIONS == len(subject.owned)


async def test_an_engine_whose_first_beat_is_yet_to_come_takes_nothing(database: Database, table: Table) -> None:
    subject = Subject(database)

    assert not await subject.tick()

    assert {None} == set((await table.owners()).values())


async def test_a_contended_partition_is_skipped_and_taken_later(
    subject: Subject, database: Database, table: Table
) -> None:
    """Some session of the dead owner may still hold its fence until it is terminated."""
    async with database.transaction() as conn:
        await conn.execute("SELECT FROM engine_partition WHERE partition = 7 FOR SHARE")

        assert not await subject.tick()
        assert set(range(64)) - {7} == set(subject.owned)

    assert await subject.tick()
    assert 7 in subject.owned


# --- what one may believe ---


async def test_what_others_took_is_dropped(subject: Subject, table: Table) -> None:
    await subject.tick()
    other = await table.an_engine()
    await table.own(other, [1, 2])

    await subject.tick()

    assert frozenset({1, 2}) == subject.lanes.asked[0]
    assert not {1, 2} & set(subject.owned)
    assert subject.lanes.held == subject.owned


async def test_a_partition_whose_fence_failed_comes_back_when_it_is_ours_again(subject: Subject, table: Table) -> None:
    await subject.tick()
    await table.own(new_uid(), [5])

    subject.ownership.lost(5)
    assert 5 not in subject.owned
    await subject.tick()

    assert 3 == subject.owned[5] == (await table.epochs())[5]


async def test_an_acquisition_that_was_answered_to_nobody_is_found_at_the_next_look(
    database: Database, table: Table
) -> None:
    class Unanswered(PostgresPartitions):
        async def acquire(self, engine: UUID, limit: int, dead: Collection[UUID]) -> Mapping[int, int]:
            await super().acquire(engine, limit, dead)
            raise StoreUnavailable("the connection broke before the answer came")

    subject = Subject(database, lambda _: Unanswered(database))
    await table.beat_for(subject.beat)

    with pytest.raises(StoreUnavailable):
        await subject.tick()
    assert not subject.lanes.held
    assert await subject.tick()

    assert subject.lanes.held == subject.owned == await table.epochs()


async def test_a_release_that_was_not_made_is_made_later(database: Database, table: Table) -> None:
    class Away(PostgresPartitions):
        is_away = True

        async def release(self, engine: UUID, epochs: Mapping[int, int]) -> None:
            if self.is_away:
                self.is_away = False
                raise StoreUnavailable("away")
            await super().release(engine, epochs)

    subject = Subject(database, lambda _: Away(database))
    await table.beat_for(subject.beat)
    await subject.tick()
    await table.an_engine()

    with pytest.raises(StoreUnavailable):
        await subject.tick()
    assert await subject.tick()

    assert {p: subject.beat.process_id if p < 32 else None for p in range(64)} == await table.owners()


# --- the fence ---


async def test_the_fence_stops_a_zombie(database: Database, subject: Subject, table: Table) -> None:
    await subject.tick()
    before = dict(subject.owned)
    await table.own(new_uid(), [3])

    async with database.transaction() as conn:
        await fence(conn, {p: e for p, e in before.items() if p != 3})
        with pytest.raises(Fenced, match="partition 3"):
            await fence(conn, before)


async def test_nobody_takes_a_partition_that_is_fenced(database: Database, subject: Subject, table: Table) -> None:
    dead = await table.an_engine(silent_ms=2_000, lease_ms=1_000, owns=[4])
    async with database.transaction() as conn:
        await fence(conn, {4: 1})

        await subject.tick()
        assert dead == (await table.owners())[4]
        assert 4 not in subject.owned


async def test_two_batches_of_one_engine_fence_side_by_side(database: Database, subject: Subject) -> None:
    await subject.tick()

    async with database.transaction() as one, database.transaction() as two:
        for conn in (one, two):
            await fence(conn, subject.owned)
        with pytest.raises(errors.LockNotAvailable):
            await _lock_all(two)


async def _lock_all(conn: AsyncConnection[TupleRow]) -> None:
    async with conn.transaction():
        await conn.execute("SELECT FROM engine_partition FOR NO KEY UPDATE NOWAIT")
