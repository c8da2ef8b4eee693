"""Play the engine for a worker under test: queue attempts, and look at what became of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from maestro_py.model.events import AttemptReported, decode_event

_QUEUE = """
INSERT INTO step_attempt (partition, run_uid, step_id, attempt, step_seq, step_uuid, status, times, step_type,
    dispatch, queue, backend_keys, task, timeout_ms, queued_at)
SELECT (n - 1) %% 64, gen_random_uuid(), %(step_id)s, 1, 1, gen_random_uuid(), 'WAITING_FOR_PERMITS', '{}', %(type)s,
    'QUEUED', %(queue)s, %(backend_keys)s,
    json_build_object('workflow_id', 'tests', 'instance_id', n, 'run_id', 1, 'step_id', %(step_id)s::text,
        'attempt', 1, 'step_type', %(type)s::text, 'params', %(params)s::json, 'correlation_id', 'c'),
    %(timeout_ms)s, clock_timestamp()
FROM generate_series(1, %(count)s) AS n
RETURNING partition, run_uid
"""


class Key(NamedTuple):
    """An attempt of the tests: always attempt 1."""

    partition: int
    run_uid: UUID
    step_id: str


class AttemptRows:
    """The rows of the attempts in one database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def queue(
        self,
        step_type: str,
        own: dict[str, Any] | None = None,
        *,
        count: int = 1,
        params: dict[str, Any] | None = None,
        step_id: str = "step",
        queue: str = "default",
        backend_keys: Sequence[str] = (),
        timeout_ms: int | None = None,
    ) -> list[Key]:
        """Queue *count* attempts of a type, with its *own* parameters and others, and return their keys."""
        values = {
            "step_id": step_id,
            "type": step_type,
            "queue": queue,
            "backend_keys": list(backend_keys) or [step_type],
            "params": json.dumps({**(params or {}), **({step_type.lower(): own} if own else {})}),
            "timeout_ms": timeout_ms,
            "count": count,
        }
        with psycopg.connect(self.url, autocommit=True) as conn:
            rows = conn.execute(_QUEUE, values).fetchall()
        return [Key(partition, run_uid, step_id) for partition, run_uid in rows]

    def queue_one(self, step_type: str, own: dict[str, Any] | None = None, **more: Any) -> Key:
        """Queue one attempt and return its key."""
        return self.queue(step_type, own, **more)[0]

    def row(self, key: Key) -> dict[str, Any]:
        """Return the whole row of an attempt."""
        with psycopg.connect(self.url, autocommit=True, row_factory=dict_row) as conn:
            found = conn.execute(
                "SELECT * FROM step_attempt WHERE partition = %s AND run_uid = %s AND step_id = %s AND attempt = 1", key
            ).fetchone()
        assert found is not None
        return found

    def update(self, key: Key, assignments: str) -> None:
        """Change the row of an attempt, as some other process would."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(
                f"UPDATE step_attempt SET {assignments}"
                " WHERE partition = %s AND run_uid = %s AND step_id = %s AND attempt = 1",
                key,
            )

    def cancel(self, key: Key) -> None:
        """Ask for the cancellation of an attempt, as the engine does."""
        self.update(key, "cancel_requested_at = now()")

    def lose(self, key: Key) -> None:
        """Judge an attempt lost, as the engine does."""
        self.update(key, "dispatch = 'LOST'")

    def reports(self, key: Key | None = None) -> list[AttemptReported]:
        """Return the reports in the inbox, of one attempt or of all, in their order."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            rows = conn.execute(
                "SELECT payload::text FROM engine_inbox WHERE %(run)s::uuid IS NULL OR run_uid = %(run)s ORDER BY id",
                {"run": key.run_uid if key else None},
            ).fetchall()
        events = [decode_event(payload) for (payload,) in rows]
        return [event for event in events if isinstance(event, AttemptReported)]

    def report(self, key: Key) -> AttemptReported:
        """Return the one report of an attempt."""
        (report,) = self.reports(key)
        return report

    def dispatches(self) -> dict[str, int]:
        """Return how many attempts are in which state of dispatch."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            return dict(conn.execute("SELECT dispatch, count(*) FROM step_attempt GROUP BY 1").fetchall())

    def log(self, key: Key) -> str:
        """Return the whole log of an attempt."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            rows = conn.execute("SELECT text FROM step_log WHERE run_uid = %s ORDER BY token, seq", (key.run_uid,))
            return "".join(text for (text,) in rows)

    def events(self) -> list[dict[str, Any]]:
        """Return the published events, in their order."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            return [event for (event,) in conn.execute("SELECT event FROM event_log ORDER BY id")]
