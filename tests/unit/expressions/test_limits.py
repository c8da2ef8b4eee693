"""
4.9: each limit holds, also inside one built-in, and a breach costs next to nothing.

Memory is measured with ``tracemalloc``, work with the processor's clock; the bounds are far above what is needed, so
that only a limit that does not hold can break them.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import pytest

from maestro_py.expressions import BudgetExceeded, ExpressionError, LimitExceeded, compile_expression, evaluate
from maestro_py.expressions.state import State
from tests.unit.expressions.world import failure_of

MEGABYTE = 1_000_000
HALF_A_SECOND = 0.5
FIFTY_MS = 0.05

PARAMS: dict[str, object] = {
    "x": 5,
    "big": "ab" * 200_000,
    "letters": "a" * 1_000_000,
    "fields": "a,b ;" * 40_000,
    "items": list(range(200_000)),
}


def breach(
    source: str, limits: Mapping[str, int] | None = None, params: Mapping[str, object] | None = None
) -> LimitExceeded:
    """Return the breach that *source* ends in."""
    error = failure_of(lambda: evaluate(source, PARAMS if params is None else params, limits=limits))
    assert isinstance(error, LimitExceeded), error
    return error


EACH = [
    ("loop", {"loop": 10}, "while (true) { }"),
    ("loop", {"loop": 10}, "for (int i = 0; i < 11; i += 1) { }"),
    ("array", {"array": 10}, "new long[11]"),
    ("array", {"array": 2}, "new long[]{1, 2, 3};"),
    ("array", {"array": 10}, "Util.intsBetween(0, 11, 1)"),
    ("array", {"array": 10}, "items[0] = 1"),
    ("length", {"length": 10}, "1 + 1 + 1 + 1"),
    ("visit", {"visit": 5}, "x + x + x + x"),
    ("visit", {"visit": 100}, "while (true) { }"),
    ("stack", {"stack": 5}, "!(!(!(!(!(true)))))"),
    ("memory", {"memory": 1000}, "new long[100]"),
    ("memory", {"memory": 100}, "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' + x"),
]


@pytest.mark.parametrize(("limit", "limits", "source"), EACH, ids=[f"4.9-{row[0]}-{row[2]}" for row in EACH])
def test_each_limit_holds(limit: str, limits: dict[str, int], source: str) -> None:
    """A breach names its limit."""
    assert limit == breach(source, limits).limit


WITHIN = [
    ({"loop": 10}, "for (int i = 0; i < 10; i += 1) { } 1", 1),
    ({"array": 3}, "new long[3].length", 3),
    ({"array": 1}, "items[3]", 3),
    ({"length": 5}, "1 + 1", 2),
    ({"stack": 5}, "!(!(true))", True),
]


@pytest.mark.parametrize(("limits", "source", "expected"), WITHIN, ids=[f"4.9-within-{row[1]}" for row in WITHIN])
def test_what_keeps_within_a_limit_succeeds(limits: dict[str, int], source: str, expected: object) -> None:
    """A limit allows what it says, and parameters are read however large they are."""
    assert expected == evaluate(source, PARAMS, limits=limits)


def test_the_defaults_are_ours() -> None:
    """Arrays and loops may have a million items and rounds, expressions 10,000 characters."""
    assert 1_000_000 == evaluate("new long[1000000].length", {})
    assert "array" == breach("new long[1000001]").limit
    assert "length" == breach("1" + " " * 10_000).limit
    assert 1 == evaluate("1" + " " * 9_999, {})


INSIDE_ONE_BUILTIN = [
    "letters.replace('a', letters)",
    "letters.replaceAll('a', letters)",
    "letters.replaceAll('', letters)",
    "String.join(letters, items)",
    "String.format('%1000000000d', 1)",
    "String.format('%.1000000000f', 1.5)",
    "String.format('%.1000000000e', 1.5)",
    "Util.intsBetween(0, 9223372036854775807, 1)",
    "Util.intsBetween(-9223372036854775808, 9223372036854775807, 1)",
    "Util.dateIntsBetween('00010101', '99991231', 1)",
    "new String[9223372036854775807]",
    "big.replaceAll('(?:[ab]*a[ab]{12}c|a)', 'x')",
    "fields.split('\\\\s*;?,(.*x)?')",
    "m = new Map(); m.put('a', m); Util.toJson(m)",
    "m = new Map(); m.put('a', m); m",
    "m = new Map(); m.put('a', m); '' + m",
]


@pytest.mark.parametrize("source", INSIDE_ONE_BUILTIN, ids=[f"4.9-inside-{text}" for text in INSIDE_ONE_BUILTIN])
def test_a_breach_inside_one_builtin_stops_it(source: str) -> None:
    """A built-in is refused before it makes what is too much, so it takes neither time nor memory."""
    compile_expression(source)
    began = time.process_time()
    breach(source)

    assert time.process_time() - began < HALF_A_SECOND


GROWING = [
    "s = 'x'; while (true) { s = s + s; }",
    "s = 'x'; while (true) { s += letters; }",
    "m = new Map(); for (int i = 0; true; i += 1) { m.put('k' + i, 'value ' + i); }",
    "a = new String[10000]; for (int i = 0; i < 10000; i += 1) { a[i] = letters.substring(i); } a",
    "m = new Map(); while (true) { n = new Map(); n.put('a', m); m = n; }",
    "m = new Map(); while (Util.toJson(m) != '') { n = new Map(); n.put('a', m); n.put('b', m); m = n; }",
    "m = new Map(); for (int i = 0; i < 90; i += 1) { n = new Map(); n.put('a', m); n.put('b', m); m = n; } m",
    "letters.split('').length",
    "'' + items + items + items",
    "Util.toJson(items) + Util.toJson(items)",
    "big.replaceAll('a', 'bbbbbbbbbbbb')",
]


@pytest.fixture
def memory_traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("source", GROWING, ids=[f"4.9-growing-{text}" for text in GROWING])
@pytest.mark.usefixtures("memory_traced")
def test_memory_stays_within_its_limit(source: str) -> None:
    """What an expression takes at a time never exceeds the limit by much, whatever it does."""
    compile_expression(source)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    breach(source, {"memory": 2 * MEGABYTE, "visit": 300_000})

    assert tracemalloc.get_traced_memory()[1] - before < 3 * MEGABYTE


def test_memory_that_is_no_longer_held_is_given_back() -> None:
    """A loop that makes and drops more than the limit in all runs to its end."""
    source = "s = ''; for (int i = 0; i < 2000; i += 1) { s += 'x'; t = s + i; } s.length()"

    assert 2000 == evaluate(source, {}, limits={"memory": 100_000})


ENDLESS = [
    "while (true) { }",
    "for (;;) x = x * 3;",
    "while (true) { letters.toUpperCase(); }",
    "while (true) { letters.lastIndexOf('b' + letters.substring(500000)); }",
    "while (true) { letters.contains('ab'); }",
    "while (true) { String.format('%.300f', 1e300); }",
    "while (true) { Util.toJson(items); }",
    "while (true) { String.join(',', items); }",
    "while (true) { new DateTime(0).plusDays(1).toString('yyyy-MM-dd'); }",
    "for (int i = 0; true; i += 1) { 'a'.replaceAll('a{100}' + i, 'b'); }",
    r"for (int i = 0; true; i += 1) { 'a'.replaceAll('\\p{L}{1,6}' + i, 'b'); }",
    "while (true) { fields.split(';'); }",
    "while (true) { '\\u00e9a'.replaceAll('a', 'b'); }",
    "while (true) { m = new Map(); m.put('a', 1); }",
    "while (true) { a = new long[1000]; }",
]


@pytest.mark.parametrize("source", ENDLESS, ids=[f"4.9-endless-{text}" for text in ENDLESS])
def test_a_visit_costs_about_the_same_wherever_it_is_spent(source: str) -> None:
    """A budget of visits is used up in proportionate time, by loops as by built-ins."""
    began = time.process_time()
    error = breach(source, {"visit": 100_000})

    assert isinstance(error, BudgetExceeded)
    assert time.process_time() - began < HALF_A_SECOND


class Stretches:
    """Measures the longest stretch of the processor's time between two charges of the account."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.longest_seconds = 0.0
        self._last = time.process_time()
        for method in ("work", "memory"):
            monkeypatch.setattr(State, method, self._measured(getattr(State, method)))

    def ends(self) -> None:
        """End a stretch, and begin the next."""
        now = time.process_time()
        self.longest_seconds = max(self.longest_seconds, now - self._last)
        self._last = now

    def _measured(self, charge: Callable[[State, int], None]) -> Callable[[State, int], None]:
        def charged(state: State, amount: int) -> None:
            self.ends()
            charge(state, amount)

        return charged


@pytest.mark.parametrize("source", [*INSIDE_ONE_BUILTIN, *ENDLESS], ids=lambda source: f"4.9-prompt-{source}")
def test_a_breach_stops_within_50_ms_of_being_reached(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing works longer than that without a charge, so a breach is noticed so soon; then the error is told."""
    compile_expression(source)
    stretches = Stretches(monkeypatch)
    breach(source, {"visit": 100_000})
    stretches.ends()

    assert stretches.longest_seconds < FIFTY_MS


DEEP = [
    "(" * 4900 + "1" + ")" * 4900,
    "- " * 4900 + "x",
    "!" * 9900 + "true",
    "{" * 4900 + "}" * 4900,
    "x=" * 4900 + "1",
    "x ? 1 : " * 1200 + "2",
    "+".join(["x"] * 4900),
    "x" + ".trim()" * 1400,
    "if (true) { } else " * 500 + "{ }",
    "new long[]{" * 900,
    "params.get(" * 900 + "'x'" + ")" * 900 + ";",
    "x[" * 3000 + "0" + "]" * 3000,
    "for(;;)" * 1400 + "break;",
    "a||b&&c==d<e+f*(" * 600 + "1" + ")" * 600,
    "1-(" * 3000 + "1" + ")" * 3000,
]


@pytest.mark.parametrize("source", DEEP, ids=[f"4.9-deep-{text[:20]}" for text in DEEP])
def test_nesting_ends_in_a_value_or_in_our_error(source: str) -> None:
    """However deep a text nests, Python's own stack is never exhausted."""
    with suppress(ExpressionError):
        evaluate(source, PARAMS)


def test_a_caller_deep_in_its_own_stack_gets_our_error() -> None:
    """Where the caller has left too little stack, the expression says so like any limit."""

    def deeper(levels: int) -> object:
        return deeper(levels - 1) if levels else evaluate("!" * 120 + "true", {})

    compile_expression("!" * 120 + "true")
    outcomes = set()
    for levels in range(0, 1000, 10):
        try:
            deeper(levels)
        except LimitExceeded as failed:
            outcomes.add(failed.limit)
        except RecursionError:  # the caller itself
            break

    assert {"stack"} == outcomes


def test_a_small_budget_first_then_the_whole() -> None:
    """A caller may try with few visits and move what needs more elsewhere."""
    source = "t = 0; for (int i = 0; i < 1000; i += 1) t += i; t"

    assert isinstance(breach(source, {"visit": 1000}, {}), BudgetExceeded)
    assert 499_500 == evaluate(source, {})
