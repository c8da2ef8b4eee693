"""The port to the ownership of engine partitions: who is alive, what is whose, take and give."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What one look at the database says about ownership."""

    #: Partitions of the installation.
    partitions: int
    #: Engines that are not known to be dead, in order of their ids.
    engines: tuple[UUID, ...]
    #: Processes of every kind whose lease is over, as far as we may judge.
    dead: tuple[UUID, ...]
    #: Partitions that the database calls ours, with their epochs.
    owned: Mapping[int, int]
    #: Partitions without an owner, or whose owner is dead or has no row.
    takeable: int


class PartitionStore(Protocol):
    """
    Reads and changes the owners of partitions.

    Every method is one statement, and raises `StoreUnavailable` when the database is away; whether the change was
    made is then unknown, and the next `survey` tells.
    """

    async def survey(self, engine: UUID, beaten_ms: int) -> Survey:
        """Return how things stand for *engine*, who judges leases of at most *beaten_ms*, its own unbroken beating."""
        ...

    async def terminate(self, dead: Collection[UUID]) -> int:
        """End the database sessions of these processes and return how many there were."""
        ...

    async def acquire(self, engine: UUID, limit: int, dead: Collection[UUID]) -> Mapping[int, int]:
        """
        Make *engine* the owner of at most *limit* partitions and return them with their new epochs.

        Taken are partitions that are free, whose owner has no row, or is one of *dead*.  A partition whose row
        somebody has locked is skipped.
        """
        ...

    async def release(self, engine: UUID, epochs: Mapping[int, int]) -> None:
        """Free the partitions that *engine* still owns under these epochs."""
        ...

    async def release_all(self, engine: UUID) -> None:
        """Free whatever *engine* owns."""
        ...

    async def forget(self, dead: Collection[UUID]) -> None:
        """Delete the rows of these processes, those long dead, once nothing is held in their name."""
        ...
