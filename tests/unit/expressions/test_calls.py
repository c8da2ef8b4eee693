"""A function that does not exist is found without running the expression."""

from __future__ import annotations

import pytest

from maestro_py.expressions import ExpressionError, check_calls
from maestro_py.expressions.classes import CLASSES, METHODS


@pytest.mark.parametrize(
    ("source", "message", "column"),
    [
        (
            "params.getFromSignals('a', 'b')",
            "there is no function params.getFromSignals; there is containsKey",
            8,
        ),
        ("params.getFromSignal('a', 'b', 'c')", "params.getFromSignal with 3 arguments does not exist", 8),
        ("1 + Math.mod(3, 2)", "there is no function Math.mod; there is ", 10),
        ("Util.nosuch()", "there is no function Util.nosuch", 6),
        ("x.substr(1)", "no value has a method substr", 3),
        ("if (x.size() > 1) { y.startWith('a'); }", "no value has a method startWith; did you mean startsWith?", 23),
        ("new Thing(1)", "there is no class Thing", 5),
        ("String.format('%s', x.nope())", "no value has a method nope", 23),
        ("x.get('a').nope()", "no value has a method nope", 12),
    ],
)
def test_a_call_of_nothing_is_an_error_with_its_place(source: str, message: str, column: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        check_calls(source)

    assert message in caught.value.message
    assert (1, column) == (caught.value.line, caught.value.column)


@pytest.mark.parametrize(
    "source",
    [
        "String.format('%s %s', a, b) + String.join(',', c)",
        "params.getFromSignal('x') + params.getFromSignal('a', 'x') + params['p'].length()",
        "new DateTime(Long.parseLong(x)).plusDays(1).dayOfWeek().getAsText()",
        "Map m = new Map(); m.put('k', 1); m.get('k')",
        "Math.pow(Math.min(1, 2), 3) > Math.random()",
        "UUID.randomUUID().toString()",
        "'${a}'.replaceAll('x', 'y')",
        "new long[]{1, 2}[0]",
    ],
)
def test_what_exists_is_let_pass(source: str) -> None:
    check_calls(source)


def test_every_function_of_the_language_is_known() -> None:
    for name, known in CLASSES.items():
        for builtin in known.statics.values():
            given = ", ".join("x" for _ in builtin.signatures[0])
            check_calls(f"{name}.{builtin.name}({given})")
    for methods in METHODS.values():
        for method in methods:
            check_calls(f"x.{method}()")
