"""The example of an ETL as its user runs it: on both kinds of database, with numbers that can be counted again."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maestro_py.client import MaestroClient
from tests.system import System, running_system

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LATE_MINUTES = 15


@pytest.fixture
def etl(database_url: str) -> Iterator[System]:
    """A running system that knows the example."""
    with running_system(database_url, code=ROOT / "examples") as system:
        system.start_all()
        with MaestroClient(system.api_url(), "tester") as client:
            client.push((ROOT / "examples" / "etl" / "workflow.jsonc").read_bytes())
        yield system


def run(etl: System, folder: Path, **params: dict[str, Any]) -> tuple[int, str]:
    """Run the workflow and return the instance and its status."""
    given: dict[str, Any] = {"folder": {"type": "STRING", "value": str(folder)}, **params}
    instance = etl.start_run("flights_etl", **given)
    return instance, etl.wait_ended("flights_etl", instance, within_seconds=120)


def counted(folder: Path) -> tuple[Counter[str], Counter[str]]:
    """Return how many flights each day had, and how many of them were late, from what was extracted."""
    flights: Counter[str] = Counter()
    late: Counter[str] = Counter()
    with (folder / "flights.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            flights[row["day"]] += 1
            late[row["day"]] += bool(row["arrival_delay"]) and int(row["arrival_delay"]) > LATE_MINUTES
    return flights, late


def test_it_reports_the_same_from_both_databases(etl: System, empty_database_url: str, tmp_path: Path) -> None:
    """And what it reports are the numbers of the data."""
    first, first_status = run(etl, tmp_path)
    postgresql = {"type": "STRING", "value": empty_database_url}
    second, second_status = run(etl, tmp_path, database=postgresql)

    assert ["SUCCEEDED", "SUCCEEDED"] == [first_status, second_status], etl.logs()
    report = (tmp_path / f"report-{first}.txt").read_text()
    assert report == (tmp_path / f"report-{second}.txt").read_text()
    flights, late = counted(tmp_path)
    worst = max(flights, key=lambda day: (late[day] / flights[day], day))
    line = rf"{worst} +{100 * late[worst] // flights[worst]} % of {flights[worst]} flights"
    assert re.search(line, report.splitlines()[2]), report
    assert (336_776, 365) == (flights.total(), len(flights))
    assert 4 == report.partition("And the wind:\n")[2].count("flights")


def test_no_report_is_made_of_data_that_cannot_be_right(etl: System, tmp_path: Path) -> None:
    """The check says which rule is broken, and nothing after it runs."""
    instance, status = run(etl, tmp_path, least_flights={"type": "LONG", "value": 400_000})

    assert "FAILED" == status
    check = etl.steps("flights_etl", instance)["check"]["runtime_state"]["status"]
    assert "FATALLY_FAILED" == check
    assert "report" not in {step for step, state in etl.steps("flights_etl", instance).items() if _has_run(state)}
    assert not list(tmp_path.glob("report-*"))


def _has_run(step: dict[str, Any]) -> bool:
    return bool(step["runtime_state"].get("start_time"))
