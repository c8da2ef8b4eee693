"""
Ask the tables which of some processes of this machine do not do their work yet.

A process is known by its kind, its host and its number; what counts is what others see of it, too: a beat within its
lease, partitions it owns, slots it offers.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from maestro_py.model.statuses import ProcessKind

#: Returns of each process that is asked for whether it beats, its slots and its partitions.
_SEEN: Final = """
SELECT w.name, p.id IS NOT NULL, coalesce((p.info->>'slots')::int, 0),
       (SELECT count(*) FROM engine_partition e WHERE e.owner = p.id)
FROM unnest(%(names)s::text[], %(kinds)s::text[], %(pids)s::int[]) AS w (name, kind, pid)
LEFT JOIN process p ON p.kind = w.kind AND p.pid = w.pid AND p.host = %(host)s
    AND p.beat_at + p.lease_ms * interval '1 millisecond' >= clock_timestamp()
"""

#: Returns how many partitions there are, how many belong to no live engine, and how many of these there are.
_PARTITIONS: Final = """
WITH live AS (
    SELECT id FROM process
    WHERE kind = 'engine' AND beat_at + lease_ms * interval '1 millisecond' >= clock_timestamp())
SELECT count(*), count(*) FILTER (WHERE e.owner IS NULL OR e.owner NOT IN (SELECT id FROM live)),
       (SELECT count(*) FROM live)
FROM engine_partition e
"""


class RollCall:
    """Asks the database at *url*, over a connection of its own that is opened when it is needed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[TupleRow] | None = None

    def absent(self, expected: Mapping[str, tuple[ProcessKind, int]]) -> list[str]:
        """
        Return, in words, what is missing until all *expected* processes work; empty if nothing is.

        Args:
            expected: Name, for people, to the kind and the number of a process of this machine.
        """
        try:
            return self._ask(expected)
        except psycopg.Error:
            self.close()
            return ["the database does not answer"]

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _ask(self, expected: Mapping[str, tuple[ProcessKind, int]]) -> list[str]:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._url, autocommit=True, connect_timeout=2, application_name="maestro:up"
            )
        wanted = {
            "names": list(expected),
            "kinds": [str(kind) for kind, _ in expected.values()],
            "pids": [pid for _, pid in expected.values()],
            "host": socket.gethostname(),
        }
        seen = self._connection.execute(_SEEN, wanted).fetchall()
        partitions, orphaned, engines = self._connection.execute(_PARTITIONS).fetchall()[0]
        missing = []
        for name, beats, slots, owned in sorted(seen):
            kind = expected[name][0]
            if not beats:
                missing.append(f"{name} does not beat")
            elif kind is ProcessKind.WORKER and not slots:
                missing.append(f"{name} offers no slot")
            elif kind is ProcessKind.ENGINE and not owned and engines <= partitions:
                missing.append(f"{name} owns no partition")
        if orphaned:
            missing.append(f"{orphaned} of {partitions} partitions have no engine")
        return missing
