"""Count what waits for engines and signal services, without looking at more rows than matter."""

from __future__ import annotations

from typing import Final

from maestro_py.ports.api_store import Backlog
from maestro_py.storage.connections import Database

#: Returns how many events and signals wait, each up to a number; both are read from the primary keys alone.
_BACKLOG: Final = """
SELECT (SELECT count(*) FROM (SELECT 1 FROM engine_inbox LIMIT %(most)s) AS events),
       (SELECT count(*) FROM (SELECT 1 FROM signal_pending LIMIT %(most)s) AS signals)
"""


class BacklogReader:
    """Implements `BacklogReads` on a hot *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def backlog(self, most: int) -> Backlog:
        """Return how many events and signals wait, each counted up to *most*."""
        async with self._database.connection() as conn:
            cursor = await conn.execute(_BACKLOG, {"most": most}, prepare=True)
            [(events, signals)] = await cursor.fetchall()
            return Backlog(events, signals)
