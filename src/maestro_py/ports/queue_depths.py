"""The port to the lengths of queues, for the metrics of engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class QueueDepth(NamedTuple):
    """What is offered to the workers of one queue."""

    queue: str
    attempts: int
    oldest_seconds: float  #: Since the oldest was offered, by the database's clock.


class Depths(NamedTuple):
    """How long queues are at one moment."""

    offered: Sequence[QueueDepth]  #: Of all engines; queues with nothing to claim are left out.
    inbox: int  #: Events for some partitions, counted up to a limit.


class QueueDepths(Protocol):
    """Measures queues."""

    async def depths(self, partitions: Sequence[int]) -> Depths:
        """
        Return what is offered to workers, and what lies in the inboxes of *partitions*: one cheap statement.

        Raises:
            StoreUnavailable: the database is away.
        """
        ...
