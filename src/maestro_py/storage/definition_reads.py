"""Read workflows, their versions and their history, for answers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import msgspec

from maestro_py.admission import VersionName
from maestro_py.model.errors import NotFound
from maestro_py.ports.api_records import (
    Overview,
    Page,
    PageRequest,
    SubscriptionRecord,
    TimelineRecord,
    VersionRecord,
    VersionRef,
    WorkflowRecord,
    WorkflowSummary,
)
from maestro_py.ports.signal_store import Drops
from maestro_py.storage.connections import Database
from maestro_py.storage.definition_cache import DefinitionCache
from maestro_py.storage.paging import ends_of, page_clause, page_parameters
from maestro_py.storage.retries import Connection, snapshot

#: The columns of a `WorkflowRecord`, in its order.
WORKFLOW_COLUMNS: Final = (
    "w.workflow_id, w.internal_id, w.active_version, w.latest_version, w.last_instance_id, w.properties, "
    "w.create_time_ms, w.modify_time_ms"
)
_WORKFLOW_WIDTH: Final = 8
_VERSION_COLUMNS: Final = "v.workflow_version, v.definition_uid, v.metadata, v.activate_time_ms, v.activated_by"

#: Returns one workflow.
_WORKFLOW: Final = f"SELECT {WORKFLOW_COLUMNS} FROM workflow w WHERE w.workflow_id = %s"  # noqa: S608  # our own text

#: Returns one version, by its name or number.
_VERSION: Final = f"""
SELECT {WORKFLOW_COLUMNS}, {_VERSION_COLUMNS}
FROM workflow w JOIN workflow_version v ON v.workflow_id = w.workflow_id AND v.workflow_version = CASE %s::text
    WHEN 'active' THEN w.active_version
    WHEN 'latest' THEN w.latest_version
    WHEN 'default' THEN coalesce(w.active_version, w.latest_version)
    ELSE %s::bigint END
WHERE w.workflow_id = %s
"""  # noqa: S608  # our own text

#: Returns one page of versions, newest first.
_VERSIONS: Final = f"""
SELECT {WORKFLOW_COLUMNS}, {_VERSION_COLUMNS}
FROM workflow w CROSS JOIN LATERAL (
    SELECT * FROM workflow_version v WHERE v.workflow_id = w.workflow_id AND {{page}}) AS v
WHERE w.workflow_id = %(workflow_id)s ORDER BY v.workflow_version DESC
"""  # noqa: S608  # our own text

#: Returns the lowest and highest version.
_VERSION_ENDS: Final = (
    "SELECT min(workflow_version), max(workflow_version) FROM workflow_version WHERE workflow_id = %s"
)

#: Returns how many runs that are not terminal have which status.
_NONTERMINAL: Final = """
SELECT status, count(*) FROM workflow_instance WHERE workflow_id = %s AND end_time_ms IS NULL GROUP BY status
"""

#: Returns how many instances ended FAILED in their latest run.
_FAILED: Final = """
SELECT count(*) FROM (
    SELECT DISTINCT ON (instance_id) status FROM workflow_instance WHERE workflow_id = %s
    ORDER BY instance_id, run_id DESC) AS latest
WHERE status = 'FAILED'
"""

#: Returns the newest lines of a history.
_TIMELINE: Final = """
SELECT author, log, create_time_ms FROM workflow_timeline WHERE workflow_id = %s ORDER BY id DESC LIMIT 300
"""

#: Returns the cursors of a workflow's triggers.
_SUBSCRIPTIONS: Final = """
SELECT trigger_uuid, name, trigger, next_seq, drops FROM signal_trigger WHERE workflow_id = %s
ORDER BY name, trigger_uuid
"""

#: Returns workflows in the order of their ids, each with its latest run.
_SUMMARIES: Final = f"""
SELECT {WORKFLOW_COLUMNS}, i.instance_id, i.run_id, i.status, i.create_time_ms, i.start_time_ms, i.end_time_ms
FROM (SELECT * FROM workflow WHERE workflow_id > %s ORDER BY workflow_id LIMIT %s) AS w
LEFT JOIN LATERAL (
    SELECT * FROM workflow_instance r WHERE r.workflow_id = w.workflow_id
    ORDER BY r.instance_id DESC, r.run_id DESC LIMIT 1) AS i ON true
ORDER BY w.workflow_id
"""  # noqa: S608  # our own text

#: Returns those of the names that no worker ever registered and no live worker serves.
_UNKNOWN_TYPES: Final = """
SELECT n FROM unnest(%s::text[]) AS asked(n)
WHERE NOT EXISTS (SELECT FROM step_type t WHERE t.name = n)
  AND NOT EXISTS (SELECT FROM process p WHERE p.kind = 'worker'
    AND p.beat_at > clock_timestamp() - make_interval(secs => p.lease_ms / 1000.0)
    AND (p.info->'step_types' ? n
         OR EXISTS (SELECT FROM jsonb_array_elements_text(p.info->'backend_keys') AS b(k)
                    WHERE split_part(k, ':', 1) = n)))
"""


def workflow_record(row: tuple[Any, ...]) -> WorkflowRecord:
    """Return the record of a row that begins with `WORKFLOW_COLUMNS`."""
    names = WorkflowRecord.__struct_fields__
    return WorkflowRecord(**dict(zip(names, row[:_WORKFLOW_WIDTH], strict=True)))


async def read_version(conn: Connection, cache: DefinitionCache, workflow_id: str, ref: VersionRef) -> VersionRecord:
    """
    Return one version.

    Raises:
        NotFound: there is no such workflow or version, or it has no active one.
    """
    cursor = await conn.execute(_VERSION, (ref.name, ref.number, workflow_id))
    row = await cursor.fetchone()
    if row is None:
        raise await _version_missing(conn, workflow_id, ref)
    [record] = await _version_records(conn, cache, [row])
    return record


class DefinitionReader:
    """Reads workflows from *database*."""

    def __init__(self, database: Database, cache: DefinitionCache) -> None:
        self._database = database
        self._cache = cache

    async def version(self, workflow_id: str, ref: VersionRef) -> VersionRecord:
        """
        Return one version.

        Raises:
            NotFound: there is no such workflow or version, or it has no active one.
        """
        async with self._database.connection() as conn:
            return await read_version(conn, self._cache, workflow_id, ref)

    async def versions(self, workflow_id: str, page: PageRequest) -> Page[VersionRecord]:
        """
        Return a page of the versions, newest first.

        Raises:
            NotFound: there is no such workflow.
        """
        async with snapshot(self._database) as conn:
            await _read_workflow(conn, workflow_id)
            statement = _VERSIONS.format(page=page_clause("v.workflow_version", page))
            cursor = await conn.execute(statement, {"workflow_id": workflow_id, **page_parameters(page)})
            records = await _version_records(conn, self._cache, await cursor.fetchall())
            oldest, newest = await ends_of(conn, _VERSION_ENDS, workflow_id)
        return Page(tuple(records), tuple(r.workflow_version for r in records), newest, oldest)

    async def overview(self, workflow_id: str) -> Overview:
        """
        Return the workflow and the counts of its instances.

        Raises:
            NotFound: there is no such workflow.
        """
        async with snapshot(self._database) as conn:
            workflow = await _read_workflow(conn, workflow_id)
            cursor = await conn.execute(_NONTERMINAL, (workflow_id,))
            nonterminal = dict(await cursor.fetchall())
            cursor = await conn.execute(_FAILED, (workflow_id,))
            return Overview(workflow=workflow, nonterminal=nonterminal, failed=(await cursor.fetchall())[0][0])

    async def timeline(self, workflow_id: str) -> list[TimelineRecord]:
        """
        Return the newest 300 lines of the workflow's history, newest first.

        Raises:
            NotFound: there is no such workflow.
        """
        async with snapshot(self._database) as conn:
            await _read_workflow(conn, workflow_id)
            cursor = await conn.execute(_TIMELINE, (workflow_id,))
            return [TimelineRecord(*row) for row in await cursor.fetchall()]

    async def subscriptions(self, workflow_id: str) -> list[SubscriptionRecord]:
        """
        Return the signal triggers of the workflow that listen, and how far each has come.

        Raises:
            NotFound: there is no such workflow.
        """
        async with snapshot(self._database) as conn:
            await _read_workflow(conn, workflow_id)
            cursor = await conn.execute(_SUBSCRIPTIONS, (workflow_id,))
            return [
                SubscriptionRecord(
                    trigger_uuid=trigger_uuid,
                    signal=signal,
                    trigger=trigger,
                    next_seq=next_seq,
                    drops=Drops() if drops is None else msgspec.convert(drops, Drops),
                )
                for trigger_uuid, signal, trigger, next_seq, drops in await cursor.fetchall()
            ]

    async def workflows(self, after: str, limit: int) -> list[WorkflowSummary]:
        """Return at most *limit* workflows whose ids come after *after*, in the order of their ids."""
        async with self._database.connection() as conn:
            cursor = await conn.execute(_SUMMARIES, (after, limit))
            names = WorkflowSummary.__struct_fields__[1:]
            return [
                WorkflowSummary(workflow=workflow_record(row), **dict(zip(names, row[_WORKFLOW_WIDTH:], strict=True)))
                for row in await cursor.fetchall()
            ]

    async def unknown_step_types(self, names: Collection[str]) -> set[str]:
        """Return those of *names* that no worker ever registered and no live one serves."""
        async with self._database.connection() as conn:
            cursor = await conn.execute(_UNKNOWN_TYPES, (list(names),))
            return {name for (name,) in await cursor.fetchall()}


async def _read_workflow(conn: Connection, workflow_id: str) -> WorkflowRecord:
    cursor = await conn.execute(_WORKFLOW, (workflow_id,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"workflow {workflow_id!r} does not exist")
    return workflow_record(row)


async def _version_missing(conn: Connection, workflow_id: str, ref: VersionRef) -> NotFound:
    await _read_workflow(conn, workflow_id)
    if ref.name is VersionName.ACTIVE:
        return NotFound(f"workflow {workflow_id!r} has no active version")
    return NotFound(f"workflow {workflow_id!r} has no version {ref}")


async def _version_records(
    conn: Connection, cache: DefinitionCache, rows: list[tuple[Any, ...]]
) -> list[VersionRecord]:
    definitions = await cache.load(conn, [row[_WORKFLOW_WIDTH + 1] for row in rows])
    return [
        VersionRecord(
            owner=workflow_record(row),
            workflow_version=row[_WORKFLOW_WIDTH],
            definition_uid=row[_WORKFLOW_WIDTH + 1],
            definition=definitions[row[_WORKFLOW_WIDTH + 1]],
            metadata=row[_WORKFLOW_WIDTH + 2],
            activate_time_ms=row[_WORKFLOW_WIDTH + 3],
            activated_by=row[_WORKFLOW_WIDTH + 4],
        )
        for row in rows
    ]
