"""
Whatever the text, the outcome is a plain value or one of our errors - never a hang, never anything else.

Two thousand texts in an ordinary run, a hundred thousand with HYPOTHESIS_PROFILE=nightly: calls of every function,
programs made after the grammar, programs that were damaged, and texts of no sense at all.
"""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st

from maestro_py.expressions import ExpressionError, evaluate
from maestro_py.expressions.builtin import Builtin
from maestro_py.expressions.classes import CLASSES, METHODS
from tests.unit.expressions.test_language import PROGRAMS
from tests.unit.expressions.world import PATIENCE, FixedSources, examples

pytestmark = PATIENCE

LIMITS = {"visit": 20_000, "memory": 1_000_000, "loop": 300, "array": 2_000}
PARAMS: dict[str, object] = {
    "x": 5, "d": 2.5, "s": "héllo,😀,wörld", "b": True, "nothing": None, "longs": [1, 2, 3], "texts": ["a", "b"],
    "empty": [], "m": {"k": [1.5], "n": {"q": 1}, "t": "v"},
}  # fmt: skip

NAMES = st.sampled_from([*PARAMS, "y", "z", "missing", "params"])
METHOD_NAMES = sorted({name for methods in METHODS.values() for name in methods})
STATIC_CALLS = sorted(f"{name}.{method}" for name, known in CLASSES.items() for method in known.statics)
LITERALS = st.sampled_from(
    [
        *["0", "1", "-1", "7", "9223372036854775807", "1.5", "1e300", ".5", "true", "false", "null", "longs", "texts"],
        *["''", "'a'", '"b,c"', "'20240229'", "'UTC'", "','", "'%5d %s'", "'yyyyMMdd'", "'[a-z]*'", "'(a|b)+'", "m"],
        *[r"'\\u00e9'", r"'\ud83d'", "'2024-02-29T01:00'", "new DateTime(0)", "DateTimeZone.UTC"],
        "DateTimeFormat.forPattern('yyyy-MM-dd')",
    ]
)
OPERATORS = st.sampled_from(["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||"])
TYPES = st.sampled_from(["long", "String", "double", "boolean", "Map", "long[]", "String[]", "DateTime", "Integer"])


def _expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arguments = st.lists(inner, max_size=3).map(", ".join)
    return st.one_of(
        st.tuples(inner, OPERATORS, inner).map(lambda t: f"{t[0]} {t[1]} {t[2]}"),
        st.tuples(st.sampled_from("!-+"), inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} ? {t[1]} : {t[2]})"),
        st.tuples(inner, st.sampled_from(METHOD_NAMES), arguments).map(lambda t: f"({t[0]}).{t[1]}({t[2]})"),
        st.tuples(st.sampled_from(STATIC_CALLS), arguments).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(st.sampled_from(sorted(CLASSES)), arguments).map(lambda t: f"new {t[0]}({t[1]})"),
        st.tuples(st.sampled_from(["long", "String", "double", "boolean"]), arguments).map(
            lambda t: f"new {t[0]}[]{{{t[1]}}}"
        ),
        st.tuples(inner, inner).map(lambda t: f"({t[0]})[{t[1]}]"),
        st.tuples(NAMES, st.sampled_from(["=", "+=", "-=", "*=", "/=", "%="]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        inner.map(lambda text: f"({text}).length"),
    )


EXPRESSIONS = st.recursive(NAMES | LITERALS, _expressions, max_leaves=12)


def _statements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(EXPRESSIONS, inner, inner).map(lambda t: f"if ({t[0]}) {{ {t[1]} }} else {{ {t[2]} }}"),
        st.tuples(EXPRESSIONS, inner).map(lambda t: f"while ({t[0]}) {{ {t[1]} }}"),
        st.tuples(st.integers(0, 20), inner).map(lambda t: f"for (int i = 0; i < {t[0]}; i += 1) {{ {t[1]} }}"),
        st.tuples(inner, inner).map(lambda t: f"{t[0]} {t[1]}"),
        inner.map(lambda text: f"{{ {text} }}"),
    )


SIMPLE = st.one_of(
    EXPRESSIONS.map(lambda text: f"{text};"),
    st.tuples(TYPES, NAMES, EXPRESSIONS).map(lambda t: f"{t[0]} {t[1]} = {t[2]};"),
    EXPRESSIONS.map(lambda text: f"return {text};"),
    EXPRESSIONS.map(lambda text: f"throw {text};"),
    st.sampled_from(["break;", "continue;", ";"]),
)
PROGRAM_TEXTS = st.recursive(SIMPLE, _statements, max_leaves=5)

SEEDS = [source for source, _ in PROGRAMS if source]
FRAGMENTS = [
    *"(){}[];,.+-*/%=!<>&|?:'\"\\ \n\t0159aexLfd$_@#\0",
    "new ",
    "params",
    "return ",
    "0x",
    "//",
    "/*",
    "*/",
    "é",
    "😀",
]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Return a program of the tables with a few pieces taken out, put in, doubled or exchanged."""
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 6)))
        piece = draw(st.sampled_from(["", text[start:end] * 2, *FRAGMENTS]))
        text = text[:start] + piece + text[end:]
    return text


#: Expressions of each kind, the extreme ones among them.
TEXT_VALUES = st.sampled_from(
    [
        *[
            "''",
            "'a'",
            "'20240229'",
            "'00010101'",
            "'99991231'",
            "'UTC'",
            "'Europe/Paris'",
            "'+25:00'",
            "'America'",
            "'-23:59:59'",
        ],
        *[
            "'1 hour'",
            "'999999999 days'",
            "'a,b,,c'",
            "','",
            "'.*'",
            "'(a)|b*'",
            "'[^a]{2,3}'",
            "'$1'",
            "'%s %d'",
            "'%,.3f'",
        ],
        *[
            "'%-20s'",
            "'%08.2e'",
            "'%g %%'",
            "'yyyy-MM-dd HH:mm:ss.SSS ZZ'",
            "'xxxx ww e D'",
            "'G C Y K h k a E MMMM z Z ZZZ'",
        ],
        *[
            "'2024-02-29T01:00+05:30'",
            "'-0001-12-31'",
            "'999999999-W53-7'",
            "'12:30 PM'",
            "'NaN'",
            "'-9223372036854775808'",
        ],
        *["'1e400'", "'h\\u00e9\\ud83d'", "'😀'", "s", "'\\0'", "'x' + s + s + s", "'true'", "step"],
    ]
)
LONG_VALUES = st.sampled_from(
    ["0", "1", "-1", "2", "7", "12", "13", "24", "60", "1000", "1999999", "-62135596800000"]
) | st.integers(-(2**63), 2**63 - 1).map(str)
DOUBLE_VALUES = st.sampled_from(["0.0", "-0.0", "(0.0 / 0)", "(1.0 / 0)", "4.9e-324"]) | st.floats(
    allow_nan=False, allow_infinity=False, min_value=0
).map(repr)
ZONE_VALUES = st.sampled_from(
    [
        "DateTimeZone.UTC",
        *(f"DateTimeZone.forID('{name}')" for name in ("Europe/Paris", "Pacific/Apia", "+05:30", "EST")),
    ]
)
DATE_VALUES = st.tuples(LONG_VALUES | st.integers(-(10**14), 10**14).map(str), ZONE_VALUES).map(
    lambda pair: f"new DateTime({pair[0]}, {pair[1]})"
)
OF_KIND: dict[str, st.SearchStrategy[str]] = {
    "STRING": TEXT_VALUES,
    "LONG": LONG_VALUES,
    "DOUBLE": DOUBLE_VALUES,
    "BOOLEAN": st.sampled_from(["true", "false"]),
    "DATETIME": DATE_VALUES,
    "DATETIME_ZONE": ZONE_VALUES,
    "DATETIME_FORMATTER": TEXT_VALUES.map(lambda text: f"DateTimeFormat.forPattern({text})"),
    "DATETIME_PROPERTY": st.tuples(DATE_VALUES, st.sampled_from(["dayOfYear", "weekyear", "hourOfDay"])).map(
        lambda pair: f"{pair[0]}.{pair[1]}()"
    ),
    "DATETIME_DAYS": st.tuples(DATE_VALUES, DATE_VALUES).map(lambda pair: f"Days.daysBetween({pair[0]}, {pair[1]})"),
    "UUID": st.just("UUID.randomUUID()"),
    "MAP": st.just("m"),
    "PARAMS": st.just("params"),
    "ARRAY": st.sampled_from(["longs", "texts", "empty"]),
}
ANY_VALUE = st.one_of(*(OF_KIND[kind] for kind in ("STRING", "LONG", "DOUBLE", "BOOLEAN", "MAP", "ARRAY", "DATETIME")))

CALLS: list[tuple[str | None, str, Builtin]] = [
    *((kind, f".{name}", known) for kind, methods in METHODS.items() for name, known in methods.items()),
    *((None, f"{name}.{method}", known) for name, table in CLASSES.items() for method, known in table.statics.items()),
    *((None, f"new {name}", table.constructor) for name, table in CLASSES.items() if table.constructor),
]


@st.composite
def fitting_calls(draw: st.DrawFn) -> str:
    """Return a call of any function with arguments of the kinds it takes, its result added to a text."""
    kind, name, known = draw(st.sampled_from(CALLS))
    receiver = f"({draw(OF_KIND[kind])})" if kind else ""
    arguments = []
    for kinds in draw(st.sampled_from(known.signatures)):
        choices = sorted(kinds & OF_KIND.keys()) if kinds else []
        arguments.append(draw(st.one_of(*(OF_KIND[choice] for choice in choices)) if choices else ANY_VALUE))
    if known.spread:
        arguments += draw(st.lists(ANY_VALUE, max_size=3))
    return f"'' + {receiver}{name}({', '.join(arguments)})"


def check(source: str) -> None:
    """Evaluate *source* twice: both times the same plain value or the same error, and parameters as they were."""
    before = copy.deepcopy(PARAMS)
    outcomes = [_outcome(source), _outcome(source)]

    assert outcomes[0] == outcomes[1]
    assert before == PARAMS


def _outcome(source: str) -> str:
    try:
        value = evaluate(source, PARAMS, limits=LIMITS, sources=FixedSources())
    except ExpressionError as failed:
        if failed.source is None:
            raise
        str(failed).encode("utf-8", "surrogatepass")
        return f"{type(failed).__name__} {failed}"
    assert is_plain(value)
    return repr(value)


def is_plain(value: object) -> bool:
    """Tell whether *value* is of the kinds a parameter may have, and can be written down."""
    if isinstance(value, str):
        return bool(value.encode("utf-8")) or not value
    if type(value) is int:
        return -(2**63) <= value < 2**63
    if isinstance(value, list):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, (bool, float))


@examples(800)
@given(fitting_calls())
def test_calls_that_fit_end_in_a_value_or_our_error(source: str) -> None:
    """Each function, given arguments of the kinds it takes but of any size and form, does no harm."""
    check(source)


@examples(500)
@given(PROGRAM_TEXTS)
def test_programs_of_the_grammar_end_in_a_value_or_our_error(source: str) -> None:
    """A program made after the grammar does no harm."""
    check(source)


@examples(400)
@given(damaged())
def test_damaged_programs_end_in_a_value_or_our_error(source: str) -> None:
    """A program with pieces changed does no harm."""
    check(source)


@examples(300)
@given(st.text(max_size=60) | st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join))
def test_texts_of_no_sense_end_in_a_value_or_our_error(source: str) -> None:
    """Any text does no harm."""
    check(source)
