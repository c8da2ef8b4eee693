"""Read the events that the engine could not apply, and put them back into the inbox (DESIGN section 4, poison)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from maestro_py.model.errors import NotFound
from maestro_py.ports.api_records import DeadLetter
from maestro_py.storage.connections import Database
from maestro_py.storage.retries import Connection, in_transaction

#: Returns dead letters, the oldest first, with the run that each was for.
_LIST: Final = """
SELECT d.id, d.class, d.run_uid, coalesce(d.workflow_id, i.workflow_id), i.instance_id, i.run_id, d.payload, d.reason,
       d.create_time_ms
FROM engine_dead_letter d
LEFT JOIN workflow_instance i ON i.partition = d.partition AND i.run_uid = d.run_uid
WHERE d.id > %s ORDER BY d.id LIMIT %s
"""

#: Returns whom a dead letter was for.
_ADDRESSEE: Final = "SELECT partition, run_uid, workflow_id FROM engine_dead_letter WHERE id = %s"

#: Makes the run healthy again, for an engine that has it in memory too: it sees the higher version and loads it.
_HEAL: Final = """
UPDATE workflow_instance SET quarantine_reason = NULL, row_version = row_version + 1
WHERE partition = %s AND run_uid = %s AND quarantine_reason IS NOT NULL
"""

# The inbox gives ids in the order of the rows inserted, so the events are read again in the order they came in.
_PUT_BACK_OF_RUN: Final = """
WITH dead AS MATERIALIZED (
    DELETE FROM engine_dead_letter WHERE run_uid = %s RETURNING partition, class, inbox_id, run_uid, payload
)
INSERT INTO engine_inbox (partition, class, run_uid, payload)
SELECT partition, class, run_uid, payload FROM dead ORDER BY class, inbox_id
"""

#: The same for the aggregate of a workflow.
_PUT_BACK_OF_WORKFLOW: Final = """
WITH dead AS MATERIALIZED (
    DELETE FROM engine_dead_letter WHERE id IN (
        SELECT id FROM engine_dead_letter WHERE run_uid IS NULL AND workflow_id = %s)
    RETURNING partition, class, inbox_id, workflow_id, payload
)
INSERT INTO engine_inbox (partition, class, workflow_id, payload)
SELECT partition, class, workflow_id, payload FROM dead ORDER BY class, inbox_id
"""


class DeadLetters:
    """The dead letters in *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def dead_letters(self, after: int, limit: int) -> list[DeadLetter]:
        """Return at most *limit* dead letters with ids above *after*, the oldest first."""
        names = DeadLetter.__struct_fields__
        async with self._database.connection() as conn:
            cursor = await conn.execute(_LIST, (after, limit))
            return [DeadLetter(**dict(zip(names, row, strict=True))) for row in await cursor.fetchall()]

    async def retry(self, dead_letter_id: int) -> tuple[int, Sequence[int]]:
        """
        Put every dead event of the run that *dead_letter_id* was for back into the inbox, in order.

        Returns:
            How many events were put back, and the engine partitions to hint.

        Raises:
            NotFound: there is no such dead letter (any more).
        """

        async def work(conn: Connection) -> tuple[int, Sequence[int]]:
            cursor = await conn.execute(_ADDRESSEE, (dead_letter_id,))
            row = await cursor.fetchone()
            if row is None:
                raise NotFound(f"there is no dead letter {dead_letter_id}")
            partition, run_uid, workflow_id = row
            if run_uid is None:
                cursor = await conn.execute(_PUT_BACK_OF_WORKFLOW, (workflow_id,))
            else:
                # The run first: its row is what an engine that quarantines another event of it holds.
                await conn.execute(_HEAL, (partition, run_uid))
                cursor = await conn.execute(_PUT_BACK_OF_RUN, (run_uid,))
            return cursor.rowcount, (partition,)

        return await in_transaction(self._database, work)
