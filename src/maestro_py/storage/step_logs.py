"""
Write and read the captured output of attempts, as chunk rows.

The position of a chunk is one number that grows over the life of an attempt, claims included:
``token * 2**32 + seq``.  A reader keeps the last one it saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from maestro_py.ports.worker_store import LogChunk

#: Chunks are deleted when the middle of a long log is cut; the rows follow from the primary key.
_DROP: Final = """
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(chunks)s::json)
        AS r (partition smallint, run_uid uuid, step_id text, attempt integer, token integer,
              drop_from integer, drop_to integer)
    WHERE drop_from > 0
    ORDER BY partition, run_uid, step_id, attempt, token, drop_from
)
DELETE FROM step_log l USING given g
WHERE l.partition = g.partition AND l.run_uid = g.run_uid AND l.step_id = g.step_id AND l.attempt = g.attempt
    AND l.token = g.token AND l.seq BETWEEN g.drop_from AND g.drop_to
"""

#: A known number replaces the text: a commit whose answer was lost is repeated, and the notice of a cut grows.
_WRITE: Final = """
INSERT INTO step_log (partition, run_uid, step_id, attempt, token, seq, create_time_ms, text)
SELECT partition, run_uid, step_id, attempt, token, seq, create_time_ms, text
FROM json_to_recordset(%(chunks)s::json)
    AS r (partition smallint, run_uid uuid, step_id text, attempt integer, token integer, seq integer,
          create_time_ms bigint, text text)
ORDER BY partition, run_uid, step_id, attempt, token, seq
ON CONFLICT (partition, run_uid, step_id, attempt, token, seq) DO UPDATE SET text = excluded.text
"""

#: Returns the chunks after a position, oldest first.
_READ: Final = """
SELECT token, seq, create_time_ms, text
FROM step_log
WHERE partition = %(partition)s AND run_uid = %(run_uid)s AND step_id = %(step_id)s AND attempt = %(attempt)s
    AND (token, seq) > (%(token)s, %(seq)s)
ORDER BY token, seq
LIMIT %(limit)s
"""

#: The statements that run all day, for the test of their plans.
HOT_STATEMENTS: Final[Mapping[str, str]] = {"drop log chunks": _DROP, "write log chunks": _WRITE, "read a log": _READ}

_SEQ_BITS: Final = 32
_ENCODER: Final = msgspec.json.Encoder()


class LogPiece(NamedTuple):
    """One chunk of an attempt's log, as a reader sees it."""

    position: int  #: Ask for what comes after it.
    create_time_ms: int
    text: str


async def write_logs(conn: AsyncConnection[TupleRow], logs: Sequence[LogChunk]) -> None:
    """Write *logs* in the caller's transaction; repeating it changes nothing."""
    chunks = _ENCODER.encode(logs).decode()
    if any(log.drop_from for log in logs):
        await conn.execute(_DROP, {"chunks": chunks})
    await conn.execute(_WRITE, {"chunks": chunks})


async def read_logs(
    conn: AsyncConnection[TupleRow],
    partition: int,
    run_uid: UUID,
    step_id: str,
    attempt: int,
    *,
    after: int = 0,
    limit: int = 200,
) -> list[LogPiece]:
    """
    Return at most *limit* chunks of one attempt's log, oldest first; also while it runs.

    Args:
        conn: Any connection.
        partition: Of the run.
        run_uid: The run.
        step_id: The step.
        attempt: From 1.
        after: The position of the last chunk that the caller has; 0 for the beginning.
        limit: Chunks; each holds some 64 KiB at most.
    """
    values: dict[str, Any] = {
        "partition": partition,
        "run_uid": run_uid,
        "step_id": step_id,
        "attempt": attempt,
        "token": after >> _SEQ_BITS,
        "seq": after & (1 << _SEQ_BITS) - 1,
        "limit": limit,
    }
    rows = await (await conn.execute(_READ, values)).fetchall()
    return [LogPiece(token << _SEQ_BITS | seq, create_time_ms, text) for token, seq, create_time_ms, text in rows]
