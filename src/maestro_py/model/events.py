"""Events: things that happened, addressed to one run.  Frozen; each names the attempt, child or action it speaks of."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import msgspec

from maestro_py.model.statuses import EventClass, InstanceStatus, Outcome


class Event(msgspec.Struct, frozen=True, tag_field="kind"):
    """Base of everything that can be told to a run."""


class RunStarted(Event, frozen=True, tag="RunStarted"):
    """The run was admitted: begin with its first steps."""


class AttemptReported(Event, frozen=True, tag="AttemptReported", omit_defaults=True):
    """A worker finished an attempt and its report won (the row is REPORTED)."""

    step_id: str
    attempt: int
    outcome: Outcome
    message: str = ""
    outputs: dict[str, Any] | None = None  #: Output parameters: name to JSON value.
    start_time_ms: int = 0  #: When the worker began, UTC epoch ms.
    end_time_ms: int = 0  #: When it ended, UTC epoch ms.


class AttemptLost(Event, frozen=True, tag="AttemptLost"):
    """The worker that held the attempt is gone (the row is LOST)."""

    step_id: str
    attempt: int
    reason: str = ""


class AttemptRevoked(Event, frozen=True, tag="AttemptRevoked"):
    """The attempt was taken back before any worker claimed it (the row is REVOKED)."""

    step_id: str
    attempt: int


class AttemptOverdue(Event, frozen=True, tag="AttemptOverdue"):
    """The attempt's ``deadline_at`` has passed."""

    step_id: str
    attempt: int


class RunOverdue(Event, frozen=True, tag="RunOverdue"):
    """The run's ``deadline_at`` has passed."""


class TimerFired(Event, frozen=True, tag="TimerFired"):
    """A timer of this attempt is due: the end of a sleep, or of a retry's backoff."""

    step_id: str
    attempt: int


class ChildFinished(Event, frozen=True, tag="ChildFinished"):
    """One iteration of a foreach reached a terminal status."""

    step_id: str
    attempt: int
    iteration: int  #: 1-based, the child's instance id.
    status: InstanceStatus


class StopRequested(Event, frozen=True, tag="StopRequested", omit_defaults=True):
    """Somebody, or an ancestor, wants the run to end with *target*."""

    target: InstanceStatus  #: STOPPED (stop), FAILED (kill) or TIMED_OUT.
    by: str = ""
    reason: str = ""


class ChildrenStopContinued(Event, frozen=True, tag="ChildrenStopContinued"):
    """Go on telling the live iterations after *after_iteration* to stop (chunks, so that no batch is long)."""

    step_id: str
    attempt: int
    after_iteration: int
    target: InstanceStatus


class LaunchContinued(Event, frozen=True, tag="LaunchContinued"):
    """Go on launching iterations of a foreach whose window is wider than one chunk."""

    step_id: str
    attempt: int


class EvaluationDue(Event, frozen=True, tag="EvaluationDue"):
    """An evaluation that was given away has had its time: whoever owns the run now sees to it again."""

    step_id: str
    attempt: int


class ParamsEvaluated(Event, frozen=True, tag="ParamsEvaluated", omit_defaults=True):
    """The parameters of an attempt were evaluated elsewhere.  An attempt has one such evaluation."""

    step_id: str
    attempt: int
    results: dict[str, Any] | None = None  #: Name to result; None: it failed.
    error: str = ""


class EdgesEvaluated(Event, frozen=True, tag="EdgesEvaluated", omit_defaults=True):
    """The conditions of a step's edges were evaluated elsewhere.  An attempt has one such evaluation."""

    step_id: str
    attempt: int
    edges: dict[str, bool] | None = None  #: Successor to the value of its condition; None: it failed.
    error: str = ""


class RunEnded(Event, frozen=True, tag="RunEnded"):
    """For ``@workflow:<id>``: a run reached a terminal status, so another may be admitted."""


#: Every event a run's inbox may hold; decoding refuses anything else.
InboxEvent = (
    RunStarted
    | AttemptReported
    | AttemptLost
    | AttemptRevoked
    | AttemptOverdue
    | RunOverdue
    | TimerFired
    | ChildFinished
    | StopRequested
    | ChildrenStopContinued
    | LaunchContinued
    | EvaluationDue
    | ParamsEvaluated
    | EdgesEvaluated
    | RunEnded
)

#: The inbox class of each event, which orders a partition's inbox.
CLASS_OF: Final[dict[type[Event], EventClass]] = {
    RunStarted: EventClass.START,
    AttemptReported: EventClass.RESULT,
    AttemptLost: EventClass.RESULT,
    AttemptRevoked: EventClass.RESULT,
    AttemptOverdue: EventClass.RESULT,
    RunOverdue: EventClass.RESULT,
    TimerFired: EventClass.RESULT,
    ChildFinished: EventClass.RESULT,
    StopRequested: EventClass.SIGNAL,
    ChildrenStopContinued: EventClass.SIGNAL,
    LaunchContinued: EventClass.START,
    EvaluationDue: EventClass.RESULT,
    ParamsEvaluated: EventClass.RESULT,
    EdgesEvaluated: EventClass.RESULT,
    RunEnded: EventClass.WORKFLOW,
}

_DECODER: Final = msgspec.json.Decoder(InboxEvent)
_ENCODER: Final = msgspec.json.Encoder()


def encode_event(event: Event) -> bytes:
    """Return *event* as the JSON that an inbox row holds."""
    return _ENCODER.encode(event)


def decode_event(payload: bytes | str) -> InboxEvent:
    """
    Return the event that an inbox row holds.

    Raises:
        msgspec.ValidationError: the payload is no event we know; the caller quarantines it.
    """
    event: InboxEvent = _DECODER.decode(payload)
    return event


class InboxRow(msgspec.Struct, frozen=True):
    """One row of ``engine_inbox`` to be inserted in the transaction of its cause."""

    partition: int
    event: Event
    run_uid: UUID | None = None  #: The run it is addressed to; None for the aggregate of *workflow_id*.
    workflow_id: str | None = None
