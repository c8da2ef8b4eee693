"""
Measure the pure core alone: no database, no event loop, one process.

``python -m benchmarks.core [--repeat N] [--profile]`` prints one JSON object for each case: the median of its repeats,
in CPU time, so that it hardly matters what else the machine does.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import pstats
import statistics
import time
from collections.abc import Callable
from typing import Final

from maestro_py.engine.decide.graph import Graph, compile_graphs
from maestro_py.engine.decide.state import OuterParams, ParentRef, Run
from maestro_py.engine.decide.table import decide
from maestro_py.model.definition import Workflow
from maestro_py.model.events import AttemptReported, ChildFinished, RunStarted
from maestro_py.model.statuses import InstanceStatus, Outcome
from maestro_py.testing.builders import NOON_MS, RUN_UID, a_chain, a_foreach, a_map, a_step, a_workflow

STEPS: Final = 10_000
ITERATIONS: Final = 100_000


def a_run(graph: Graph) -> Run:
    """Return a run that was admitted and has not begun."""
    return Run(partition=1, run_uid=RUN_UID, workflow_id="w", instance_id=1, run_id=1, graph=graph)


def graphs_of(workflow: Workflow) -> dict[str, Graph]:
    """Return the graphs of *workflow*, with the default window of the settings."""
    return compile_graphs(workflow, default_window=500)


def noop_chain() -> tuple[Callable[[], None], int]:
    """One decision walks a chain of NoOp steps from the first to the last."""
    run = a_run(graphs_of(a_chain(STEPS))[""])

    def measured() -> None:
        decide(run, RunStarted(), NOON_MS)
        assert run.status is InstanceStatus.SUCCEEDED

    return measured, STEPS


def noop_fan() -> tuple[Callable[[], None], int]:
    """One decision walks from one NoOp step over thousands to a join."""
    middle = [f"m{i}" for i in range(STEPS - 2)]
    steps = [a_step("first", "NoOp", then=middle), *(a_step(m, "NoOp", then="join") for m in middle)]
    run = a_run(graphs_of(a_workflow(*steps, a_step("join", "NoOp")))[""])

    def measured() -> None:
        decide(run, RunStarted(), NOON_MS)
        assert run.status is InstanceStatus.SUCCEEDED

    return measured, STEPS


def child_finished() -> tuple[Callable[[], None], int]:
    """A foreach folds the ends of its iterations, each of which makes room for the next."""
    items = a_map({"item": [*range(ITERATIONS)]})
    run = a_run(graphs_of(a_workflow(a_foreach("loop", loop_params=items)))[""])
    decide(run, RunStarted(), NOON_MS)
    events = [ChildFinished("loop", 1, i, InstanceStatus.SUCCEEDED) for i in range(1, ITERATIONS + 1)]

    def measured() -> None:
        for event in events:
            decide(run, event, NOON_MS)
        assert run.status is InstanceStatus.SUCCEEDED

    return measured, ITERATIONS


def iteration() -> tuple[Callable[[], None], int]:
    """An iteration with one worker step begins, dispatches, takes the report and ends: two decisions."""
    body = a_step("body", params={"path": "${prefix}/${item}"})
    graph = graphs_of(a_workflow(a_foreach("loop", body, items=[1])))["loop"]
    outer = OuterParams({"prefix": "/data"}, {})
    runs = []
    for i in range(STEPS):
        run = a_run(graph)
        run.parent, run.outer, run.loop_values = ParentRef(1, RUN_UID, "loop", 1), outer, {"item": i, "loop_index": i}
        runs.append(run)
    report = AttemptReported("body", 1, Outcome.DONE)

    def measured() -> None:
        for run in runs:
            decide(run, RunStarted(), NOON_MS)
            decide(run, report, NOON_MS)

    return measured, STEPS


CASES: Final = {case.__name__: case for case in (noop_chain, noop_fan, child_finished, iteration)}


def seconds_of(case: Callable[[], tuple[Callable[[], None], int]]) -> tuple[float, int]:
    """Return the CPU seconds of one repeat of *case*, and how many units it did."""
    measured, units = case()
    gc.collect()
    began = time.process_time()
    measured()
    return time.process_time() - began, units


def main() -> None:
    """Print one JSON object for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES), help="comma-separated: %(default)s")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="print where the time of one repeat goes")
    options = parser.parse_args()
    cases = [CASES[name] for name in options.cases.split(",")]
    if options.profile:
        for case in cases:
            measured, _ = case()
            profile = cProfile.Profile()
            profile.runcall(measured)
            pstats.Stats(profile).sort_stats("tottime").print_stats(14)
        return
    taken: dict[str, list[float]] = {case.__name__: [] for case in cases}
    units: dict[str, int] = {}
    for _ in range(options.repeat):
        for case in cases:  # interleaved: what else the machine does then meets all cases alike
            seconds, units[case.__name__] = seconds_of(case)
            taken[case.__name__].append(seconds)
    for name, seconds_each in taken.items():
        seconds = statistics.median(seconds_each)
        per_second = round(units[name] / seconds)
        print(json.dumps({"case": name, "per_s": per_second, "us_each": round(seconds / units[name] * 1e6, 2)}))


if __name__ == "__main__":
    main()
