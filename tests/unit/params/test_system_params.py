"""The service's own parameters of a run (specification 4.5), against an oracle that knows nothing of expressions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_py.model.definition import ParamDefinition, ParamMode, ParamType, Workflow
from maestro_py.model.errors import ParamError
from maestro_py.model.forms.reference_checks import SYSTEM_PARAMS
from maestro_py.params import DERIVED_PARAMS, ParamSource, evaluate_workflow_params, parse_run_params
from tests.unit.params.scopes import a

PACIFIC: Final = ZoneInfo("US/Pacific")


def oracle(run_ts: int, zone: str = "UTC") -> dict[str, Any]:
    at = datetime.fromtimestamp(run_ts / 1000, ZoneInfo(zone))
    hour = at.replace(minute=0, second=0, microsecond=0)
    utc = hour.astimezone(UTC)
    pacific = utc.astimezone(PACIFIC)
    before, after = utc - timedelta(hours=1), utc + timedelta(hours=1)
    day = at.date()
    return {
        "DSL_DEFAULT_TZ": "UTC",
        "WORKFLOW_CRON_TIMEZONE": zone,
        "TARGET_RUN_DATE": f"{at:%Y%m%d}",
        "TARGET_RUN_HOUR": f"{at:%H}",
        "DERIVED_RUN_TS": int(utc.timestamp()) * 1000,
        "DERIVED_RUN_DATE_US_PACIFIC": f"{pacific:%Y%m%d}",
        "DERIVED_RUN_DATE_US_PACIFIC_MINUS_ONE": f"{pacific.date() - timedelta(days=1):%Y%m%d}",
        "DERIVED_RUN_DATE_UTC": f"{utc:%Y%m%d}",
        "DERIVED_RUN_DATE_UTC_MINUS_ONE": f"{utc - timedelta(days=1):%Y%m%d}",
        "DERIVED_RUN_DATE_UTC_PLUS_ONE": f"{utc + timedelta(days=1):%Y%m%d}",
        "DERIVED_RUN_DATE_UTC_MINUS_ONE_HOUR": f"{before:%Y%m%d}",
        "DERIVED_RUN_DATE_UTC_PLUS_ONE_HOUR": f"{after:%Y%m%d}",
        "DERIVED_RUN_HOUR_US_PACIFIC": f"{pacific:%H}",
        "DERIVED_RUN_HOUR_UTC": f"{utc:%H}",
        "DERIVED_RUN_HOUR_UTC_MINUS_ONE_HOUR": f"{before:%H}",
        "DERIVED_RUN_HOUR_UTC_PLUS_ONE_HOUR": f"{after:%H}",
        "LOCAL_RUN_DATE": f"{utc:%Y%m%d}",
        "RUN_DATE": f"{at:%Y%m%d}",
        "RUN_DATE_MINUS_1": f"{day - timedelta(days=1):%Y%m%d}",
        "RUN_DATE_MINUS_7": f"{day - timedelta(days=7):%Y%m%d}",
    }


def all_of(run_ts: int, run_params: dict[str, Any] | None = None, **system: Any) -> dict[str, Any]:
    """Return every derived parameter of a run that refers to all of them."""
    text = " ".join(f"${{{name}}}" for name in DERIVED_PARAMS)
    workflow = Workflow(id="wf", steps=(), params={"all": a("STRING", text)})
    found = evaluate_workflow_params(workflow, parse_run_params(run_params), system=system, now_ms=run_ts)
    return {name: found[name].evaluated_result for name in DERIVED_PARAMS}


@pytest.mark.parametrize("name", DERIVED_PARAMS, ids=lambda name: f"4.5 {name}")
def test_a_derived_parameter(name: str) -> None:
    run_ts = 1_709_247_600_123  # 2024-02-29T23:00:00.123Z: a leap day, and another day in most zones

    assert oracle(run_ts)[name] == all_of(run_ts)[name]


@settings(deadline=None)  # the first parses the definitions
@given(st.integers(631_152_000_000, 1_893_456_000_000))  # 1990 to 2030
def test_whatever_the_moment_the_oracle_agrees(run_ts: int) -> None:
    assert oracle(run_ts) == all_of(run_ts)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "Europe/Berlin", "Pacific/Kiritimati"])
def test_the_zone_of_the_initiator_decides_the_date(zone: str) -> None:
    run_ts = 1_709_247_600_123

    assert oracle(run_ts, zone) == all_of(run_ts, WORKFLOW_CRON_TIMEZONE=zone)


def test_what_a_start_gives_is_what_the_others_follow_from() -> None:
    found = all_of(1_709_247_600_123, {"TARGET_RUN_DATE": "20200101", "TARGET_RUN_HOUR": "05"})

    assert ("20200101", "20191231", "06") == (
        found["RUN_DATE"],
        found["RUN_DATE_MINUS_1"],
        found["DERIVED_RUN_HOUR_UTC_PLUS_ONE_HOUR"],
    )


def test_only_what_is_referred_to_is_there() -> None:
    workflow = Workflow(id="wf", steps=(), params={"day": a("STRING", "${RUN_DATE}")})
    found = evaluate_workflow_params(workflow, {}, system={"owner": "ana"}, now_ms=0)

    assert {"RUN_TS", "owner", "workflow_id", "day", "RUN_DATE", "TARGET_RUN_DATE"} <= found.keys()
    assert {"DERIVED_RUN_TS", "RUN_DATE_MINUS_7"}.isdisjoint(found)
    assert ParamSource.SYSTEM_DEFAULT is found["RUN_DATE"].source
    assert ParamMode.MUTABLE_ON_START is found["RUN_DATE"].mode


def test_a_definition_may_override_one_and_is_cast_to_its_type() -> None:
    workflow = Workflow(
        id="wf", steps=(), params={"RUN_DATE": a("LONG", 20240102), "d": a("STRING", "$RUN_DATE_MINUS_1")}
    )
    found = evaluate_workflow_params(workflow, {}, system={}, now_ms=0)

    assert ("20240102", "20240101") == (found["RUN_DATE"].evaluated_result, found["d"].evaluated_result)
    assert ParamSource.DEFINITION is found["RUN_DATE"].source


@pytest.mark.parametrize("name", ["owner", "workflow_id"])
def test_a_reserved_one_may_not_be_set(name: str) -> None:
    given_at_start = {name: ParamDefinition(type=ParamType.STRING, value="x")}
    with pytest.raises(ParamError, match=r"Cannot modify param with system mode \[RESERVED\]"):
        evaluate_workflow_params(Workflow(id="wf", steps=()), given_at_start, system={"owner": "a"}, now_ms=0)


def test_the_door_knows_them_all() -> None:
    assert SYSTEM_PARAMS == {"RUN_TS", "owner", "workflow_id"} | DERIVED_PARAMS.keys()
