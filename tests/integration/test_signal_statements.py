"""The statements of the signal service look rows up by key, also where PostgreSQL has no statistics."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from maestro_py.storage import signal_cursors, signals
from maestro_py.storage.connections import Database

ANNOUNCED = {"name": "a", "instance_id": "1", "params": {}, "payload": {}, "request_time_ms": 1}
BEHIND = {"name": "a", "resting": ["wf"], "limit": 10}
CLAIMED = {"ms": 1, "workflow_ids": ["wf"], "trigger_uuids": ["t"], "names": ["a"], "next_seqs": [2]}
STATEMENTS: dict[str, tuple[str, Any]] = {
    "lock names": (signals._LOCK, (["a"],)),
    "store signals": (signals._STORE, {"batch": json.dumps([ANNOUNCED]), "now_ms": 1}),
    "read a signal": (signals._READ, ("a", 1)),
    "read the newest signal": (signals._READ_LATEST, ("a",)),
    "find pending names": (signal_cursors._PENDING, ()),
    "look for cursors": (signal_cursors._LOOK, BEHIND),
    "hold cursors": (signal_cursors._HOLD, (["wf"], ["t"], "a")),
    "find one behind": (signal_cursors._BEHIND, BEHIND),
    "await a workflow": (signal_cursors._AWAIT_WORKFLOW, ("a",)),
    "await a cursor": (signal_cursors._AWAIT_CURSOR, ("wf", "t", "a")),
    "read who listens": (signal_cursors._LISTENING, (["wf"],)),
    "read signals": (signal_cursors._SIGNALS, ("a", 1, 10)),
    "read definitions": (signal_cursors._DEFINITIONS, ([UUID(int=1)],)),
    "move cursors": (signal_cursors._MOVE, (["wf"], ["t"], ["a"], [2], ["{}"], [0])),
    "claim cursors": (signal_cursors._CLAIM, CLAIMED),
    "unsubscribe": (signal_cursors._UNSUBSCRIBE, (["wf"], ["t"])),
    "settle": (signal_cursors._SETTLE, {"name": "a", "limit": 10}),
    "see what is pending": (signal_cursors._STILL_PENDING, ("a",)),
}


@pytest.mark.parametrize("hot", [True, False], ids=["hot", "ordinary"])
@pytest.mark.parametrize("statement", STATEMENTS)
async def test_no_statement_reads_a_whole_table(database_url: str, statement: str, hot: bool) -> None:
    query, parameters = STATEMENTS[statement]
    async with Database(database_url, "maestro:test", hot=hot) as database, database.connection() as conn:
        cursor = await conn.execute(f"EXPLAIN {query}".encode(), parameters)
        plan = "\n".join(line for (line,) in await cursor.fetchall())

    assert "Seq Scan" not in plan, plan


@pytest.mark.parametrize("statement", ["move cursors", "claim cursors", "hold cursors"])
async def test_a_cursor_is_found_by_its_key_and_not_by_walking_over_those_behind(
    database_url: str, statement: str
) -> None:
    query, parameters = STATEMENTS[statement]
    async with Database(database_url, "maestro:test", hot=True) as database, database.connection() as conn:
        cursor = await conn.execute(f"EXPLAIN {query}".encode(), parameters)
        plan = "\n".join(line for (line,) in await cursor.fetchall())

    assert "Index Scan using pk_signal_trigger" in plan, plan
