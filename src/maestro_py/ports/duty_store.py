"""What an engine's regular duties need of the store; each method is one statement and a transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from maestro_py.ports.process_beat import LiveProcess

Fence = Sequence[tuple[int, int]]
"""(partition, epoch) pairs that the engine owns."""


class Lost(NamedTuple):
    """What `DutyStore.lose_attempts` did; each is a hint to be sent."""

    partitions: Sequence[int]  #: Their inboxes hold an `AttemptLost`.
    queues: Sequence[str]  #: Attempts wait in them for a worker that attaches to the job outside.


class Overdue(NamedTuple):
    """What `DutyStore.cancel_overdue` did; each is a hint to be sent."""

    partitions: Sequence[int]  #: Their inboxes hold an `AttemptOverdue` or a `RunOverdue`.
    workers: Sequence[UUID]  #: They hold an attempt that is to be cancelled.


class DutyStore(Protocol):
    """Finds what nobody will report.  Every method raises `StoreUnavailable` when the database is away."""

    async def lose_attempts(self, fence: Fence, beaten_ms: int) -> Lost:
        """Give attempts of dead workers back, or declare them lost; longer leases than *beaten_ms* are not judged."""
        ...

    async def cancel_overdue(self, fence: Fence) -> Overdue:
        """Tell runs of attempts, and of themselves, whose deadline has passed."""
        ...

    async def live_workers(self) -> list[LiveProcess]:
        """Return the workers whose lease is not over."""
        ...

    async def live_engines(self) -> list[LiveProcess]:
        """Return the engines whose lease is not over."""
        ...

    async def delete_expired(self, now_ms: int) -> int:
        """Delete a bounded number of rows that outlived their retention and return how many."""
        ...
