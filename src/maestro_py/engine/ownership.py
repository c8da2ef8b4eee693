"""
Own a fair share of the engine partitions: take free and orphaned ones, hand over what is too much.

The rules of sharing are pure functions; `Ownership` looks at the database once a second and carries them out.  Safety
does not hang on it: every batch of an engine checks its fence, so an engine whose picture is old cannot write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

import structlog

from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.partition_store import PartitionStore, Survey
from maestro_py.ports.process_beat import ProcessBeat

_log = structlog.get_logger(__name__)

#: Time between two looks while every engine has its share, in seconds.
SETTLED_SECONDS: Final = 1.0
#: Time between two looks while we have too little or too much, in seconds.
UNSETTLED_SECONDS: Final = 0.2
#: Lanes that have not let go of a partition after this many seconds keep it, and are asked again.
DRAIN_SECONDS: Final = 5.0

#: Told which partitions are ours now, with their epochs; must not block.
OnAcquire = Callable[[Mapping[int, int]], None]
#: Asked to let partitions go; returns when no batch touches them any more.
OnRelease = Callable[[frozenset[int]], Awaitable[None]]


def share(partitions: int, engines: Sequence[UUID], engine: UUID) -> int:
    """
    Return how many of *partitions* are the share of *engine* among the live *engines*, itself one of them.

    Shares differ by at most one and sum to *partitions*: the first engines by id take the remainder, so an engine
    that joins (its id is the newest) moves as few partitions as possible.
    """
    least, remainder = divmod(partitions, len(engines))
    return least + (sorted(engines).index(engine) < remainder)


def surplus(owned: Collection[int], share: int) -> frozenset[int]:
    """Return the partitions that an engine with this *share* hands over: the highest of *owned*."""
    return frozenset(sorted(owned)[share:])


def ranges(partitions: Collection[int]) -> str:
    """Return *partitions* for people: ``0-31, 40``."""
    spans: list[list[int]] = []
    for partition in sorted(partitions):
        if spans and spans[-1][1] == partition - 1:
            spans[-1][1] = partition
        else:
            spans.append([partition, partition])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in spans)


class Ownership:
    """
    The partitions of this engine.

    Args:
        store: Reads and changes the owners.
        beat: The beat of this engine; it must have been answered before `run`.
        on_acquire: Told of partitions that are ours now.
        on_release: Asked to let partitions go.  It is also told of those that somebody took from us.
        drain_seconds: How long *on_release* may take.

    `owned` maps each partition of ours to its epoch; one that is being let go is no longer in it.
    """

    def __init__(
        self,
        store: PartitionStore,
        beat: ProcessBeat,
        on_acquire: OnAcquire,
        on_release: OnRelease,
        *,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        self.owned: dict[int, int] = {}
        self._store = store
        self._beat = beat
        self._me = beat.process_id
        self._on_acquire = on_acquire
        self._on_release = on_release
        self._drain_seconds = drain_seconds
        self._stopping = asyncio.Event()

    def lost(self, partition: int) -> None:
        """Note that the fence of *partition* failed; the caller has dropped it already."""
        self.owned.pop(partition, None)

    def stop(self) -> None:
        """Have `run` hand everything over and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Keep the share of this engine until `stop` is called; then hand everything over."""
        while not self._stopping.is_set():
            settled = True
            try:
                settled = await self.tick()
            except StoreUnavailable as exc:
                # Whoever owns what stays so: nobody can take anything either.
                _log.info("ownership_unknown", reason=str(exc))
            try:
                await asyncio.wait_for(self._stopping.wait(), SETTLED_SECONDS if settled else UNSETTLED_SECONDS)
            except TimeoutError:
                continue
        await self._hand_over_all()

    async def tick(self) -> bool:
        """
        Look once, bury the dead, take or hand over; say whether we have exactly our share.

        Raises:
            StoreUnavailable: the database is away; the next look finds out what was done.
        """
        survey = await self._store.survey(self._me, self._beat.beaten_without_gap_for_ms())
        if survey.dead:
            # First of all: a process that was stopped inside a transaction holds its locks until then.
            await self._store.terminate(survey.dead)
        await self._reconcile(survey.owned)
        if self._me not in survey.engines:
            return False  # Our first beat is yet to come, or somebody buried us: what we took would be orphaned.
        target = share(survey.partitions, survey.engines, self._me)
        await self._approach(target, survey)
        if survey.dead:
            await self._store.forget(survey.dead)
        return len(self.owned) == target

    async def _reconcile(self, recorded: Mapping[int, int]) -> None:
        """Believe the database: an acquisition may have been answered to nobody, and others may have taken ours."""
        taken = frozenset(p for p, epoch in self.owned.items() if recorded.get(p) != epoch)
        if taken:
            _log.warning("partitions_taken_over", count=len(taken), partitions=ranges(taken))
            for partition in taken:
                del self.owned[partition]
            await self._drained(taken)
        self._adopt({p: epoch for p, epoch in recorded.items() if p not in self.owned})

    async def _approach(self, target: int, survey: Survey) -> None:
        too_many = surplus(self.owned, target)
        if too_many:
            await self._hand_over(too_many)
        elif len(self.owned) < target and survey.takeable:
            self._adopt(await self._store.acquire(self._me, target - len(self.owned), survey.dead))

    def _adopt(self, epochs: Mapping[int, int]) -> None:
        if epochs:
            self.owned.update(epochs)
            _log.info("partitions_acquired", count=len(epochs), partitions=ranges(epochs))
            self._on_acquire(epochs)

    async def _hand_over(self, partitions: frozenset[int]) -> None:
        # No longer ours from here on, so that nothing new begins for them while their lanes finish.
        epochs = {p: self.owned.pop(p) for p in partitions}
        if not await self._drained(partitions):
            self._adopt(epochs)  # The lanes go on with them, and are asked again at the next look.
            return
        await self._store.release(self._me, epochs)
        _log.info("partitions_handed_over", count=len(epochs), partitions=ranges(epochs))

    async def _hand_over_all(self) -> None:
        """Leave nothing behind; what cannot be handed over is taken when our row is gone or our lease is over."""
        partitions = frozenset(self.owned)
        self.owned.clear()
        if not await self._drained(partitions):
            return
        try:
            await self._store.release_all(self._me)
        except StoreUnavailable as exc:
            _log.info("partitions_left_behind", reason=str(exc))

    async def _drained(self, partitions: frozenset[int]) -> bool:
        try:
            await asyncio.wait_for(self._on_release(partitions), self._drain_seconds)
        except TimeoutError:
            _log.warning("lanes_did_not_let_go", count=len(partitions), partitions=ranges(partitions))
            return False
        return True
