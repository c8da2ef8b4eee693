"""What engines, workers and signal services have in common: a lease, hints, and what sweeps find."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from maestro_py.metrics.families import counter, gauge
from maestro_py.model.statuses import ProcessKind
from maestro_py.ports.process_beat import ProcessBeat
from maestro_py.ports.transport import Transport


class Common:
    """
    The part that is the same for each kind of process.

    Args:
        kind: What the process is.
        beat: Of the process.
        lease_ms: Its lease.
        transport: Of the process.
    """

    def __init__(self, kind: ProcessKind, beat: ProcessBeat, lease_ms: int, transport: Transport) -> None:
        self._kind = kind
        self._beat = beat
        self._lease_ms = lease_ms
        self._transport = transport

    def problem(self) -> str | None:
        """Return why the process is not ready for work, None if it is: its beats are answered."""
        silent_ms = self._beat.last_answered_ms_ago()
        return None if silent_ms < self._lease_ms else f"the database has answered no beat for {silent_ms} ms"

    def collect(self, sweep_finds: int) -> Iterator[Metric]:
        """Yield the families, *sweep_finds* among them."""
        info = GaugeMetricFamily("maestro_process_info", "Always 1; which process this is.", labels=("kind", "id"))
        info.add_metric((str(self._kind), str(self._beat.process_id)), 1)
        yield info
        yield gauge("maestro_lease_seconds", "Past this without an answered beat it is dead.", self._lease_ms / 1000)
        age = self._beat.last_answered_ms_ago() / 1000
        yield gauge("maestro_lease_age_seconds", "Time since the newest beat that the database answered.", age)
        away = self._beat.server_away()
        yield gauge("maestro_database_away", "1 while PostgreSQL starts, stops or is unreachable.", float(away))
        yield counter("maestro_hints_dropped", "Hints dropped; each costs a sweep.", self._transport.hints_dropped)
        yield counter("maestro_sweep_finds", "What no hint had announced when a sweep found it.", sweep_finds)
