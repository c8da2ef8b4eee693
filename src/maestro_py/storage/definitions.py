"""Store versions of workflows, and change which of them is active: each change is one transaction (specification 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from maestro_py.model.definition import RunStrategy, Workflow, encode_workflow
from maestro_py.model.errors import DefinitionInvalid, FieldError, NotFound
from maestro_py.model.forms import Push
from maestro_py.model.ids import new_uid, partition_of, workflow_key
from maestro_py.model.statuses import RunStrategyRule
from maestro_py.ports.api_records import VersionRef, WorkflowRecord
from maestro_py.ports.api_store import Change, StrategyChangeRefused
from maestro_py.storage.connections import Database
from maestro_py.storage.definition_cache import DefinitionCache
from maestro_py.storage.definition_reads import WORKFLOW_COLUMNS, read_version, workflow_record
from maestro_py.storage.retries import Connection, in_transaction
from maestro_py.storage.starts import dequeue, partition_count
from maestro_py.storage.subscriptions import subscribe

#: Makes the row of a workflow that is new, so that there is something to lock; its first version follows at once.
_CREATE: Final = """
INSERT INTO workflow (workflow_id, internal_id, latest_version, properties, create_time_ms, modify_time_ms)
VALUES (%s, %s, 0, '{}', %s, %s) ON CONFLICT (workflow_id) DO NOTHING
"""

#: Returns the workflow, locked: two pushes of one workflow follow one another.
_LOCK: Final = f"SELECT {WORKFLOW_COLUMNS} FROM workflow w WHERE w.workflow_id = %s FOR NO KEY UPDATE"  # noqa: S608

#: Adds one version.
_INSERT_VERSION: Final = """
INSERT INTO workflow_version (definition_uid, workflow_id, workflow_version, definition, metadata, activate_time_ms,
                              activated_by)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""

#: Sets what a push changes of the workflow.
_UPDATE_WORKFLOW: Final = """
UPDATE workflow SET active_version = %s, latest_version = %s, run_strategy = %s, workflow_concurrency = %s,
                    properties = %s, modify_time_ms = %s
WHERE workflow_id = %s
"""

#: Sets the active version.
_SET_ACTIVE: Final = "UPDATE workflow SET active_version = %s, modify_time_ms = %s WHERE workflow_id = %s"

#: Says when and by whom a version became active.
_MARK_ACTIVE: Final = """
UPDATE workflow_version SET activate_time_ms = %s, activated_by = %s WHERE workflow_id = %s AND workflow_version = %s
"""

#: Adds a line to the workflow's history.
_HISTORY: Final = "INSERT INTO workflow_timeline (workflow_id, author, log, create_time_ms) VALUES (%s, %s, %s, %s)"

#: Publishes a change of a definition.
_PUBLISH: Final = "INSERT INTO event_log (partition, create_time_ms, event) VALUES (%s, %s, %s)"

#: Returns how many runs are unfinished: 0, 1 or 2 for more.
_UNFINISHED: Final = """
SELECT count(*) FROM (SELECT 1 FROM workflow_instance
    WHERE workflow_id = %s AND end_time_ms IS NULL LIMIT 2) AS unfinished
"""

#: Properties that a push which states properties, but not these, resets to their defaults.
_RESET: Final = ("run_strategy", "step_concurrency", "alerting")


class DefinitionWriter:
    """Changes workflows, each by one transaction of *database* (a hot one: it may dequeue runs)."""

    def __init__(self, database: Database, cache: DefinitionCache) -> None:
        self._database = database
        self._cache = cache

    async def push(self, push: Push, *, author: str, now_ms: int) -> Change:
        """
        Store a new version, its properties and its trigger subscriptions.

        Raises:
            DefinitionInvalid: the first version states no owner.
            StrategyChangeRefused: unfinished runs forbid the new run strategy.
        """
        return await in_transaction(self._database, lambda conn: self._push(conn, push, author, now_ms))

    async def activate(self, workflow_id: str, ref: VersionRef, *, author: str, now_ms: int) -> Change:
        """
        Make the version the active one and subscribe its triggers; nothing but the history changes if it is already.

        Raises:
            NotFound: there is no such workflow or version.
        """

        async def work(conn: Connection) -> Change:
            await _lock(conn, workflow_id)
            version = await read_version(conn, self._cache, workflow_id, ref)
            if not version.is_active:
                number = version.workflow_version
                await conn.execute(_SET_ACTIVE, (number, now_ms, workflow_id))
                await conn.execute(_MARK_ACTIVE, (now_ms, author, workflow_id, number))
                await subscribe(conn, workflow_id, version.definition.signal_triggers)
                await _publish_activation(conn, version.owner, number, author, now_ms)
            await _note(conn, workflow_id, author, f"activated version {version.workflow_version}", now_ms)
            return Change(await read_version(conn, self._cache, workflow_id, ref))

        return await in_transaction(self._database, work)

    async def deactivate(self, workflow_id: str, *, author: str, now_ms: int) -> int | None:
        """
        Leave the workflow without an active version and return the one that was; runs go on.

        Raises:
            NotFound: there is no such workflow.
        """

        async def work(conn: Connection) -> int | None:
            workflow = await _lock(conn, workflow_id)
            if workflow.active_version is not None:
                await conn.execute(_SET_ACTIVE, (None, now_ms, workflow_id))
                await subscribe(conn, workflow_id, ())
                await _publish_activation(conn, workflow, None, author, now_ms)
            await _note(conn, workflow_id, author, "deactivated the workflow", now_ms)
            return workflow.active_version

        return await in_transaction(self._database, work)

    async def _push(self, conn: Connection, push: Push, author: str, now_ms: int) -> Change:
        workflow = push.workflow
        await conn.execute(_CREATE, (workflow.id, new_uid(), now_ms, now_ms))
        current = await _lock(conn, workflow.id)
        given = None if push.properties is None else msgspec.to_builtins(push.properties)
        if not current.latest_version and not (given or {}).get("owner"):
            raise DefinitionInvalid(
                "the first version of a workflow needs an owner", [FieldError("properties.owner", "is required")]
            )
        properties = merged_properties(current.properties, given, author=author, now_ms=now_ms)
        strategy = strategy_of(properties)
        await _check_strategy(conn, current, strategy)
        version = current.latest_version + 1
        active = version if push.is_active else current.active_version
        await self._write_version(conn, push, version, author, now_ms)
        await conn.execute(
            _UPDATE_WORKFLOW,
            (active, version, strategy.rule, strategy.workflow_concurrency, _json(properties), now_ms, workflow.id),
        )
        if push.is_active:
            await subscribe(conn, workflow.id, workflow.signal_triggers)
        log = f"pushed version {version}" + ("" if push.is_active else ", not active")
        await _note(conn, workflow.id, author, log, now_ms)
        await _publish_version(conn, current, workflow, version, active, given is not None, author, now_ms)
        # A wider strategy may let waiting runs begin.
        hints = await dequeue(conn, [workflow.id], now_ms=now_ms) if given is not None else ()
        return Change(await read_version(conn, self._cache, workflow.id, VersionRef.of_number(version)), hints)

    async def _write_version(self, conn: Connection, push: Push, version: int, author: str, now_ms: int) -> UUID:
        uid = new_uid()
        metadata = {
            **push.extra,
            "workflow_id": push.workflow.id,
            "workflow_version_id": version,
            "create_time": now_ms,
            "version_author": author,
        }
        if push.git_info is not None:
            metadata["git_info"] = push.git_info
        activated = (now_ms, author) if push.is_active else (None, None)
        document = encode_workflow(push.workflow).decode()
        await conn.execute(_INSERT_VERSION, (uid, push.workflow.id, version, document, _json(metadata), *activated))
        return uid


def merged_properties(
    current: Mapping[str, Any], given: Mapping[str, Any] | None, *, author: str, now_ms: int
) -> dict[str, Any]:
    """Return the properties snapshot after a push that states *given* properties, None for none (specification 7)."""
    if given is None:
        return dict(current)
    kept = {name: value for name, value in current.items() if name not in _RESET}
    stated = {name: value for name, value in given.items() if value is not None}
    return {**kept, **stated, "author": author, "create_time": now_ms}


def strategy_of(properties: Mapping[str, Any]) -> RunStrategy:
    """Return the run strategy that a properties snapshot states, or the default, SEQUENTIAL."""
    stated = properties.get("run_strategy")
    return RunStrategy() if stated is None else msgspec.convert(stated, RunStrategy)


async def _lock(conn: Connection, workflow_id: str) -> WorkflowRecord:
    cursor = await conn.execute(_LOCK, (workflow_id,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"workflow {workflow_id!r} does not exist")
    return workflow_record(row)


async def _check_strategy(conn: Connection, current: WorkflowRecord, strategy: RunStrategy) -> None:
    if strategy.rule is not RunStrategyRule.FIRST_ONLY or strategy_of(current.properties).rule is strategy.rule:
        return
    cursor = await conn.execute(_UNFINISHED, (current.workflow_id,))
    if (await cursor.fetchall())[0][0] > 1:
        raise StrategyChangeRefused(
            f"the run strategy of workflow {current.workflow_id!r} cannot become {strategy.rule}: "
            "more than one of its runs is unfinished"
        )


async def _note(conn: Connection, workflow_id: str, author: str, log: str, now_ms: int) -> None:
    await conn.execute(_HISTORY, (workflow_id, author, log, now_ms))


async def _publish(conn: Connection, workflow_id: str, event: Mapping[str, Any], now_ms: int) -> None:
    partition = partition_of(workflow_key(workflow_id), await partition_count(conn))
    await conn.execute(_PUBLISH, (partition, now_ms, _json({**event, "event_time": now_ms})))


async def _publish_version(
    conn: Connection,
    before: WorkflowRecord,
    workflow: Workflow,
    version: int,
    active: int | None,
    with_properties: bool,
    author: str,
    now_ms: int,
) -> None:
    event = {
        "type": "WORKFLOW_DEFINITION_CHANGE_EVENT" if with_properties else "WORKFLOW_VERSION_CHANGE_EVENT",
        "workflow_id": workflow.id,
        "workflow_name": workflow.name or workflow.id,
        "author": author,
        "version_id": version,
        **({"snapshot_id": now_ms} if with_properties else {}),
        **_versions(active, before.active_version),
    }
    await _publish(conn, workflow.id, event, now_ms)


async def _publish_activation(
    conn: Connection, before: WorkflowRecord, active: int | None, author: str, now_ms: int
) -> None:
    event = {
        "type": f"WORKFLOW_{'DEACTIVATION' if active is None else 'ACTIVATION'}_CHANGE_EVENT",
        "workflow_id": before.workflow_id,
        "author": author,
        **_versions(active, before.active_version),
    }
    await _publish(conn, before.workflow_id, event, now_ms)


def _versions(active: int | None, previous: int | None) -> dict[str, int]:
    stated = {"current_active_version_id": active, "previous_active_version_id": previous}
    return {name: number for name, number in stated.items() if number is not None}


def _json(document: Mapping[str, Any] | Sequence[Any]) -> str:
    return msgspec.json.encode(document).decode()
