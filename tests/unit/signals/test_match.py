"""What a trigger may ask of a signal's parameters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.model.errors import Unprocessable
from maestro_py.ports.signal_store import SignalValue
from maestro_py.signals.match import Condition, conditions_of, satisfies


def a_trigger(**match_params: Any) -> dict[str, Any]:
    return {"definitions": {"ready": {"match_params": match_params}}}


@pytest.mark.parametrize("trigger", [{"definitions": {"ready": {}}}, {"definitions": {"ready": None}}, a_trigger()])
def test_a_trigger_that_asks_nothing_is_satisfied_by_every_signal(trigger: dict[str, Any]) -> None:
    conditions = conditions_of(trigger, "ready")

    assert () == conditions
    assert satisfies(conditions, {})
    assert satisfies(conditions, {"region": "eu"})


@pytest.mark.parametrize(
    ("operator", "holds_for"),
    [("=", [5]), (">", [6, 7]), (">=", [5, 6, 7]), ("<", [3, 4]), ("<=", [3, 4, 5])],
)
def test_numbers_are_compared_as_numbers(operator: str, holds_for: list[int]) -> None:
    conditions = [Condition("n", operator, 5)]

    assert holds_for == [n for n in range(3, 8) if satisfies(conditions, {"n": n})]


@pytest.mark.parametrize(
    ("operator", "holds_for"),
    [("=", ["b"]), (">", ["ba", "c"]), (">=", ["b", "ba", "c"]), ("<", ["a"]), ("<=", ["a", "b"])],
)
def test_text_is_compared_by_its_code_points(operator: str, holds_for: list[str]) -> None:
    conditions = [Condition("s", operator, "b")]

    assert holds_for == [s for s in ("a", "b", "ba", "c") if satisfies(conditions, {"s": s})]


@pytest.mark.parametrize("value", ["5", True, None])
def test_another_kind_of_value_never_matches(value: Any) -> None:
    assert not satisfies([Condition("n", "=", 5)], {"n": value})
    assert not satisfies([Condition("n", "<=", 5)], {"n": value})


def test_true_is_not_one() -> None:
    assert not satisfies([Condition("n", "=", 1)], {"n": True})


def test_a_missing_parameter_does_not_match() -> None:
    assert not satisfies([Condition("region", "=", "eu")], {"other": "eu"})


def test_all_conditions_must_hold() -> None:
    conditions = conditions_of(
        a_trigger(region={"value": "eu", "operator": "="}, day={"value": 20260101, "operator": ">="}), "ready"
    )

    assert satisfies(conditions, {"region": "eu", "day": 20260102})
    assert not satisfies(conditions, {"region": "us", "day": 20260102})
    assert not satisfies(conditions, {"region": "eu", "day": 20251231})


def test_equality_is_the_operator_of_a_condition_that_names_none() -> None:
    assert (Condition("region", "=", "eu"),) == conditions_of(a_trigger(region={"value": "eu"}), "ready")


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        ({"definitions": {"ready": {}, "other": {}}}, "other"),
        ({"definitions": {"other": {}}}, "other"),
        ({}, "ready"),
        (a_trigger(n={"value": 5, "operator": "!="}), "match_params.n"),
        (a_trigger(n={"value": 5.5, "operator": "="}), "match_params.n"),
        (a_trigger(n={"value": True, "operator": "="}), "match_params.n"),
        (a_trigger(n={"operator": "="}), "match_params.n"),
    ],
)
def test_what_cannot_be_matched_is_refused_by_name(trigger: dict[str, Any], said: str) -> None:
    with pytest.raises(Unprocessable, match=said):
        conditions_of(trigger, "ready")


values = st.one_of(st.integers(), st.text())


@given(left=values, right=values)
def test_exactly_one_of_less_equal_and_greater_holds_between_values_of_one_kind(
    left: SignalValue, right: SignalValue
) -> None:
    holding = [op for op in ("<", "=", ">") if satisfies([Condition("p", op, right)], {"p": left})]

    assert (1 if type(left) is type(right) else 0) == len(holding)
