"""Run the benchmarks: ``python -m benchmarks --cases B1,B3 --repeat 5 --json``."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass

from benchmarks.cases import CASES, Figures
from benchmarks.floor import floor_rows_per_second
from benchmarks.machine import BenchSystem


def main() -> None:
    """Parse the command line, measure, print."""
    arguments = _arguments()
    names = [name for name in arguments.cases.split(",") if name]
    unknown = [name for name in names if name not in CASES]
    if unknown:
        sys.exit(f"unknown case {', '.join(unknown)}; known: {', '.join(CASES)}")
    systems = [
        System(transport, engines, workers, arguments.slots)
        for transport in arguments.transports.split(",")
        for engines, workers in arguments.sizes
    ]
    rates: dict[tuple[str, System], float] = {}
    for system in systems:
        floors, figures = measure(system, names, arguments.repeat)
        for name in names:
            row = summary(name, system, figures[name], statistics.median(floors))
            rates[name, system] = float(str(row["steps_per_s"]))
            print(json.dumps(row) if arguments.json else readable(row), flush=True)
    if not arguments.json:
        for name in names if len(systems) > 1 else ():
            print(ratios(name, systems, rates))


@dataclass(frozen=True, slots=True)
class System:
    """What is measured."""

    transport: str
    engines: int
    workers: int
    slots: int  #: Of each worker.

    def __str__(self) -> str:
        return f"{self.transport} {self.engines}x{self.workers}"


def measure(system: System, names: list[str], repeat: int) -> tuple[list[float], dict[str, list[Figures]]]:
    """Run the cases *repeat* times on one system; return the floors and the figures by case."""
    floors: list[float] = []
    figures: dict[str, list[Figures]] = defaultdict(list)
    with BenchSystem(system.transport, engines=system.engines, workers=system.workers, slots=system.slots) as at:
        for name in names:
            CASES[name].warm_up(at)
        # Interleaved: whatever else the machine does meanwhile hits every case alike.
        for _ in range(repeat):
            floors.append(floor_rows_per_second(at.database_url))
            for name in names:
                figures[name].append(CASES[name].measure(at))
    return floors, figures


def ratios(name: str, systems: list[System], rates: dict[tuple[str, System], float]) -> str:
    """Return the rate of each system over that of the first, as a line for people."""
    first = rates[name, systems[0]]
    others = ", ".join(f"{system} {rates[name, system] / first:.2f}" for system in systems[1:])
    return f"{name:<10} steps/s over {systems[0]}: {others}"


def summary(name: str, system: System, measured: list[Figures], floor: float) -> dict[str, object]:
    """Return the medians of the repeats of one case."""

    def median(values: list[float]) -> float:
        return statistics.median(values)

    processes = sorted({process for one in measured for process in one.cpu_s})
    steps = measured[0].steps
    return {
        "case": name,
        "what": CASES[name].what,
        "transport": system.transport,
        "steps": steps,
        "repeats": len(measured),
        "wall_s": round(median([one.wall_s for one in measured]), 3),
        "steps_per_s": round(median([one.steps / one.wall_s for one in measured])),
        **{
            f"overhead_ms_p{percent}": round(median([one.overhead_ms(percent) for one in measured]), 2)
            for percent in (50, 95, 99)
        },
        "cpu_s_per_1000_steps": {
            process: round(median([one.cpu_s.get(process, 0.0) for one in measured]) / steps * 1000, 4)
            for process in processes
        },
        "peak_rss_mb": {
            process: round(max(one.peak_rss_mb.get(process, 0.0) for one in measured)) for process in processes
        },
        "floor_rows_per_s": round(floor),
        "window": 500,
        "slots": system.slots * system.workers,
        "engines": system.engines,
        "workers": system.workers,
    }


def readable(row: dict[str, object]) -> str:
    """Return one case as a line for people."""
    system = f"{row['case']:<10} {row['transport']:<9} {row['engines']}x{row['workers']}"
    speed = f"{row['steps']:>6} steps {row['wall_s']:>7} s {row['steps_per_s']:>6} steps/s"
    overhead = f"overhead ms p50 {row['overhead_ms_p50']} p95 {row['overhead_ms_p95']} p99 {row['overhead_ms_p99']}"
    cost = f"cpu s/1000 steps {row['cpu_s_per_1000_steps']}   floor {row['floor_rows_per_s']} rows/s"
    return f"{system} {speed}   {overhead}   {cost}   ({row['what']})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES), help=f"comma-separated; known: {', '.join(CASES)}")
    parser.add_argument("--repeat", type=int, default=5, help="measured repeats of each case, after a warm-up")
    parser.add_argument("--transports", default="postgres", help="comma-separated: postgres, kafka")
    parser.add_argument(
        "--sizes", type=_sizes, default="1x1", help="comma-separated engines x workers, for example 1x1,2x2"
    )
    parser.add_argument("--slots", type=int, default=256, help="of each worker")
    parser.add_argument("--json", action="store_true", help="one JSON object a case")
    return parser.parse_args()


def _sizes(text: str) -> list[tuple[int, int]]:
    try:
        return [(int(engines), int(workers)) for engines, workers in (size.split("x") for size in text.split(","))]
    except ValueError:
        raise argparse.ArgumentTypeError("is not like 1x1,2x2") from None


if __name__ == "__main__":
    main()
