"""4.8 Long, Double, Boolean and Math; 4.7 arithmetic.  Oracles: Java 17's output, and 64-bit integers of ctypes."""

from __future__ import annotations

import ctypes
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.expressions.world import examples, failure, value_of

LONGS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), 2**62])
DOUBLES = st.floats(width=64)


def same(expected: object, actual: object) -> bool:
    """Tell whether two doubles are the same, NaN and the sign of zero included."""
    if isinstance(expected, float) and isinstance(actual, float):
        if math.isnan(expected):
            return math.isnan(actual)
        return struct.pack("d", expected) == struct.pack("d", actual)
    return expected == actual and type(expected) is type(actual)


NAN, INFINITY = math.nan, math.inf

FUNCTIONS = [
    ("x.toString()", "5"),
    ("Long.toString(7)", "7"),
    ("Long.valueOf('12')", 12),
    ("Long.valueOf(12)", 12),
    ("Integer.valueOf('12')", 12),
    ("Long.parseLong('+12')", 12),
    ("Long.parseLong('-9223372036854775808')", -(2**63)),
    ("Long.parseLong('000000000000000000000007')", 7),
    ("Integer.parseLong('3')", 3),
    ("new Long('4')", 4),
    ("new Long(4)", 4),
    ("new Integer('4')", 4),
    ("x.intValue()", 5),
    ("new Long('4294967297').intValue()", 1),
    ("new Long('2147483648').intValue()", -(2**31)),
    ("new Double(2.5).toString()", "2.5"),
    ("Double.toString(1e7)", "1.0E7"),
    ("Double.valueOf('1.5')", 1.5),
    ("Double.valueOf(1.5)", 1.5),
    ("Float.valueOf('1.5')", 1.5),
    ("Double.parseDouble(' 1.5d ')", 1.5),
    ("Double.parseDouble('-Infinity')", -INFINITY),
    ("Double.parseDouble('NaN')", NAN),
    ("Double.parseDouble('.5')", 0.5),
    ("Double.parseDouble('5.')", 5.0),
    ("Double.parseDouble('1e3f')", 1000.0),
    ("new Double('2.5')", 2.5),
    ("new Double(2.5)", 2.5),
    ("new Double(3.99).intValue()", 3),
    ("new Double(-3.99).longValue()", -3),
    ("new Double(1e30).intValue()", 2**31 - 1),
    ("new Double(1e30).longValue()", 2**63 - 1),
    ("(0.0 / 0).intValue()", 0),
    ("new Boolean('TRUE')", True),
    ("new Boolean('yes')", False),
    ("new Boolean(true)", True),
    ("Math.min(3, 2)", 2),
    ("Math.max(3, 2)", 3),
    ("Math.random()", 0.25),
    ("Math.pow(2, 10)", 1024.0),
    ("Math.pow(2, -1)", 0.5),
    ("Math.pow(0, -1)", INFINITY),
    ("Math.pow(-0.0, -1)", -INFINITY),
    ("Math.pow(-0.0, -2)", INFINITY),
    ("Math.pow(-8, 1.0 / 3)", NAN),
    ("Math.pow(1, 0.0 / 0)", NAN),
    ("Math.pow(1, 1.0 / 0)", NAN),
    ("Math.pow(-1, -1.0 / 0)", NAN),
    ("Math.pow(0.0 / 0, 0)", 1.0),
    ("Math.pow(10, 400)", INFINITY),
    ("Math.pow(-10, 401)", -INFINITY),
    ("Math.pow(0.5, 1.0 / 0)", 0.0),
    ("UUID.randomUUID().toString()", "00000000-0000-4000-8000-000000000001"),
    ("System.currentTimeMillis()", 1_709_208_000_000),
    ("DateTimeConstants.SUNDAY", 7),
    ("Arrays.currentTimeMillis()", 1_709_208_000_000),
]


@pytest.mark.parametrize(("source", "expected"), FUNCTIONS, ids=[f"4.8-number-{source}" for source, _ in FUNCTIONS])
def test_functions_of_numbers_do_what_java_does(source: str, expected: object) -> None:
    """Each function of Long, Double, Boolean, Math, UUID and System gives what Java gives."""
    assert same(expected, value_of(source, {"x": 5}))


ARITHMETIC = [
    ("7 / 2", 3),
    ("-5 / 2", -2),
    ("5 % -3", 2),
    ("-5 % 3", -2),
    ("7.5 % 2", 1.5),
    ("-7.5 % 2", -1.5),
    ("1.0 / 0", INFINITY),
    ("-1.0 / 0", -INFINITY),
    ("1.0 / -0.0", -INFINITY),
    ("0.0 / 0", NAN),
    ("1.0 % 0", NAN),
    ("1 / 2.0", 0.5),
    ("2 * 1.5", 3.0),
    ("1 + 0.5", 1.5),
    ("1 - 0.5", 0.5),
    ("-(5)", -5),
    ("+(5)", 5),
    ("9223372036854775807 + 1", -(2**63)),
    ("-9223372036854775808 - 1", 2**63 - 1),
    ("-9223372036854775808 / -1", -(2**63)),
    ("-9223372036854775808 % -1", 0),
    ("1 + 2 * 3 - 4", 3),
    ("(1 + 2) * 3", 9),
    ("10 - 3 - 2", 5),
    ("017", 17),
    ("10L", 10),
    ("1.5f", 1.5),
    ("1e3", 1000.0),
    (".5", 0.5),
]


@pytest.mark.parametrize(
    ("source", "expected"), ARITHMETIC, ids=[f"4.7-arithmetic-{source}" for source, _ in ARITHMETIC]
)
def test_arithmetic_is_javas(source: str, expected: object) -> None:
    """Longs are cut to 64 bits and divide towards zero; a double makes a double and never fails."""
    assert same(expected, value_of(source))


@examples(150)
@given(LONGS, LONGS, st.sampled_from("+-*"))
def test_longs_wrap_around_as_64_bit_integers(left: int, right: int, operator: str) -> None:
    """`+`, `-` and `*` of longs agree with a C integer of 64 bits."""
    exact = {"+": left + right, "-": left - right, "*": left * right}[operator]

    assert ctypes.c_int64(exact).value == value_of(f"a {operator} b", {"a": left, "b": right})


@examples(150)
@given(LONGS, LONGS.filter(bool))
def test_division_and_remainder_belong_together(left: int, right: int) -> None:
    """``a / b * b + a % b`` is ``a``, the remainder is smaller than b and has the sign of a."""
    quotient, rest = value_of("a / b", {"a": left, "b": right}), value_of("a % b", {"a": left, "b": right})

    assert isinstance(quotient, int)
    assert isinstance(rest, int)
    assert ctypes.c_int64(quotient * right + rest).value == left
    assert abs(rest) < abs(right)
    assert rest == 0 or (rest < 0) == (left < 0)


@examples(100)
@given(DOUBLES, DOUBLES, st.sampled_from("+-*"))
def test_doubles_are_ieee(left: float, right: float, operator: str) -> None:
    """`+`, `-` and `*` of doubles agree with the C library."""
    expected = {"+": left + right, "-": left - right, "*": left * right}[operator]

    assert same(expected, value_of(f"a {operator} b", {"a": left, "b": right}))


@examples(100)
@given(DOUBLES)
def test_the_text_of_a_double_reads_back(value: float) -> None:
    """What a double is written as is read back as the same double."""
    text = value_of("'' + a", {"a": value})

    assert isinstance(text, str)
    assert same(value, value_of("Double.parseDouble(t)", {"t": text}))


TEXTS = [
    (1.0, "1.0"), (0.1, "0.1"), (100.0, "100.0"), (1e7, "1.0E7"), (9999999.0, "9999999.0"), (1e-3, "0.001"),
    (9.99e-4, "9.99E-4"), (1.5e300, "1.5E300"), (-0.0, "-0.0"), (1e21, "1.0E21"), (123456789.125, "1.23456789125E8"),
    (1e-10, "1.0E-10"), (4.9e-324, "4.9E-324"), (1.7976931348623157e308, "1.7976931348623157E308"), (NAN, "NaN"),
    (INFINITY, "Infinity"), (2e-3, "0.002"), (12345678.9, "1.23456789E7"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), TEXTS, ids=[f"4.7-text-of-{text}" for _, text in TEXTS])
def test_doubles_are_written_as_java_writes_them(value: float, expected: str) -> None:
    """The text of a double is that of Java 17's ``Double.toString``."""
    assert expected == value_of("'' + d", {"d": value})


REFUSED = [
    ("1 / 0", "division of a LONG by zero"),
    ("1 % 0", "remainder of a LONG by zero"),
    ("0x1F", "not a decimal number"),
    ("9223372036854775808", "does not fit a LONG"),
    ("Long.parseLong('1.5')", "is not a LONG"),
    ("Long.parseLong('')", "is not a LONG"),
    ("Long.parseLong('9223372036854775808')", "is not a LONG"),
    ("Long.parseLong('1_000')", "is not a LONG"),
    ("Long.parseLong('١')", "is not a LONG"),
    ("Double.parseDouble('inf')", "is not a DOUBLE"),
    ("Double.parseDouble('1_0')", "is not a DOUBLE"),
    ("Double.parseDouble('')", "is not a DOUBLE"),
    ("Math.min(1.5, 2)", "min(DOUBLE, LONG) does not exist"),
    ("Math.abs(1)", "Math has no function abs"),
    ("true.toString()", "BOOLEAN has no method toString"),
    ("Boolean.valueOf('true')", "Boolean has no function valueOf"),
    ("DateTimeConstants.MONDAY", "no field MONDAY"),
    ("new Math()", "there is no new Math()"),
    ("~1", "unexpected character '~'"),
    ("1 & 2", "unexpected character '&'"),
    ("1 << 2", "unexpected '<'"),
    ("x++", "no operator ++"),
    ("--x", "no operator --"),
]


@pytest.mark.parametrize(("source", "message"), REFUSED, ids=[f"4.7-refused-{source}" for source, _ in REFUSED])
def test_what_numbers_cannot_do_is_said_in_words(source: str, message: str) -> None:
    """A wrong use of a number says what is wrong."""
    assert message in failure(source, {"x": 1}).message
