"""
One lane: takes events of its own partitions in batches, decides, saves, announces, for as long as it owns them.

A partition belongs to exactly one lane; lanes overlap their commits, never their partitions (DESIGN section 4).
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

import structlog

from maestro_py.engine.batch import Batch
from maestro_py.engine.context import EngineContext
from maestro_py.engine.decide.state import Run
from maestro_py.engine.loading import Unreadable
from maestro_py.engine.quarantine import Poisoned
from maestro_py.engine.reach import LaneReach
from maestro_py.engine.setbacks import Setbacks
from maestro_py.model.errors import BadRow, Fenced, RowContended, StaleInstance, StoreUnavailable
from maestro_py.model.statuses import EventClass
from maestro_py.ports.engine_store import DueTimers, EngineTransaction, RunKey, Taken
from maestro_py.ports.transport import Address, HintKind

_log = structlog.get_logger(__name__)

#: Ready attempts offered by one batch, at most.
OFFER_LIMIT: Final = 500
#: Pauses after the database was away, in seconds: the first and the longest.
RECOVERY_SECONDS: Final = (0.1, 1.0)


class Lane:
    """
    One task of an engine, with the runs it has in memory.

    Args:
        index: Which lane of the engine.
        context: What all lanes share.
    """

    def __init__(self, index: int, context: EngineContext) -> None:
        self.index = index
        self.epochs: dict[int, int] = {}  #: Partition to the epoch under which it is ours.
        self.batch_opened_at: float | None = None  #: time.monotonic(), for the gate of the beat.
        self._context = context
        self._runs: OrderedDict[UUID, Run] = OrderedDict()
        self._dirty: set[int] = set()
        self._swept: set[int] = set()  # of the dirty ones, those that no hint announced
        self._timers: list[tuple[int, int]] = []  # heap of (fire ms, partition)
        self._known_timers: set[tuple[int, int]] = set()  # what is in the heap
        self._wake = asyncio.Event()
        self._idle = asyncio.Lock()  # held while a batch is open
        self._setbacks = Setbacks()
        self._results_full = False
        self._stopping = False

    # --- what others tell it -------------------------------------------------------------------------------

    def hint(self, partitions: Collection[int], *, swept: bool = False) -> None:
        """Look into the inbox of those of *partitions* that are ours; *swept*: nobody but a sweep says so."""
        mine = self.epochs.keys() & partitions
        if mine:
            self._swept = self._swept | (mine - self._dirty) if swept else self._swept - mine
            self._dirty |= mine
            self._wake.set()

    def wake(self) -> None:
        """Make a batch: there is room for ready attempts."""
        self._wake.set()

    def add_timer(self, fire_ms: int, partition: int) -> None:
        """Look for due timers of *partition* at *fire_ms*, UTC epoch ms."""
        entry = (fire_ms, partition)
        if partition in self.epochs and entry not in self._known_timers:
            self._known_timers.add(entry)
            heapq.heappush(self._timers, entry)
            if self._timers[0] == entry:
                self._wake.set()

    def adopt(self, run: Run) -> None:
        """Keep a run that was just created by another lane of this engine in memory."""
        # If we have it, we have loaded it since: what we have is newer.
        if run.partition in self.epochs and run.run_uid not in self._runs:
            self._remember(run)

    def acquire(self, epochs: Mapping[int, int]) -> None:
        """Begin to serve these partitions."""
        # What is in memory of an earlier epoch is not what another engine made of it meanwhile.
        self._forget_runs({p for p, epoch in epochs.items() if self.epochs.get(p) != epoch})
        self.epochs.update(epochs)
        self.hint(epochs.keys())

    async def release(self, partitions: Collection[int]) -> None:
        """Stop serving these partitions; returns when no batch touches them any more."""
        gone = self.epochs.keys() & partitions
        async with self._idle:
            for partition in gone:
                self.epochs.pop(partition, None)
            self._dirty -= gone
            self._forget_runs(gone)
            self._setbacks.forget()
            self._context.dispatcher.drop_ready(self.index, gone)

    async def reload_ready(self) -> None:
        """Read again which of our attempts wait to be offered, while no batch is open."""
        async with self._idle:
            rows = await self._context.store.ready(list(self.epochs))
            self._context.dispatcher.drop_ready(self.index)
            self._context.dispatcher.add_ready(self.index, rows)

    def stop(self) -> None:
        """Finish the batch at hand and return from `run`."""
        self._stopping = True
        self._wake.set()

    # --- the loop ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until `stop` is called."""
        pause = RECOVERY_SECONDS[0]
        while not self._stopping:
            await self._wait()
            try:
                async with self._idle:
                    await self._batch()
                pause = RECOVERY_SECONDS[0]
            except StoreUnavailable as exc:
                _log.warning("store_unavailable", lane=self.index, reason=str(exc))
                await asyncio.sleep(pause)
                pause = min(pause * 2, RECOVERY_SECONDS[1])
            except Exception:
                # A bug of ours: nothing was committed, so trying again loses nothing, and others' runs go on.
                _log.exception("batch_failed", lane=self.index)
                await asyncio.sleep(RECOVERY_SECONDS[1])
            finally:
                self.batch_opened_at = None

    async def _wait(self) -> None:
        """Return when there may be something to do, at the latest when a timer or a run that was left alone is due."""
        if not self._dirty and not self._stopping:
            timeout = self._setbacks.next_unpark_seconds()
            if self._timers:
                due = max(0.0, (self._timers[0][0] - self._context.clock.now_ms()) / 1000)
                timeout = due if timeout is None else min(timeout, due)
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                pass
        self._wake.clear()

    async def _batch(self) -> None:
        context = self._context
        await self._unpark()
        now_ms = context.clock.now_ms()
        partitions = [p for p in self._dirty if p in self.epochs]
        due = self._due_partitions(now_ms)
        trial = self._setbacks.on_trial
        offers = context.dispatcher.take_ready(self.index, OFFER_LIMIT) if trial is None else []
        touched = {*partitions, *due, *(row.key.partition for row in offers)} & self.epochs.keys()
        if not touched:
            self._dirty.clear()
            return
        self._dirty.clear()
        swept, self._swept = self._swept, set()
        self.batch_opened_at = time.monotonic()
        # As it is now: a partition that comes back meanwhile comes under another epoch, and what is in memory does not.
        epochs = dict(self.epochs)
        reach = LaneReach(epochs, self._runs, self._setbacks) if self._setbacks.may_go_on else None
        batch = Batch(self.index, context.dispatcher, context.partition_count, now_ms, reach)
        taken: list[Taken] = []
        try:
            async with context.store.batch([(p, epochs[p]) for p in touched]) as tx:
                limits = self._limits(len(partitions))
                timers = DueTimers(due, now_ms, self._share(len(due)))
                taken = await tx.take(partitions, limits, timers, self._setbacks.excluded, trial)
                batch.offer([row for row in offers if row.key.partition in touched])
                await self._decide(tx, batch, taken)
                if trial is not None:
                    self._come_back(partitions, due)
                if not taken and not batch.writes.offers:
                    self._setbacks.found_nothing()
                    return
                decided_at = time.monotonic()
                batch.writes.fence += [(p, epochs[p]) for p in sorted(batch.reached - touched)]
                asked = await tx.save(batch.writes)
        except BaseException as exc:
            self._come_back(touched & self.epochs.keys(), due)
            await self._undone(exc, taken, batch)
            return
        context.metrics.commit_seconds.observe(time.monotonic() - decided_at)
        context.metrics.note_taken(taken, swept)
        self._note_taken(taken, limits, timers.limit)
        self._committed(batch, asked)

    def _come_back(self, partitions: Iterable[int], timer_partitions: Iterable[int]) -> None:
        self._dirty.update(partitions)
        for partition in timer_partitions:
            self.add_timer(0, partition)

    async def _unpark(self) -> None:
        """Go on with the runs that were left alone for long enough, unless their rows are still locked."""
        over = self._setbacks.unpark()
        if over:
            self.batch_opened_at = time.monotonic()
            # Asked without waiting: a batch that met the lock again would keep all the others waiting again.
            locked = await self._context.store.contended(over)
            self._setbacks.park(key for key in over if key.run_uid in locked)
            free = {key.partition for key in over if key.run_uid not in locked}
            self._come_back(free, free)

    async def _decide(self, tx: EngineTransaction, batch: Batch, taken: Sequence[Taken]) -> None:
        setbacks = self._setbacks
        runs = await self._load(tx, taken)
        for row in taken:
            assert row.run_uid is not None
            run = runs.get(row.run_uid)
            if batch.is_full:
                batch.put_back(row)
            elif (reason := setbacks.unreadable.get(row.run_uid)) is not None:
                batch.bury_unread(row, reason)
            elif run is None:
                self._context.metrics.events_without_run += 1
            elif (reason := setbacks.poisoned.get(run.run_uid)) is not None:
                batch.apply_to_poisoned(run, row, reason, may_stop=run.run_uid not in setbacks.hopeless)
            else:
                batch.apply(run, row)
        await batch.complete(tx, self._context.loader)

    async def _load(self, tx: EngineTransaction, taken: Sequence[Taken]) -> dict[UUID, Run]:
        runs: dict[UUID, Run] = {}
        unknown: dict[UUID, RunKey] = {}
        for row in taken:
            assert row.run_uid is not None
            run = self._runs.get(row.run_uid)
            if run is not None:
                runs[row.run_uid] = run
            elif row.run_uid not in self._setbacks.unreadable:
                unknown[row.run_uid] = RunKey(row.partition, row.run_uid)
        if unknown:
            for run in await self._context.loader.load(tx, list(unknown.values())):
                runs[run.run_uid] = run
        return runs

    def _share(self, partitions: int) -> int:
        return max(1, -(-self._context.options.batch_limit // max(1, partitions)))

    def _limits(self, partitions: int) -> list[tuple[int, int]]:
        """Share the batch between the partitions; results leave a small share for starts (DESIGN section 3)."""
        each = self._share(partitions)
        starts = max(1, each // 5) if self._results_full else each
        return [(EventClass.RESULT, each), (EventClass.SIGNAL, each), (EventClass.START, starts)]

    def _note_taken(self, taken: Sequence[Taken], limits: Sequence[tuple[int, int]], timer_limit: int) -> None:
        """Come back to the partitions of which there may be more."""
        counts: dict[tuple[int, int], int] = {}
        fired: dict[int, int] = {}
        for row in taken:
            if row.id == 0:
                fired[row.partition] = fired.get(row.partition, 0) + 1
                continue
            key = (row.partition, row.event_class)
            counts[key] = counts.get(key, 0) + 1
        for partition, count in fired.items():
            if count >= timer_limit:
                self.add_timer(0, partition)
        most = dict(limits)
        self._results_full = False
        for (partition, event_class), count in counts.items():
            if count >= most[event_class]:
                self._dirty.add(partition)
                self._results_full = self._results_full or event_class == EventClass.RESULT

    def _due_partitions(self, now_ms: int) -> list[int]:
        due: set[int] = set()
        while self._timers and self._timers[0][0] <= now_ms:
            entry = heapq.heappop(self._timers)
            self._known_timers.discard(entry)
            due.add(entry[1])
        return [p for p in due if p in self.epochs]

    # --- after a batch -------------------------------------------------------------------------------------

    def _committed(self, batch: Batch, asked: Sequence[UUID]) -> None:
        context = self._context
        for run in batch.runs.values():
            context.metrics.note_changes(run)
        batch.committed()
        for run in batch.runs.values():
            if run.status.is_terminal or run.quarantine_reason is not None:
                self._runs.pop(run.run_uid, None)
            else:
                self._remember(run)
        # What is due later is found by the sweeps: not every timer that will never fire is kept in memory.
        soon = batch.now_ms + context.timer_horizon_ms
        for timer in batch.writes.timers:
            if timer["f"] <= soon:
                self.add_timer(timer["f"], timer["p"])
        self._setbacks.committed(batch.runs, batch.unread)
        context.dispatcher.add_ready(self.index, batch.ready)
        context.announce(batch)
        context.transport.send([Address(HintKind.WORKER, str(worker)) for worker in asked])
        context.metrics.dead_letters += len(batch.writes.dead_letters)
        context.metrics.note_batch(len(batch.runs), time.monotonic() - (self.batch_opened_at or time.monotonic()))
        for lane in context.dispatcher.lanes_with_work():
            context.lanes[lane].wake()

    def _remember(self, run: Run) -> None:
        self._runs[run.run_uid] = run
        self._runs.move_to_end(run.run_uid)
        while len(self._runs) > self._context.options.cached_runs // len(self._context.lanes):
            self._runs.popitem(last=False)

    async def _undone(self, exc: BaseException, taken: Sequence[Taken], batch: Batch) -> None:
        """Forget what was decided, for nothing of it is kept, and see to it that the next try fares better."""
        keys = {RunKey(row.partition, row.run_uid) for row in taken if row.run_uid is not None}
        keys |= {RunKey(run.partition, run.run_uid) for run in batch.runs.values()}
        touched = {key.run_uid for key in keys}
        remembered = {run_uid for run_uid in touched if self._runs.pop(run_uid, None) is not None}
        self._context.stale_dispatcher(self.index)
        match exc:
            case Poisoned() if batch.reached:
                # Perhaps what the batch went on with: the events of the run itself are not buried for that.  What
                # cannot be decided upon is, once it is in the inbox.
                _log.warning("event_decided_alone", run_uid=str(exc.run_uid), reason=exc.reason)
                self._setbacks.stay_within_events()
            case Poisoned() if exc.run_uid in remembered:
                # Perhaps it was our memory that was wrong: no run is quarantined but on what its rows say.
                _log.warning("event_decided_again", run_uid=str(exc.run_uid), reason=exc.reason)
            case Poisoned():
                _log.error("event_poisoned", run_uid=str(exc.run_uid), reason=exc.reason)
                self._setbacks.poison(exc.run_uid, exc.reason)
            case Unreadable():
                _log.error("run_unreadable", run_uid=str(exc.run_uid), reason=exc.reason)
                self._setbacks.unreadable[exc.run_uid] = exc.reason
            case Fenced():
                self._fenced(exc)
            case BadRow() if batch.reached:
                # Before anybody is blamed: it may be a run that the batch went on with, and no event of it was taken.
                _log.info("batch_retried_alone", lane=self.index, reason=str(exc))
                self._setbacks.stay_within_events()
            case BadRow():
                _log.warning("batch_refused", lane=self.index, runs=len(touched), reason=str(exc))
                self._setbacks.suspect(touched, str(exc))
            case RowContended():
                locked = await self._context.store.contended(list(keys))
                self._setbacks.park(key for key in keys if key.run_uid in locked)
            case StaleInstance():
                self._setbacks.stay_within_events()
                _log.info("batch_retried", lane=self.index, reason=str(exc))
                await self._stale(touched, str(exc))
            case _:
                raise exc

    async def _stale(self, runs: Collection[UUID], reason: str) -> None:
        """Try again at once, as somebody may have changed a row; if it is always so, a run is to blame."""
        pause = self._setbacks.stale()
        if self._setbacks.is_stale_for_good:
            self._setbacks.suspect(runs, reason)
        if pause:
            await asyncio.sleep(pause)

    def _fenced(self, exc: Fenced) -> None:
        """Drop everything: which partitions are still ours, the ownership finds out."""
        _log.warning("fenced", lane=self.index, reason=str(exc))
        lost = list(self.epochs)
        self.epochs.clear()
        self._runs.clear()
        self._dirty.clear()
        self._setbacks.forget()
        self._context.dispatcher.drop_ready(self.index)
        self._context.lost(lost)

    def _forget_runs(self, partitions: Collection[int]) -> None:
        for run_uid in [uid for uid, run in self._runs.items() if run.partition in partitions]:
            del self._runs[run_uid]
