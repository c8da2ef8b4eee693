"""
Claim, report and hand back the attempts of one worker: each is one guarded statement on the rows of the attempts.

Many attempts travel as one JSON document; rows are found by primary key, or by the index of what is queued or held.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from psycopg import errors

from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.worker_store import (
    AttemptKey,
    AttemptTaken,
    Claimed,
    ClaimRequest,
    Fate,
    Held,
    LogChunk,
    Report,
    ReportRefused,
    StoreContended,
)
from maestro_py.storage.connections import Database
from maestro_py.storage.step_logs import write_logs

#: Every type is inserted once in the life of an installation.
_REGISTER: Final = """
INSERT INTO step_type (name) SELECT unnest(%(names)s::text[]) ORDER BY 1 ON CONFLICT (name) DO NOTHING
"""

#: Returns the claimed attempts.  One queue is looked at after the other, each from its longest waiting attempt on.
_CLAIM: Final = """
WITH tick AS MATERIALIZED (
    SELECT now() AS at, floor(extract(epoch FROM now()) * 1000)::bigint AS ms
), picked AS MATERIALIZED (
    SELECT offered.* FROM unnest(%(queues)s::text[]) AS wanted (queue), LATERAL (
        SELECT a.partition, a.run_uid, a.step_id, a.attempt
        FROM step_attempt a
        WHERE a.dispatch = 'QUEUED' AND a.queue = wanted.queue AND a.backend_keys && %(backend_keys)s::text[]
        ORDER BY a.queued_at
        LIMIT %(limit)s
        -- SKIP LOCKED: other workers claim at the same time; each takes rows that the others have not.
        FOR NO KEY UPDATE SKIP LOCKED
    ) offered
    LIMIT %(limit)s
), claimed AS (
    UPDATE step_attempt a
    SET dispatch = 'CLAIMED', worker = %(worker)s, token = a.token + 1, claim_id = %(claim_id)s,
        claimed_at = tick.at, reported_at = NULL,
        deadline_at = tick.at + a.timeout_ms * interval '1 millisecond',
        attachable = a.step_type = ANY(%(attachable)s::text[])
    FROM picked p, tick
    WHERE a.partition = p.partition AND a.run_uid = p.run_uid AND a.step_id = p.step_id AND a.attempt = p.attempt
    RETURNING a.partition, a.run_uid, a.step_id, a.attempt, a.token, a.step_type, a.task, a.external_handle,
        a.cancel_requested_at, tick.ms
), told AS (
    INSERT INTO event_log (partition, create_time_ms, event)
    SELECT partition, ms, json_build_object('type', 'STEP_ATTEMPT_CLAIMED', 'run_uid', run_uid, 'step_id', step_id,
        'attempt', attempt, 'token', token, 'worker', %(worker)s::uuid)
    FROM claimed
)
SELECT partition, run_uid::text, step_id, attempt, token, step_type, task::text, external_handle::text,
    cancel_requested_at IS NOT NULL, ms
FROM claimed
"""

_GIVEN: Final = """
json_to_recordset(%(reports)s::json)
    AS r (partition smallint, run_uid uuid, step_id text, attempt integer, token integer, payload json)
"""

#: The guard is a CASE: plainly, ``dispatch = 'CLAIMED'`` would let the planner come by a partial index of all claimed
#: attempts, or think that almost no row fits and walk all of the table, and compare each of them with each report.
_APPLY: Final = """
), reported AS (
    UPDATE step_attempt a
    SET dispatch = 'REPORTED', reported_at = now(), outputs = g.payload -> 'outputs',
        report = CASE WHEN g.payload -> 'outputs' IS NULL THEN g.payload ELSE json_build_object(
            'outcome', g.payload -> 'outcome', 'message', g.payload -> 'message',
            'start_time_ms', g.payload -> 'start_time_ms', 'end_time_ms', g.payload -> 'end_time_ms') END
    FROM given g
    WHERE a.partition = g.partition AND a.run_uid = g.run_uid AND a.step_id = g.step_id AND a.attempt = g.attempt
        AND CASE WHEN a.token = g.token AND a.dispatch = 'CLAIMED' AND a.worker = %(worker)s THEN true ELSE false END
    RETURNING a.partition, a.run_uid, g.payload
), told AS (
    INSERT INTO engine_inbox (partition, class, run_uid, payload)
    SELECT partition, 0, run_uid, payload FROM reported
)
SELECT count(*) FROM reported
"""

#: Returns how many reports were applied.  Rows are locked in the order of their keys, as everybody locks them.
_REPORT: Final = (
    f"WITH given AS MATERIALIZED (SELECT * FROM {_GIVEN} ORDER BY partition, run_uid, step_id, attempt{_APPLY}"  # noqa: S608  # constants
)

#: The same, for when a batch met a lock that is not given back: takes only the rows that are free.
_REPORT_UNLOCKED: Final = f"""
WITH given AS MATERIALIZED (
    SELECT r.* FROM {_GIVEN}, LATERAL (
        SELECT FROM step_attempt a
        WHERE a.partition = r.partition AND a.run_uid = r.run_uid AND a.step_id = r.step_id AND a.attempt = r.attempt
        -- SKIP LOCKED: a row that a stopped process holds delays no other report.
        FOR NO KEY UPDATE SKIP LOCKED
    ) free
{_APPLY}
"""  # noqa: S608  # constants

#: Returns for each report, in order: its number, the state of its row, and whether that is of this worker and token.
_FATES: Final = f"""
SELECT a.dispatch, a.token = r.token AND a.worker = %(worker)s
FROM ROWS FROM ({_GIVEN.replace("AS r (", "AS (")}) WITH ORDINALITY
    AS r (partition, run_uid, step_id, attempt, token, payload, number)
LEFT JOIN step_attempt a
    ON a.partition = r.partition AND a.run_uid = r.run_uid AND a.step_id = r.step_id AND a.attempt = r.attempt
ORDER BY r.number
"""  # noqa: S608  # constants

#: A late report changes nothing, but is kept for whoever asks what happened.
_RECORD_LATE: Final = f"""
WITH given AS MATERIALIZED (SELECT * FROM {_GIVEN} ORDER BY partition, run_uid, step_id, attempt)
UPDATE step_attempt a SET report = g.payload
FROM given g
WHERE a.partition = g.partition AND a.run_uid = g.run_uid AND a.step_id = g.step_id AND a.attempt = g.attempt
    AND a.dispatch <> 'REPORTED'
"""  # noqa: S608  # constants

#: Returns the attempts that the table says the worker holds.
_HELD: Final = """
SELECT partition, run_uid::text, step_id, attempt, token, claim_id, cancel_requested_at IS NOT NULL
FROM step_attempt
WHERE worker = %(worker)s AND dispatch = 'CLAIMED'
"""

_OUTER_VALUES: Final = """
SELECT task -> 'values' FROM step_attempt
WHERE partition = %(partition)s AND run_uid = %(run_uid)s::uuid AND step_id = %(step_id)s AND attempt = %(attempt)s
"""

#: Returns the queues of the attempts that were put back.  They keep their place in the queue.
_HAND_BACK: Final = """
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(held)s::json)
        AS r (partition smallint, run_uid uuid, step_id text, attempt integer, token integer, claim_id uuid)
    ORDER BY partition, run_uid, step_id, attempt
)
UPDATE step_attempt a
SET dispatch = 'QUEUED', worker = NULL, claim_id = NULL, claimed_at = NULL, deadline_at = NULL
FROM given g
WHERE a.partition = g.partition AND a.run_uid = g.run_uid AND a.step_id = g.step_id AND a.attempt = g.attempt
    AND a.token = g.token AND a.claim_id = g.claim_id AND a.dispatch || '' = 'CLAIMED' AND a.worker = %(worker)s
RETURNING a.queue
"""

#: Returns a row if the attempt is still the worker's.
_SAVE_HANDLE: Final = """
UPDATE step_attempt a SET external_handle = %(handle)s::json
WHERE a.partition = %(partition)s AND a.run_uid = %(run_uid)s AND a.step_id = %(step_id)s AND a.attempt = %(attempt)s
    AND a.token = %(token)s AND a.dispatch || '' = 'CLAIMED' AND a.worker = %(worker)s
RETURNING 1
"""

#: The statements that run all day, for the test of their plans.
HOT_STATEMENTS: Final[Mapping[str, str]] = {
    "claim": _CLAIM,
    "report": _REPORT,
    "report past locked rows": _REPORT_UNLOCKED,
    "fates of reports": _FATES,
    "outer values": _OUTER_VALUES,
    "record late reports": _RECORD_LATE,
    "held": _HELD,
    "hand back": _HAND_BACK,
    "save a handle": _SAVE_HANDLE,
}

_ENCODER: Final = msgspec.json.Encoder()


class PostgresWorkerStore:
    """
    The attempts of one worker, in PostgreSQL.

    Args:
        database: With the settings of hot statements; four connections are used at a time.
        worker: The process id of the worker: what the store changes is always this worker's.
    """

    def __init__(self, database: Database, worker: UUID) -> None:
        self._database = database
        self._worker = worker

    async def register_step_types(self, names: Collection[str]) -> None:
        """Remember that workers that run *names* exist; known names stay as they are."""
        with _translated_errors():
            async with self._database.connection() as conn:
                await conn.execute(_REGISTER, {"names": sorted(names)})

    async def claim(self, request: ClaimRequest) -> list[Claimed]:
        """Claim at most ``request.limit`` attempts, the longest queued first; when it raises, some may be claimed."""
        values = {
            "queues": list(request.queues),
            "backend_keys": list(request.backend_keys),
            "attachable": list(request.attachable_types),
            "limit": request.limit,
            "worker": self._worker,
            "claim_id": request.claim_id,
        }
        with _translated_errors():
            async with self._database.connection() as conn:
                cursor = await conn.execute(_CLAIM, values, prepare=True)
                return [Claimed._make(row) for row in await cursor.fetchall()]

    async def report(self, reports: Sequence[Report], logs: Sequence[LogChunk] = ()) -> list[Fate]:
        """
        Write *reports* with their inbox rows, and *logs*, in one commit; return what became of each report.

        Repeating a call whose outcome is unknown applies nothing twice.

        Raises:
            StoreContended: nothing was written; try again.
            ReportRefused: nothing was written; one of the reports can never be.
        """
        values = {"reports": _ENCODER.encode(reports).decode(), "worker": self._worker}
        try:
            applied = await self._apply(_REPORT, values, logs)
        except StoreContended:
            applied = await self._apply(_REPORT_UNLOCKED, values, logs)
        if applied == len(reports):
            return [Fate.APPLIED] * applied
        return await self._fates(reports, values)

    async def _apply(self, statement: str, values: Mapping[str, Any], logs: Sequence[LogChunk]) -> int:
        with _translated_errors():
            if logs:
                async with self._database.transaction() as conn:
                    await write_logs(conn, logs)
                    row = await (await conn.execute(statement, values, prepare=True)).fetchone()
            else:
                async with self._database.connection() as conn:
                    row = await (await conn.execute(statement, values, prepare=True)).fetchone()
        return int(row[0]) if row else 0

    async def _fates(self, reports: Sequence[Report], values: Mapping[str, Any]) -> list[Fate]:
        """Say what became of the reports of a batch that was not applied as a whole, and record the late ones."""
        with _translated_errors():
            async with self._database.connection() as conn:
                rows = await (await conn.execute(_FATES, values)).fetchall()
                fates = [_fate(dispatch, bool(is_ours)) for dispatch, is_ours in rows]
                late = [report for report, fate in zip(reports, fates, strict=True) if fate is Fate.LATE]
                if late:
                    await conn.execute(_RECORD_LATE, {"reports": _ENCODER.encode(late).decode()})
        return fates

    async def outer_values(self, key: AttemptKey) -> dict[str, Any]:
        """Return the parameters that every iteration of the foreach attempt *key* sees; they never change."""
        with _translated_errors():
            async with self._database.connection() as conn:
                row = await (await conn.execute(_OUTER_VALUES, key._asdict(), prepare=True)).fetchone()
        return dict(row[0]) if row and row[0] else {}

    async def held(self) -> list[Held]:
        """Return the attempts that the table says this worker holds."""
        with _translated_errors():
            async with self._database.connection() as conn:
                cursor = await conn.execute(_HELD, {"worker": self._worker}, prepare=True)
                return [Held(AttemptKey(*row[:4]), *row[4:]) for row in await cursor.fetchall()]

    async def hand_back(self, held: Sequence[Held]) -> list[str]:
        """Put those of *held* that are still this worker's, under the same claim, back; return their queues."""
        rows = [{**h.key._asdict(), "token": h.token, "claim_id": h.claim_id} for h in held]
        with _translated_errors():
            async with self._database.connection() as conn:
                values = {"held": _ENCODER.encode(rows).decode(), "worker": self._worker}
                return [row[0] for row in await (await conn.execute(_HAND_BACK, values)).fetchall()]

    async def save_handle(self, key: AttemptKey, token: int, handle: dict[str, Any]) -> None:
        """
        Store what finds the job of the attempt outside again.

        Raises:
            AttemptTaken: the attempt is no longer this worker's.
        """
        values = {**key._asdict(), "token": token, "handle": _ENCODER.encode(handle).decode(), "worker": self._worker}
        with _translated_errors():
            async with self._database.connection() as conn:
                if await (await conn.execute(_SAVE_HANDLE, values)).fetchone() is None:
                    raise AttemptTaken(f"attempt {key.attempt} of step {key.step_id!r} is no longer this worker's")

    async def write_logs(self, logs: Sequence[LogChunk]) -> None:
        """Write *logs* in one commit; repeating it changes nothing."""
        with _translated_errors():
            async with self._database.transaction() as conn:
                await write_logs(conn, logs)


def _fate(dispatch: str | None, is_ours: bool) -> Fate:
    if is_ours and dispatch == "REPORTED":
        return Fate.APPLIED  # by an earlier call, whose answer we never saw
    if is_ours and dispatch == "CLAIMED":
        return Fate.CONTENDED
    return Fate.LATE


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn the driver's errors into the words of the port."""
    try:
        yield
    except (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure) as exc:
        raise StoreContended(str(exc).strip()) from exc
    except (errors.DataError, errors.ProgramLimitExceeded) as exc:
        raise ReportRefused(str(exc).strip()) from exc
    except psycopg.OperationalError as exc:
        # A full disk, say: nothing that a worker could do better than wait.
        raise StoreUnavailable(str(exc).strip()) from exc
