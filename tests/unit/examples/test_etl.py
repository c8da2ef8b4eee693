"""The parts of the ETL example that decide something."""

from __future__ import annotations

from typing import Any

import pytest

from examples.etl.extract import flight, weather
from examples.etl.quality import broken_rules, check
from maestro_py.step import FatalError

FACTS = {
    "flights": 1_000,
    "flights_by_day": 1_000,
    "days": 365,
    "unknown_carriers": 0,
    "impossible_days": 0,
    "without_weather": 19,
}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"flights": 999, "flights_by_day": 999}, "1000 flights were extracted and 999 loaded"),
        ({"flights_by_day": 999}, "the days have 999 flights together, not 1000"),
        ({"days": 364}, "364 days have flights, not 365"),
        ({"unknown_carriers": 1}, "1 flights are of unknown airlines"),
        ({"impossible_days": 2}, "on 2 days more flights were late or cancelled than there were"),
        ({"without_weather": 21}, "21 flights are without weather"),
    ],
)
def test_each_rule_can_be_broken(changes: dict[str, int], rule: str) -> None:
    assert [rule] == list(broken_rules(FACTS | changes, {"flights": 1_000}, least_flights=900))


def test_data_that_can_be_right_pass() -> None:
    assert {"flights": 1_000} == check(FACTS, {"flights": 1_000}, 1_000)


def test_a_broken_rule_is_not_worth_a_retry() -> None:
    with pytest.raises(FatalError, match="1 rules are broken: 1000 flights are fewer than 1001"):
        check(FACTS, {"flights": 1_000}, 1_001)


def test_what_nobody_knows_is_empty() -> None:
    common: dict[str, Any] = {"time_hour": "2013-01-01T10:00:00Z", "origin": "EWR"}
    cancelled = {**common, "year": "2013", "month": "1", "day": "2", "dest": "IAH", "carrier": "UA", "distance": "1400"}
    calm = {**common, "wind_speed": "NA", "precip": "0", "visib": "10"}

    assert ("2013-01-02", "2013-01-01T10:00:00Z", "EWR", "IAH", "UA", "", "", "1400") == flight(
        {**cancelled, "dep_delay": "NA", "arr_delay": "NA"}
    )
    assert ("2013-01-01T10:00:00Z", "EWR", "", "0", "10") == weather(calm)
