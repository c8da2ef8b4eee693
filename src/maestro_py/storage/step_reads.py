"""Read attempts of steps, and the iterations of a foreach, for answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from maestro_py.model.definition import Workflow
from maestro_py.model.errors import NotFound
from maestro_py.model.ids import inline_workflow_id
from maestro_py.model.statuses import StepStatus
from maestro_py.ports.api_records import (
    AttemptDetail,
    AttemptRecord,
    AttemptRef,
    IterationDetail,
    IterationRecord,
    LogChunk,
    Page,
    PageRequest,
    RunRecord,
    RunRef,
)
from maestro_py.storage.connections import Database
from maestro_py.storage.definition_cache import DefinitionCache
from maestro_py.storage.instance_reads import read_internal_id, read_run
from maestro_py.storage.iteration_reads import missing_step, read_passed
from maestro_py.storage.paging import ends_of, page_clause, page_parameters
from maestro_py.storage.retries import Connection, snapshot
from maestro_py.storage.step_logs import read_logs

_COLUMNS: Final = ", ".join(
    "p.host || ':' || p.pid" if name == "worker_name" else f"a.{name}" for name in AttemptRecord.__struct_fields__
)

#: Returns the latest attempt of each step of a run, in the order in which the steps were created.
_LATEST_ATTEMPTS: Final = f"""
SELECT {_COLUMNS} FROM (
    SELECT DISTINCT ON (step_id) * FROM step_attempt WHERE partition = %s AND run_uid = %s
    ORDER BY step_id, attempt DESC) AS a
LEFT JOIN process p ON p.id = a.worker
ORDER BY a.step_seq
"""  # noqa: S608  # our own text

#: Returns one page of the latest attempts of the steps of a run, the newest step first.
_PAGE: Final = f"""
SELECT {_COLUMNS} FROM (
    SELECT * FROM (
        SELECT DISTINCT ON (step_id) * FROM step_attempt
        WHERE partition = %(partition)s AND run_uid = %(run_uid)s ORDER BY step_id, attempt DESC) AS latest
    WHERE {{page}}) AS a
LEFT JOIN process p ON p.id = a.worker
ORDER BY a.step_seq DESC
"""  # noqa: S608  # our own text

#: Returns the lowest and highest number of a step of a run.
_STEP_ENDS: Final = "SELECT min(step_seq), max(step_seq) FROM step_attempt WHERE partition = %s AND run_uid = %s"

#: Returns one attempt of a step.
_ATTEMPT: Final = f"""
SELECT {_COLUMNS} FROM step_attempt a LEFT JOIN process p ON p.id = a.worker
WHERE a.partition = %s AND a.run_uid = %s AND a.step_id = %s AND a.attempt = %s
"""  # noqa: S608  # our own text

#: Returns the latest attempt of a step.
_LATEST_ATTEMPT: Final = f"""
SELECT {_COLUMNS} FROM step_attempt a LEFT JOIN process p ON p.id = a.worker
WHERE a.partition = %s AND a.run_uid = %s AND a.step_id = %s
ORDER BY a.attempt DESC LIMIT 1
"""  # noqa: S608  # our own text

#: Returns the queues and backend keys that live workers serve.
_SERVED: Final = """
SELECT info->'queues', info->'backend_keys' FROM process
WHERE kind = 'worker' AND beat_at > clock_timestamp() - make_interval(secs => lease_ms / 1000.0)
"""

#: Returns when each attempt of a run that waits for its retry, or sleeps, goes on, in UTC epoch ms.
_WAKES: Final = """
SELECT payload->>'step_id', (payload->>'attempt')::int, round(extract(epoch FROM fire_at) * 1000)::bigint
FROM engine_timer WHERE partition = %s AND run_uid = %s AND payload->>'kind' = 'TimerFired'
"""

_ITERATION_COLUMNS: Final = ", ".join(f"i.{name}" for name in IterationRecord.__struct_fields__)

#: Returns one page of iterations, the highest number first, each by its latest run.
_ITERATIONS: Final = f"""
SELECT {_ITERATION_COLUMNS} FROM (
    SELECT DISTINCT ON (instance_id) * FROM workflow_instance
    WHERE workflow_id = %(workflow_id)s AND (%(status)s::text IS NULL OR status = %(status)s) AND {{page}}) AS i
ORDER BY i.instance_id DESC
"""  # noqa: S608  # our own text

#: Returns the lowest and highest iteration of the status.
_ITERATION_ENDS: Final = """
SELECT (SELECT instance_id FROM workflow_instance
        WHERE workflow_id = %s AND (%s::text IS NULL OR status = %s) ORDER BY instance_id LIMIT 1),
       (SELECT instance_id FROM workflow_instance
        WHERE workflow_id = %s AND (%s::text IS NULL OR status = %s) ORDER BY instance_id DESC LIMIT 1)
"""


class StepReader:
    """Reads attempts from *database*."""

    def __init__(self, database: Database, cache: DefinitionCache) -> None:
        self._database = database
        self._cache = cache

    async def steps(self, ref: RunRef) -> AttemptDetail:
        """
        Return the latest attempt of every step of a run, in the order of creation.

        Raises:
            NotFound: there is no such run.
        """
        async with snapshot(self._database) as conn:
            run = await read_run(conn, ref)
            cursor = await conn.execute(_LATEST_ATTEMPTS, (run.partition, run.run_uid))
            return await self._detail(conn, run, [_attempt(row) for row in await cursor.fetchall()])

    async def step_page(self, ref: RunRef, page: PageRequest) -> tuple[AttemptDetail, Page[AttemptRecord]]:
        """
        Return a page of the latest attempts of a run's steps; ids are the numbers of their creation, from 1.

        Raises:
            NotFound: there is no such run.
        """
        async with snapshot(self._database) as conn:
            run = await read_run(conn, ref)
            parameters = {"partition": run.partition, "run_uid": run.run_uid, **page_parameters(page)}
            cursor = await conn.execute(_PAGE.format(page=page_clause("step_seq", page)), parameters)
            attempts = tuple(_attempt(row) for row in await cursor.fetchall())
            oldest, newest = await ends_of(conn, _STEP_ENDS, run.partition, run.run_uid)
            detail = await self._detail(conn, run, attempts)
        return detail, Page(attempts, tuple(attempt.step_seq for attempt in attempts), newest, oldest)

    async def attempt(self, ref: AttemptRef) -> AttemptDetail:
        """
        Return one attempt of one step.

        Raises:
            NotFound: there is no such run or attempt.
        """
        async with snapshot(self._database) as conn:
            run = await read_run(conn, ref.run)
            return await self._detail(conn, run, [await self._read_attempt(conn, run, ref)])

    async def log(self, ref: AttemptRef, *, after: int, limit: int) -> list[LogChunk]:
        """
        Return at most *limit* chunks of the attempt's log beyond *after*, the oldest first.

        Raises:
            NotFound: there is no such run or attempt.
        """
        async with snapshot(self._database) as conn:
            run = await read_run(conn, ref.run)
            attempt = (await self._read_attempt(conn, run, ref)).attempt
            pieces = await read_logs(conn, run.partition, run.run_uid, ref.step_id, attempt, after=after, limit=limit)
        return [LogChunk(piece.position, piece.create_time_ms, piece.text) for piece in pieces]

    async def iterations(self, ref: AttemptRef, page: PageRequest, status: str | None) -> Page[IterationRecord]:
        """
        Return a page of the iterations of a foreach; ids are the numbers of the iterations, from 1.

        Raises:
            NotFound: there is no such run or step.
        """
        async with snapshot(self._database) as conn:
            run = await read_run(conn, ref.run)
            await self._read_attempt(conn, run, ref)
            internal_id = await read_internal_id(conn, run.root_workflow_id)
            inline_id = inline_workflow_id(str(internal_id), run.instance_id, run.workflow_id, ref.step_id)
            clause = page_clause("instance_id", page, "run_id DESC")
            parameters = {"workflow_id": inline_id, "status": status, **page_parameters(page)}
            cursor = await conn.execute(_ITERATIONS.format(page=clause), parameters)
            names = IterationRecord.__struct_fields__
            records = tuple(IterationRecord(**dict(zip(names, row, strict=True))) for row in await cursor.fetchall())
            oldest, newest = await ends_of(conn, _ITERATION_ENDS, *(inline_id, status, status) * 2)
        return Page(records, tuple(r.instance_id for r in records), newest, oldest)

    async def iteration(self, ref: AttemptRef, path: Sequence[int]) -> IterationDetail:
        """
        Return one iteration of each of the loops around a step, and the step's latest attempt in it.

        Raises:
            NotFound: there is no such run, step, iteration or attempt.
            IterationMismatch: the step is in more, or in fewer, loops than *path* has numbers.
        """
        async with snapshot(self._database) as conn:
            run = await read_run(conn, ref.run)
            workflow = await self._workflow(conn, run)
            passed, is_inside = await read_passed(conn, run, workflow, ref.step_id, path)
            step = None
            if is_inside:
                innermost = passed[-1]
                step = await self._detail(conn, innermost, [await self._read_attempt(conn, innermost, ref)])
        return IterationDetail(run=run, passed=passed, step=step)

    async def _workflow(self, conn: Connection, run: RunRecord) -> Workflow:
        definitions = await self._cache.load(conn, [run.definition_uid])
        return definitions[run.definition_uid]

    async def _detail(self, conn: Connection, run: RunRecord, attempts: Sequence[AttemptRecord]) -> AttemptDetail:
        served: tuple[tuple[str, frozenset[str]], ...] = ()
        if any(a.dispatch in ("READY", "QUEUED") for a in attempts):
            cursor = await conn.execute(_SERVED)
            served = tuple(
                (queue, frozenset(keys or ())) for queues, keys in await cursor.fetchall() for queue in queues or ()
            )
        wakes: dict[tuple[str, int], int] = {}
        if any(StepStatus(a.status).is_retried for a in attempts):
            cursor = await conn.execute(_WAKES, (run.partition, run.run_uid))
            wakes = {(step_id, attempt): fire_ms for step_id, attempt, fire_ms in await cursor.fetchall()}
        return AttemptDetail(
            run=run,
            workflow=await self._workflow(conn, run),
            internal_id=await read_internal_id(conn, run.root_workflow_id),
            attempts=tuple(attempts),
            served=served,
            wakes=wakes,
        )

    async def _read_attempt(self, conn: Connection, run: RunRecord, ref: AttemptRef) -> AttemptRecord:
        """Return the attempt of *run*, which need not be the run that *ref* names."""
        if ref.attempt is not None:
            cursor = await conn.execute(_ATTEMPT, (run.partition, run.run_uid, ref.step_id, ref.attempt))
            if (row := await cursor.fetchone()) is not None:
                return _attempt(row)
        cursor = await conn.execute(_LATEST_ATTEMPT, (run.partition, run.run_uid, ref.step_id))
        if (row := await cursor.fetchone()) is None:
            raise missing_step(run, await self._workflow(conn, run), ref.step_id)
        if ref.attempt is not None:
            which = f"attempt {ref.attempt} of step {ref.step_id!r}"
            raise NotFound(f"{run.workflow_id}:{run.instance_id}:{run.run_id} has no {which} yet")
        return _attempt(row)


def _attempt(row: tuple[Any, ...]) -> AttemptRecord:
    return AttemptRecord(**dict(zip(AttemptRecord.__struct_fields__, row, strict=True)))
