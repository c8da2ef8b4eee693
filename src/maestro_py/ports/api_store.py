"""
The port to PostgreSQL as the API sees it: one small Protocol for each resource.

Every method may raise `StoreUnavailable`; those that name a thing raise `NotFound` when it does not exist.  What a
method changes is committed when it returns, and the partitions it returns are to be hinted then.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from maestro_py.admission import StartRequest, StartResult
from maestro_py.model.errors import DuplicateSignal, MaestroError
from maestro_py.model.forms import Push
from maestro_py.model.statuses import InstanceStatus
from maestro_py.ports.api_records import (
    AttemptDetail,
    AttemptRecord,
    AttemptRef,
    DeadLetter,
    IterationDetail,
    IterationRecord,
    LogChunk,
    Overview,
    Page,
    PageRequest,
    RunDetail,
    RunRecord,
    RunRef,
    SubscriptionRecord,
    TimelineRecord,
    VersionRecord,
    VersionRef,
    WorkflowSummary,
)
from maestro_py.ports.signal_store import Announcement, SignalInstance


class StrategyChangeRefused(MaestroError):
    """The new run strategy does not fit the runs that exist.  Let them end, or stop them, and push again."""


class StopRefused(MaestroError):
    """The run cannot be stopped: it is not the latest of its instance, or it has ended otherwise already."""


class StopAnswer(NamedTuple):
    """What became of one run that was to be stopped."""

    run_id: int
    status: InstanceStatus  #: At this moment.
    completed: bool  #: Whether the run has ended; else the engine ends it, and *partitions* are to be hinted.
    run_uid: UUID
    partition: int

    @property
    def partitions(self) -> Sequence[int]:
        """Return the engine partitions to hint."""
        return () if self.completed else (self.partition,)


class WorkflowStopAnswer(NamedTuple):
    """How many runs of a workflow ended at once, and how many the engine ends."""

    queued: int
    running: int
    partitions: Sequence[int] = ()


class Change(NamedTuple):
    """A change of a workflow: the version it concerns, and the engine partitions to hint."""

    version: VersionRecord
    partitions: Sequence[int] = ()


class DefinitionReads(Protocol):
    """Workflows, their versions and their history."""

    async def unknown_step_types(self, names: Collection[str]) -> set[str]:
        """Return those of *names* that no worker ever registered and no live one serves."""
        ...

    async def version(self, workflow_id: str, ref: VersionRef) -> VersionRecord:
        """Return one version."""
        ...

    async def versions(self, workflow_id: str, page: PageRequest) -> Page[VersionRecord]:
        """Return a page of the versions."""
        ...

    async def overview(self, workflow_id: str) -> Overview:
        """Return the workflow and the counts of its instances."""
        ...

    async def timeline(self, workflow_id: str) -> list[TimelineRecord]:
        """Return the newest 300 lines of the workflow's history, newest first."""
        ...

    async def subscriptions(self, workflow_id: str) -> list[SubscriptionRecord]:
        """Return the signal triggers of the workflow that listen, and how far each has come."""
        ...

    async def workflows(self, after: str, limit: int) -> list[WorkflowSummary]:
        """Return at most *limit* workflows whose ids come after *after*, in the order of their ids."""
        ...


class DefinitionChanges(Protocol):
    """Changes of workflows, each with a line in the workflow's history."""

    async def push(self, push: Push, *, author: str, now_ms: int) -> Change:
        """
        Store a new version, its properties and its trigger subscriptions.

        Raises:
            DefinitionInvalid: the first version states no owner.
            StrategyChangeRefused: unfinished runs forbid the new run strategy.
        """
        ...

    async def activate(self, workflow_id: str, ref: VersionRef, *, author: str, now_ms: int) -> Change:
        """Make the version the active one and subscribe its triggers."""
        ...

    async def deactivate(self, workflow_id: str, *, author: str, now_ms: int) -> int | None:
        """Leave the workflow without an active version; return the one that was."""
        ...


class Backlog(NamedTuple):
    """What waits to be worked on, counted up to a limit."""

    events: int  #: For engines.
    signals: int  #: For signal services.


class BacklogReads(Protocol):
    """How far engines and signal services are behind."""

    async def backlog(self, most: int) -> Backlog:
        """Return how many events and signals wait, each counted up to *most*; cheap whatever their number."""
        ...


class IterationMismatch(MaestroError):
    """So many numbers name no iteration of the step; the text says which loops it is in."""


class StartStore(Protocol):
    """Starting runs.  Nothing is asked twice here, so a link that broke unseen is a `StoreUnavailable`: try again."""

    async def version(self, workflow_id: str, ref: VersionRef) -> VersionRecord:
        """Return the version to start."""
        ...

    async def start(self, requests: Sequence[StartRequest], *, now_ms: int) -> list[StartResult]:
        """Admit and store the runs; return what became of each, in their order."""
        ...


class StopStore(Protocol):
    """Stopping and killing runs."""

    async def stop(self, ref: RunRef, target: InstanceStatus, *, by: str, reason: str, now_ms: int) -> StopAnswer:
        """
        End the latest run of an instance with *target*, or have the engine do so.

        Raises:
            StopRefused: the run named is not the latest, or ended otherwise before.
        """
        ...

    async def stop_workflow(
        self, workflow_id: str, target: InstanceStatus, *, by: str, reason: str, now_ms: int
    ) -> WorkflowStopAnswer:
        """End every unfinished run of a workflow with *target*, or have the engine do so; the queued ones first."""
        ...

    async def statuses(self, runs: Sequence[tuple[int, UUID]]) -> dict[UUID, InstanceStatus]:
        """Return the statuses of *runs*, each a partition and a uid."""
        ...


class InstanceStore(Protocol):
    """Runs of instances."""

    async def run(self, ref: RunRef) -> RunDetail:
        """Return one run."""
        ...

    async def instances(self, workflow_id: str, page: PageRequest) -> Page[RunRecord]:
        """Return a page of the instances, each by its latest run; ids are instance ids."""
        ...

    async def runs(self, workflow_id: str, instance_id: int, page: PageRequest) -> Page[RunRecord]:
        """Return a page of the runs of an instance; ids are run ids."""
        ...


class StepStore(Protocol):
    """Steps, their attempts, logs and iterations."""

    async def steps(self, ref: RunRef) -> AttemptDetail:
        """Return the latest attempt of every step of a run, in the order of creation."""
        ...

    async def step_page(self, ref: RunRef, page: PageRequest) -> tuple[AttemptDetail, Page[AttemptRecord]]:
        """Return a page of the latest attempts of a run's steps; ids are the numbers of their creation, from 1."""
        ...

    async def attempt(self, ref: AttemptRef) -> AttemptDetail:
        """Return one attempt of one step."""
        ...

    async def log(self, ref: AttemptRef, *, after: int, limit: int) -> list[LogChunk]:
        """Return at most *limit* chunks of the attempt's log beyond *after*, the oldest first."""
        ...

    async def iterations(self, ref: AttemptRef, page: PageRequest, status: str | None) -> Page[IterationRecord]:
        """Return a page of the iterations of a foreach; ids are the numbers of the iterations, from 1."""
        ...

    async def iteration(self, ref: AttemptRef, path: Sequence[int]) -> IterationDetail:
        """
        Return one iteration of each of the loops around a step, and the step's latest attempt in it.

        *path* has the number of an iteration of each loop, the outermost first.  One number more names an iteration of
        the step itself, if it is a loop.

        Raises:
            IterationMismatch: the step is in more, or in fewer, loops than *path* has numbers.
        """
        ...


class SignalAnnouncements(Protocol):
    """Announcing and reading signals."""

    async def announce(
        self, announcements: Sequence[Announcement], *, now_ms: int
    ) -> list[SignalInstance | DuplicateSignal]:
        """
        Store the signals by one commit; return for each, in order, its row, or that it was announced before.

        The caller hints the signal service.
        """
        ...

    async def signal(self, name: str, seq_id: int | None) -> SignalInstance:
        """Return one signal of *name*, the latest if *seq_id* is None."""
        ...


class DeadLetterStore(Protocol):
    """Events that the engine could not apply."""

    async def dead_letters(self, after: int, limit: int) -> list[DeadLetter]:
        """Return at most *limit* dead letters with ids above *after*, the oldest first."""
        ...

    async def retry(self, dead_letter_id: int) -> tuple[int, Sequence[int]]:
        """
        Put every dead event of the run that *dead_letter_id* belongs to back into the inbox, in order.

        Returns:
            How many events were put back, and the engine partitions to hint.
        """
        ...


class ApiStore(Protocol):
    """Everything that the API needs of PostgreSQL."""

    @property
    def definitions(self) -> DefinitionReads:
        """Return the reads of workflows."""
        ...

    @property
    def changes(self) -> DefinitionChanges:
        """Return the changes of workflows."""
        ...

    @property
    def starts(self) -> StartStore:
        """Return what starts runs."""
        ...

    @property
    def stops(self) -> StopStore:
        """Return what stops runs."""
        ...

    @property
    def instances(self) -> InstanceStore:
        """Return the reads of runs."""
        ...

    @property
    def steps(self) -> StepStore:
        """Return the reads of steps."""
        ...

    @property
    def signals(self) -> SignalAnnouncements:
        """Return the signals."""
        ...

    @property
    def dead_letters(self) -> DeadLetterStore:
        """Return the dead letters."""
        ...

    @property
    def backlogs(self) -> BacklogReads:
        """Return what tells how much waits."""
        ...

    async def schema_problem(self) -> str | None:
        """Return why the database cannot be used (its schema is missing or old), None if it can."""
        ...
