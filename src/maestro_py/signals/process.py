"""
The signal service: woken by hints or by the sweep, visit the names that have signals until none is left.

Any number of these may run; what one of them works on is locked, and the others take the rest (DESIGN section 7).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Final

import structlog

from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.clock import Clock
from maestro_py.ports.evaluator import IN_THREAD, Evaluator
from maestro_py.ports.process_beat import Judge, ProcessBeat
from maestro_py.ports.signal_store import Contended, SignalStore
from maestro_py.ports.transport import Address, HintKind, Transport
from maestro_py.signals.backlog import Backlog
from maestro_py.signals.handlers import CURSORS_AT_MOST, Definitions, Visit, VisitFailed, visit

#: Names that one service works on at a time; each takes a database connection.
LANES: Final = 4
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
        evaluator: Evaluates parameters that are too heavy for the loop; closed by whoever made it.
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
        self._hinted = asyncio.Event()
        self._work = asyncio.Event()
        self._stopping = asyncio.Event()
        #: Counted since the start, for the metrics.
        self.visits = 0
        self.runs_started = 0
        self.visits_failed = 0
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
                await asyncio.gather(*work)
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
                evaluator=self._evaluator,
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
        return self._done(done)

    def _done(self, done: Visit) -> bool:
        self._backlog.went_well(done.workflows)
        self.runs_started += done.started
        # The commit is behind us: now the engines may hear of it.
        self._transport.send([Address(HintKind.ENGINE, str(partition)) for partition in done.partitions])
        return done.more

    def _failed(self, name: str, failed: VisitFailed, now: float) -> bool:
        self.visits_failed += 1
        if len(failed.workflows) > 1:
            self._one_by_one[name] = len(failed.workflows)
            return True
        for workflow_id in failed.workflows:
            self._backlog.rest(workflow_id, now)
            _log.warning("signal_trigger_failed", signal=name, workflow_id=workflow_id, reason=repr(failed.__cause__))
        return bool(failed.workflows)
