"""Effects: what a decision asks the shell to do, in the transaction that saves the decision.  Frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from maestro_py.model.events import Event
from maestro_py.model.statuses import InstanceStatus


class Effect(msgspec.Struct, frozen=True):
    """Base of everything a decision may ask for."""


class Dispatch(Effect, frozen=True):
    """Offer the attempt to the workers when its queue has room."""

    step_id: str
    attempt: int


class CancelAttempt(Effect, frozen=True):
    """Take the attempt back if no worker has claimed it, else ask its worker to cancel it."""

    step_id: str
    attempt: int


class SetTimer(Effect, frozen=True):
    """Apply *event* to this run at *fire_at_ms* (UTC epoch ms)."""

    fire_at_ms: int
    event: Event


class StoreIterations(Effect, frozen=True):
    """Keep the loop values of a foreach in rows of their own."""

    step_id: str
    attempt: int
    iterations: Sequence[dict[str, Any]]  #: Computed lazily; loop values of each iteration.


class LaunchIterations(Effect, frozen=True):
    """Create the runs of iterations *first* to *first* + *count* - 1 (1-based)."""

    step_id: str
    attempt: int
    first: int
    count: int


class StopIterations(Effect, frozen=True):
    """Tell a chunk of the live iterations after *after_iteration* to stop, and come back for the next chunk."""

    step_id: str
    attempt: int
    after_iteration: int
    target: InstanceStatus


class SendToSelf(Effect, frozen=True):
    """Put *event* into this run's own inbox: go on in a later batch, so that no batch is long."""

    event: Event


class EvaluateElsewhere(Effect, frozen=True):
    """Have the expressions of an attempt evaluated outside of the engine's loop, after the commit."""

    step_id: str
    attempt: int
    work: Any  #: A `maestro_py.params.Work`.


class NotifyParent(Effect, frozen=True):
    """Tell the run whose foreach this run is an iteration of that it ended."""

    status: InstanceStatus


class NotifyWorkflow(Effect, frozen=True):
    """Tell the aggregate ``@workflow:<id>`` that a slot is free."""
