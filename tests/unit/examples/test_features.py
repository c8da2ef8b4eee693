"""What a model may know of a flight, and how well it foresees: the pure parts of examples/ml_pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.ml_pipeline import model
from examples.ml_pipeline.features import FEATURES, Features, features_of
from examples.ml_pipeline.flights import WEATHER, split
from examples.ml_pipeline.work_folder import Columns

NAN = float("nan")
#: Scheduled departures in minutes; only differences count.
NOON = 22_600_000


def flights(*rows: tuple[float, float, float], **columns: Any) -> Columns:
    """Return flights of (scheduled minute from noon, departure delay, arrival delay)."""
    count = len(rows)
    given: dict[str, Any] = {
        "origin": ["EWR"] * count,
        "carrier": ["UA"] * count,
        "distance": [1_000.0] * count,
        "month": [1] * count,
        "hour": [12] * count,
        "date": [np.datetime64("2013-01-01")] * count,
        "scheduled": [NOON + int(scheduled) for scheduled, _, _ in rows],
        "dep_delay": [departure for _, departure, _ in rows],
        "arr_delay": [arrival for _, _, arrival in rows],
        **{name: [10.0] * count for name in WEATHER},
    }
    return {name: np.array(values) for name, values in (given | columns).items()}


def column(features: Features, name: str) -> list[float]:
    return [float(value) for value in features.matrix[:, FEATURES.index(name)]]


def test_a_flight_knows_delays_of_those_that_left_an_hour_before_it() -> None:
    """The first left 50 minutes late, 70 minutes before the last one's schedule; the second a minute too late."""
    found = features_of(flights((0, 50, 0), (60, 1, 0), (120, 0, 0)))

    assert [0.0, 0.0, 50.0] == column(found, "mean delay of late")
    assert [0.0, 0.0, 1.0] == column(found, "departures of late")
    assert [0.0, 0.0, 1.0] == column(found, "share of late departures of late")


@given(st.floats(-15, 180), st.floats(-60, 600))
def test_no_feature_of_a_flight_tells_its_own_delay(departure: float, arrival: float) -> None:
    """Otherwise the score would be a lie."""
    known = features_of(flights((0, 5, 5), (200, departure, arrival))).matrix[1]

    assert features_of(flights((0, 5, 5), (200, 0, 0))).matrix[1].tolist() == known.tolist()


def test_flights_that_never_arrived_have_no_row() -> None:
    """A cancelled flight counts nowhere; a diverted one did leave, and late."""
    found = features_of(flights((0, NAN, NAN), (1, 40, NAN), (180, 0, 16), (180, 0, 15)))

    assert [True, False] == found.late.tolist()
    assert [40.0, 40.0] == column(found, "mean delay of late")


def test_each_flight_is_of_one_weekday_hour_carrier_and_airport() -> None:
    found = features_of(flights((0, 0, 0), date=[np.datetime64("2013-11-28")], hour=[17], carrier=["DL"]))

    named = [name for name in FEATURES[9:] if column(found, name) == [1.0]]
    assert ["scheduled at 17 h", "Thu", "DL", "EWR"] == named


def test_segments_are_airports_by_month_in_the_order_of_schedules() -> None:
    year = flights((5, 0, 0), (3, 0, 0), (1, 0, 0), origin=["LGA", "EWR", "EWR"], month=[2, 1, 1])

    found = [(s.name, s.flights["scheduled"].tolist()) for s in split(year) if len(s.flights["date"])]
    assert [("EWR-01", [NOON + 1, NOON + 3]), ("LGA-02", [NOON + 5])] == found


def test_a_perfect_ranking_has_auc_1_and_a_constant_score_a_half() -> None:
    labels = np.array([False, False, True, True])

    assert 1.0 == model.auc(np.array([1, 2, 3, 4]), labels)
    assert 0.0 == model.auc(np.array([4, 3, 2, 1]), labels)
    assert 0.5 == model.auc(np.zeros(4), labels)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_auc_is_the_share_of_pairs_in_the_right_order(examples: list[tuple[int, bool]]) -> None:
    true = [score for score, label in examples if label]
    false = [score for score, label in examples if not label]
    scores, labels = np.array([s for s, _ in examples]), np.array([label for _, label in examples])
    if not true or not false:
        with pytest.raises(ValueError, match="all labels are the same"):
            model.auc(scores, labels)
        return

    pairs = [1.0 if t > f else 0.5 if t == f else 0.0 for t in true for f in false]
    assert pytest.approx(np.mean(pairs)) == model.auc(scores, labels)


def test_the_fit_finds_the_chances_that_made_the_labels() -> None:
    """Two features, one of them noise, one of them sometimes not measured."""
    random = np.random.default_rng(7)
    matrix = random.normal(size=(20_000, 2))
    labels = random.random(20_000) < 1 / (1 + np.exp(1 - 2 * matrix[:, 0]))
    matrix[:100, 1] = NAN

    fitted = model.fit(matrix, labels)

    assert [-1.0, 2.0, 0.0] == pytest.approx(fitted.weights.tolist(), abs=0.1)
    assert labels.mean() == pytest.approx(fitted.chances(matrix).mean(), abs=0.001)
    assert model.log_loss(fitted.chances(matrix), labels) < model.log_loss(np.full(20_000, labels.mean()), labels)
