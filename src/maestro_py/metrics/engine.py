"""Show what an engine counts, and how long its queues are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from maestro_py.engine.metrics import EngineMetrics
from maestro_py.engine.process import EngineProcess
from maestro_py.metrics.common import Common
from maestro_py.metrics.families import counter, counters, gauge, gauges, histogram
from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.clock import Clock
from maestro_py.ports.queue_depths import Depths, QueueDepths

_PATIENCE_SECONDS: Final = 2.0


class EngineCollector(Collector):
    """
    The families of an engine.

    Args:
        engine: Its process.
        common: What every process has.
        depths: Tells how long queues are; asked once for each answer.
        clock: Tells the age of what waits.
    """

    def __init__(self, engine: EngineProcess, common: Common, depths: QueueDepths, clock: Clock) -> None:
        self._engine = engine
        self._common = common
        self._depths = depths
        self._clock = clock
        self._newest: Depths | None = None

    async def refresh(self) -> None:
        """Read the depths; while the database is away there are none, rather than old ones."""
        self._newest = None
        with suppress(StoreUnavailable, TimeoutError):
            # Not longer: everything else is to be seen also while the database is away.
            async with asyncio.timeout(_PATIENCE_SECONDS):
                self._newest = await self._depths.depths(list(self._engine.ownership.owned))

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        metrics = self._engine.context.metrics
        yield from self._common.collect(metrics.sweep_finds)
        yield from self._batches(metrics)
        yield from _runs_and_steps(metrics)
        yield from self._queues()

    def _batches(self, metrics: EngineMetrics) -> Iterator[Metric]:
        yield gauge("maestro_engine_partitions", "Partitions that this engine owns.", len(self._engine.ownership.owned))
        yield counter("maestro_engine_batches", "Batches committed.", metrics.batches)
        yield histogram("maestro_engine_batch_events", "Events and timers of a batch.", metrics.batch_events)
        yield histogram(
            "maestro_engine_commit_seconds", "Time to write a batch, COMMIT included.", metrics.commit_seconds
        )
        yield counter("maestro_engine_busy_seconds", "Time that batches were open.", metrics.batch_seconds)
        yield counter(
            "maestro_engine_events_without_run", "Events for runs that no longer exist.", metrics.events_without_run
        )
        yield counter("maestro_engine_dead_letters", "Events put aside as poison.", metrics.dead_letters)
        yield counter("maestro_engine_attempts_lost", "Attempts whose workers died.", metrics.attempts_lost)

    def _queues(self) -> Iterator[Metric]:
        now_ms = self._clock.now_ms()
        waiting = self._engine.context.dispatcher.waiting()
        yield gauges(
            "maestro_queue_waiting",
            "Attempts of this engine's partitions that wait for workers to have room.",
            "queue",
            {queue: count for queue, (count, _) in waiting.items()},
        )
        yield gauges(
            "maestro_queue_waiting_oldest_seconds",
            "Age of the oldest of them.",
            "queue",
            {queue: max(0, now_ms - oldest) / 1000 for queue, (_, oldest) in waiting.items() if oldest},
        )
        if self._newest is None:
            return
        offered = self._newest.offered
        yield gauges(
            "maestro_queue_offered",
            "Attempts of all engines that any worker of the queue may claim now.",
            "queue",
            {depth.queue: depth.attempts for depth in offered},
        )
        yield gauges(
            "maestro_queue_offered_oldest_seconds",
            "Time since the oldest of them was offered.",
            "queue",
            {depth.queue: depth.oldest_seconds for depth in offered},
        )
        yield gauge(
            "maestro_inbox_events",
            "Events in the inboxes of this engine's partitions, counted up to 10,000.",
            self._newest.inbox,
        )


def _runs_and_steps(metrics: EngineMetrics) -> Iterator[Metric]:
    yield counters("maestro_step_changes", "Attempts that came into a status.", "status", metrics.step_changes)
    yield counters("maestro_run_changes", "Runs that came into a status.", "status", metrics.run_changes)
    yield histogram(
        "maestro_run_start_delay_seconds",
        "From the request of a run to its beginning; of queued runs with the time in the queue.",
        metrics.start_delay,
    )
    yield histogram("maestro_run_seconds", "From the beginning of a run to its end.", metrics.run_seconds)
    yield histogram(
        "maestro_step_seconds",
        "From the creation of an attempt that a worker ran to its end at the engine.",
        metrics.step_seconds,
    )
    yield histogram(
        "maestro_step_overhead_seconds", "The same without the time that the worker ran it.", metrics.step_overhead
    )
