"""
The ports to the liveness of processes: our own beat, and the judgement over others.

A process is alive while it beats in PostgreSQL, and dead when the database's clock says that its lease is over
(DESIGN section 4).  A database that was away is nobody's death: who has not itself beaten without a gap for a whole
lease judges nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol
from uuid import UUID


class LiveProcess(NamedTuple):
    """A process whose lease is not over, as it described itself with its newest beat."""

    process_id: UUID
    info: Mapping[str, Any]


class ProcessBeat(Protocol):
    """The beat of this process.  Every method answers at once, from memory, in any thread."""

    @property
    def process_id(self) -> UUID:
        """The identity of this start of this process."""
        ...

    def set_info(self, info: Mapping[str, Any]) -> None:
        """Describe the process with *info* (a JSON object) from its next beat on."""
        ...

    def last_answered_ms_ago(self) -> int:
        """Return how many ms ago the newest beat that the server answered was sent."""
        ...

    def server_away(self) -> bool:
        """
        Say whether the server is starting, stopping or unreachable, and has been so for less than the outage grace.

        A server that takes our beats but answers late, or a network that swallows them, is not away.
        """
        ...

    def beaten_without_gap_for_ms(self) -> int:
        """Return for how many ms the beats have been answered without a gap; 0 in a gap.  Needed to judge others."""
        ...


class Judge(Protocol):
    """Ends what dead processes left behind in the database, whatever their kind."""

    async def judge(self) -> Collection[UUID]:
        """
        Terminate the database sessions of every process whose lease is over, and return these processes.

        Raises:
            StoreUnavailable: the database is away, which is nobody's death.
        """
        ...

    async def run(self) -> None:
        """Judge once a second, until cancelled; a database that is away is waited for."""
        ...
