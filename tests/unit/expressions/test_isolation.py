"""The caller's parameters are read in place and never changed; evaluations know nothing of one another."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator, Mapping

import pytest

from maestro_py.expressions import (
    BudgetExceeded,
    ExpressionError,
    compile_expression,
    evaluate,
    expected_visits,
    free_names,
)
from tests.unit.expressions.world import FixedSources, failure, failure_of, value_of

WRITES = [
    "longs[0] = 9",
    "longs[0] += 1; longs",
    "m.put('a', 1); m",
    "m['k'][0] = 9; m",
    "y = m.get('k'); y[0] = 3; y",
    "params.get('longs')[0] = 4",
    "x = 9",
    "for (int i = 0; i < longs.length; i += 1) longs[i] = 0;",
]


@pytest.mark.parametrize("source", WRITES, ids=[f"14-never-modified-{source}" for source in WRITES])
def test_the_callers_parameters_are_never_modified(source: str) -> None:
    """Whatever an expression writes, it writes to copies."""
    params: dict[str, object] = {"x": 1, "longs": [1, 2], "m": {"k": [1]}}
    before = copy.deepcopy(params)

    evaluate(source, params)

    assert before == params


def test_a_parameter_written_nowhere_is_returned_as_it_is() -> None:
    """A large parameter is not copied in order to be read or returned."""
    items = list(range(1000))

    assert items is evaluate("longs", {"longs": items})


def test_nothing_leaks_from_one_evaluation_to_the_next() -> None:
    """A variable lives as long as its evaluation."""
    assert 1 == evaluate("leaked = 1; leaked", {})
    assert None is evaluate("leaked", {})
    assert [0] == evaluate("a = new long[1]; b = a; a[0] = 0; b", {})


def test_what_two_names_share_they_share_after_a_write() -> None:
    """An array of the caller's that is reached in two ways is one array."""
    assert 9 == evaluate("longs[0] = 9; params.get('longs')[0]", {"longs": [1]})


def test_parameters_are_asked_for_only_when_read() -> None:
    """A mapping that computes its values is asked for what the expression reads, and no more."""

    class Lazy(Mapping[str, object]):
        asked: list[str]

        def __init__(self) -> None:
            self.asked = []

        def __getitem__(self, name: str) -> object:
            self.asked.append(name)
            if name == "missing":
                raise KeyError(name)
            return name

        def __iter__(self) -> Iterator[str]:
            return iter(())

        def __len__(self) -> int:
            return 0

    lazy = Lazy()

    assert "ab" == evaluate("c = true ? a : z; c + b + (missing == null ? '' : 'x')", lazy)
    assert "z" not in lazy.asked


NAMES = [
    ("x + step__out", {"x", "step__out"}),
    ("y = x; y", {"x"}),
    ("x = x + 1", {"x"}),
    ("x += 1", {"x"}),
    ("long y = z; y", {"z"}),
    ("y; y = 1", {"y"}),
    ("for (int i = 0; i < n; i += 1) t = i; t", {"n"}),
    ("if (a) { c = 1; } c", {"a"}),
    ("arr[i] = v", {"arr", "i", "v"}),
    ("params.get('p') + params['q']", {"p", "q"}),
    ("params.containsKey('p')", set()),
    ("params.get(name)", {"name"}),
    ("params.getFromStep('s', 'x')", set()),
    ("Math.min(a, b) + String.valueOf(c) + DateTimeZone.UTC", {"a", "b", "c"}),
    ("new DateTime(t).plusDays(n)", {"t", "n"}),
    ("m['k'].length", {"m"}),
    ("'x' + \"y\"", set()),
    ("b ? c : e", {"b", "c", "e"}),
    ("while (w) { break; } throw z", {"w", "z"}),
    ("new String[]{a, b}[c]", {"a", "b", "c"}),
    ("Days", {"Days"}),
]


@pytest.mark.parametrize(("source", "expected"), NAMES, ids=[f"4.4-free-names-{source}" for source, _ in NAMES])
def test_free_names_are_what_the_expression_needs(source: str, expected: set[str]) -> None:
    """Names read before they are assigned, and literal names of ``params``, are free."""
    assert expected == free_names(source)


LOOKUPS = [
    ("params.nextUniqueId()", 7),
    ("params.getExecutionEnvironment()", "test"),
    ("params.getFromInstance('owner')", "owner"),
    ("params.getFromStep('step_id')", "step_id"),
    ("params.getFromStep('s', 'x')", "s/x"),
    ("params.getFromSignal('x')", "x"),
    ("params.getFromSignal('s', 'x')", "s/x"),
    ("params.getFromSignalOrDefault('s', 'x', 'd')", "s/x/d"),
    ("params.getFromSignalDependency('0', 'x')", "0/x"),
    ("params.getFromForeach('f', 's', 'x')[1]", 2),
    ("params.getFromSubworkflow('f', 's', 'x')", "f/s/x"),
    ("Util.double(21)", 42),
]


@pytest.mark.parametrize(("source", "expected"), LOOKUPS, ids=[f"4.8-params-{source}" for source, _ in LOOKUPS])
def test_look_ups_are_answered_by_the_sources(source: str, expected: object) -> None:
    """Each extension function reaches the sources with its name and its texts."""
    assert expected == value_of(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("params.getFromStep('nowhere')", "params.getFromStep found nothing: no step nowhere"),
        ("params.getFromStep(1)", "getFromStep(LONG) does not exist"),
        ("params.getFromForeach('a')", "getFromForeach(STRING) does not exist"),
        ("Util.unknown(1)", "there is no function Util.unknown"),
    ],
)
def test_a_look_up_that_fails_is_an_error_at_its_place(source: str, message: str) -> None:
    """A look-up that finds nothing, or is called wrongly, fails like any function."""
    error = failure(source)

    assert message in error.message
    assert source.index(".") + 2 == error.column


def test_without_sources_look_ups_fail_and_time_is_the_machines() -> None:
    """Without sources the clock and chance of the machine are used, and there is nobody to ask."""
    assert evaluate("System.currentTimeMillis() > 1600000000000 && new DateTime().getYear() > 2020", {})
    assert evaluate("Math.random() < 1.0 && UUID.randomUUID().toString().length() == 36", {})
    assert "not available here" in failure_of(lambda: evaluate("params.nextUniqueId()", {})).message
    assert "there is no function Util.x" in failure_of(lambda: evaluate("Util.x()", {})).message


def test_an_error_shows_the_expression_a_caret_and_the_values() -> None:
    """The rendering has all that a person needs, and hides what it is told to."""
    error = failure("y = 1;\nx.foo() + y + secret", {"x": "a", "secret": "s3"})

    assert (2, 3) == (error.line, error.column)
    lines = str(error).split("\n")
    assert lines[0].startswith("STRING has no method foo")
    assert lines[0].endswith("(line 2, column 3)")
    assert ["  x.foo() + y + secret", "    ^", "  with y = 1, x = 'a'"] == lines[1:]
    assert "x = ***" in error.render(hidden={"x"})


def test_a_long_line_is_shown_around_the_place() -> None:
    """Only the surroundings of the place are shown of a long line."""
    error = failure("'" + "a" * 500 + "' + 1 - " + "2 + " * 200 + "3")
    excerpt, caret = str(error).split("\n")[1:3]

    assert len(excerpt) < 120
    assert "-" == excerpt[caret.index("^")]


def test_errors_cross_process_boundaries() -> None:
    """An error survives pickling with its place, its values and its limit."""
    error = failure_of(lambda: evaluate("x + 1; while (true) {}", {"x": 1}, limits={"visit": 50}))
    copied = pickle.loads(pickle.dumps(error))

    assert isinstance(copied, BudgetExceeded)
    assert "visit" == copied.limit
    assert str(error) == str(copied)


def test_an_expression_is_compiled_once() -> None:
    """The same text gives the same compiled expression; its cost can be asked for before and after."""
    source = "x + 'compiled once'"
    before = expected_visits(source)
    compiled = compile_expression(source)

    assert compiled is compile_expression(source)
    assert compiled.visits == expected_visits(source) < before
    assert not compiled.has_loops
    assert {"x"} == compiled.variables
    assert isinstance(evaluate(source, {"x": 1}, sources=FixedSources()), str)


def test_an_unknown_limit_is_a_mistake_of_the_caller() -> None:
    """A limit that does not exist is refused, not ignored."""
    with pytest.raises(ValueError, match="no expression limit 'visits'"):
        evaluate("1", {}, limits={"visits": 3})


def test_subclasses_of_the_family_are_expression_errors() -> None:
    """One except clause catches all."""
    assert issubclass(BudgetExceeded, ExpressionError)
