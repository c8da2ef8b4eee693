"""Count what an engine does, for ``/metrics``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class EngineMetrics:
    """Totals since the start of the process; times in seconds."""

    batches: int = 0
    runs_touched: int = 0
    batch_seconds: float = 0.0
    events_without_run: int = 0  #: For runs that no longer exist: named no-ops.
    sweep_finds: int = 0  #: Partitions with events that no hint had announced.
    attempts_lost: int = 0

    def note_batch(self, runs: int, seconds: float) -> None:
        """Count a committed batch that changed *runs* and was open for *seconds*."""
        self.batches += 1
        self.runs_touched += runs
        self.batch_seconds += seconds
