"""The floor: how many rows a second this very PostgreSQL commits in batches of 200."""

from __future__ import annotations

import json
import time
from typing import Final

import psycopg

BATCH_ROWS: Final = 200
SECONDS: Final = 1.5

_INSERT: Final = """
INSERT INTO bench_floor (id, payload)
SELECT r.id, r.payload FROM json_to_recordset(%s::json) AS r (id bigint, payload text)
"""


def floor_rows_per_second(url: str) -> float:
    """Return rows a second that one connection commits, 200 a transaction, each of about 100 bytes."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS bench_floor")
        conn.execute("CREATE TABLE bench_floor (id bigint PRIMARY KEY, payload text)")
        rows = 0
        began = time.perf_counter()
        while (spent := time.perf_counter() - began) < SECONDS:
            batch = [{"id": rows + number, "payload": "x" * 80} for number in range(BATCH_ROWS)]
            conn.execute(_INSERT, (json.dumps(batch),), prepare=True)
            rows += BATCH_ROWS
        conn.execute("DROP TABLE bench_floor")
        return rows / spent
