"""
The signal service: woken by hints or by the sweep, visit the names that have signals until none is left.

Any number of these may run; what one of them works on is locked, and the others take the rest (DESIGN section 7).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from typing import Final

import structlog

from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.clock import Clock
from maestro_py.ports.evaluator import IN_THREAD, Evaluator, EvaluatorBusy
from maestro_py.ports.process_beat import Judge, ProcessBeat
from maestro_py.ports.signal_store import Contended, Cursor, DropReason, SignalStore
from maestro_py.ports.transport import Address, HintKind, Transport
from maestro_py.signals.backlog import Backlog
from maestro_py.signals.handlers import (
    CLAIM_MS,
    CURSORS_AT_MOST,
    Definitions,
    Visit,
    VisitFailed,
    visit,
    visit_heavy,
)

#: Names that one service works on at a time; each takes a database connection.
LANES: Final = 4
#: Cursors whose expressions one service has evaluated elsewhere at a time; those of others wait.
HEAVY_AT_MOST: Final = 64
#: Pause after the database was found away, in seconds.
_OUTAGE_PAUSE: Final = 0.5

_log = structlog.get_logger()


class SignalProcess:
    """
    Matches signals with triggers and starts what they trigger.

    Args:
        store: Where signals and cursors are.
        transport: Brings hints that signals came, and takes hints for the engine.
        beat: Of this process.
        judge: Ends what dead processes hold: a service that was stopped inside a start would wedge its workflows.
        clock: Stamps the runs.
        sweep_interval_ms: The most that a lost hint costs.
        evaluator: Evaluates what is too heavy for the loop; closed by whoever made it.
    """

    def __init__(
        self,
        store: SignalStore,
        transport: Transport,
        beat: ProcessBeat,
        judge: Judge,
        clock: Clock,
        *,
        sweep_interval_ms: int = 1_500,
        evaluator: Evaluator = IN_THREAD,
    ) -> None:
        self._store = store
        self._transport = transport
        self._beat = beat
        self._judge = judge
        self._clock = clock
        self._evaluator = evaluator
        self._sweep_seconds = sweep_interval_ms / 1000
        self._definitions = Definitions()
        self._backlog = Backlog()
        #: Visits to come that take one cursor at a time, for each name with something wrong.
        self._one_by_one: dict[str, int] = {}
        #: What is evaluated elsewhere, by name and key of the cursor.
        self._heavy: dict[tuple[str, str, str], tuple[Cursor, asyncio.Task[None]]] = {}
        self._hinted = asyncio.Event()
        self._work = asyncio.Event()
        self._stopping = asyncio.Event()
        #: Counted since the start, for the metrics.
        self.visits = 0
        self.runs_started = 0
        self.visits_failed = 0
        self.dropped: Counter[DropReason] = Counter()  #: Signals that matched and started nothing.
        self.sweep_finds = 0  #: Names with signals that no hint had announced when a sweep found them.

    async def run(self) -> None:
        """Work until `stop` is called; what is being worked on is then finished first."""
        self._beat.set_info({"lanes": LANES})
        subscription = self._transport.subscribe([Address(HintKind.SIGNALS, "")], self._on_hint)
        try:
            async with asyncio.TaskGroup() as tasks:
                judging = tasks.create_task(self._judge.run())
                work = [tasks.create_task(self._look_for_names())]
                work += [tasks.create_task(self._visit_names()) for _ in range(LANES)]
                renewing = tasks.create_task(self._renew_claims())
                await asyncio.gather(*work)
                renewing.cancel()
                await self._let_go()
                judging.cancel()
        finally:
            await subscription.close()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()
        self._hinted.set()
        self._work.set()

    @property
    def names_waiting(self) -> int:
        """Return how many names wait for a visit."""
        return len(self._backlog)

    @property
    def evaluating(self) -> int:
        """Return how many triggers have expressions evaluated elsewhere."""
        return len(self._heavy)

    def _on_hint(self, _: Collection[Address]) -> None:
        self._hinted.set()

    async def _look_for_names(self) -> None:
        """Look for names at each hint and each sweep; hints that come during a look lead to one more."""
        was_hinted = True  # At the start there is no hint that could have been lost.
        known: set[str] = set()
        while not self._stopping.is_set():
            self._hinted.clear()
            with suppress(StoreUnavailable):  # The next sweep asks again.
                names = await self._store.pending_names()
                self._backlog.add(names)
                if not was_hinted:
                    self.sweep_finds += len(set(names) - known)
                known = set(names)
            if len(self._backlog):
                self._work.set()
            try:
                await asyncio.wait_for(self._hinted.wait(), self._sweep_seconds)
                was_hinted = True
            except TimeoutError:
                was_hinted = False

    async def _visit_names(self) -> None:
        while not self._stopping.is_set():
            name = self._backlog.take()
            if name is None:
                self._work.clear()
                await self._work.wait()
                continue
            more = False
            try:
                more = await self._visit(name)
            finally:
                self._backlog.done(name, more=more)

    async def _visit(self, name: str) -> bool:
        """Visit *name* once and return whether to come again at once; the sweep comes anyway."""
        now = time.monotonic() * 1000
        left_one_by_one = self._one_by_one.pop(name, 0)
        if left_one_by_one > 1:
            self._one_by_one[name] = left_one_by_one - 1
        self.visits += 1
        try:
            done = await visit(
                name,
                self._store,
                self._definitions,
                now_ms=self._clock.now_ms(),
                resting=self._backlog.resting(now),
                cursors_at_most=1 if left_one_by_one else CURSORS_AT_MOST,
                heavy_at_most=max(0, HEAVY_AT_MOST - len(self._heavy)),
            )
        except StoreUnavailable:
            await asyncio.sleep(_OUTAGE_PAUSE)
            return False
        except Contended as exc:
            if exc.workflow_id is not None:
                self._backlog.rest_contended(exc.workflow_id, now)
            return exc.workflow_id is not None
        except VisitFailed as exc:
            return self._failed(name, exc, now)
        self.visits_failed += bool(done.wrong)
        for workflow_id, error in done.wrong.items():
            self._rest(name, workflow_id, error, now)
        for workflow_id in done.crowded:
            self._backlog.rest_contended(workflow_id, now)
        for cursor in done.heavy:
            task = asyncio.create_task(self._visit_heavy(cursor))
            self._heavy[cursor.name, *cursor.key] = cursor, task
        return self._done(name, done)

    async def _visit_heavy(self, cursor: Cursor) -> None:
        """Have evaluated what the next signals of *cursor*, which is claimed for us, start; then visit its name."""
        now = time.monotonic() * 1000
        has_moved = False
        try:
            done = await visit_heavy(
                cursor, self._store, self._definitions, self._evaluator, now_ms=self._clock.now_ms()
            )
            has_moved = bool(done.workflows)
            self._done(cursor.name, done)
        except EvaluatorBusy as exc:
            _log.warning("signal_evaluation_postponed", workflow_id=cursor.workflow_id, reason=str(exc))
            self._backlog.rest_contended(cursor.workflow_id, now)
        except StoreUnavailable:
            has_moved = True  # Perhaps; the claim ends by itself.
        except VisitFailed as exc:
            self._failed(cursor.name, exc, now)
        finally:
            del self._heavy[cursor.name, *cursor.key]
        if not has_moved:
            with suppress(StoreUnavailable):
                await self._store.claim([cursor], 0)
        self._backlog.add([cursor.name])
        self._work.set()

    async def _renew_claims(self) -> None:
        while True:
            await asyncio.sleep(CLAIM_MS / 3000)
            if self._heavy:
                with suppress(StoreUnavailable):
                    await self._store.claim([cursor for cursor, _ in self._heavy.values()], CLAIM_MS)

    async def _let_go(self) -> None:
        """Leave what is being evaluated to others: it may take longer than anybody waits for our end."""
        left = list(self._heavy.values())
        for _, task in left:
            task.cancel()
        await asyncio.gather(*(task for _, task in left), return_exceptions=True)
        if left:
            with suppress(StoreUnavailable):
                await self._store.claim([cursor for cursor, _ in left], 0)

    def _done(self, name: str, done: Visit) -> bool:
        self._backlog.went_well(done.workflows)
        self.runs_started += done.started
        for (workflow_id, reason), drops in done.drops.items():
            self.dropped[reason] += len(drops)
            # One line for however many, the latest of which says the most.
            told = {"signal": name, "workflow_id": workflow_id, "reason": reason, "count": len(drops)}
            level = _log.warning if reason is DropReason.CONDITION_FAILED else _log.info
            level("signal_dropped", **told, signal_id=drops[-1].signal_id, why=drops[-1].message)
        # The commit is behind us: now the engines may hear of it.
        self._transport.send([Address(HintKind.ENGINE, str(partition)) for partition in done.partitions])
        return done.more

    def _failed(self, name: str, failed: VisitFailed, now: float) -> bool:
        self.visits_failed += 1
        if len(failed.workflows) > 1:
            self._one_by_one[name] = len(failed.workflows)
            return True
        for workflow_id in failed.workflows:
            self._rest(name, workflow_id, failed.__cause__, now)
        return bool(failed.workflows)

    def _rest(self, name: str, workflow_id: str, error: BaseException | None, now: float) -> None:
        self._backlog.rest(workflow_id, now)
        _log.warning("signal_trigger_failed", signal=name, workflow_id=workflow_id, reason=repr(error))
