"""The cases: a chain, many small runs, and foreach of a thousand and of ten thousand iterations."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

from benchmarks.machine import BenchSystem


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one repeat of one case measured."""

    steps: int
    wall_s: float
    overheads_ms: list[float]  #: Sorted; one for each step.
    cpu_s: Mapping[str, float]  #: By kind of process.
    peak_rss_mb: Mapping[str, float]

    def overhead_ms(self, percent: int) -> float:
        """Return a percentile of the overhead of a step."""
        index = min(len(self.overheads_ms) - 1, int(len(self.overheads_ms) * percent / 100))
        return self.overheads_ms[index]


class Case(Protocol):
    """One case."""

    what: str

    def warm_up(self, at: BenchSystem) -> None:
        """Push the definition and run it once."""
        ...

    def measure(self, at: BenchSystem) -> Figures:
        """Run it once and return what it cost."""
        ...


def step(step_id: str, kind: str, successors: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a worker step of the native form."""
    params: dict[str, Any] = {}
    if kind == "python":
        function = {"value": "bench_functions:noop", "type": "STRING"}
        params = {"python": {"type": "MAP", "value": {"function": function}}}
    transition = {"successors": dict.fromkeys(successors, "true")} if successors else {}
    return {"step": {"id": step_id, "type": kind, "transition": transition, "params": params}}


class Chain:
    """B1: *steps* steps, one after the other, in one run at a time; the overhead is the time from end to end."""

    def __init__(self, kind: str, steps: int = 20, runs: int = 10) -> None:
        self.what = f"{runs} runs, one after the other, of a chain of {steps} {kind} steps"
        self._id = f"bench.chain.{kind}"
        self._steps = steps
        self._runs = runs
        self._kind = kind

    def warm_up(self, at: BenchSystem) -> None:
        """Push the chain and run it once."""
        last = self._steps - 1
        steps = [step(f"s{i}", self._kind, (f"s{i + 1}",) if i < last else ()) for i in range(self._steps)]
        at.push({"id": self._id, "steps": steps})
        at.wait_ended(self._id, [at.start(self._id)], poll_ms=5)

    def measure(self, at: BenchSystem) -> Figures:
        """Run the chain several times."""
        before, began = at.cpu_s(), time.perf_counter()
        instances = []
        for _ in range(self._runs):
            instances.append(at.start(self._id))
            at.wait_ended(self._id, instances[-1:], poll_ms=5)
        wall_s = time.perf_counter() - began
        overheads = at.query(
            """
            SELECT extract(epoch FROM
                a.reported_at - lag(a.reported_at) OVER (PARTITION BY a.run_uid ORDER BY a.step_seq))
                   * 1000
            FROM step_attempt a JOIN workflow_instance w USING (partition, run_uid)
            WHERE w.workflow_id = %s AND w.instance_id = ANY(%s)
            """,
            self._id,
            instances,
        )
        return figures(at, self._steps * self._runs, wall_s, before, overheads)


class ManyRuns:
    """B2: many runs of a workflow of one step, started at once; the overhead is from the start to the report."""

    def __init__(self, runs: int = 200) -> None:
        self.what = f"{runs} runs of one step, started at once by 16 clients"
        self._runs = runs
        self._id = "bench.many"

    def warm_up(self, at: BenchSystem) -> None:
        """Push the workflow and run it once."""
        strategy = {"rule": "PARALLEL", "workflow_concurrency": self._runs}
        at.push({"id": self._id, "steps": [step("work", "bench_noop")]}, run_strategy=strategy)
        at.wait_ended(self._id, [at.start(self._id)], poll_ms=5)

    def measure(self, at: BenchSystem) -> Figures:
        """Start all of them at once."""
        before, began = at.cpu_s(), time.perf_counter()
        with ThreadPoolExecutor(16) as pool:
            instances = list(pool.map(at.start, [self._id] * self._runs))
        at.wait_ended(self._id, instances, poll_ms=5)
        wall_s = time.perf_counter() - began
        overheads = at.query(
            """
            SELECT extract(epoch FROM a.reported_at) * 1000 - w.create_time_ms
            FROM step_attempt a JOIN workflow_instance w USING (partition, run_uid)
            WHERE w.workflow_id = %s AND w.instance_id = ANY(%s)
            """,
            self._id,
            instances,
        )
        return figures(at, self._runs, wall_s, before, overheads)


class Foreach:
    """B3 and B4: a foreach whose iterations have one step; the overhead is from the offer to the report."""

    def __init__(self, kind: str, iterations: int) -> None:
        self.what = f"one foreach of {iterations} iterations of one {kind} step"
        self._id = f"bench.foreach.{kind}.{iterations}"
        self._iterations = iterations
        self._kind = kind

    def warm_up(self, at: BenchSystem) -> None:
        """Push the workflow and run it once."""
        items = {"i": {"value": list(range(self._iterations)), "type": "LONG_ARRAY"}}
        body = {"id": "each", "params": {"loop_params": {"type": "MAP", "value": items}}}
        at.push({"id": self._id, "steps": [{"foreach": {**body, "steps": [step("work", self._kind)]}}]})
        self.measure(at)

    def measure(self, at: BenchSystem) -> Figures:
        """Run it once."""
        before, began = at.cpu_s(), time.perf_counter()
        instance = at.start(self._id)
        at.wait_ended(self._id, [instance], poll_ms=20)
        wall_s = time.perf_counter() - began
        overheads = at.query(
            """
            SELECT extract(epoch FROM a.reported_at - a.queued_at) * 1000
            FROM step_attempt a JOIN workflow_instance w USING (partition, run_uid)
            JOIN workflow_instance p ON p.partition = w.parent_partition AND p.run_uid = w.parent_run_uid
            WHERE p.workflow_id = %s AND p.instance_id = %s
            """,
            self._id,
            instance,
        )
        return figures(at, self._iterations, wall_s, before, overheads)


def figures(
    at: BenchSystem, steps: int, wall_s: float, before: Mapping[str, float], overheads: list[tuple[Any, ...]]
) -> Figures:
    """Return what was measured since *before*."""
    after = at.cpu_s()
    return Figures(
        steps=steps,
        wall_s=wall_s,
        overheads_ms=sorted(float(row[0]) for row in overheads if row[0] is not None),
        cpu_s={kind: used - before.get(kind, 0.0) for kind, used in after.items()},
        peak_rss_mb=at.peak_rss_mb(),
    )


CASES: Final[dict[str, Case]] = {
    "B1": Chain("bench_noop"),
    "B1python": Chain("python"),
    "B2": ManyRuns(),
    "B3": Foreach("bench_noop", 1_000),
    "B3python": Foreach("python", 1_000),
    "B4": Foreach("bench_noop", 10_000),
}
