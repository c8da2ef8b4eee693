"""
Decide which runs of a workflow may begin, which wait and which never run (specification 3.1).

Pure: what exists is an argument, and whoever starts runs (API, signal service, the engine's aggregate lane) reads it
under the lock of the workflow row, so that no two of them decide upon the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from maestro_py.model.definition import RunStrategy
from maestro_py.model.ids import name_based_uuid
from maestro_py.model.statuses import RunStrategyRule


class VersionName(StrEnum):
    """How a caller names the version to run (specification 7)."""

    ACTIVE = "active"
    LATEST = "latest"
    DEFAULT = "default"  #: The active one, else the latest.
    NUMBER = "number"  #: By its number: versions never change, so nothing is checked again.


class Admission(StrEnum):
    """What becomes of a run that somebody wants to start."""

    RUN = "RUN"  #: CREATED with an execution id: the engine begins it.
    QUEUE = "QUEUE"  #: CREATED without one: a later dequeue gives it one.
    STOPPED = "STOPPED"  #: Stored as STOPPED; it never runs.
    DUPLICATED = "DUPLICATED"  #: Its request id started a run before; nothing is stored.


class StartOutcome(StrEnum):
    """What became of a `StartRequest`; the first three are the public ones (specification 1.2)."""

    CREATED = "CREATED"
    DUPLICATED = "DUPLICATED"
    STOPPED = "STOPPED"
    NOT_FOUND = "NOT_FOUND"  #: The workflow does not exist.
    INACTIVE = "INACTIVE"  #: The active version was asked for and there is none.
    VERSION_CHANGED = "VERSION_CHANGED"  #: Another version has that name now: evaluate again, then ask again.
    TRIGGER_DISABLED = "TRIGGER_DISABLED"  #: The properties switch this kind of trigger off.


class StartRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One run to start, its parameters already evaluated against the version that it names."""

    workflow_id: str
    #: Chosen by the caller: a repeat after an unknown COMMIT finds its own run by it.
    run_uid: UUID
    request_id: str  #: Becomes ``workflow_uuid``; a repeated one starts nothing.
    version_name: VersionName = VersionName.ACTIVE
    workflow_version: int
    definition_uid: UUID
    initiator: Mapping[str, Any]  #: Specification 3.5.
    params: Mapping[str, Any]  #: Name to evaluated Parameter.
    run_config: Mapping[str, Any] = {}
    request_time_ms: int
    workflow_name: str | None = None  #: For the published event only.
    tags: tuple[Any, ...] = ()  #: For the published event only.
    failure: str | None = None  #: Why the run is stored as FAILED at once (``persist_failed_run``).


class StartResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one `StartRequest`; ids are 0 where no row was written (specification 1.2)."""

    outcome: StartOutcome
    workflow_id: str
    request_id: str
    run_uid: UUID
    workflow_version: int = 0
    instance_id: int = 0
    run_id: int = 0
    message: str = ""
    partitions: tuple[int, ...] = ()  #: The engine partitions to hint after the commit.

    @property
    def was_stored(self) -> bool:
        """Say whether a run of this request exists, in whatever status."""
        return self.outcome in (StartOutcome.CREATED, StartOutcome.STOPPED)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of one workflow that are not terminal, as read under the lock of its row."""

    running: int = 0  #: IN_PROGRESS, or CREATED with an execution id.
    queued: bool = False  #: Whether any run is CREATED without one.
    known_request: bool = False  #: Whether the request id started a run before.

    @property
    def is_idle(self) -> bool:
        """Say whether no run of the workflow is unfinished."""
        return self.running == 0 and not self.queued

    def after(self, admission: Admission) -> Standing:
        """Return what stands once *admission* has been carried out."""
        if admission is Admission.RUN:
            return msgspec.structs.replace(self, running=self.running + 1)
        if admission is Admission.QUEUE:
            return msgspec.structs.replace(self, queued=True)
        return self


def _queue_when_full(strategy: RunStrategy, standing: Standing) -> Admission:
    # Behind a queue everybody queues: a newcomer must not pass those who wait.
    if standing.queued or standing.running >= strategy.workflow_concurrency:
        return Admission.QUEUE
    return Admission.RUN


def _only_when_idle(strategy: RunStrategy, standing: Standing) -> Admission:
    return Admission.RUN if standing.is_idle else Admission.STOPPED


#: One row for each run strategy; what is not here is refused at the door.
ADMISSIONS: Final[Mapping[RunStrategyRule, Callable[[RunStrategy, Standing], Admission]]] = {
    RunStrategyRule.SEQUENTIAL: _queue_when_full,
    RunStrategyRule.PARALLEL: _queue_when_full,
    RunStrategyRule.FIRST_ONLY: _only_when_idle,
}


def admit(strategy: RunStrategy, standing: Standing) -> Admission:
    """
    Return what becomes of one more run.

    Args:
        strategy: As the workflow's properties have it at this moment.
        standing: As read by a statement later than the one that locked the workflow row.

    Raises:
        KeyError: the strategy has no row in `ADMISSIONS`.
    """
    if standing.known_request:
        return Admission.DUPLICATED
    return ADMISSIONS[strategy.rule](strategy, standing)


def dequeue_count(strategy: RunStrategy, running: int, queued: int) -> int:
    """Return how many of *queued* runs may begin now, the oldest first, while *running* ones hold a slot."""
    return max(0, min(strategy.workflow_concurrency - running, queued))


def trigger_uuid(trigger: Mapping[str, Any]) -> str:
    """Return the identity of a trigger: the same for as long as its definition says the same, in whatever order."""
    return name_based_uuid(msgspec.json.encode(trigger, order="sorted").decode())
