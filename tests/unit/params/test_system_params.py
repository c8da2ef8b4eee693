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
from maestro_py.model.given_names import SYSTEM_PARAMS
from maestro_py.params import (
    DERIVED_PARAMS,
    ParamSource,
    derived_params,
    evaluate_workflow_params,
    parse_run_params,
    plain_values,
)
from tests.unit.params.scopes import a

PACIFIC: Final = ZoneInfo("US/Pacific")


def oracle(run_ts: int, zone: str = "UTC") -> dict[str, Any]:
    at = datetime.fromtimestamp(run_ts / 1000, ZoneInfo(zone))
    hour = at.replace(minute=0, second=0, microsecond=0, fold=0)
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


#: One with half-hours, one whose summer time is half an hour, and some whose clocks change at different hours.
ZONES: Final = (
    *("US/Pacific", "America/New_York", "Europe/Berlin", "Europe/London", "Asia/Kolkata", "Asia/Kathmandu"),
    *("Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Cairo", "Pacific/Apia", "America/St_Johns"),
)


def changes_of_clocks() -> list[tuple[str, int]]:
    """Return each zone with the hours in which its clocks changed from 2011 to 2024, UTC epoch ms."""
    found = []
    for zone in map(ZoneInfo, ZONES):
        hours = range(1_293_840_000, 1_735_689_600, 3600)
        offsets = [datetime.fromtimestamp(second, zone).utcoffset() for second in hours]
        found += [
            (zone.key, second * 1000)
            for second, before, after in zip(hours, offsets, offsets[1:], strict=False)
            if before != after
        ]
    return found


@settings(deadline=None)
@given(st.sampled_from(changes_of_clocks()), st.integers(-3 * 3_600_000, 3 * 3_600_000))
def test_around_every_change_of_clocks_the_oracle_agrees(change: tuple[str, int], shift_ms: int) -> None:
    """DERIVED_RUN_TS is made of date and hour (specification 4.5): where an hour comes twice, the first is meant."""
    zone, run_ts = change
    at = datetime.fromtimestamp((run_ts + shift_ms) / 1000, ZoneInfo(zone))
    hour = at.replace(minute=0, second=0, microsecond=0, fold=0)
    # Clocks that skip half an hour have an hour without a beginning.
    if hour.astimezone(UTC).astimezone(ZoneInfo(zone)).minute:
        with pytest.raises(ParamError, match="skip this time"):
            all_of(run_ts + shift_ms, WORKFLOW_CRON_TIMEZONE=zone)
        return

    assert oracle(run_ts + shift_ms, zone) == all_of(run_ts + shift_ms, WORKFLOW_CRON_TIMEZONE=zone)


def test_an_hour_that_the_clocks_leave_out_is_an_error_with_a_message() -> None:
    with pytest.raises(ParamError, match="DERIVED_RUN_TS"):
        all_of(0, {"TARGET_RUN_DATE": "20240310", "TARGET_RUN_HOUR": "02"}, WORKFLOW_CRON_TIMEZONE="US/Pacific")


@given(st.integers(631_152_000_000, 1_893_456_000_000), st.sampled_from(ZONES))
@settings(deadline=None)
def test_what_a_run_does_not_hold_follows_from_what_it_holds(run_ts: int, zone: str) -> None:
    """A run that refers to none of them holds none; who looks at it sees the same values (specification 4.5)."""
    system = {"WORKFLOW_CRON_TIMEZONE": zone}
    held = evaluate_workflow_params(Workflow(id="wf", steps=()), {}, system=system, now_ms=run_ts)

    found = derived_params(held)

    values = plain_values({**held, **found})
    assert oracle(run_ts, zone) == {name: values[name] for name in DERIVED_PARAMS}
    assert DERIVED_PARAMS.keys() == {*found, "WORKFLOW_CRON_TIMEZONE"}
    assert {(ParamSource.SYSTEM_DEFAULT, run_ts)} == {(param.source, param.evaluated_time) for param in found.values()}


def test_what_cannot_be_worked_out_is_left_out() -> None:
    system = {"WORKFLOW_CRON_TIMEZONE": "Nowhere/Land"}
    held = evaluate_workflow_params(Workflow(id="wf", steps=()), {}, system=system, now_ms=0)

    assert {"DSL_DEFAULT_TZ"} == derived_params(held).keys()


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
