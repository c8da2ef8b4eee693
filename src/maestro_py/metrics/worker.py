"""Show what a worker counts."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from maestro_py.metrics.common import Common
from maestro_py.metrics.families import counter, counters, gauge, histogram
from maestro_py.workers.process import WorkerProcess


class WorkerCollector(Collector):
    """
    The families of a worker.

    Args:
        worker: Its process.
        common: What every process has.
    """

    def __init__(self, worker: WorkerProcess, common: Common) -> None:
        self._worker = worker
        self._common = common

    async def refresh(self) -> None:
        """Read nothing: everything is in memory."""

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        worker = self._worker
        executor, claimer, reports = worker.executor, worker.claimer, worker.reports
        yield from self._common.collect(worker.sweep_finds)
        yield gauge("maestro_worker_slots", "Attempts it runs at a time.", executor.slots)
        yield gauge("maestro_worker_busy", "Slots that are taken.", executor.busy)
        yield counter("maestro_worker_claims", "Claims made.", claimer.claims)
        yield counter("maestro_worker_claimed", "Attempts that claims took.", claimer.claimed)
        yield histogram("maestro_worker_claim_seconds", "Time of a claim at the database.", claimer.claim_seconds)
        yield histogram(
            "maestro_worker_claim_to_start_seconds",
            "From the answer to a claim to the call of the step type.",
            executor.claim_to_start,
        )
        yield counter(
            "maestro_worker_process_wait_seconds",
            "Time that attempts waited for a warm Python process.",
            executor.waited_seconds,
        )
        yield counters(
            "maestro_worker_reports",
            "Reports written: applied, or late and without effect.",
            "fate",
            {"applied": reports.applied, "late": reports.late},
        )
        yield counter("maestro_worker_report_commits", "Commits that wrote reports.", reports.commits)
        yield gauge("maestro_worker_reports_pending", "Reports that are yet to be written.", reports.pending)
        yield counter(
            "maestro_worker_handed_back", "Attempts given back for another worker.", worker.reconciler.handed_back
        )
        yield counter(
            "maestro_worker_attempts_taken", "Running attempts that were no longer its own.", worker.reconciler.taken
        )
