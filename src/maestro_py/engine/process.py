"""The engine process: owns partitions, runs lanes over them, carries out its duties, and stops in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Any

import structlog

from maestro_py.engine.context import EngineContext, EngineOptions, engine_address, workflow_address
from maestro_py.engine.duties import Duties
from maestro_py.engine.evaluations import Evaluations
from maestro_py.engine.lane import Lane
from maestro_py.engine.loading import Loader
from maestro_py.engine.ownership import Ownership
from maestro_py.engine.workflow_lane import WorkflowLane
from maestro_py.ports.clock import Clock
from maestro_py.ports.duty_store import DutyStore
from maestro_py.ports.engine_store import EngineStore
from maestro_py.ports.evaluator import Evaluator
from maestro_py.ports.partition_store import PartitionStore
from maestro_py.ports.process_beat import ProcessBeat
from maestro_py.ports.transport import Address, Transport

_log = structlog.get_logger(__name__)

#: The loop notes that it ticks this often, in seconds.
TICK_SECONDS = 0.1


class Pulse:
    """Says, in any thread, whether the loop of this engine ticks and its batches end (the gate of its beat)."""

    def __init__(self, batch_deadline_ms: int) -> None:
        self._limit = batch_deadline_ms / 1000
        self._ticked_at = time.monotonic()
        self.lanes: list[Lane | WorkflowLane] = []

    def is_alive(self) -> bool:
        """Say whether the engine may beat."""
        now = time.monotonic()
        oldest = min((at for lane in self.lanes if (at := lane.batch_opened_at) is not None), default=now)
        return now - self._ticked_at < self._limit / 2 and now - oldest < self._limit

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            self._ticked_at = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)


class EngineProcess:
    """
    One engine.

    Args:
        store: For the lanes.
        duty_store: For the duties.
        partition_store: For the ownership.
        transport: Open; carries hints from and to the others.
        beat: Started and answered.
        pulse: The gate of the beat.
        clock: Tells the time of every decision.
        options: What the operator chose.
        partition_count: Of the installation.
        evaluator: Does what is too heavy for the loop; closed by whoever made it.
    """

    def __init__(
        self,
        *,
        store: EngineStore,
        duty_store: DutyStore,
        partition_store: PartitionStore,
        transport: Transport,
        beat: ProcessBeat,
        pulse: Pulse,
        clock: Clock,
        options: EngineOptions,
        partition_count: int,
        evaluator: Evaluator,
    ) -> None:
        self.ownership = Ownership(partition_store, beat, self._acquired, self._release)
        self.context = EngineContext(
            store=store,
            transport=transport,
            clock=clock,
            options=options,
            partition_count=partition_count,
            loader=Loader(store, options.foreach_window),
            on_lost=self.ownership.lost,
        )
        self.context.evaluations = Evaluations(store, evaluator, self.context.hint_partitions)
        self.context.lanes = self._lanes = [Lane(index, self.context) for index in range(options.lanes)]
        self.context.workflow_lane = self._workflow_lane = WorkflowLane(self.context)
        self._duties = Duties(self.context, duty_store, self.ownership, beat)
        self._pulse = pulse
        self._pulse.lanes = [*self._lanes, self._workflow_lane]
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Have `run` hand over and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Serve until `stop` is called; then finish the batches at hand and hand the partitions over."""
        context = self.context
        self._subscription = context.transport.subscribe((), self._on_hint)
        serving: list[Lane | WorkflowLane] = [*self._lanes, self._workflow_lane]
        lanes = [asyncio.create_task(lane.run()) for lane in serving]
        others = [asyncio.create_task(self._pulse.run()), asyncio.create_task(self._duties.run())]
        owning = asyncio.create_task(self.ownership.run())
        stopping = asyncio.create_task(self._stopping.wait())
        tasks: list[asyncio.Task[Any]] = [*lanes, *others, owning, stopping]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in (*lanes, *others, owning):
                if task.done():
                    task.result()  # raises what ended it; nothing of ours returns by itself
        finally:
            self.ownership.stop()
            await asyncio.gather(owning, return_exceptions=True)
            for lane in serving:
                lane.stop()
            await asyncio.gather(*lanes, return_exceptions=True)
            for unneeded in (*others, stopping, *self._tasks):
                unneeded.cancel()
            if context.evaluations is not None:
                await context.evaluations.close()
            await self._subscription.close()

    # --- ownership -----------------------------------------------------------------------------------------

    def _acquired(self, epochs: Mapping[int, int]) -> None:
        self._subscribe()
        by_lane: dict[int, dict[int, int]] = {}
        for partition, epoch in epochs.items():
            by_lane.setdefault(self.context.lane_of(partition).index, {})[partition] = epoch
        for index, mine in by_lane.items():
            # What a previous owner dispatched is read from the rows before anything else is dispatched.
            self.context.stale_dispatcher(index)
            self._lanes[index].acquire(mine)
        self._workflow_lane.acquire(epochs)
        for duty in (self._duties.sweep, self._duties.watch_workers):
            task = asyncio.create_task(_logged(duty()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _release(self, partitions: frozenset[int]) -> None:
        await asyncio.gather(
            *(lane.release(partitions) for lane in self._lanes), self._workflow_lane.release(partitions)
        )
        self._subscribe()

    def _subscribe(self) -> None:
        addresses = [address for p in self.ownership.owned for address in (engine_address(p), workflow_address(p))]
        self._subscription.update(addresses)

    def _on_hint(self, addresses: Collection[Address]) -> None:
        runs = [int(a.key) for a in addresses if not a.key.endswith("w")]
        workflows = [int(a.key[:-1]) for a in addresses if a.key.endswith("w")]
        self.context.hint_own(runs, workflows)


async def _logged(duty: object) -> None:
    try:
        await duty  # type: ignore[misc]  # a coroutine
    except Exception:
        # The regular round of the same duty comes within seconds.
        _log.exception("duty_failed")
