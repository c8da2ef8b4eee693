"""
Run claimed attempts in the slots of this worker, and hand over how they ended.

Instant types are done inside the call that hands them in; every other attempt is an asyncio task.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Final
from uuid import UUID

import msgspec

from maestro_py.histogram import Histogram
from maestro_py.model.errors import MaestroError
from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import Attachable, InstantType, StepReport, StepTask, StepType
from maestro_py.ports.worker_store import AttemptKey, AttemptTaken, Claimed, Held, Report, WorkerStore
from maestro_py.workers.attempt_context import AttemptContext, LocalMachine
from maestro_py.workers.log_book import LogBook, OpenLog
from maestro_py.workers.outer_values import OuterValues
from maestro_py.workers.registry import Registry
from maestro_py.workers.report_batcher import ReportBatcher
from maestro_py.workers.report_encoding import fatal, report_of

_TASK_DECODER: Final = msgspec.json.Decoder(StepTask)

_CANCELLED: Final = StepReport(Outcome.STOPPED, None, "cancelled")

#: An attempt under one claim: the same attempt may come back under a higher token.
Lot = tuple[AttemptKey, int]


class Ending(Enum):
    """Why the worker ends an attempt before its work does."""

    CANCELLED = "cancelled"  #: The engine asked for it: the outcome is STOPPED.
    TAKEN = "taken"  #: The attempt is no longer ours: nothing is reported.
    LEASE_OVER = "the worker could not renew its lease"
    SHUTDOWN = "worker shut down"


class RunningAttempt:
    """An attempt in a slot."""

    def __init__(
        self,
        claim_id: UUID,
        claimed: Claimed,
        task: StepTask,
        step_type: StepType,
        context: AttemptContext,
        outer: OuterValues,
        claim_to_start: Histogram,
    ) -> None:
        self.claim_id: Final = claim_id
        self.claimed: Final = claimed
        self.task: Final = task
        self.context: Final = context
        self._step_type = step_type
        self._outer = outer
        self._claim_to_start = claim_to_start
        self._began = time.monotonic()
        self._ending: Ending | None = None
        self.runner: Final = asyncio.get_running_loop().create_task(self._work())

    @property
    def lot(self) -> Lot:
        """Return the attempt and the token under which we have it."""
        return self.claimed.key, self.claimed.token

    @property
    def held(self) -> Held:
        """Return what hands the attempt back."""
        return Held(self.claimed.key, self.claimed.token, self.claim_id, cancel_requested=False)

    @property
    def goes_back(self) -> bool:
        """Say whether it ended in a state in which another worker simply goes on: not begun, or to be attached to."""
        can_attach = self.context.has_handle and isinstance(self._step_type, Attachable)
        return self._ending is Ending.SHUTDOWN and self.runner.cancelled() and (self.context.is_waiting or can_attach)

    def end(self, why: Ending) -> None:
        """Have the attempt end; what came first counts.  The job outside ends only if the engine asked for it."""
        if self._ending is None and not self.runner.done():
            self._ending = why
            if why is Ending.CANCELLED:
                self.context.cancelled.set()
            self.runner.cancel()

    def report(self) -> StepReport | None:
        """Return how the attempt ended, once its runner is done; None: nothing is to be reported."""
        if self._ending is Ending.TAKEN:
            return None
        if not self.runner.cancelled():
            return self.runner.result()
        if self._ending is Ending.CANCELLED:
            return _CANCELLED
        reason = Ending.SHUTDOWN if self._ending is None else self._ending
        return StepReport(Outcome.PLATFORM_ERROR, None, reason.value)

    def end_ms(self) -> int:
        """Return the time of now by the database's clock, as the claim told it."""
        return self.claimed.claimed_ms + int((time.monotonic() - self._began) * 1000)

    async def _work(self) -> StepReport | None:
        handle = self.claimed.handle
        try:
            self.context.is_waiting = True
            await self._outer.complete(self.task)
            self.context.is_waiting = False
            self._claim_to_start.observe(time.monotonic() - self._began)
            if handle is not None and isinstance(self._step_type, Attachable):
                attaching = self._step_type.attach(self.task, msgspec.json.decode(handle), self.context)
                if self.claimed.cancel_requested:
                    # As soon as it is attached: only the type knows how its job outside is ended.
                    asyncio.get_running_loop().call_soon(self.end, Ending.CANCELLED)
                return await attaching
            return await self._step_type.run(self.task, self.context)
        except AttemptTaken:
            return None
        except MaestroError as exc:
            return StepReport(Outcome.PLATFORM_ERROR, None, str(exc))
        except Exception as exc:
            self.context.log(traceback.format_exc())
            message = f"the step type {self.task.step_type!r} failed: {type(exc).__name__}: {exc}"
            return StepReport(Outcome.PLATFORM_ERROR, None, message)


class Executor:
    """
    The slots of one worker.

    Args:
        registry: What runs which attempt.
        store: Keeps handles.
        machine: Runs programs and functions.
        logs: The logs of what runs.
        reports: Takes how attempts ended.
        slots: Attempts that run at a time.
        on_free: Called whenever a slot became free.
    """

    def __init__(
        self,
        registry: Registry,
        store: WorkerStore,
        machine: LocalMachine,
        logs: LogBook,
        reports: ReportBatcher,
        *,
        slots: int,
        on_free: Callable[[], object],
    ) -> None:
        self._registry = registry
        self._store = store
        self._outer = OuterValues(store)
        self._machine = machine
        self._logs = logs
        self._reports = reports
        self._slots = slots
        self._on_free = on_free
        self._running: dict[Lot, RunningAttempt] = {}
        self._opened: dict[Lot, OpenLog] = {}
        self._instant = {name: found for name in registry.step_types if (found := registry.instant(name)) is not None}
        self._going_back: list[Held] = []
        self._all_ended = asyncio.Event()
        self._all_ended.set()
        self.started = 0  #: Attempts begun, since the start.
        self.waited_seconds = 0.0  #: What attempts waited in their slots for a process, since the start.
        self.claim_to_start = Histogram()  #: Seconds from the answer to a claim to the call of the step type.

    @property
    def busy(self) -> int:
        """Return how many slots are taken."""
        return len(self._running)

    @property
    def slots(self) -> int:
        """Return how many attempts run at a time."""
        return self._slots

    @property
    def free(self) -> int:
        """Return how many slots are free."""
        return self._slots - len(self._running)

    def count_of(self, step_types: Iterable[str]) -> int:
        """Return how many running attempts are of *step_types*."""
        return sum(attempt.claimed.step_type in step_types for attempt in self._running.values())

    def running(self) -> set[Lot]:
        """Return what runs now."""
        return set(self._running)

    def start(self, claim_id: UUID, claims: Sequence[Claimed]) -> None:
        """Begin to run *claims*; those of instant types are done when this returns."""
        self.started += len(claims)
        done: list[Report] = []
        for claimed in claims:
            instant = self._instant.get(claimed.step_type)
            if claimed.cancel_requested and claimed.handle is None:
                done.append(report_of(claimed, _CANCELLED, claimed.claimed_ms))
            elif instant is not None:
                done.append(report_of(claimed, _run_now(instant, claimed), claimed.claimed_ms))
            elif (refusal := self._launch(claim_id, claimed)) is not None:
                done.append(report_of(claimed, refusal, claimed.claimed_ms))
        self._reports.add_all(done)

    def end(self, lots: Iterable[Lot], why: Ending) -> None:
        """Have those of *lots* that still run end."""
        for lot in lots:
            attempt = self._running.get(lot)
            if attempt is not None:
                attempt.end(why)

    async def end_waiting(self) -> None:
        """End those attempts that have not begun, because they wait for a process: they go back."""
        waiting = [attempt for attempt in self._running.values() if attempt.context.is_waiting]
        for attempt in waiting:
            attempt.end(Ending.SHUTDOWN)
        if waiting:
            await asyncio.wait([attempt.runner for attempt in waiting])

    def take_going_back(self) -> list[Held]:
        """Return, once, the attempts that ended so that another worker can go on with them."""
        going_back, self._going_back = self._going_back, []
        return going_back

    async def all_ended(self) -> None:
        """Return when every slot is free."""
        await self._all_ended.wait()

    def _launch(self, claim_id: UUID, claimed: Claimed) -> StepReport | None:
        """Put an attempt into a slot; a report instead says why it cannot run."""
        try:
            task = _decode_task(claimed)
        except msgspec.ValidationError as exc:
            return fatal(f"the task cannot be read: {exc}")
        step_type = self._registry.find(task)
        if step_type is None:
            message = f"this worker has nothing that runs {task.step_type!r} of step {task.step_id!r}"
            return StepReport(Outcome.PLATFORM_ERROR, None, message)
        if claimed.cancel_requested and not isinstance(step_type, Attachable):
            return _CANCELLED
        log = self._logs.open(claimed)
        context = AttemptContext(claimed, task, self._machine, log, self._store)
        attempt = RunningAttempt(claim_id, claimed, task, step_type, context, self._outer, self.claim_to_start)
        self._running[attempt.lot] = attempt
        self._opened[attempt.lot] = log
        self._all_ended.clear()
        attempt.runner.add_done_callback(lambda _: self._on_end(attempt))
        return None

    def _on_end(self, attempt: RunningAttempt) -> None:
        del self._running[attempt.lot]
        attempt.context.close()
        self.waited_seconds += attempt.context.waited_seconds
        rest_of_log = self._opened.pop(attempt.lot).finish()
        if attempt.goes_back:
            self._going_back.append(attempt.held)
        else:
            report = attempt.report()
            if report is not None:
                self._reports.add(report_of(attempt.claimed, report, attempt.end_ms()), rest_of_log)
        if not self._running:
            self._all_ended.set()
        self._on_free()


def _decode_task(claimed: Claimed) -> StepTask:
    task = _TASK_DECODER.decode(claimed.task)
    # The engine wrote the task before anybody claimed it; nobody else has seen this value yet.
    msgspec.structs.force_setattr(task, "token", claimed.token)
    return task


def _run_now(step_type: InstantType, claimed: Claimed) -> StepReport:
    try:
        return step_type.run_now(_decode_task(claimed))
    except Exception as exc:
        message = f"the step type {claimed.step_type!r} failed: {type(exc).__name__}: {exc}"
        return StepReport(Outcome.PLATFORM_ERROR, None, message)
