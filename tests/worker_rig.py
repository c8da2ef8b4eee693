"""Run real workers inside a test, on a real database, with hints that the test sends itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from maestro_py.clock import SystemClock
from maestro_py.model.ids import new_uid
from maestro_py.model.statuses import ProcessKind
from maestro_py.ports.step_type import InstantType, StepType
from maestro_py.ports.transport import Address, HintKind, OnHint
from maestro_py.ports.worker_store import WorkerStore
from maestro_py.storage.connections import Database, application_name
from maestro_py.storage.worker_store import PostgresWorkerStore
from maestro_py.workers.backends import NO_CONFIG, WorkerConfig
from maestro_py.workers.options import WorkerOptions
from maestro_py.workers.process import WorkerProcess
from maestro_py.workers.registry import Registry
from maestro_py.workers.steps.bench_noop import BenchNoopStep
from maestro_py.workers.steps.python import PythonStep
from maestro_py.workers.steps.shell import ShellStep


class HintsByHand:
    """A transport whose hints the test sees, and sends itself when it wants to."""

    def __init__(self) -> None:
        self.sent: list[Address] = []
        self.passed_on: list[Address] = []
        self._subscribers: list[tuple[set[Address], OnHint]] = []
        self.hints_dropped = 0

    async def open(self) -> None:
        """Do nothing: there is no broker."""

    async def close(self) -> None:
        """Do nothing: there is no broker."""

    def send(self, addresses: Collection[Address]) -> None:
        """Remember the hints, and deliver them to whoever listens here."""
        self.sent.extend(addresses)
        for wanted, on_hint in self._subscribers:
            if found := wanted.intersection(addresses):
                on_hint(found)

    def pass_on(self, addresses: Collection[Address]) -> None:
        """Remember the hints; nobody else listens."""
        self.passed_on.extend(addresses)

    def subscribe(self, addresses: Collection[Address], on_hint: OnHint) -> HintSubscription:
        """Deliver hints to *on_hint* from now on."""
        entry = (set(addresses), on_hint)
        self._subscribers.append(entry)
        return HintSubscription(entry, self._subscribers)


class HintSubscription:
    """A subscription to hints by hand."""

    def __init__(self, entry: tuple[set[Address], OnHint], among: list[tuple[set[Address], OnHint]]) -> None:
        self._entry = entry
        self._among = among

    def update(self, addresses: Collection[Address]) -> None:
        """Listen to other addresses."""
        self._entry[0].clear()
        self._entry[0].update(addresses)

    async def close(self) -> None:
        """Stop listening."""
        self._among.remove(self._entry)


class SteadyBeat:
    """A beat that is always answered, unless the test says otherwise."""

    def __init__(self) -> None:
        self.process_id: UUID = new_uid()
        self.info: dict[str, Any] = {}
        self.answered_ms_ago = 0
        self.is_away = False

    def set_info(self, info: Any) -> None:
        """Remember what the worker says of itself."""
        self.info = dict(info)

    def last_answered_ms_ago(self) -> int:
        """Return what the test says."""
        return self.answered_ms_ago

    def server_away(self) -> bool:
        """Return what the test says."""
        return self.is_away

    def beaten_without_gap_for_ms(self) -> int:
        """Return a long time."""
        return 3_600_000


class JudgeOfNobody:
    """A judge who finds everybody alive."""

    async def judge(self) -> Collection[UUID]:
        """Return nobody."""
        return ()

    async def run(self) -> None:
        """Wait to be cancelled."""
        await asyncio.Event().wait()


class Rig:
    """One worker that runs in the test's event loop."""

    def __init__(self, process: WorkerProcess, beat: SteadyBeat, transport: HintsByHand, store: WorkerStore) -> None:
        self.process = process
        self.beat = beat
        self.transport = transport
        self.store = store
        self.running: asyncio.Task[None] = asyncio.ensure_future(process.run())

    @property
    def worker_id(self) -> UUID:
        """Return the id of the worker."""
        return self.beat.process_id

    def hint_steps(self, queue: str = "default") -> None:
        """Tell that something is queued."""
        self.transport.send([Address(HintKind.STEPS, queue)])

    def hint_cancel(self) -> None:
        """Tell the worker to look at what it holds."""
        self.transport.send([Address(HintKind.WORKER, str(self.worker_id))])

    async def stop(self) -> None:
        """Have the worker drain and end."""
        self.process.stop()
        await self.running


ALL_TYPES: tuple[Callable[[], StepType | InstantType], ...] = (BenchNoopStep, PythonStep, ShellStep)


@asynccontextmanager
async def running_worker(
    url: str,
    *,
    step_types: Iterable[StepType | InstantType] | None = None,
    config: WorkerConfig = NO_CONFIG,
    wrap: Callable[[PostgresWorkerStore], WorkerStore] = lambda store: store,
    transport: HintsByHand | None = None,
    beat: SteadyBeat | None = None,
    **options: Any,
) -> AsyncIterator[Rig]:
    """Run a worker until the block ends; *wrap* may put something between it and its store."""
    beat = beat or SteadyBeat()
    transport = transport or HintsByHand()
    given = {"sweep_interval_ms": 200, "beat_interval_ms": 200, "pool_size": 1, "drain_ms": 2_000, **options}
    registry = Registry(step_types if step_types is not None else [make() for make in ALL_TYPES], config)
    name = application_name(ProcessKind.WORKER, beat.process_id)
    async with Database(url, name, size=5, hot=True) as database:
        store = wrap(PostgresWorkerStore(database, beat.process_id))
        judge = JudgeOfNobody()
        process = WorkerProcess(WorkerOptions(**given), store, transport, beat, judge, registry, SystemClock())
        rig = Rig(process, beat, transport, store)
        try:
            yield rig
        finally:
            await rig.stop()
