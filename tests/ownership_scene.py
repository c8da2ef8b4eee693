"""Engines that share partitions: real ones, and one whose looks at the database a test calls one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from psycopg.rows import TupleRow

from maestro_py.engine.ownership import Ownership
from maestro_py.model.ids import new_uid
from maestro_py.model.statuses import ProcessKind
from maestro_py.storage.connections import Database
from maestro_py.storage.partitions import PostgresPartitions
from maestro_py.storage.processes import Beat

PARTITIONS = 64
#: A lease that no test outlives.
LONG_MS = 60_000


class ManualBeat:
    """The beat of an engine, as a test wants it; the row of the process is the test's too."""

    def __init__(self) -> None:
        self.process_id = new_uid()
        self.beaten_ms = LONG_MS

    def set_info(self, info: Mapping[str, Any]) -> None: ...

    def last_answered_ms_ago(self) -> int:
        return 0

    def server_away(self) -> bool:
        return False

    def beaten_without_gap_for_ms(self) -> int:
        return self.beaten_ms


class Lanes:
    """What an engine's lanes would do: take partitions, and let them go."""

    def __init__(self) -> None:
        self.held: dict[int, int] = {}
        self.asked: list[frozenset[int]] = []
        self.may_let_go = asyncio.Event()
        self.may_let_go.set()

    def acquire(self, epochs: Mapping[int, int]) -> None:
        self.held.update(epochs)

    async def release(self, partitions: frozenset[int]) -> None:
        self.asked.append(partitions)
        await self.may_let_go.wait()
        for partition in partitions:
            self.held.pop(partition, None)


@asynccontextmanager
async def running_engine(url: str, lease_ms: int = 6_000) -> AsyncIterator[tuple[Ownership, Lanes]]:
    """An engine that beats and shares partitions as in production; it stops in order at the end of the block."""
    beat = Beat(url, ProcessKind.ENGINE, lease_ms=lease_ms, interval_ms=200)
    beat.start()
    await beat.ready()
    lanes = Lanes()
    async with Database(url, beat.name, size=2, hot=True) as database:
        ownership = Ownership(PostgresPartitions(database), beat, lanes.acquire, lanes.release)
        running = asyncio.create_task(ownership.run())
        try:
            yield ownership, lanes
        finally:
            ownership.stop()
            await running
            beat.stop()


class Table:
    """The tables of ownership, as a test looks at them and changes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def execute(self, query: str, *parameters: object) -> list[TupleRow]:
        async with self._database.connection() as conn:
            cursor = await conn.execute(query.encode(), parameters)
            return await cursor.fetchall() if cursor.description else []

    async def owners(self) -> dict[int, UUID | None]:
        return dict(await self.execute("SELECT partition, owner FROM engine_partition"))

    async def epochs(self) -> dict[int, int]:
        return dict(await self.execute("SELECT partition, epoch FROM engine_partition"))

    async def an_engine(self, *, silent_ms: int = 0, lease_ms: int = LONG_MS, owns: Collection[int] = ()) -> UUID:
        """The row of an engine whose newest beat is *silent_ms* old, and what it owns."""
        engine = new_uid()
        await self.execute(
            "INSERT INTO process (id, kind, host, pid, beat_at, lease_ms)"
            " VALUES (%s, 'engine', 'h', 1, clock_timestamp() - %s * interval '1 ms', %s)",
            engine,
            silent_ms,
            lease_ms,
        )
        await self.own(engine, owns)
        return engine

    async def own(self, engine: UUID, partitions: Collection[int]) -> None:
        await self.execute(
            "UPDATE engine_partition SET owner = %s, epoch = epoch + 1 WHERE partition = ANY(%s)",
            engine,
            list(partitions),
        )

    async def beat_for(self, beat: ManualBeat) -> None:
        await self.execute(
            "INSERT INTO process (id, kind, host, pid, lease_ms) VALUES (%s, 'engine', 'h', 1, %s)",
            beat.process_id,
            LONG_MS,
        )


class Subject:
    """An engine whose looks the test calls one by one."""

    def __init__(
        self,
        database: Database,
        wrap: Callable[[PostgresPartitions], PostgresPartitions] = lambda store: store,
        drain_seconds: float = 5.0,
    ) -> None:
        self.beat = ManualBeat()
        self.lanes = Lanes()
        self.ownership = Ownership(
            wrap(PostgresPartitions(database)),
            self.beat,
            self.lanes.acquire,
            self.lanes.release,
            drain_seconds=drain_seconds,
        )
        self.tick = self.ownership.tick
        self.owned = self.ownership.owned
