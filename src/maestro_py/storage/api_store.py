"""PostgreSQL as the API sees it: the parts of `ports.api_store.ApiStore`, put together."""

from __future__ import annotations

from collections.abc import Sequence

from maestro_py.admission import StartRequest, StartResult
from maestro_py.model.errors import DuplicateSignal, NotFound
from maestro_py.ports.api_records import VersionRecord, VersionRef
from maestro_py.ports.signal_store import Announcement, SignalInstance
from maestro_py.storage import signals
from maestro_py.storage.backlogs import BacklogReader
from maestro_py.storage.connections import Database
from maestro_py.storage.dead_letters import DeadLetters
from maestro_py.storage.definition_cache import DefinitionCache
from maestro_py.storage.definition_reads import DefinitionReader, read_version
from maestro_py.storage.definitions import DefinitionWriter
from maestro_py.storage.instance_reads import InstanceReader
from maestro_py.storage.migrate import head
from maestro_py.storage.starts import start_runs_durably
from maestro_py.storage.step_reads import StepReader
from maestro_py.storage.stops import Stopper


class PostgresStarts:
    """Implements `StartStore` on a hot *database*."""

    def __init__(self, database: Database, cache: DefinitionCache) -> None:
        self._database = database
        self._cache = cache

    async def version(self, workflow_id: str, ref: VersionRef) -> VersionRecord:
        """
        Return the version to start.

        Raises:
            NotFound: there is no such workflow or version, or it has no active one.
        """
        async with self._database.connection() as conn:
            return await read_version(conn, self._cache, workflow_id, ref)

    async def start(self, requests: Sequence[StartRequest], *, now_ms: int) -> list[StartResult]:
        """Admit and store the runs; return what became of each, in their order."""
        return await start_runs_durably(self._database, requests, now_ms=now_ms)


class PostgresAnnouncements:
    """Implements `SignalAnnouncements`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def announce(
        self, announcements: Sequence[Announcement], *, now_ms: int
    ) -> list[SignalInstance | DuplicateSignal]:
        """Store the signals by one commit; return for each its row, or that it was announced before."""
        async with self._database.connection() as conn:
            return await signals.announce_all(conn, announcements, now_ms)

    async def signal(self, name: str, seq_id: int | None) -> SignalInstance:
        """
        Return one signal of *name*, the latest if *seq_id* is None.

        Raises:
            NotFound: there is no such signal.
        """
        async with self._database.connection() as conn:
            found = await signals.read_signal(conn, name, seq_id)
        if found is None:
            raise NotFound(f"there is no signal {name!r}" + ("" if seq_id is None else f" with number {seq_id}"))
        return found


class PostgresApiStore:
    """
    Implements `ApiStore`.

    Args:
        reads: For answers made of reads.
        hot: With ``hot`` connections, for everything that starts or dequeues runs.
    """

    def __init__(self, reads: Database, hot: Database) -> None:
        cache = DefinitionCache()
        self.definitions = DefinitionReader(reads, cache)
        self.changes = DefinitionWriter(hot, cache)
        self.starts = PostgresStarts(hot, cache)
        self.stops = Stopper(hot)
        self.instances = InstanceReader(reads, cache)
        self.steps = StepReader(reads, cache)
        self.signals = PostgresAnnouncements(hot)
        self.dead_letters = DeadLetters(hot)
        self.backlogs = BacklogReader(hot)
        self._reads = reads

    async def schema_problem(self) -> str | None:
        """
        Return why the schema cannot be used, None if it can.

        Raises:
            StoreUnavailable: the database is away.
        """
        async with self._reads.connection() as conn:
            # to_regclass rather than an error: a missing table is an answer here.
            cursor = await conn.execute("SELECT to_regclass('alembic_version') IS NOT NULL")
            if not (await cursor.fetchall())[0][0]:
                return "the database has no schema yet: run `maestro db upgrade`"
            cursor = await conn.execute("SELECT version_num FROM alembic_version")
            revisions = {revision for (revision,) in await cursor.fetchall()}
        if head() not in revisions:
            found = ", ".join(sorted(revisions)) or "none"
            return f"the schema is at revision {found}, not {head()}: run `maestro db upgrade`"
        return None
