"""Which literal fits which type, what is cast to what, how values print, and how long a duration is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.model.definition import ParamType
from maestro_py.model.durations import MAX_DURATION_MS
from maestro_py.model.errors import ParamError
from maestro_py.model.literals import infer_type, text_of
from maestro_py.params import coerce, evaluate_timeout, parse_duration
from tests.unit.params.scopes import Given

_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("STRING", ""),
        ("LONG", 2**63 - 1),
        ("LONG", -(2**63)),
        ("DOUBLE", 3),
        ("DOUBLE", 3.5),
        ("BOOLEAN", False),
        ("STRING_MAP", {"k": "v"}),
        ("STRING_ARRAY", []),
        ("LONG_ARRAY", [1, 2]),
        ("DOUBLE_ARRAY", [1, 2.5]),
        ("BOOLEAN_ARRAY", [True, False]),
        ("MAP", {}),
        ("JSON", None),
        ("JSON", [1, {"a": None}]),
    ],
)
def test_a_literal_that_fits_stays_as_it_is(kind: str, value: Any) -> None:
    assert value == coerce(ParamType(kind), value, "p")
    assert value == coerce(ParamType(kind), value, "p", cast=True)


@pytest.mark.parametrize(
    ("kind", "value", "cast"),
    [
        ("STRING", 12, "12"),
        ("STRING", True, "true"),
        ("STRING", 1.5, "1.5"),
        ("LONG", "12", 12),
        ("LONG", " -7 ", -7),
        ("LONG", 3.0, 3),
        ("DOUBLE", "1.5e3", 1500.0),
        ("DOUBLE", ".5", 0.5),
        ("BOOLEAN", "True", True),
        ("BOOLEAN", "false", False),
        ("STRING_ARRAY", [1, False, "x"], ["1", "false", "x"]),
        ("LONG_ARRAY", ["1", 2.0], [1, 2]),
        ("STRING_MAP", {"k": 1}, {"k": "1"}),
    ],
)
def test_other_literals_are_cast_only_when_asked(kind: str, value: Any, cast: Any) -> None:
    result = coerce(ParamType(kind), value, "p", cast=True)

    assert (cast, type(cast)) == (result, type(result))
    with pytest.raises(ParamError):
        coerce(ParamType(kind), value, "p")


@pytest.mark.parametrize(
    ("kind", "value", "path"),
    [
        ("STRING", None, "p"),
        ("STRING", ["a"], "p"),
        ("LONG", True, "p"),
        ("LONG", 2**63, "p"),
        ("LONG", "9223372036854775808", "p"),
        ("LONG", "1.5", "p"),
        ("LONG", "１２", "p"),
        ("LONG", 1.5, "p"),
        ("LONG", 1e300, "p"),
        ("DOUBLE", "one", "p"),
        ("DOUBLE", "1e999", "p"),
        ("DOUBLE", "nan", "p"),
        ("DOUBLE", False, "p"),
        ("BOOLEAN", 1, "p"),
        ("BOOLEAN", "yes", "p"),
        ("LONG_ARRAY", [1, "x"], "p[1]"),
        ("STRING_MAP", {"k": [1]}, "p.k"),
        ("STRING_MAP", {"a b": None}, 'p["a b"]'),
        ("STRING_ARRAY", "a", "p"),
        ("MAP", [], "p"),
    ],
)
def test_what_fits_in_no_way_is_refused_by_its_path(kind: str, value: Any, path: str) -> None:
    with pytest.raises(ParamError) as caught:
        coerce(ParamType(kind), value, "p", cast=True)

    assert path == caught.value.path


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(_JSON)
def test_every_value_fits_the_type_that_is_inferred_for_it(value: Any) -> None:
    assert value == coerce(infer_type(value), value, "p") or value != value


@given(st.sampled_from(ParamType), _JSON, st.booleans())
def test_a_literal_fits_or_is_a_param_error(kind: ParamType, value: Any, cast: bool) -> None:
    try:
        result = coerce(kind, value, "p", cast=cast)
    except ParamError:
        return
    assert result == coerce(kind, result, "p") or result != result


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (42, "42"),
        (1.0, "1.0"),
        (0.1, "0.1"),
        (10_000_000.5, "10000000.5"),
        (1e16, "1E+16"),
        (0.000001, "0.000001"),
        (1e-7, "1E-7"),
        ([1, "a", None, True], '[1,"a",null,true]'),
        ({"k": ["ä"], "b": {}}, '{"k":["ä"],"b":{}}'),
    ],
)
def test_values_print_as_java_prints_them(value: Any, text: str) -> None:
    assert text == text_of(value)


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        (90, 90 * _SECOND),
        ("90", 90 * _SECOND),
        (" 90 ", 90 * _SECOND),
        ("1 day 2 hours", _DAY + 2 * _HOUR),
        ("1d2h3min4s5ms", _DAY + 2 * _HOUR + 3 * _MINUTE + 4 * _SECOND + 5),
        ("2 days", 2 * _DAY),
        ("30min", 30 * _MINUTE),
        ("1 minute", _MINUTE),
        ("2 minutes 1 second", 2 * _MINUTE + _SECOND),
        ("1h 30 sec", _HOUR + 30 * _SECOND),
        ("500 milliseconds", 500),
        ("1 millisecond", 1),
        ("0 days 1 hour", _HOUR),
        ("120 days", MAX_DURATION_MS),
    ],
)
def test_a_duration_is_seconds_or_groups_of_units(text: int | str, millis: int) -> None:
    assert millis == parse_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "5 m", "5 eons", "1 hour 2 days", "1 h 1 h", "-5", "1.5 hours", "five", "０" * 3, "hours"),
        *(0, -1, "0", "0 s", "121 days", "120 days 1ms", 10_368_001, True, None, 1.5, "9" * 300, "9" * 30 + " days"),
    ],
)
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@given(*(st.integers(0, 5) for _ in range(5)))
def test_a_duration_is_the_sum_of_its_units(days: int, hours: int, minutes: int, seconds: int, millis: int) -> None:
    total = days * _DAY + hours * _HOUR + minutes * _MINUTE + seconds * _SECOND + millis
    text = f"{days} days {hours} h {minutes}min {seconds} seconds {millis} ms"

    if total:
        assert total == parse_duration(text)


def test_a_timeout_may_refer_to_parameters() -> None:
    scope = Given({"n": 3, "text": "2 hours"})

    assert None is evaluate_timeout(None, scope)
    assert 5 * _SECOND == evaluate_timeout(5, scope)
    assert 3 * _MINUTE == evaluate_timeout("${n} min", scope)
    assert 3 * _SECOND == evaluate_timeout("${n}", scope)
    assert 2 * _HOUR == evaluate_timeout("$text", scope)


@pytest.mark.parametrize("timeout", ["${n}", "$list", "${list} s"])
def test_a_timeout_that_cannot_be_evaluated_names_its_path(timeout: str) -> None:
    with pytest.raises(ParamError) as caught:
        evaluate_timeout(timeout, Given({"list": [1]}), "steps.a.timeout")

    assert "steps.a.timeout" == caught.value.path
