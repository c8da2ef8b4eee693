"""Make the families of Prometheus out of plain numbers."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from maestro_py.histogram import Histogram


def counter(name: str, what: str, value: float) -> CounterMetricFamily:
    """Return a total since the start of the process; it is shown as *name* with ``_total`` behind."""
    return CounterMetricFamily(name, what, value=value)


def counters(name: str, what: str, label: str, values: Mapping[str, float]) -> CounterMetricFamily:
    """Return totals by the values of a label."""
    family = CounterMetricFamily(name, what, labels=(label,))
    for value, count in values.items():
        family.add_metric((value,), count)
    return family


def gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    """Return what is so at this moment."""
    return GaugeMetricFamily(name, what, value=value)


def gauges(name: str, what: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    """Return what is so at this moment by the values of a label."""
    family = GaugeMetricFamily(name, what, labels=(label,))
    for value, count in values.items():
        family.add_metric((value,), count)
    return family


def histogram(name: str, what: str, observed: Histogram) -> HistogramMetricFamily:
    """Return what was observed since the start of the process."""
    buckets = []
    below = 0
    for bound, count in zip((*observed.bounds, float("inf")), observed.counts, strict=True):
        below += count
        buckets.append(("+Inf" if bound == float("inf") else repr(float(bound)), below))
    return HistogramMetricFamily(name, what, buckets=buckets, sum_value=observed.total)
