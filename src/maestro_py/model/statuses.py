"""Name the states of runs, steps and attempts, and what each state means.

The names and their rules come from the behaviour specification, sections 2, 3.1, 5 and 6.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final


class InstanceStatus(StrEnum):
    """The status of one run of a workflow instance (specification 5.1)."""

    CREATED = "CREATED"  #: Queued, or admitted and about to run.
    IN_PROGRESS = "IN_PROGRESS"  #: The engine has started it.
    PAUSED = "PAUSED"  #: Declared by the specification, never reached.
    SUCCEEDED = "SUCCEEDED"  #: Every step that ran is complete.
    FAILED = "FAILED"  #: A step failed for good, or somebody killed the run.
    STOPPED = "STOPPED"  #: Stopped by somebody, by a run strategy or by an ancestor.
    TIMED_OUT = "TIMED_OUT"  #: The run or one of its steps exceeded its timeout.

    @property
    def is_terminal(self) -> bool:
        """Say whether a run in this status can never change again."""
        return self in _TERMINAL_INSTANCE


_TERMINAL_INSTANCE: Final = frozenset(
    {InstanceStatus.SUCCEEDED, InstanceStatus.FAILED, InstanceStatus.STOPPED, InstanceStatus.TIMED_OUT}
)


class StepStatus(StrEnum):
    """The status of one attempt of a step (specification 5.2), in life-cycle order."""

    NOT_CREATED = "NOT_CREATED"
    CREATED = "CREATED"
    INITIALIZED = "INITIALIZED"
    PAUSED = "PAUSED"
    WAITING_FOR_SIGNALS = "WAITING_FOR_SIGNALS"
    EVALUATING_PARAMS = "EVALUATING_PARAMS"
    WAITING_FOR_PERMITS = "WAITING_FOR_PERMITS"  #: Also: waiting for a worker slot.
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    FINISHING = "FINISHING"
    DISABLED = "DISABLED"
    UNSATISFIED = "UNSATISFIED"  #: No incoming edge was true; counts as complete.
    SKIPPED = "SKIPPED"
    SUCCEEDED = "SUCCEEDED"
    COMPLETED_WITH_ERROR = "COMPLETED_WITH_ERROR"  #: Failed under IGNORE_FAILURE; the DAG goes on.
    USER_FAILED = "USER_FAILED"  #: The attempt failed in the user's code; a retry follows.
    PLATFORM_FAILED = "PLATFORM_FAILED"  #: The attempt failed in the platform; a retry follows.
    TIMEOUT_FAILED = "TIMEOUT_FAILED"  #: The attempt exceeded its timeout; a retry follows.
    FATALLY_FAILED = "FATALLY_FAILED"  #: Failed for good.
    INTERNALLY_FAILED = "INTERNALLY_FAILED"  #: Our own error; never retried, failure mode ignored.
    STOPPED = "STOPPED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def is_terminal(self) -> bool:
        """Say whether an attempt in this status can never change again."""
        return self in _TERMINAL_STEP

    @property
    def is_complete(self) -> bool:
        """Say whether the step lets its successors go on."""
        return self in _COMPLETE_STEP

    @property
    def is_retried(self) -> bool:
        """Say whether another attempt of the step follows by itself."""
        return self in _RETRIED_STEP


_COMPLETE_STEP: Final = frozenset(
    {
        StepStatus.DISABLED,
        StepStatus.UNSATISFIED,
        StepStatus.SKIPPED,
        StepStatus.SUCCEEDED,
        StepStatus.COMPLETED_WITH_ERROR,
    }
)
_RETRIED_STEP: Final = frozenset({StepStatus.USER_FAILED, StepStatus.PLATFORM_FAILED, StepStatus.TIMEOUT_FAILED})
_TERMINAL_STEP: Final = (
    _COMPLETE_STEP
    | _RETRIED_STEP
    | {
        StepStatus.FATALLY_FAILED,
        StepStatus.INTERNALLY_FAILED,
        StepStatus.STOPPED,
        StepStatus.TIMED_OUT,
    }
)


class Dispatch(StrEnum):
    """Where the work of an attempt is, between the engine and the workers (DESIGN section 3)."""

    READY = "READY"  #: Durable, not yet offered to workers (the engine's fair queue holds it).
    QUEUED = "QUEUED"  #: Any worker that can run it may claim it.
    CLAIMED = "CLAIMED"  #: One worker, the one with the newest token, runs it.
    REPORTED = "REPORTED"  #: The worker's report is in the row and in the inbox.
    REVOKED = "REVOKED"  #: Taken back before any worker claimed it.
    LOST = "LOST"  #: The worker's lease ended; a late report is recorded and ignored.


class Outcome(StrEnum):
    """What a worker says of an attempt it ran (specification 5.2, runtime results)."""

    DONE = "DONE"
    USER_ERROR = "USER_ERROR"
    PLATFORM_ERROR = "PLATFORM_ERROR"
    FATAL_ERROR = "FATAL_ERROR"  #: Not worth a retry.
    STOPPED = "STOPPED"  #: Cancelled, as the engine asked.
    TIMED_OUT = "TIMED_OUT"  #: The step type's own timeout.


class FailureMode(StrEnum):
    """What the failure of one step does to the others (specification 2.3)."""

    FAIL_AFTER_RUNNING = "FAIL_AFTER_RUNNING"
    FAIL_IMMEDIATELY = "FAIL_IMMEDIATELY"
    IGNORE_FAILURE = "IGNORE_FAILURE"


class RunStrategyRule(StrEnum):
    """How runs of one workflow stand to each other (specification 3.1)."""

    SEQUENTIAL = "SEQUENTIAL"
    PARALLEL = "PARALLEL"
    STRICT_SEQUENTIAL = "STRICT_SEQUENTIAL"
    FIRST_ONLY = "FIRST_ONLY"
    LAST_ONLY = "LAST_ONLY"
    SERIAL_LATEST_ONLY = "SERIAL_LATEST_ONLY"


class EventClass(IntEnum):
    """The order in which one partition's inbox is read: results stand before signals before starts."""

    RESULT = 0
    SIGNAL = 1
    START = 2
    WORKFLOW = 3  #: For the aggregate ``@workflow:<id>``; read by a lane of its own.


class ProcessKind(StrEnum):
    """The kinds of process that beat in the table ``process``."""

    ENGINE = "engine"
    WORKER = "worker"
    SIGNAL = "signal"
    API = "api"
