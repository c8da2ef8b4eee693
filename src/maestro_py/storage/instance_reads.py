"""Read runs of instances, for answers."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from maestro_py.model.errors import NotFound
from maestro_py.ports.api_records import Page, PageRequest, RunDetail, RunRecord, RunRef, StepState
from maestro_py.storage.connections import Database
from maestro_py.storage.definition_cache import DefinitionCache
from maestro_py.storage.paging import ends_of, page_clause, page_parameters
from maestro_py.storage.retries import Connection, snapshot

_COLUMNS: Final = ", ".join(f"i.{name}" for name in RunRecord.__struct_fields__)
_HEAVY: Final = ("params", "run_config")
#: Of a list: a page of 200 runs whose parameters may be 64 MB each would be more than a process holds.
LISTED_COLUMNS: Final = ", ".join(
    f"CASE WHEN pg_column_size(i.{name}) <= 16384 THEN i.{name} END" if name in _HEAVY else f"i.{name}"
    for name in RunRecord.__struct_fields__
)

#: Returns one run of an instance.
_RUN: Final = f"""
SELECT {_COLUMNS} FROM workflow_instance i WHERE i.workflow_id = %s AND i.instance_id = %s AND i.run_id = %s
"""  # noqa: S608  # our own text

#: Returns the latest run of an instance.
_LATEST_RUN: Final = f"""
SELECT {_COLUMNS} FROM workflow_instance i WHERE i.workflow_id = %s AND i.instance_id = %s
ORDER BY i.run_id DESC LIMIT 1
"""  # noqa: S608  # our own text

#: Returns one page of instances, newest first, each by its latest run.
_INSTANCES: Final = f"""
SELECT {LISTED_COLUMNS} FROM (
    SELECT DISTINCT ON (instance_id) * FROM workflow_instance
    WHERE workflow_id = %(workflow_id)s AND {{page}}) AS i
ORDER BY i.instance_id DESC
"""  # noqa: S608  # our own text

#: Returns the lowest and highest instance id.
_INSTANCE_ENDS: Final = "SELECT min(instance_id), max(instance_id) FROM workflow_instance WHERE workflow_id = %s"

#: Returns one page of the runs of an instance, newest first.
_RUNS: Final = f"""
SELECT {LISTED_COLUMNS} FROM (
    SELECT * FROM workflow_instance
    WHERE workflow_id = %(workflow_id)s AND instance_id = %(instance_id)s AND {{page}}) AS i
ORDER BY i.run_id DESC
"""  # noqa: S608  # our own text

#: Returns the lowest and highest run id of an instance.
_RUN_ENDS: Final = "SELECT min(run_id), max(run_id) FROM workflow_instance WHERE workflow_id = %s AND instance_id = %s"

#: Returns the latest attempt of each step of a run, as far as an overview needs it.
_STEP_STATES: Final = """
SELECT DISTINCT ON (step_id) step_id, attempt, status, times, dispatch, claimed_at, reported_at
FROM step_attempt WHERE partition = %s AND run_uid = %s ORDER BY step_id, attempt DESC
"""

#: Returns a row if there is such a workflow, or iterations run under that id.
_IS_KNOWN: Final = """
SELECT FROM workflow WHERE workflow_id = %(workflow_id)s
UNION ALL (SELECT FROM workflow_instance WHERE workflow_id = %(workflow_id)s LIMIT 1)
LIMIT 1
"""

#: Returns the internal id of a workflow.
_INTERNAL_ID: Final = "SELECT internal_id FROM workflow WHERE workflow_id = %s"


async def read_run(conn: Connection, ref: RunRef) -> RunRecord:
    """
    Return one run.

    Raises:
        NotFound: there is no such run.
    """
    if ref.run_id is None:
        cursor = await conn.execute(_LATEST_RUN, (ref.workflow_id, ref.instance_id))
    else:
        cursor = await conn.execute(_RUN, ref)
    row = await cursor.fetchone()
    if row is None:
        raise await missing_run(conn, ref)
    return run_record(row)


async def missing_run(conn: Connection, ref: RunRef) -> NotFound:
    """Return what to tell whoever named the run *ref*, which is not there: perhaps its workflow is not either."""
    cursor = await conn.execute(_IS_KNOWN, {"workflow_id": ref.workflow_id})
    if await cursor.fetchone() is None:
        return NotFound(f"workflow {ref.workflow_id!r} does not exist")
    run = "" if ref.run_id is None else f" run {ref.run_id} of"
    return NotFound(f"workflow {ref.workflow_id!r} has no{run} instance {ref.instance_id}")


async def read_internal_id(conn: Connection, workflow_id: str) -> UUID:
    """
    Return the internal id of a (root) workflow.

    Raises:
        NotFound: there is no such workflow.
    """
    cursor = await conn.execute(_INTERNAL_ID, (workflow_id,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"workflow {workflow_id!r} does not exist")
    internal_id: UUID = row[0]
    return internal_id


class InstanceReader:
    """Reads runs from *database*."""

    def __init__(self, database: Database, cache: DefinitionCache) -> None:
        self._database = database
        self._cache = cache

    async def run(self, ref: RunRef) -> RunDetail:
        """
        Return one run.

        Raises:
            NotFound: there is no such run.
        """
        async with snapshot(self._database) as conn:
            run = await read_run(conn, ref)
            definitions = await self._cache.load(conn, [run.definition_uid])
            internal_id = await read_internal_id(conn, run.root_workflow_id)
            cursor = await conn.execute(_STEP_STATES, (run.partition, run.run_uid))
            names = StepState.__struct_fields__
            steps = tuple(StepState(**dict(zip(names, row, strict=True))) for row in await cursor.fetchall())
        return RunDetail(run=run, workflow=definitions[run.definition_uid], internal_id=internal_id, steps=steps)

    async def instances(self, workflow_id: str, page: PageRequest) -> Page[RunRecord]:
        """
        Return a page of the instances, newest first, each by its latest run; ids are instance ids.

        Parameters of more than 16 KB (compressed) are left out.

        Raises:
            NotFound: there is no such workflow, and no iterations run under that id.
        """
        clause = page_clause("instance_id", page, "run_id DESC")
        async with snapshot(self._database) as conn:
            parameters = {"workflow_id": workflow_id, **page_parameters(page)}
            cursor = await conn.execute(_INSTANCES.format(page=clause), parameters)
            records = tuple(run_record(row) for row in await cursor.fetchall())
            oldest, newest = await ends_of(conn, _INSTANCE_ENDS, workflow_id)
            if not newest:
                await read_internal_id(conn, workflow_id)
        return Page(records, tuple(r.instance_id for r in records), newest, oldest)

    async def runs(self, workflow_id: str, instance_id: int, page: PageRequest) -> Page[RunRecord]:
        """
        Return a page of the runs of an instance, newest first; ids are run ids.

        Parameters of more than 16 KB (compressed) are left out.

        Raises:
            NotFound: there is no such instance.
        """
        async with snapshot(self._database) as conn:
            parameters = {"workflow_id": workflow_id, "instance_id": instance_id, **page_parameters(page)}
            cursor = await conn.execute(_RUNS.format(page=page_clause("run_id", page)), parameters)
            records = tuple(run_record(row) for row in await cursor.fetchall())
            oldest, newest = await ends_of(conn, _RUN_ENDS, workflow_id, instance_id)
            if not newest:
                raise await missing_run(conn, RunRef(workflow_id, instance_id))
        return Page(records, tuple(r.run_id for r in records), newest, oldest)


def run_record(row: tuple[Any, ...]) -> RunRecord:
    """Return what a row of these columns says."""
    return RunRecord(**dict(zip(RunRecord.__struct_fields__, row, strict=True)))
