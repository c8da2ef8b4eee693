"""Show what a signal service counts."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from maestro_py.metrics.common import Common
from maestro_py.metrics.families import counter, counters, gauge
from maestro_py.ports.signal_store import DropReason
from maestro_py.signals.process import SignalProcess


class SignalCollector(Collector):
    """
    The families of a signal service.

    Args:
        service: Its process.
        common: What every process has.
    """

    def __init__(self, service: SignalProcess, common: Common) -> None:
        self._service = service
        self._common = common

    async def refresh(self) -> None:
        """Read nothing: everything is in memory."""

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        service = self._service
        yield from self._common.collect(service.sweep_finds)
        yield counter("maestro_signal_visits", "Visits to names with signals.", service.visits)
        yield counter("maestro_signal_visits_failed", "Visits that could do nothing.", service.visits_failed)
        yield counter("maestro_signal_runs_started", "Runs that signals started.", service.runs_started)
        dropped = {str(reason): service.dropped[reason] for reason in DropReason}
        what = "Signals that matched a trigger and started nothing, by reason."
        yield counters("maestro_signal_dropped", what, "reason", dropped)
        yield gauge(
            "maestro_signal_evaluating", "Triggers whose expressions are evaluated elsewhere.", service.evaluating
        )
        yield gauge("maestro_signal_names_waiting", "Names that wait for a visit.", service.names_waiting)
