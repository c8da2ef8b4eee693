"""What a database returns becomes JSON without loss, and stays within bounds."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.workers.steps.sql_rows import ROWS_LIMIT, ROWS_LIMIT_BYTES, KeptRows, bound_value, distinct, json_value

NOON = dt.datetime(2013, 1, 1, 12, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        ("text", "text"),
        (3, 3),
        (2**63 - 1, 2**63 - 1),
        (2**63, "9223372036854775808"),
        (1.5, 1.5),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (Decimal("12.30"), "12.30"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E+5000"), "1E+5000"),
        (Decimal("NaN"), "NaN"),
        (dt.date(2013, 1, 1), "2013-01-01"),
        (NOON, "2013-01-01T12:30:00+00:00"),
        (NOON.replace(tzinfo=None), "2013-01-01T12:30:00"),
        (dt.time(12, 30), "12:30:00"),
        (dt.timedelta(minutes=1, milliseconds=5), 60.005),
        (b"\x00\xff", "AP8="),
        (memoryview(b"ab"), "YWI="),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ([Decimal(1), (NOON,)], ["1", ["2013-01-01T12:30:00+00:00"]]),
        ({"a": {1: b"a"}}, {"a": {"1": "YQ=="}}),
    ],
)
def test_values(value: Any, expected: Any) -> None:
    assert expected == json_value(value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text(), st.lists))
def test_any_value_can_be_written(value: Any) -> None:
    msgspec.json.encode(json_value(value))


def test_columns_of_one_name_are_told_apart() -> None:
    assert ["id", "id_2", "id_3", "id_2_2"] == distinct(["id", "id", "id", "id_2"])


def kept(*rows: tuple[Any, ...]) -> KeptRows:
    result = KeptRows(["a"])
    for row in rows:
        result.add(row)
    return result


def test_a_thousand_rows_are_kept() -> None:
    whole = kept(*((n,) for n in range(ROWS_LIMIT)))
    more = kept(*((n,) for n in range(ROWS_LIMIT + 5)))

    assert (ROWS_LIMIT, ROWS_LIMIT, False) == (len(whole.rows), whole.count, whole.is_truncated)
    assert (ROWS_LIMIT, ROWS_LIMIT + 5, True) == (len(more.rows), more.count, more.is_truncated)
    assert {"a": ROWS_LIMIT - 1} == more.rows[-1]


def test_a_megabyte_is_kept_and_nothing_after_it() -> None:
    """Also not a row that would fit: what is kept has no gaps."""
    result = kept(("x" * 600_000,), ("y" * 600_000,), ("z",))

    assert (1, 3, True) == (len(result.rows), result.count, result.is_truncated)
    assert len(json.dumps(result.rows)) < ROWS_LIMIT_BYTES


def test_lists_and_objects_are_bound_as_json_where_there_are_no_arrays() -> None:
    assert ("[1,2]", '{"a":[1]}') == (bound_value([1, 2], has_arrays=False), bound_value({"a": [1]}, has_arrays=False))
    assert ([1, 2], "[[1],2]", '{"a":1}') == tuple(
        bound_value(value, has_arrays=True) for value in ([1, 2], [[1], 2], {"a": 1})
    )
    assert ("a", None, 1.5) == tuple(bound_value(value, has_arrays=False) for value in ("a", None, 1.5))
