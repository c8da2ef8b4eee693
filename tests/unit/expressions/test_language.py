"""4.7 and 14: statements, operators, variables, arrays, maps, params - and the differences from Java."""

from __future__ import annotations

from decimal import Decimal

import pytest

from maestro_py.expressions import ExpressionSyntaxError, ExpressionThrown
from tests.unit.expressions.world import failure, value_of

PARAMS: dict[str, object] = {
    "x": 5,
    "d": 2.5,
    "s": "hello",
    "b": True,
    "nothing": None,
    "longs": [1, 2, 3],
    "texts": ["a", "b"],
    "empty": [],
    "m": {"k": [1.5], "n": {"q": 1}, "t": "v"},
    "step__out": "from step",
    "price": Decimal("1.25"),
}

PROGRAMS = [
    # statements
    ("import org.joda.time.*; import java.util.Map; 1 + 1", 2),
    ("", None),
    (";", None),
    ("1; 2; 3", 3),
    ("1; 2;", 2),
    ("5; long y = 6;", 5),
    ("return 1; 2", 1),
    ("long a = 1, c; a + c", 1),
    ("int i = 1; long l = 2; Integer j = 3; Long k = 4; i + l + j + k", 10),
    ("double e = 1.5; float f = 2.5; Double g = 1.0; Float h = 1.0; e + f + g + h", 6.0),
    ("boolean f; f", False),
    ("String t; t", None),
    ("String t; t = 'a'; t += 'b'; t", "ab"),
    ("y = 1; y += 2; y *= 5; y -= 3; y /= 2; y %= 4; y", 2),
    ("y = z = 3; y + z", 6),
    ("{ y = 1; { w = 2; } } y + w", 3),
    ("if (x > 3) 'big'; else 'small';", "big"),
    ("if (x > 9) { y = 1; } else if (x > 4) { y = 2; } else { y = 3; } y", 2),
    ("if (true) if (false) 1; else 2;", 2),
    ("y = 0; while (y < 3) y += 1; y", 3),
    ("t = 0; for (int i = 0; i < 5; i += 1) { if (i == 1) continue; if (i == 4) break; t += i; } t", 5),
    ("t = 0; for (;;) { t += 1; if (t == 3) return 'out'; }", "out"),
    ("t = 0; for (i = 0; i < 3; i = i + 1) t += i; t", 3),
    ("t = 0; for (int i = 0; i < 3; i += 1) for (int j = 0; j < 3; j += 1) { if (j == 1) break; t += 1; } t", 3),
    ("1 + /* two */ 2 // three", 3),
    ('\'a\' + "b" + "it\'s".length()', "ab4"),
    # semicolons (14)
    ("new long[]{4, 5};", [4, 5]),
    ('{"a", "b"}', ["a", "b"]),
    ("if (b) { 1; }", 1),
    # operators
    ("b ? 1 : 2", 1),
    ("x > 9 ? 1 : x > 4 ? 2 : 3", 2),
    ("true && false || true", True),
    ("!b", False),
    ("1 < 2 && 2 <= 2 && 3 > 2 && 2 >= 2", True),
    ("1 == 1.0", True),
    ("1 != 2", True),
    ("'a' == \"a\"", True),
    ("'a' != 'b'", True),
    ("true == false", False),
    ("null == null", True),
    ("missing == null", True),
    ("s == null", False),
    ("null != x", True),
    ("longs == null", False),
    ("1 == '1'", True),
    ("1.0 == '1.0'", True),
    ("1 != '2'", True),
    ("1 + 'a'", "1a"),
    ("'a' + 1 + 2", "a12"),
    ("1 + 2 + 'a'", "3a"),
    ("'a' + 1.0", "a1.0"),
    ("'a' + null", "anull"),
    ("missing + 1", "null1"),
    ("'a' + true", "atrue"),
    ("'' + longs", "[1, 2, 3]"),
    ("'' + m.get('n')", "{q=1}"),
    # variables
    ("missing", None),
    ("y = null; y = 1; y", 1),
    ("String t = null; t == null", True),
    ("x = 6; x", 6),
    ("x += 1; x", 6),
    ("String x = 'other'; x", "other"),
    ("step__out", "from step"),
    ("price + 1", 2.25),
    # arrays
    ("longs.length", 3),
    ("longs[0] + longs[2]", 4),
    ("longs[1] = 9; longs", [1, 9, 3]),
    ("longs[1] += 9; longs[1]", 11),
    ("y = longs; y[0] = 7; longs[0]", 7),
    ("new long[2]", [0, 0]),
    ("new String[2]", [None, None]),
    ("new double[1]", [0.0]),
    ("new boolean[1]", [False]),
    ("new int[]{1, 2}[1]", 2),
    ("long[] a = new long[]{1}; a", [1]),
    ("long[] a = {1, 2}; a.length", 2),
    ("String[] a = {}; a", []),
    ("new double[]{1.5};", [1.5]),
    ("new String[]{};", []),
    ("Arrays.asList(longs)", [1, 2, 3]),
    ("long[] a = empty; a.length", 0),
    ("texts[1]", "b"),
    # maps
    ("m['t']", "v"),
    ("m.get('t')", "v"),
    ("m.get('none')", None),
    ("m.containsKey('k')", True),
    ("m.getOrDefault('none', 3)", 3),
    ("m.getOrDefault('t', 3)", "v"),
    ("m.size()", 3),
    ("m['k'][0]", 1.5),
    ("Map y = new Map(); y.put('a', 1); y", {"a": 1}),
    ("y = new HashMap(); y.put('a', 1); y.put('a', 2)", 1),
    ("y = new LinkedHashMap(); y['a'] = new long[]{1}; y", {"a": [1]}),
    ("m.get('n').put('q', 2); m", {"k": [1.5], "n": {"q": 2}, "t": "v"}),
    # params
    ("params.get('x')", 5),
    ("params['s']", "hello"),
    ("params.get('none')", None),
    ("params.containsKey('x') && !params.containsKey('none')", True),
    ("params.get('longs')[1]", 2),
]


@pytest.mark.parametrize(("source", "expected"), PROGRAMS, ids=[f"4.7-{source}" for source, _ in PROGRAMS])
def test_programs_have_their_value(source: str, expected: object) -> None:
    """Each statement and operator does what the specification says."""
    actual = value_of(source, PARAMS)

    assert expected == actual
    assert type(expected) is type(actual)


WRONG = [
    ("'1' == 1", "STRING == LONG is not defined"),
    ("1 == true", "LONG == BOOLEAN is not defined"),
    ("'a' < 'b'", "STRING < STRING is not defined"),
    ("'a' - 'b'", "STRING - STRING is not defined"),
    ("1 + null", "LONG + NULL is not defined"),
    ("1 + true", "LONG + BOOLEAN is not defined"),
    ("1 && true", "LONG && BOOLEAN is not defined"),
    ("true || 1", "BOOLEAN || LONG is not defined"),
    ("longs == longs", "LONG_ARRAY == LONG_ARRAY is not defined"),
    ("!1", "! is not defined for LONG"),
    ("-'a'", "- is not defined for STRING"),
    ("x ? 1 : 2", "a condition must be BOOLEAN, this is LONG"),
    ("if (missing) 1;", "a condition must be BOOLEAN, this is NULL"),
    ("missing != null && missing.length() > 3", "length() is called on null"),
    ("true || missing.length() > 3", "length() is called on null"),
    ("double e = 1", "e is of type DOUBLE and cannot become LONG"),
    ("double e = 1.0; e = 2", "e is of type DOUBLE and cannot become LONG"),
    ("x = 'a'", "x is of type LONG and cannot become STRING"),
    ("x = null", "x is of type LONG and cannot become NULL"),
    ("y = 1; y = 'a'", "y is of type LONG and cannot become STRING"),
    ("long y = 1; y += 1.5", "y is of type LONG and cannot become DOUBLE"),
    ("String t; t = 5", "t is of type STRING and cannot become LONG"),
    ("long y = null", "y is of type LONG and cannot become NULL"),
    ("long[] a = texts", "a is of type LONG_ARRAY and cannot become STRING_ARRAY"),
    ("longs[0] = 'a'", "an item is of type LONG and cannot become STRING"),
    ("new long[]{1, 'a'};", "an item is of type LONG and cannot become STRING"),
    ("longs[3]", "index 3 of an array of 3 items"),
    ("longs[-1]", "index -1 of an array of 3 items"),
    ("longs['a']", "an array is indexed by LONG, not STRING"),
    ("m[1]", "a map is indexed by STRING, not LONG"),
    ("x[0]", "LONG cannot be indexed"),
    ("x.length", "LONG has no field length"),
    ("m.put(1, 2)", "put(LONG, LONG) does not exist"),
    ("new long[-1]", "the size of an array cannot be -1"),
    ("new long['a']", "the size of an array must be LONG"),
    ("params['x'] = 1", "cannot be assigned to"),
    ("params.put('x', 1)", "PARAMS has no method put"),
    ("params", "a PARAMS cannot be the result"),
    ("'a' + params", "a PARAMS has no text"),
    ("DateTimeZone.UTC", "a DATETIME_ZONE cannot be the result"),
    ("System.exit(1)", "System has no function exit"),
    ("Runtime.getRuntime()", "getRuntime() is called on null"),
    ("new File('/etc/passwd')", "there is no new File()"),
    ("java.lang.System.exit(1)", "NULL has no field lang"),
    ("throw 5", "throw takes a STRING, not LONG"),
    ("odd", "cannot be used in an expression"),
]


@pytest.mark.parametrize(("source", "message"), WRONG, ids=[f"4.7-error-{source}" for source, _ in WRONG])
def test_what_differs_from_java_or_fails_is_said_in_words(source: str, message: str) -> None:
    """Mixed types, both sides of && and ||, and wrong uses fail with the kinds in the message."""
    assert message in failure(source, {**PARAMS, "odd": object()}).message


NOT_OF_THE_LANGUAGE = [
    "new long[]{4, 5}",
    "x instanceof String",
    "(long) x",
    "do { } while (true);",
    "switch (x) { }",
    "try { } catch (Exception e) { }",
    "class A { }",
    "x -> x",
    "Map<String, Long> m = null;",
    "new long[2][3]",
    "long[][] a = null;",
    "new org.joda.time.DateTime()",
    "foo(1)",
    "1 = 2",
    "x.y = 2",
    "s.length() = 3",
    "File f = null;",
    "new File[3];",
    "params = 1",
    "long params = 1",
    "return;",
    "'open",
    "/* open",
    "'a\nb'",
    r"'\q'",
    "if (x) {",
    "1 2",
    "@",
    "else 1;",
]


@pytest.mark.parametrize("source", NOT_OF_THE_LANGUAGE, ids=[f"4.7-unsupported-{text}" for text in NOT_OF_THE_LANGUAGE])
def test_what_is_not_of_the_language_is_a_syntax_error(source: str) -> None:
    """What the language leaves out of Java is refused before anything runs."""
    error = failure(source, {"x": 1})

    assert isinstance(error, ExpressionSyntaxError)
    assert source == error.source


def test_throw_fails_with_its_own_message() -> None:
    """``throw`` makes the evaluation fail with the text given."""
    error = failure("if (x > 1) { throw 'too large: ' + x; }", {"x": 5})

    assert isinstance(error, ExpressionThrown)
    assert "too large: 5" == error.message


def test_both_sides_of_logical_operators_are_evaluated() -> None:
    """``&&`` and ``||`` never stop at the first side."""
    assert [1, 1] == value_of("n = new long[2]; (n[0] = 1) == 0 && (n[1] = 1) == 1; n", {})


def test_params_of_the_engine_may_differ_from_the_variables() -> None:
    """A parameter named ``params`` that is a map is what ``params`` means in the expression."""
    both: dict[str, object] = {"x": "step", "params": {"x": "workflow"}}

    assert "step workflow" == value_of("x + ' ' + params.get('x')", both)
