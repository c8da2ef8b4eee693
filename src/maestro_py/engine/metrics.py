"""Count what an engine does, in plain numbers; `maestro_py.metrics` shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from maestro_py.engine.decide.state import Run, StepState
from maestro_py.histogram import NUMBERS, Histogram
from maestro_py.model.statuses import InstanceStatus, StepStatus
from maestro_py.ports.engine_store import Taken

_ENDED_STEP: Final = frozenset(str(status) for status in StepStatus if status.is_terminal)
_ENDED_RUN: Final = frozenset(str(status) for status in InstanceStatus if status.is_terminal)
_BEGUN: Final = str(InstanceStatus.IN_PROGRESS)
_CREATED: Final = str(StepStatus.CREATED)
_RUNNING: Final = str(StepStatus.RUNNING)
_FINISHING: Final = str(StepStatus.FINISHING)


@dataclass(slots=True)
class EngineMetrics:
    """Totals since the start of the process; times in seconds."""

    batches: int = 0
    runs_touched: int = 0
    batch_seconds: float = 0.0  #: That batches were open.
    batch_events: Histogram = field(default_factory=lambda: Histogram(NUMBERS))
    commit_seconds: Histogram = field(default_factory=Histogram)  #: Of writing a batch, COMMIT included.
    events_without_run: int = 0  #: For runs that no longer exist: named no-ops.
    sweep_finds: int = 0  #: Events that no hint had announced when a sweep found them.
    attempts_lost: int = 0
    dead_letters: int = 0  #: Events put aside because they could not be applied.
    step_changes: Counter[str] = field(default_factory=Counter)  #: Attempts that came into each status.
    run_changes: Counter[str] = field(default_factory=Counter)  #: Runs that came into each status.
    #: From the creation of an attempt that a worker ran to its end here; and the same without the worker's own time.
    step_seconds: Histogram = field(default_factory=Histogram)
    step_overhead: Histogram = field(default_factory=Histogram)
    #: Of runs that are no iterations: from the request to the beginning, and from there to the end.
    start_delay: Histogram = field(default_factory=Histogram)
    run_seconds: Histogram = field(default_factory=Histogram)

    def note_batch(self, runs: int, seconds: float) -> None:
        """Count a committed batch that changed *runs* and was open for *seconds*."""
        self.batches += 1
        self.runs_touched += runs
        self.batch_seconds += seconds

    def note_taken(self, taken: Sequence[Taken], swept: Container[int]) -> None:
        """Count the events of a committed batch; a sweep alone has found those of the partitions *swept*."""
        self.batch_events.observe(len(taken))
        self.note_swept(taken, swept)

    def note_swept(self, taken: Sequence[Taken], swept: Container[int]) -> None:
        """Count those of the events *taken* that a sweep alone has found, in partitions *swept*."""
        if swept:
            # A timer, whose id is 0, is announced by nobody.
            self.sweep_finds += sum(row.partition in swept and row.id != 0 for row in taken)

    def note_changes(self, run: Run) -> None:
        """Count what has just been committed of *run*, before its records are dropped."""
        for step_id, attempt, _, status, now_ms in run.records:
            if not step_id:
                self._note_run(run, status, now_ms)
                continue
            self.step_changes[status] += 1
            if status in _ENDED_STEP:
                step = run.steps[step_id]
                # An attempt that was tried again in the same batch is no longer there to be measured.
                if step.attempt == attempt and step.dispatched:
                    self._note_step(step, now_ms)

    def _note_run(self, run: Run, status: str, now_ms: int) -> None:
        self.run_changes[status] += 1
        if run.parent is not None:
            return
        if status == _BEGUN:
            self.start_delay.observe(max(0, now_ms - made_at_ms(run.run_uid)) / 1000)
        elif status in _ENDED_RUN and run.start_time_ms is not None:
            self.run_seconds.observe((now_ms - run.start_time_ms) / 1000)

    def _note_step(self, step: StepState, now_ms: int) -> None:
        times = step.times
        whole_ms = now_ms - times.get(_CREATED, now_ms)
        self.step_seconds.observe(whole_ms / 1000)
        if _FINISHING in times and _RUNNING in times:
            self.step_overhead.observe(max(0, whole_ms - (times[_FINISHING] - times[_RUNNING])) / 1000)


def made_at_ms(uid: UUID) -> int:
    """Return when *uid*, a UUIDv7, was made: UTC epoch ms."""
    return uid.int >> 80
