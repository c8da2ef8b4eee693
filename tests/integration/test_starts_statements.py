"""The statements that start and dequeue runs look rows up by key, also where PostgreSQL has no statistics."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maestro_py.storage import backlogs, duties, stops, subscriptions
from maestro_py.storage import start_statements as sql
from maestro_py.storage.connections import Database

UID = "01a20c31-c227-7e57-bfbc-72d69577785b"
RUN = {"partition": 1, "run_uid": UID, "workflow_id": "wf", "instance_id": 1, "status": "CREATED"}
STATEMENTS: dict[str, tuple[str, Any]] = {
    "lock workflows": (sql.LOCK, (["wf"],)),
    "read what stands": (sql.STANDING, (["wf"],)),
    "read known request ids": (sql.KNOWN, (["wf"], ["r"], 0)),
    "read runs of an unknown commit": (sql.STORED, ([UID],)),
    "write runs": (sql.WRITE, (json.dumps([RUN]), '{"wf": 1}', ["wf"], "{}")),
    "dequeue": (sql.DEQUEUE, (["wf"], [1], 1, "{}")),
    "forget old requests": (duties._DELETE_REQUESTS, {"before_ms": 1, "limit": 9}),
    "count what waits": (backlogs._BACKLOG, {"most": 9}),
    "lock the latest run": (stops._LATEST, ("wf", 1)),
    "read queued runs": (stops._QUEUED, ("wf", 9, 200)),
    "read statuses": (stops._STATUSES, ([1], [UID])),
    "read unfinished runs": (stops._UNFINISHED, ("wf", 9, 200)),
    "lock unfinished runs": (stops._LOCK, ([1], [UID])),
    "end queued runs": (stops._END_QUEUED, (json.dumps([RUN]), "STOPPED", 1, 1, "STOPPED", 1)),
    "read subscriptions": (subscriptions._CURRENT, ("wf",)),
    "delete subscriptions": (subscriptions._DELETE, (["t"], ["n"], "wf")),
    "share names": (subscriptions._SHARE, (["n"],)),
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_statement_reads_a_whole_table(database_url: str, name: str) -> None:
    statement, parameters = STATEMENTS[name]
    async with Database(database_url, "maestro:test", hot=True) as database, database.connection() as conn:
        cursor = await conn.execute(f"EXPLAIN {statement}".encode(), parameters)
        plan = "\n".join(line for (line,) in await cursor.fetchall())

    # The partitions of an installation are few and all wanted.
    assert "Seq Scan" not in plan.replace("Seq Scan on engine_partition", ""), plan


@pytest.mark.parametrize("name", ["read what stands", "dequeue"])
async def test_admission_reads_only_runs_that_run_or_wait(database_url: str, name: str) -> None:
    """However many runs a workflow has had, what ended is in neither index."""
    statement, parameters = STATEMENTS[name]
    async with Database(database_url, "maestro:test", hot=True) as database, database.connection() as conn:
        cursor = await conn.execute(f"EXPLAIN {statement}".encode(), parameters)
        plan = "\n".join(line for (line,) in await cursor.fetchall())

    assert "using ix_workflow_instance_queued" in plan, plan
    assert ("using ix_workflow_instance_running" in plan) == (name == "read what stands"), plan
