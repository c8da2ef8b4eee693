"""
Measure a burst of starts: how quickly they are accepted, and how long each run waits for its beginning.

``python -m benchmarks.starts [--starts 20000] [--batch 1000]`` starts that many runs of one step by batches, from
several callers at once, and prints one JSON object.  The start delay of a run is the time from the arrival of its
request at the API to its beginning at the engine, the claim delay that to the claim of its step.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from benchmarks.cases import step
from benchmarks.machine import BenchSystem

#: Runs of one workflow that run at a time, as many as may be: the others wait in its queue.
CONCURRENCY: Final = 1_000
PERCENTILES: Final = (0.5, 0.95, 0.99, 1.0)

_DELAYS: Final = """
SELECT percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY w.start_time_ms - w.request_time_ms),
       percentile_disc(%s::float8[]) WITHIN GROUP (
           ORDER BY (extract(epoch FROM a.claimed_at) * 1000)::bigint - w.request_time_ms)
FROM workflow_instance w JOIN step_attempt a USING (partition, run_uid) WHERE w.workflow_id = ANY(%s)
"""


def main() -> None:
    """Parse the command line, measure, print."""
    arguments = _arguments()
    with BenchSystem("postgres", engines=arguments.engines, workers=1, slots=256) as at:
        workflows = [f"bench.burst.{number}" for number in range(arguments.workflows)]
        strategy = {"rule": "PARALLEL", "workflow_concurrency": CONCURRENCY}
        for workflow in workflows:
            at.push({"id": workflow, "steps": [step("work", "bench_noop")]}, run_strategy=strategy)
        _start(at, workflows[0], 1)
        _wait_ended(at, workflows[:1], 1)
        print(json.dumps(_burst(at, workflows, arguments)))


def _burst(at: BenchSystem, workflows: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    sizes = [arguments.batch] * (arguments.starts // arguments.batch)
    load = round(os.getloadavg()[0], 1)  # of whatever else the machine does: it shows in everything below
    before, began = at.cpu_s(), time.perf_counter()
    with ThreadPoolExecutor(arguments.callers) as pool:
        jobs = [pool.submit(_start, at, workflows[n % len(workflows)], size) for n, size in enumerate(sizes)]
        took = sorted(job.result() for job in jobs)
    accepted_s = time.perf_counter() - began
    _wait_ended(at, workflows, sum(sizes) + 1)
    wall_s = time.perf_counter() - began
    percentiles = list(PERCENTILES)
    [(start_ms, claim_ms)] = at.query(_DELAYS, percentiles, percentiles, workflows)
    names = ("p50", "p95", "p99", "max")
    return {
        "starts": sum(sizes),
        "workflows": len(workflows),
        "batch": arguments.batch,
        "callers": arguments.callers,
        "engines": arguments.engines,
        "accepted_per_s": round(sum(sizes) / accepted_s),
        "batch_answer_ms": {"p50": round(took[len(took) // 2] * 1000), "max": round(took[-1] * 1000)},
        "start_delay_ms": dict(zip(names, start_ms, strict=True)),
        "claim_delay_ms": dict(zip(names, claim_ms, strict=True)),
        "wall_s": round(wall_s, 2),
        "runs_per_s": round(sum(sizes) / wall_s),
        "load_before": load,
        "cpu_s": {kind: round(used - before.get(kind, 0.0), 2) for kind, used in at.cpu_s().items()},
    }


def _start(at: BenchSystem, workflow: str, count: int) -> float:
    """Start *count* runs by one call and return how many seconds the answer took."""
    requests = [{"initiator": {"type": "manual"}, "request_id": str(uuid.uuid4())} for _ in range(count)]
    began = time.perf_counter()
    answer = at.http.post(f"/workflows/{workflow}/versions/active/actions/batch-start", json={"requests": requests})
    if answer.status_code != 200 or any("error" in result for result in answer.json()["results"]):
        raise RuntimeError(answer.text[:1_000])
    return time.perf_counter() - began


def _wait_ended(at: BenchSystem, workflows: list[str], count: int) -> None:
    statement = "SELECT count(*) FROM workflow_instance WHERE workflow_id = ANY(%s) AND status = 'SUCCEEDED'"
    give_up = time.monotonic() + 300
    while at.query(statement, workflows)[0][0] < count:
        if time.monotonic() > give_up:
            raise RuntimeError("the runs did not end in five minutes")
        time.sleep(0.2)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starts", description=__doc__)
    parser.add_argument("--starts", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=1_000, help="starts of one call")
    parser.add_argument("--workflows", type=int, default=20)
    parser.add_argument("--callers", type=int, default=4, help="calls under way at a time")
    parser.add_argument("--engines", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
