"""
The port to the rows of the attempts that one worker claims, runs and reports.

Every change is one guarded UPDATE of the attempt's row, so of two rivals (a report and a LOST verdict, two workers)
exactly one wins.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec

from maestro_py.model.errors import MaestroError


class AttemptTaken(MaestroError):
    """The attempt is no longer this worker's: it was judged lost, or claimed again."""


class StoreContended(MaestroError):
    """Somebody else holds the rows too long, or the database broke a deadlock.  Nothing was written; try again."""


class ReportRefused(MaestroError):
    """The database cannot hold a report of the batch; nothing was written.  Find the guilty one and replace it."""


class AttemptKey(NamedTuple):
    """The primary key of an attempt."""

    partition: int
    run_uid: str
    step_id: str
    attempt: int


class ClaimRequest(NamedTuple):
    """What a worker can take right now."""

    claim_id: UUID  #: Fresh for every request: names the claim if its answer is lost.
    queues: Sequence[str]  #: In the order in which they are looked at.
    backend_keys: Sequence[str]
    attachable_types: Sequence[str]
    limit: int


class Claimed(NamedTuple):
    """An attempt that is now this worker's."""

    partition: int
    run_uid: str
    step_id: str
    attempt: int
    token: int
    step_type: str
    task: str  #: JSON of a `StepTask`, without the token.
    handle: str | None  #: JSON of the saved handle of a job outside, for attach.
    cancel_requested: bool
    claimed_ms: int  #: The database's clock, UTC epoch ms.

    @property
    def key(self) -> AttemptKey:
        """Return the primary key of the attempt."""
        return AttemptKey(self.partition, self.run_uid, self.step_id, self.attempt)


class Held(NamedTuple):
    """An attempt that the table says this worker holds."""

    key: AttemptKey
    token: int
    claim_id: UUID
    cancel_requested: bool


class Report(msgspec.Struct, frozen=True):
    """How an attempt ended, ready to be written."""

    partition: int
    run_uid: str
    step_id: str
    attempt: int
    token: int
    payload: msgspec.Raw  #: JSON of `maestro_py.model.events.AttemptReported`.

    @property
    def key(self) -> AttemptKey:
        """Return the primary key of the attempt."""
        return AttemptKey(self.partition, self.run_uid, self.step_id, self.attempt)


class Fate(Enum):
    """What became of a report."""

    APPLIED = "applied"  #: It is in the row and in the inbox, exactly once.
    LATE = "late"  #: The attempt was no longer ours: recorded, and changes nothing.
    CONTENDED = "contended"  #: Somebody else holds the row just now: try again.


class LogChunk(msgspec.Struct, frozen=True):
    """A piece of an attempt's log, or the correction of one written before."""

    partition: int
    run_uid: str
    step_id: str
    attempt: int
    token: int
    seq: int  #: From 1; a chunk with a known number replaces the earlier text.
    create_time_ms: int
    text: str
    drop_from: int = 0  #: The chunks numbered from here to *drop_to* are deleted; 0 for none.
    drop_to: int = 0


class WorkerStore(Protocol):
    """The rows of the attempts of one worker; every method may raise `StoreUnavailable`."""

    async def register_step_types(self, names: Collection[str]) -> None:
        """Remember that workers that run *names* exist; known names stay as they are."""
        ...

    async def claim(self, request: ClaimRequest) -> list[Claimed]:
        """Claim at most ``request.limit`` attempts, the longest queued first; when it raises, some may be claimed."""
        ...

    async def report(self, reports: Sequence[Report], logs: Sequence[LogChunk]) -> list[Fate]:
        """
        Write *reports* with their inbox rows, and *logs*, in one commit; return what became of each report.

        Repeating a call whose outcome is unknown applies nothing twice.

        Raises:
            StoreContended: nothing was written; try again.
            ReportRefused: nothing was written; one of the reports can never be.
        """
        ...

    async def outer_values(self, key: AttemptKey) -> dict[str, Any]:
        """Return the parameters that every iteration of the foreach attempt *key* sees; they never change."""
        ...

    async def held(self) -> list[Held]:
        """Return the attempts that the table says this worker holds."""
        ...

    async def hand_back(self, held: Sequence[Held]) -> list[str]:
        """Put those of *held* that are still this worker's, under the same claim, back; return their queues."""
        ...

    async def save_handle(self, key: AttemptKey, token: int, handle: dict[str, Any]) -> None:
        """
        Store what finds the job of the attempt outside again.

        Raises:
            AttemptTaken: the attempt is no longer this worker's.
        """
        ...

    async def write_logs(self, logs: Sequence[LogChunk]) -> None:
        """Write *logs* in one commit; repeating it changes nothing."""
        ...
