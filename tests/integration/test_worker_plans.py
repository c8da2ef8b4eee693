"""The statements that run all day look rows up by key, also on a schema without statistics (DESIGN section 10)."""

from __future__ import annotations

import json
import re
from uuid import uuid4

import psycopg
import pytest

from maestro_py.storage import step_logs, worker_store
from maestro_py.storage.connections import HOT_OPTIONS

STATEMENTS = {**worker_store.HOT_STATEMENTS, **step_logs.HOT_STATEMENTS}
#: What each statement may use to find attempts and log chunks.
INDEXES = {
    "claim": {"ix_step_attempt_queued", "pk_step_attempt"},
    "held": {"ix_step_attempt_claimed"},
    "drop log chunks": {"pk_step_log"},
    "write log chunks": set[str](),  # it only inserts
    "read a log": {"pk_step_log"},
}
KEY = {"partition": 1, "run_uid": str(uuid4()), "step_id": "s", "attempt": 1, "token": 1}
VALUES = {
    **KEY,
    "queues": ["default"],
    "backend_keys": ["shell"],
    "attachable": ["spark"],
    "limit": 10,
    "worker": uuid4(),
    "claim_id": uuid4(),
    "reports": json.dumps([{**KEY, "payload": {"outcome": "DONE"}}]),
    "held": json.dumps([{**KEY, "claim_id": str(uuid4())}]),
    "handle": "{}",
    "seq": 1,
    "chunks": json.dumps([{**KEY, "seq": 3, "create_time_ms": 0, "text": "", "drop_from": 1, "drop_to": 2}]),
}


@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("options", ["", HOT_OPTIONS], ids=["default settings", "hot settings"])
def test_rows_are_looked_up_by_key(database_url: str, name: str, options: str) -> None:
    """No scan of a whole table or of a partial index: each row is one step down an index."""
    with psycopg.connect(database_url, autocommit=True, options=options) as conn:
        if not options:
            conn.execute("SET enable_seqscan = off")  # on empty tables the planner prefers it, whatever the indexes
            conn.execute("SET enable_bitmapscan = off")
        plan = "\n".join(row[0] for row in conn.execute(f"EXPLAIN {STATEMENTS[name]}", VALUES).fetchall())

    assert not re.search(r"Seq Scan on step_(attempt|log)", plan), plan
    expected = INDEXES.get(name, {"pk_step_attempt"})
    assert expected == set(re.findall(r"Index (?:Only )?Scan using (\w+)", plan)), plan
