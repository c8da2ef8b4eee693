"""Plain numbers as families of Prometheus."""

from __future__ import annotations

from maestro_py.histogram import Histogram
from maestro_py.metrics.families import counters, histogram


def test_a_histogram_counts_each_observation_in_every_bucket_that_reaches_it() -> None:
    observed = Histogram((1, 2))
    for value in (0.5, 1, 1.5, 7):
        observed.observe(value)

    samples = histogram("x", "X.", observed).samples

    assert 4 == observed.count
    assert [("1.0", 2), ("2.0", 3), ("+Inf", 4)] == [
        (sample.labels["le"], sample.value) for sample in samples if sample.name == "x_bucket"
    ]
    assert {"x_count": 4, "x_sum": 10} == {s.name: s.value for s in samples if s.name != "x_bucket"}


def test_totals_by_a_label_have_a_sample_each() -> None:
    family = counters("x", "X.", "status", {"DONE": 2, "FAILED": 1})

    assert [({"status": "DONE"}, 2), ({"status": "FAILED"}, 1)] == [(s.labels, s.value) for s in family.samples]
