"""
Whatever the text, the outcome is a plain value or one of our errors - never a hang, never anything else.

Two thousand texts in an ordinary run, a hundred thousand with HYPOTHESIS_PROFILE=nightly: programs made after the
grammar, programs that were damaged, and texts of no sense at all.
"""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st

from maestro_py.expressions import ExpressionError, evaluate
from maestro_py.expressions.classes import CLASSES, METHODS
from tests.unit.expressions.test_language import PROGRAMS
from tests.unit.expressions.world import FixedSources, examples

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


@examples(1000)
@given(PROGRAM_TEXTS)
def test_programs_of_the_grammar_end_in_a_value_or_our_error(source: str) -> None:
    """A program made after the grammar does no harm."""
    check(source)


@examples(700)
@given(damaged())
def test_damaged_programs_end_in_a_value_or_our_error(source: str) -> None:
    """A program with pieces changed does no harm."""
    check(source)


@examples(300)
@given(st.text(max_size=60) | st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join))
def test_texts_of_no_sense_end_in_a_value_or_our_error(source: str) -> None:
    """Any text does no harm."""
    check(source)
