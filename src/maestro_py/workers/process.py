"""
The worker process: claims attempts, runs them in its slots, and reports how they ended.

Hints wake it; a sweep finds what hints did not tell.  Claims, reports and the comparison with the table run side by
side, each with a statement of its own, and none waits for another.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Collection
from pathlib import Path
from typing import Final

import structlog

from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.clock import Clock
from maestro_py.ports.process_beat import Judge, ProcessBeat
from maestro_py.ports.step_type import StepTypeConfig
from maestro_py.ports.transport import Address, HintKind, Transport
from maestro_py.ports.worker_store import StoreContended, WorkerStore
from maestro_py.workers.attempt_context import LocalMachine
from maestro_py.workers.backends import read_config
from maestro_py.workers.claims import Claimer
from maestro_py.workers.code_watch import CodeWatch
from maestro_py.workers.commands import CommandRunner
from maestro_py.workers.executor import Ending, Executor
from maestro_py.workers.function_pool import FunctionPool
from maestro_py.workers.guarded import GuardedProcesses
from maestro_py.workers.lease import LeaseKeeper
from maestro_py.workers.log_book import LogBook
from maestro_py.workers.options import WorkerOptions
from maestro_py.workers.reconciler import Reconciler
from maestro_py.workers.registry import Registry, configure, describe, installed_step_types
from maestro_py.workers.report_batcher import ReportBatcher

log = structlog.get_logger(__name__)

#: Pause after a claim that failed because PostgreSQL is away, in seconds.
_AWAY_PAUSE_SECONDS: Final = 0.25
#: With less than this part of the slots free, a claim waits a moment for more, in seconds.
_FEW_SLOTS: Final = 8
_GATHER_SECONDS: Final = 0.005
#: Between two times that a worker without room passes hints on, in seconds: where all are busy, all do.
_PASS_ON_SECONDS: Final = 0.2
#: What a process that ends still waits for: programs that were told to end, and the last reports, in seconds.
_LAST_WORDS_SECONDS: Final = 10.0


class WorkerProcess:
    """
    One worker.

    Args:
        options: What the operator chose.
        store: The rows of this worker's attempts.
        transport: Opened by the caller.
        beat: Started by the caller; its ``process_id`` is the worker's.
        judge: Ends what dead processes left in the database, as every process does.
        registry: What this worker can run.
        clock: Dates the logs.
    """

    def __init__(
        self,
        options: WorkerOptions,
        store: WorkerStore,
        transport: Transport,
        beat: ProcessBeat,
        judge: Judge,
        registry: Registry,
        clock: Clock,
    ) -> None:
        self._options = options
        self._store = store
        self._transport = transport
        self._beat = beat
        self._judge = judge
        self._registry = registry
        self._machine = _local_machine(options)
        self._lease = LeaseKeeper(beat, options.lease_ms, self._machine.processes.renew)
        self._logs = LogBook(store, clock, options.log_limit_bytes)
        self.reports: Final = ReportBatcher(store, transport)
        self.executor: Final = Executor(
            registry,
            store,
            self._machine,
            self._logs,
            self.reports,
            slots=options.slots,
            on_free=self._on_free,
        )
        self.claimer: Final = Claimer(store, self.executor, self.reports, registry, options.queues, options.lease_ms)
        self.reconciler: Final = Reconciler(
            store, transport, self.executor, self.claimer, self.reports, self._lease, options.beat_interval_ms
        )
        self._wake = asyncio.Event()
        self._heard: set[Address] = set()  #: Queues of which hints came since the last claim.
        self._leftover: set[Address] = set()  #: Those of them for which others are to look.
        self._passes_on_from = 0.0  #: Monotonic time.
        self._may_be_more = True
        self.sweep_finds = 0  #: Attempts claimed that no hint had announced when a sweep found them.
        self._stopping = asyncio.Event()
        self._cancel_address = Address(HintKind.WORKER, str(beat.process_id))

    async def run(self) -> None:
        """
        Work until `stop` is called, then finish what runs; whatever else ends it is an error.

        The guard and every local step end with it, in any case.
        """
        step_addresses = [Address(HintKind.STEPS, queue) for queue in self._options.queues]
        self._machine.processes.open()
        try:
            self._lease.start()
            if self._registry.uses_functions:
                self._machine.functions.open()
            subscription = self._transport.subscribe([*step_addresses, self._cancel_address], self._on_hints)
            async with asyncio.TaskGroup() as group:
                await self._register()
                self._describe(self._options.slots)
                background = [
                    group.create_task(work, name=name)
                    for name, work in (
                        ("reports", self.reports.run()),
                        ("logs", self._logs.run()),
                        ("reconcile", self.reconciler.run()),
                        ("judge", self._judge.run()),
                    )
                ]
                claims = group.create_task(self._claim(), name="claims")
                log.info("worker_started", worker=str(self._beat.process_id), queues=self._options.queues)
                await self._stopping.wait()
                await claims
                await subscription.close()
                await self._drain()
                for task in background:
                    task.cancel()
        finally:
            await self._machine.functions.close()
            await self._machine.processes.close()
            self._lease.stop()

    def stop(self) -> None:
        """Stop claiming, finish what runs within the drain time, and have `run` return (SIGTERM)."""
        self._stopping.set()
        self._wake.set()

    def _on_hints(self, addresses: Collection[Address]) -> None:
        if self._cancel_address in addresses:
            self.reconciler.ask()
        if queues := {address for address in addresses if address.kind is HintKind.STEPS}:
            self._heard |= queues
            self._wake.set()

    def _pass_on(self, heard: set[Address]) -> None:
        """Have another worker look at what is more than our slots, soon: a hint need not wake more than one."""
        if heard and not self._leftover:
            due = max(0.0, self._passes_on_from - time.monotonic())
            asyncio.get_running_loop().call_later(due, self._pass_on_now)
        self._leftover |= heard

    def _pass_on_now(self) -> None:
        leftover, self._leftover = self._leftover, set()
        if self.executor.free <= 0:  # or else we shall have looked ourselves
            self._passes_on_from = time.monotonic() + _PASS_ON_SECONDS
            self._transport.pass_on(leftover)

    def _on_free(self) -> None:
        if self._may_be_more:
            self._wake.set()

    async def _register(self) -> None:
        """Write our types to the table of all types; without it a first definition would be refused."""
        while not self._stopping.is_set():
            try:
                await self._store.register_step_types(self._registry.step_types)
            except StoreUnavailable as exc:
                log.warning("step_types_not_registered", reason=str(exc))
                await asyncio.sleep(_AWAY_PAUSE_SECONDS)
            else:
                return

    async def _claim(self) -> None:
        """Claim whenever something may be there, until the worker stops; a claim under way is waited for."""
        has_failed = False
        was_woken = True
        while not self._stopping.is_set():
            self._wake.clear()
            heard, self._heard = self._heard, set()
            before = self.claimer.claimed
            try:
                if not self._lease.is_over:
                    if has_failed:
                        # First what we hold, by its token; then more.
                        await self.reconciler.once()
                        has_failed = False
                    if self.executor.free < self._options.slots // _FEW_SLOTS:
                        # Many attempts run: let some more end, so that one claim fills all their slots.
                        await asyncio.sleep(_GATHER_SECONDS)
                    self._may_be_more = await self.claimer.claim_all()
            except (StoreUnavailable, StoreContended) as exc:
                log.warning("claim_failed", reason=str(exc))
                has_failed = True
                self._heard |= heard
                await asyncio.sleep(_AWAY_PAUSE_SECONDS)
                continue
            if self._may_be_more:
                self._pass_on(heard)
            if not was_woken:
                self.sweep_finds += self.claimer.claimed - before
            self._describe(self._options.slots)
            was_woken = await self._wait_for_work()

    async def _wait_for_work(self) -> bool:
        """Return when there may be something to claim, at the latest when a sweep is due; say whether it was sooner."""
        # Spread: workers that started together must not sweep together.
        sweep = self._options.sweep_interval_ms / 1000 * random.uniform(0.8, 1.2)  # noqa: S311  # no secret
        try:
            async with asyncio.timeout(sweep):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    async def _drain(self) -> None:
        """Finish what runs, hand back what has not begun, end the rest, and report all of it."""
        log.info("worker_drains", running=self.executor.busy)
        self._describe(0)
        await self.executor.end_waiting()
        await self._hand_back()
        await _within(self._options.drain_ms / 1000, self.executor.all_ended())
        self.executor.end(self.executor.running(), Ending.SHUTDOWN)
        patience = self._options.cancel_grace_ms / 1000 + _LAST_WORDS_SECONDS
        await _within(patience, self.executor.all_ended())
        await self._hand_back()
        await _within(_LAST_WORDS_SECONDS, self.reports.emptied())

    async def _hand_back(self) -> None:
        """Put back what ended so that another worker can go on with it."""
        try:
            await self.reconciler.hand_back(self.executor.take_going_back())
        except (StoreUnavailable, StoreContended) as exc:
            log.warning("not_handed_back", reason=str(exc))  # our lease ends, which has the same effect

    def _describe(self, slots: int) -> None:
        self._beat.set_info(describe(self._registry, self._options.queues, slots, self.executor.busy))


def worker_registry(config: Path | None, http_allow: tuple[str, ...]) -> Registry:
    """
    Return what a worker can run: the installed step types, configured, and what the file *config* maps.

    Raises:
        ConfigInvalid: the file is missing or wrong.
        StepTypeInvalid: an installed step type breaks the contract, or cannot use its configuration.
    """
    mapped, step_types = read_config(config), installed_step_types()
    configure(step_types, StepTypeConfig(http_allow=http_allow, connections=mapped.connections))
    return Registry(step_types, mapped)


def _local_machine(options: WorkerOptions) -> LocalMachine:
    code = options.code.resolve() if options.code else None
    processes = GuardedProcesses()
    commands = CommandRunner(processes, code, options.cancel_grace_ms)
    functions = FunctionPool(
        processes,
        commands.environment,
        commands.directory,
        CodeWatch(code),
        size=options.pool_size or os.cpu_count() or 1,
        limit=options.slots,
        cancel_grace_ms=options.cancel_grace_ms,
    )
    return LocalMachine(processes=processes, commands=commands, functions=functions)


async def _within(seconds: float, what: Awaitable[object]) -> None:
    """Wait for *what*, but not for ever."""
    try:
        async with asyncio.timeout(seconds):
            await what
    except TimeoutError:
        pass
