"""Stop and kill runs: queued ones end at once, of the others the engine is told (specification 6.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from maestro_py.model.events import StopRequested, encode_event
from maestro_py.model.statuses import InstanceStatus
from maestro_py.ports.api_records import RunRef
from maestro_py.ports.api_store import StopAnswer, StopRefused, WorkflowStopAnswer
from maestro_py.storage.connections import Database
from maestro_py.storage.instance_reads import missing_run
from maestro_py.storage.retries import Connection, in_transaction

#: Runs of a workflow that one transaction stops.
CHUNK: Final = 200
_BEYOND_ALL: Final = 2**63 - 1

_COLUMNS: Final = "partition, run_uid, instance_id, run_id, status, execution_id IS NULL, workflow_uuid, correlation_id"

#: Returns the latest run of an instance, locked: it shall be neither admitted nor ended while we decide.
_LATEST: Final = f"""
SELECT {_COLUMNS} FROM workflow_instance WHERE workflow_id = %s AND instance_id = %s
ORDER BY run_id DESC LIMIT 1 FOR NO KEY UPDATE
"""  # noqa: S608  # our own text

#: Returns the keys of a chunk of the queued runs of a workflow, before an instance: the newest first, as a slot that
#: becomes free meanwhile is given to the oldest.
_QUEUED: Final = """
SELECT instance_id, partition, run_uid FROM workflow_instance
WHERE workflow_id = %s AND instance_id < %s AND end_time_ms IS NULL AND execution_id IS NULL AND scope = ''
ORDER BY instance_id DESC, run_id DESC LIMIT %s
"""

#: Returns the keys of a chunk of the unfinished runs of a workflow, before an instance.
_UNFINISHED: Final = """
SELECT instance_id, partition, run_uid FROM workflow_instance
WHERE workflow_id = %s AND instance_id < %s AND end_time_ms IS NULL ORDER BY instance_id DESC LIMIT %s
"""

#: Returns the statuses of runs.
_STATUSES: Final = """
SELECT i.run_uid, i.status FROM unnest(%s::smallint[], %s::uuid[]) AS k(partition, run_uid)
CROSS JOIN LATERAL (
    SELECT w.run_uid, w.status FROM workflow_instance w WHERE w.partition = k.partition AND w.run_uid = k.run_uid
) i
"""

#: Returns those of a chunk that are still unfinished, locked in the order of the key.
_LOCK: Final = f"""
SELECT {", ".join("i." + column for column in _COLUMNS.split(", "))}
FROM unnest(%s::smallint[], %s::uuid[]) AS k(partition, run_uid)
JOIN workflow_instance i ON i.partition = k.partition AND i.run_uid = k.run_uid AND i.end_time_ms IS NULL
ORDER BY i.partition, i.run_uid FOR NO KEY UPDATE OF i
"""  # noqa: S608  # our own text

#: Ends queued runs, and publishes that.
_END_QUEUED: Final = """
WITH r AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%s::json) AS r(partition smallint, run_uid uuid, timeline json, event json)
), ended AS (
    UPDATE workflow_instance i
    SET status = %s, end_time_ms = %s, modify_time_ms = %s, row_version = i.row_version + 1, stop_target = %s,
        timeline = r.timeline
    FROM r WHERE i.partition = r.partition AND i.run_uid = r.run_uid
)
INSERT INTO event_log (partition, create_time_ms, event) SELECT partition, %s, event FROM r
"""

#: Tells the engine to end runs that it has, or is about to have.
_TELL: Final = """
INSERT INTO engine_inbox (partition, class, run_uid, payload)
SELECT partition, 1, run_uid, %s::json FROM unnest(%s::smallint[], %s::uuid[]) AS r(partition, run_uid)
"""


class _Run(NamedTuple):
    partition: int
    run_uid: UUID
    instance_id: int
    run_id: int
    status: str
    is_queued: bool  #: Not admitted: the engine does not know of it.
    workflow_uuid: str
    correlation_id: str


class Stopper:
    """Stops runs, each call by transactions of *database* (a hot one)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stop(self, ref: RunRef, target: InstanceStatus, *, by: str, reason: str, now_ms: int) -> StopAnswer:
        """
        End the latest run of an instance with *target*, or have the engine do so.

        Raises:
            NotFound: there is no such instance.
            StopRefused: the run named is not the latest, or ended otherwise before.
        """

        async def work(conn: Connection) -> StopAnswer:
            cursor = await conn.execute(_LATEST, (ref.workflow_id, ref.instance_id))
            row = await cursor.fetchone()
            if row is None:
                raise await missing_run(conn, RunRef(ref.workflow_id, ref.instance_id))
            run = _Run._make(row)
            if ref.run_id not in (None, run.run_id):
                raise StopRefused(f"run {ref.run_id} is not the latest run of {ref.workflow_id}:{ref.instance_id}")
            status = InstanceStatus(run.status)
            if status.is_terminal and status is not target:
                raise StopRefused(f"{ref.workflow_id}:{run.instance_id}:{run.run_id} has ended already: {status}")
            if status is not target:
                await _end(conn, ref.workflow_id, [run], target, by, reason, now_ms)
            completed = status is target or run.is_queued
            return StopAnswer(
                run.run_id,
                target if completed else status,
                completed=completed,
                run_uid=run.run_uid,
                partition=run.partition,
            )

        return await in_transaction(self._database, work)

    async def stop_workflow(
        self, workflow_id: str, target: InstanceStatus, *, by: str, reason: str, now_ms: int
    ) -> WorkflowStopAnswer:
        """
        End every unfinished run of a workflow with *target*, in chunks, or have the engine do so.

        The queued runs come first, so that none of them begins because one that runs has ended.
        """
        queued, running, partitions = 0, 0, set[int]()
        for statement in (_QUEUED, _UNFINISHED):
            before = _BEYOND_ALL
            while before:

                async def work(conn: Connection, before: int = before) -> tuple[int, list[_Run]]:
                    cursor = await conn.execute(statement, (workflow_id, before, CHUNK))  # noqa: B023  # awaited here
                    found = await cursor.fetchall()
                    if not found:
                        return 0, []
                    cursor = await conn.execute(_LOCK, ([row[1] for row in found], [row[2] for row in found]))
                    runs = [_Run._make(row) for row in await cursor.fetchall()]
                    await _end(conn, workflow_id, runs, target, by, reason, now_ms)
                    return found[-1][0], runs

                before, runs = await in_transaction(self._database, work)
                queued += sum(run.is_queued for run in runs)
                running += sum(not run.is_queued for run in runs)
                partitions |= {run.partition for run in runs if not run.is_queued}
        return WorkflowStopAnswer(queued, running, tuple(partitions))

    async def statuses(self, runs: Sequence[tuple[int, UUID]]) -> dict[UUID, InstanceStatus]:
        """Return the statuses of *runs*, each a partition and a uid."""
        async with self._database.connection() as conn:
            keys = [partition for partition, _ in runs], [run_uid for _, run_uid in runs]
            cursor = await conn.execute(_STATUSES, keys, prepare=True)
            return {run_uid: InstanceStatus(status) for run_uid, status in await cursor.fetchall()}


async def _end(
    conn: Connection,
    workflow_id: str,
    runs: Sequence[_Run],
    target: InstanceStatus,
    by: str,
    reason: str,
    now_ms: int,
) -> None:
    queued = [_queued_document(workflow_id, run, target, by, reason, now_ms) for run in runs if run.is_queued]
    if queued:
        document = msgspec.json.encode(queued).decode()
        await conn.execute(_END_QUEUED, (document, target, now_ms, now_ms, target, now_ms))
    told = [run for run in runs if not run.is_queued]
    if told:
        event = encode_event(StopRequested(target, by=by, reason=reason)).decode()
        await conn.execute(_TELL, (event, [run.partition for run in told], [run.run_uid for run in told]))


def _queued_document(
    workflow_id: str, run: _Run, target: InstanceStatus, by: str, reason: str, now_ms: int
) -> dict[str, Any]:
    message = f"{'Killed' if target is InstanceStatus.FAILED else 'Stopped'} by {by} while queued: {reason}"
    return {
        "partition": run.partition,
        "run_uid": run.run_uid,
        "timeline": [{"type": "LOG", "timestamp": now_ms, "level": "INFO", "message": message}],
        "event": {
            "type": "WORKFLOW_INSTANCE_STATUS_CHANGE_EVENT",
            "workflow_id": workflow_id,
            "workflow_instance_id": run.instance_id,
            "workflow_run_id": run.run_id,
            "workflow_uuid": run.workflow_uuid,
            "correlation_id": run.correlation_id,
            "old_status": run.status,
            "new_status": target,
            "event_time": now_ms,
        },
    }
