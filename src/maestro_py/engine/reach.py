"""Say which runs a batch may go on with, beyond those of the events it has taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from maestro_py.engine.decide.state import Run
from maestro_py.engine.setbacks import Setbacks


class Reach(Protocol):
    """
    What a batch may go on with beyond the events it has taken.

    An iteration that begins, and a parent whose iteration has ended, would hear of it by an event in their inboxes.
    Where both are in partitions of the same lane, the batch decides upon them at once: no row, no further commit.
    """

    def covers(self, partition: int) -> bool:
        """Say whether the lane owns *partition*; the transaction must then check its fence as well."""
        ...

    def run(self, run_uid: UUID) -> Run | None:
        """Return a run of those partitions that is in memory and may be decided upon."""
        ...


class LaneReach:
    """
    The runs of a lane that a batch may go on with.

    Args:
        epochs: Partitions that the lane owns as the batch begins, with their epochs.
        runs: Those it has in memory.
        setbacks: Knows which of them are left alone.
    """

    def __init__(self, epochs: Mapping[int, int], runs: Mapping[UUID, Run], setbacks: Setbacks) -> None:
        self._epochs = epochs
        self._runs = runs
        self._left_alone = {*setbacks.excluded, *setbacks.poisoned, *setbacks.unreadable}

    def covers(self, partition: int) -> bool:
        """Say whether the lane owned *partition* as the batch began."""
        return partition in self._epochs

    def run(self, run_uid: UUID) -> Run | None:
        """Return the run if it is in memory and nothing went wrong with it lately."""
        return None if run_uid in self._left_alone else self._runs.get(run_uid)
