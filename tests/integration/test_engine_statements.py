"""Each hot statement of the engine looks its rows up by key, also where PostgreSQL knows nothing of the tables."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow

from maestro_py.storage.connections import connection_arguments
from maestro_py.storage.engine_statements import HOT_STATEMENTS
from maestro_py.storage.partitions import FENCE

UID = str(uuid.UUID(int=7))
#: A value for every parameter that any of the statements has.
ARGUMENTS: dict[str, Any] = {
    **dict.fromkeys(("runs", "attempts", "evaluated", "new_attempts", "timers", "inbox", "events", "rows"), "[]"),
    **dict.fromkeys(("runs_expected", "attempts_expected", "evaluated_expected", "class"), 1),
    **dict.fromkeys(("partition", "attempt", "after", "limit", "depth", "first", "last", "bytes"), 1),
    **dict.fromkeys(("now_ms", "until_ms", "workflow_version", "parent_partition", "parent_attempt"), 1),
    **dict.fromkeys(("run_uid", "definition_uid", "parent_run_uid"), UID),
    **dict.fromkeys(
        ("step_id", "workflow_id", "scope", "correlation_id", "root_workflow_id", "parent_step_id", "name"), "x"
    ),
    "partitions": [1, 2],
    "classes": [0, 1],
    "limits": [10, 10],
    "chunks": [0],
    "excluded": [],
    "only": None,
    "workflow_ids": ["x", "y"],
    "epochs": [1, 1],
    "payload": "{}",
    "initiator": "{}",
}
#: Statements whose parameter of the same name is an array there.
ARRAYS: dict[str, dict[str, Any]] = {
    "INSERT_DEAD_LETTERS": {name: [] for name in "pcxuwerm"},
    "LOAD_RUNS": {"runs": [UID, UID]},
    "LOAD_ATTEMPTS": {"runs": [UID, UID]},
    "LOAD_OUTER": {"runs": [UID, UID], "steps": ["x", "y"], "attempts": [1, 1]},
    "CONTENDED": {"runs": [UID, UID]},
}
STATEMENTS = {**HOT_STATEMENTS, "FENCE": FENCE}


@pytest.fixture
def hot_session(database_url: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """A session as the engine's lanes have it, on tables without statistics."""
    with psycopg.connect(database_url, **connection_arguments("maestro:engine:test", hot=True)) as conn:
        yield conn


#: Partial indexes that hold about twice the slots of all workers: reading one from end to end is bounded.
SMALL_INDEXES = {"ix_step_attempt_queued", "ix_step_attempt_claimed"}


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_hot_statement_looks_rows_up_by_key(hot_session: psycopg.Connection[TupleRow], name: str) -> None:
    """No plan of a hot statement reads a table, or an index that grows with it, from end to end."""
    arguments = ARGUMENTS | ARRAYS.get(name, {})

    rows = hot_session.execute(f"EXPLAIN (FORMAT JSON) {STATEMENTS[name]}".encode(), arguments).fetchall()

    assert [] == list(full_reads(rows[0][0][0]["Plan"]))


def full_reads(node: dict[str, Any]) -> Iterator[str]:
    """Yield what the plan reads from end to end."""
    kind = node["Node Type"]
    if kind in ("Seq Scan", "Bitmap Heap Scan"):
        yield f"{kind} on {node['Relation Name']}"
    if kind.startswith("Index") and "Index Cond" not in node and node["Index Name"] not in SMALL_INDEXES:
        yield f"{kind} without a condition on {node['Index Name']}"
    for inner in node.get("Plans", ()):
        yield from full_reads(inner)
