"""
Compute what is known of each flight one hour before its scheduled departure.  Pure.

Nothing that happens later may enter, or the score would lie.  So the delays "of late" are those of flights that had
really left by then, whenever they should have; a flight's own delay is in no feature, only in its label.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .flights import WEATHER
from .work_folder import Columns

AIRPORTS: Final = ("EWR", "JFK", "LGA")
CARRIERS: Final = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")
HOURS: Final = range(5, 24)
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

#: A flight that arrives later than this is late, in minutes.
LATE_MINUTES: Final = 15
#: The moment of the prediction, before the scheduled departure, in minutes.
AHEAD_MINUTES: Final = 60
#: "Of late" means within so many minutes before that moment.
RECENT_MINUTES: Final = 120

#: A few flights are a day late; beyond this a delay says nothing more about the airport.
_DELAY_BOUNDS: Final = (-15.0, 180.0)
#: A cloudburst is one at a third of an inch an hour too.
_RAIN_BOUND: Final = 0.3
_EPOCH_WEEKDAY: Final = 3  # 1 January 1970 was a Thursday

FEATURES: Final = (
    "mean delay of late",
    "share of late departures of late",
    "departures of late",
    "log distance",
    *WEATHER,
    *(f"scheduled at {hour} h" for hour in HOURS),
    *WEEKDAYS,
    *CARRIERS,
    *AIRPORTS,
)


class Features(NamedTuple):
    """The flights of a segment that arrived, as a model sees them."""

    matrix: NDArray[np.float32]  #: One row a flight, one column for each of FEATURES; NaN where nobody measured.
    late: NDArray[np.bool_]
    date: NDArray[np.datetime64]


def features_of(flights: Columns) -> Features:
    """
    Return the features of the flights of one airport.

    Cancelled and diverted flights have no arrival delay and so no row; cancelled ones never left either.
    Before the first departures of the segment nothing is known "of late": zeros.
    """
    rain = np.minimum(flights["precip"], _RAIN_BOUND)
    weather = [rain if name == "precip" else flights[name] for name in WEATHER]
    weekdays = (flights["date"].astype("datetime64[D]").astype(np.int64) + _EPOCH_WEEKDAY) % len(WEEKDAYS)
    columns: list[NDArray[Any]] = [
        *_recent_departures(flights["scheduled"], flights["dep_delay"]),
        np.log(flights["distance"]),
        *weather,
        *(flights["hour"] == hour for hour in HOURS),
        *(weekdays == weekday for weekday in range(len(WEEKDAYS))),
        *(flights["carrier"] == carrier for carrier in CARRIERS),
        *(flights["origin"] == airport for airport in AIRPORTS),
    ]
    arrived = ~np.isnan(flights["arr_delay"])
    return Features(
        np.column_stack(columns).astype(np.float32)[arrived],
        flights["arr_delay"][arrived] > LATE_MINUTES,
        flights["date"][arrived],
    )


def _recent_departures(scheduled: NDArray[Any], delay: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return for each flight the mean delay, the share of late ones and the number of recent departures."""
    left = ~np.isnan(delay)
    times = scheduled[left] + delay[left].astype(np.float64)
    order = np.argsort(times, kind="stable")
    times = times[order]
    delays = np.clip(delay[left][order].astype(np.float64), *_DELAY_BOUNDS)
    delay_before = np.concatenate([[0.0], np.cumsum(delays)])
    late_before = np.concatenate([[0.0], np.cumsum(delays > LATE_MINUTES)])
    now = scheduled - AHEAD_MINUTES
    begin = np.searchsorted(times, now - RECENT_MINUTES, side="right")
    end = np.searchsorted(times, now, side="right")
    number = end - begin
    divisor = np.maximum(number, 1)
    return (
        (delay_before[end] - delay_before[begin]) / divisor,
        (late_before[end] - late_before[begin]) / divisor,
        number,
    )
