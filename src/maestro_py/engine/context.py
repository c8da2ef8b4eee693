"""What the lanes of one engine share, and how they wake one another and the rest of the world."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from maestro_py.engine.batch import Batch
from maestro_py.engine.decide.state import Run
from maestro_py.engine.dispatcher import Dispatcher
from maestro_py.engine.evaluations import Evaluations
from maestro_py.engine.loading import Loader
from maestro_py.engine.metrics import EngineMetrics
from maestro_py.ports.clock import Clock
from maestro_py.ports.engine_store import EngineStore
from maestro_py.ports.transport import Address, HintKind, Transport


class HintedLane(Protocol):
    """A lane as the others see it: it can be told that there is something to do."""

    @property
    def epochs(self) -> Mapping[int, int]:
        """Return partition to the epoch under which the lane serves it."""
        ...

    def hint(self, partitions: Collection[int], *, swept: bool = False) -> None:
        """Have it look into the inbox of those of *partitions* that are its own; *swept*: only a sweep says so."""
        ...


class RunLane(HintedLane, Protocol):
    """A lane that decides upon runs, as the others see it."""

    @property
    def index(self) -> int:
        """Return which lane of the engine it is."""
        ...

    def wake(self) -> None:
        """Have it make a batch: there is room for ready attempts."""
        ...

    def adopt(self, run: Run) -> None:
        """Have it keep a run in memory that another lane has just created."""
        ...

    def add_timer(self, fire_ms: int, partition: int) -> None:
        """Have it look for due timers of *partition* at *fire_ms*, UTC epoch ms."""
        ...

    async def reload_ready(self) -> None:
        """Have it read again which of its attempts wait to be offered."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What an operator may choose."""

    lanes: int = 1  #: Tasks that each own a share of the partitions and overlap their commits.
    batch_limit: int = 500  #: Events taken by one batch, at most.
    cached_runs: int = 20_000  #: Runs kept in memory, at most.
    foreach_window: int = 500  #: Iterations running at a time in a foreach that states no concurrency.
    sweep_interval_ms: int = 1_500  #: The most that a lost hint costs.


@dataclass(slots=True)
class EngineContext:
    """The adapters of an engine, and the state its lanes share."""

    store: EngineStore
    transport: Transport
    clock: Clock
    options: EngineOptions
    partition_count: int  #: Of the installation.
    loader: Loader
    on_lost: Callable[[int], None]  #: Told of each partition whose fence failed.
    dispatcher: Dispatcher = field(default_factory=Dispatcher)
    metrics: EngineMetrics = field(default_factory=EngineMetrics)
    lanes: Sequence[RunLane] = ()
    workflow_lane: HintedLane | None = None
    evaluations: Evaluations | None = None  #: None: what is given away waits for an engine that can do it.
    stale_lanes: set[int] = field(default_factory=set)  #: Whose ready attempts are to be read again.

    @property
    def timer_horizon_ms(self) -> int:
        """How far ahead timers are kept in memory, in ms: far enough that the next sweep finds the rest in time."""
        return 2 * self.options.sweep_interval_ms

    def lane_of(self, partition: int) -> RunLane:
        """Return the lane that serves *partition* when this engine owns it."""
        return self.lanes[partition % len(self.lanes)]

    def lost(self, partitions: Collection[int]) -> None:
        """Note that the fence of *partitions* failed."""
        for partition in partitions:
            self.on_lost(partition)

    def stale_dispatcher(self, lane: int) -> None:
        """Have the ready attempts of *lane* and the counts of offered ones read again: a batch was undone."""
        self.stale_lanes.add(lane)

    def announce(self, batch: Batch) -> None:
        """Tell whoever has something to do now that *batch* is committed: our own lanes at once, others by a hint."""
        for child in batch.children:
            self.lane_of(child.partition).adopt(child)
        if self.evaluations is not None:
            for evaluation in batch.evaluations:
                self.evaluations.begin(evaluation)
        self.hint_partitions(batch.hinted)
        self.hint_workflows(batch.hinted_workflows)
        if batch.queues:
            self.transport.send([Address(HintKind.STEPS, queue) for queue in batch.queues])

    def hint_partitions(self, partitions: Collection[int]) -> None:
        """Tell the owners of *partitions* that there are new events for runs."""
        remote = []
        local: dict[int, set[int]] = {}
        for partition in partitions:
            lane = self.lane_of(partition)
            if partition in lane.epochs:
                local.setdefault(lane.index, set()).add(partition)
            else:
                remote.append(engine_address(partition))
        for index, mine in local.items():
            self.lanes[index].hint(mine)
        if remote:
            self.transport.send(remote)

    def hint_own(
        self, partitions: Collection[int], workflow_partitions: Collection[int], *, swept: bool = False
    ) -> None:
        """Have our own lanes look into these inboxes; what we do not own is left to its owner."""
        for lane in self.lanes:
            lane.hint(partitions, swept=swept)
        if self.workflow_lane is not None:
            self.workflow_lane.hint(workflow_partitions, swept=swept)

    def hint_workflows(self, partitions: Collection[int]) -> None:
        """Tell the owners of *partitions* that there are new events for workflows."""
        lane = self.workflow_lane
        remote = [p for p in partitions if lane is None or p not in lane.epochs]
        if lane is not None:
            lane.hint(set(partitions) - set(remote))
        if remote:
            self.transport.send([workflow_address(p) for p in remote])


def engine_address(partition: int) -> Address:
    """Return where a hint of new events for runs goes."""
    return Address(HintKind.ENGINE, str(partition))


def workflow_address(partition: int) -> Address:
    """Return where a hint of new events for the aggregates ``@workflow:<id>`` goes."""
    return Address(HintKind.ENGINE, f"{partition}w")
