"""The rows that the API reads, as values: what the store returns, before it is shaped for clients."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from maestro_py.admission import VersionName
from maestro_py.model.definition import Workflow
from maestro_py.ports.signal_store import Drops

T = TypeVar("T")


class VersionRef(msgspec.Struct, frozen=True):
    """Which version of a workflow is meant: a name, or a number (specification 7)."""

    name: VersionName
    number: int = 0  #: With NUMBER only.

    @classmethod
    def of_number(cls, number: int) -> VersionRef:
        """Return the reference to the version *number*."""
        return cls(VersionName.NUMBER, number)

    def __str__(self) -> str:
        return str(self.number) if self.name is VersionName.NUMBER else self.name.value


class RunRef(NamedTuple):
    """Which run of which instance is meant."""

    workflow_id: str
    instance_id: int
    run_id: int | None = None  #: None: the latest.

    def __str__(self) -> str:
        return f"{self.workflow_id}:{self.instance_id}:{'latest' if self.run_id is None else self.run_id}"


class AttemptRef(NamedTuple):
    """Which attempt of which step of a run is meant."""

    run: RunRef
    step_id: str
    attempt: int | None = None  #: None: the latest.


class PageRequest(msgspec.Struct, frozen=True):
    """Which page of a list, newest first, is wanted: *size* elements beyond *cursor*, which is exclusive."""

    size: int
    forward: bool = True  #: Towards older ids; else towards newer ones.
    cursor: int | None = None


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page, newest first, and the ends of the whole list."""

    elements: tuple[T, ...]
    ids: tuple[int, ...] = ()  #: Of the elements, in their order.
    newest_id: int = 0  #: 0: the whole list is empty.
    oldest_id: int = 0


class WorkflowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow without its definitions."""

    workflow_id: str
    internal_id: UUID
    active_version: int | None
    latest_version: int
    last_instance_id: int
    properties: Mapping[str, Any]
    create_time_ms: int
    modify_time_ms: int

    @property
    def default_version(self) -> int:
        """Return the active version, else the latest."""
        return self.active_version or self.latest_version


class VersionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a workflow, with the workflow as it stands now."""

    owner: WorkflowRecord
    workflow_version: int
    definition_uid: UUID
    definition: Workflow
    metadata: Mapping[str, Any]
    activate_time_ms: int | None = None
    activated_by: str | None = None

    @property
    def is_active(self) -> bool:
        """Say whether triggers and ``active`` mean this version."""
        return self.owner.active_version == self.workflow_version


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow and how many of its instances are in which state."""

    workflow: WorkflowRecord
    nonterminal: Mapping[str, int]
    failed: int  #: Instances whose latest run is FAILED.


class TimelineRecord(msgspec.Struct, frozen=True):
    """One line of a workflow's history."""

    author: str
    log: str
    create_time_ms: int


class SubscriptionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A signal trigger that listens, and how far it has come."""

    trigger_uuid: str
    signal: str  #: The name that it waits for.
    trigger: dict[str, Any]  #: Canonical.
    next_seq: int  #: Every signal before it has been matched.
    drops: Drops  #: The signals that matched and started nothing.


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one instance."""

    partition: int
    run_uid: UUID
    workflow_id: str
    instance_id: int
    run_id: int
    status: str
    execution_id: UUID | None
    workflow_uuid: str
    workflow_version: int
    definition_uid: UUID
    scope: str
    correlation_id: str
    depth: int
    root_workflow_id: str
    parent_partition: int | None
    parent_run_uid: UUID | None
    parent_step_id: str | None
    parent_attempt: int | None
    loop_values: Any
    initiator: Mapping[str, Any]
    params: Mapping[str, Any] | None
    run_config: Mapping[str, Any] | None
    request_time_ms: int
    create_time_ms: int
    start_time_ms: int | None
    end_time_ms: int | None
    modify_time_ms: int
    stop_target: str | None
    quarantine_reason: str | None
    timeline: list[Mapping[str, Any]] | None


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of one step: the engine's columns and those of its dispatch."""

    step_id: str
    attempt: int
    step_seq: int
    step_uuid: UUID
    status: str
    times: Mapping[str, int]
    step_type: str
    error_retries: int
    platform_retries: int
    timeout_retries: int
    params: Mapping[str, Any] | None
    edges: Mapping[str, bool] | None
    runtime: Mapping[str, Any] | None
    timeline: list[Mapping[str, Any]] | None
    message: str | None
    outputs: Mapping[str, Any] | None
    dispatch: str | None
    queue: str | None
    backend_keys: list[str] | None
    timeout_ms: int | None
    worker: UUID | None
    worker_name: str | None  #: ``host:pid`` while its process row exists.
    token: int
    queued_at: datetime | None
    claimed_at: datetime | None
    reported_at: datetime | None
    cancel_requested_at: datetime | None


class StepState(msgspec.Struct, frozen=True, kw_only=True):
    """What an overview needs of the latest attempt of a step."""

    step_id: str
    attempt: int
    status: str
    times: Mapping[str, int]
    dispatch: str | None
    claimed_at: datetime | None
    reported_at: datetime | None


class RunDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A run with what its public form is made of."""

    run: RunRecord
    workflow: Workflow
    internal_id: UUID  #: Of the root workflow.
    steps: tuple[StepState, ...]  #: The latest attempt of each step.


class AttemptDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts of one run, with what their public form is made of."""

    run: RunRecord
    workflow: Workflow
    internal_id: UUID  #: Of the root workflow.
    attempts: tuple[AttemptRecord, ...]
    #: What each live worker of the queues in question serves: (queue, backend keys).
    served: tuple[tuple[str, frozenset[str]], ...] = ()
    #: When each attempt that waits for its retry is tried again: (step id, attempt) to UTC epoch ms.
    wakes: Mapping[tuple[str, int], int] = {}


class IterationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One iteration of a foreach, without its steps."""

    workflow_id: str
    instance_id: int
    run_id: int
    status: str
    loop_values: Any
    create_time_ms: int
    start_time_ms: int | None
    end_time_ms: int | None
    quarantine_reason: str | None


class IterationDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One iteration of a loop, or of loops that stand in one another, found by its numbers."""

    run: RunRecord  #: That the loops belong to.
    passed: tuple[RunRecord, ...]  #: The iteration of each loop, the outermost first.
    #: The latest attempt of the step that was asked for; None: that was the innermost loop itself.
    step: AttemptDetail | None


class WorkflowSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list of workflows: the workflow and its latest run."""

    workflow: WorkflowRecord
    instance_id: int | None = None
    run_id: int | None = None
    status: str | None = None
    create_time_ms: int | None = None
    start_time_ms: int | None = None
    end_time_ms: int | None = None


class LogChunk(msgspec.Struct, frozen=True):
    """One piece of the log of an attempt."""

    seq: int  #: Grows over the whole attempt.
    create_time_ms: int
    text: str


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One event that the engine could not apply, or that waits behind one."""

    id: int
    event_class: int
    run_uid: UUID | None
    workflow_id: str | None  #: Of the run, or of the aggregate the event was for.
    instance_id: int | None
    run_id: int | None
    payload: Mapping[str, Any]
    reason: str
    create_time_ms: int
