"""The regular duties of an engine: sweeps, lost and overdue attempts, the dispatcher's picture, retention."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog

from maestro_py.engine.context import EngineContext
from maestro_py.engine.dispatcher import LiveWorker
from maestro_py.engine.ownership import Ownership
from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.duty_store import DutyStore
from maestro_py.ports.process_beat import LiveProcess, ProcessBeat
from maestro_py.ports.transport import Address, HintKind

_log = structlog.get_logger(__name__)

#: How often workers, deadlines and lost attempts are looked at, in seconds.
SECOND: Final = 1.0
#: How often expired rows are deleted, in seconds.
RETENTION_SECONDS: Final = 60.0
#: The dispatcher's counts are put right at least this often, in seconds.
RECOUNT_SECONDS: Final = 3.0


class Duties:
    """Looks regularly for what no hint announces."""

    def __init__(self, context: EngineContext, store: DutyStore, ownership: Ownership, beat: ProcessBeat) -> None:
        self._context = context
        self._store = store
        self._ownership = ownership
        self._beat = beat
        self._recounted_at = 0.0

    async def run(self) -> None:
        """Carry out all duties until cancelled."""
        sweep_seconds = self._context.options.sweep_interval_ms / 1000
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(sweep_seconds, self.sweep))
            group.create_task(self._every(SECOND, self.watch_workers))
            group.create_task(self._every(SECOND, self.find_lost))
            group.create_task(self._every(SECOND, self.find_overdue))
            group.create_task(self._every(RETENTION_SECONDS, self.forget_old))

    async def _every(self, seconds: float, duty: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await duty()
            except StoreUnavailable as exc:
                _log.info("duty_postponed", duty=duty.__name__, reason=str(exc))
            except Exception:
                # A bug in one duty must not end the engine; it is tried again.
                _log.exception("duty_failed", duty=duty.__name__)
            await asyncio.sleep(seconds)

    async def sweep(self) -> None:
        """Find the events and timers of our partitions that no hint announced."""
        context = self._context
        owned = list(self._ownership.owned)
        if not owned:
            return
        backlog = await context.store.backlog(owned)
        context.hint_own(backlog.runs, backlog.workflows, swept=True)
        until_ms = context.clock.now_ms() + context.timer_horizon_ms
        for fire_ms, partition in await context.store.next_timers(owned, until_ms):
            context.lane_of(partition).add_timer(fire_ms, partition)

    async def watch_workers(self) -> None:
        """Tell the dispatcher who is alive, and what of our partitions is offered, when that may have changed."""
        context = self._context
        dispatcher = context.dispatcher
        self._beat.set_info({"backlog": dict(dispatcher.backlog()), "partitions": len(self._ownership.owned)})
        workers = [live_worker(process) for process in await self._store.live_workers()]
        changed = dispatcher.set_workers(workers, share_of(self._beat, await self._store.live_engines()))
        due = time.monotonic() - self._recounted_at > RECOUNT_SECONDS and (context.metrics.batches or changed)
        if changed or context.stale_lanes or due:
            await self.recount()
        for lane in dispatcher.lanes_with_work():
            context.lanes[lane].wake()

    async def recount(self) -> None:
        """Read again what is offered, and what is ready in lanes whose batch was undone."""
        context = self._context
        self._recounted_at = time.monotonic()
        for lane in context.lanes:
            # A lane that has none in memory looks too: whatever it may have forgotten is found again.
            if lane.index not in context.stale_lanes and context.dispatcher.ready_count(lane.index):
                continue
            context.stale_lanes.discard(lane.index)  # before: a batch that is undone meanwhile adds it again
            try:
                await lane.reload_ready()
            except BaseException:
                # A lane whose memory holds what nobody serves would never look by itself.
                context.stale_dispatcher(lane.index)
                raise
        context.dispatcher.begin_count()
        context.dispatcher.set_offered(await context.store.dispatched(list(self._ownership.owned)))

    async def find_lost(self) -> None:
        """Declare the attempts of dead workers lost, or offer them to a worker that can attach."""
        beaten_ms = self._beat.beaten_without_gap_for_ms()
        if not self._ownership.owned or not beaten_ms:
            return
        lost = await self._store.lose_attempts(list(self._ownership.owned.items()), beaten_ms)
        self._context.metrics.attempts_lost += len(lost.partitions)
        self._context.hint_partitions(lost.partitions)
        if lost.queues:
            self._context.transport.send([Address(HintKind.STEPS, queue) for queue in lost.queues])

    async def find_overdue(self) -> None:
        """Tell runs of deadlines that have passed."""
        if not self._ownership.owned:
            return
        overdue = await self._store.cancel_overdue(list(self._ownership.owned.items()))
        self._context.hint_partitions(overdue.partitions)
        if overdue.workers:
            self._context.transport.send([Address(HintKind.WORKER, str(worker)) for worker in overdue.workers])

    async def forget_old(self) -> None:
        """Delete rows that outlived their retention."""
        await self._store.delete_expired(self._context.clock.now_ms())


def live_worker(process: LiveProcess) -> LiveWorker:
    """Return what a worker's beat says of it."""
    info: Any = process.info
    return LiveWorker(
        process.process_id,
        frozenset(info.get("queues", ())),
        frozenset(info.get("backend_keys", ())),
        int(info.get("slots", 0)),
    )


def share_of(beat: ProcessBeat, engines: Sequence[LiveProcess]) -> float:
    """
    Return this engine's share of what may be offered: its own backlog over that of all engines, 0 to 1.

    An engine without any backlog counts as one attempt, so that its first finds room.
    """
    backlogs = {p.process_id: 1 + sum(p.info.get("backlog", {}).values()) for p in engines}
    own = backlogs.get(beat.process_id, 1)
    total: int = max(own, sum(backlogs.values()))
    return float(own / total)
