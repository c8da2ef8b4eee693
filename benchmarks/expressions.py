"""
Print what expressions cost: cached evaluation, first parse, what the cache holds, and a budget of visits.

Run ``python benchmarks/expressions.py``; it takes some seconds.  The targets are those of the issue that asked for the
language: an edge comparison within 5 microseconds once cached, a step of ten parameters with three expressions merged
and evaluated within 100, a first parse of 160 characters within a millisecond.  Each figure is the least of several
rounds, in the processor's time: whatever else the machine does only adds to it.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

from maestro_py.expressions import BudgetExceeded, CompiledExpression, compile_expression, evaluate
from maestro_py.model.definition import ParamDefinition, ParamMode, ParamType
from maestro_py.params import DECISION_VISITS, Budget, Facts, Parameter, evaluate_conditions, evaluate_step_params
from maestro_py.params.merge import merge
from maestro_py.params.world import World

EDGE = "x > 3 && y == 'a'"
LONG_TEXT = (
    "String d = Util.incrementDateInt(TARGET_RUN_DATE, -7); if (x > 3 && y == 'abc') { return d + '/' + "
    "params.get('region'); } return String.join(',', new String[]{'a'});"
)[:166]
PARAMS: dict[str, object] = {"x": 5, "y": "a", "TARGET_RUN_DATE": "20240301", "region": "eu", "arr": list(range(1000))}
WORLD = World(Facts(now_ms=1_709_208_000_000, seed="benchmark"), PARAMS)


def _given(kind: ParamType, value: Any) -> ParamDefinition:
    return ParamDefinition(type=kind, value=value)


def _computed(kind: ParamType, expression: str) -> ParamDefinition:
    return ParamDefinition(type=kind, expression=expression)


TEN_PARAMS = {
    "day": _given(ParamType.STRING, "${TARGET_RUN_DATE}"),
    "zone": _given(ParamType.STRING, "eu-west-1"),
    "path": _given(ParamType.STRING, "/data/${day}/${zone}"),
    "n": _given(ParamType.LONG, 3),
    "ratio": _given(ParamType.DOUBLE, 0.5),
    "flag": _given(ParamType.BOOLEAN, True),
    "tags": _given(ParamType.STRING_ARRAY, ["nightly", "${zone}"]),
    "square": _computed(ParamType.LONG, "n * n + 1"),
    "name": _computed(ParamType.STRING, "'run_' + day + '_' + square"),
    "before": _computed(ParamType.STRING, "Util.incrementDateInt(day, -1)"),
}
LAID_OVER = {
    "zone": _given(ParamType.STRING, "us-east-1"),
    "n": _given(ParamType.STRING, "4"),
    "flag": ParamDefinition(type=ParamType.BOOLEAN, value=False, mode=ParamMode.CONSTANT),
}
OTHERS = {
    "a sum": "x + 1",
    "a text": "'prefix_' + TARGET_RUN_DATE + '_' + x",
    "a date": "Util.incrementDateInt(TARGET_RUN_DATE, -1)",
    "a formatted date": "new DateTime(0).plusDays(x).toString('yyyy-MM-dd')",
    "a loop of 1,000 rounds": "t = 0; for (int i = 0; i < arr.length; i += 1) { t += arr[i]; } t",
    "a million numbers": "Util.intsBetween(0, 1000000, 1).length",
}


def microseconds(work: Callable[[], object], times: int, rounds: int = 9) -> float:
    """Return the least of *rounds* of the processor's time for one call of *work*."""
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(times):
            work()
        taken.append((time.process_time() - began) / times * 1e6)
    return min(taken)


def show(what: str, taken: float, target: float | None = None) -> None:
    """Print a figure in microseconds, with its target."""
    print(f"{what:34} {taken:10.2f} us{'' if target is None else f'   (target {target:g})'}")


def one_edge() -> dict[str, bool]:
    """Evaluate the condition of a step's edge, as the engine does."""
    return evaluate_conditions({"b": EDGE}, {}, WORLD, step_id="a", budget=Budget(DECISION_VISITS))


def ten_params() -> dict[str, Parameter]:
    """Lay three definitions over those of a step, and evaluate all ten."""
    merged = {
        name: merge(base, LAID_OVER[name], name) if name in LAID_OVER else base for name, base in TEN_PARAMS.items()
    }
    return evaluate_step_params(merged, WORLD, 0, step_id="a", budget=Budget(DECISION_VISITS))


def main() -> None:
    """Measure and print."""
    evaluate(EDGE, PARAMS)
    compiled = compile_expression(EDGE)
    show("edge comparison, cached", microseconds(lambda: evaluate(EDGE, PARAMS), 20_000), 5)
    show("  without the look into the cache", microseconds(lambda: compiled.evaluate(PARAMS), 20_000))
    show("  as the edge of a step", microseconds(one_edge, 5_000))
    show("ten parameters, three expressions", microseconds(ten_params, 500), 100)
    show(f"first parse of {len(LONG_TEXT)} characters", microseconds(lambda: CompiledExpression(LONG_TEXT), 50), 1000)
    for name, source in OTHERS.items():
        evaluate(source, PARAMS)
        times = 3 if "million" in name or "loop" in name else 5_000
        show(name, microseconds(partial(evaluate, source, PARAMS), times))
    tracemalloc.start()
    kept = [CompiledExpression(LONG_TEXT) for _ in range(200)]
    size = tracemalloc.get_traced_memory()[0] / len(kept)
    tracemalloc.stop()
    print(f"memory of that expression          {size / 1000:10.1f} kB")
    began = time.perf_counter()
    try:
        evaluate("for (int i = 0; true; i += 1) { x = x * 3 + i; }", PARAMS, limits={"visit": 1_000_000})
    except BudgetExceeded:
        print(f"a million visits                   {(time.perf_counter() - began) * 1e3:10.1f} ms")


if __name__ == "__main__":
    main()
