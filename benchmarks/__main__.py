"""Run the benchmarks: ``python -m benchmarks --cases B1,B3 --repeat 5 --json``."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict

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
    figures: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    floors: dict[str, list[float]] = defaultdict(list)
    for transport in arguments.transports.split(","):
        with BenchSystem(transport, engines=arguments.engines, workers=arguments.workers, slots=arguments.slots) as at:
            for name in names:
                CASES[name].warm_up(at)
            # Interleaved: whatever else the machine does meanwhile hits every case alike.
            for _ in range(arguments.repeat):
                floors[transport].append(floor_rows_per_second(at.database_url))
                for name in names:
                    figures[name, transport].append(CASES[name].measure(at))
    for (name, transport), measured in figures.items():
        row = summary(name, transport, measured, statistics.median(floors[transport]), arguments)
        print(json.dumps(row) if arguments.json else readable(row))


def summary(
    name: str, transport: str, measured: list[Figures], floor: float, arguments: argparse.Namespace
) -> dict[str, object]:
    """Return the medians of the repeats of one case."""

    def median(values: list[float]) -> float:
        return statistics.median(values)

    processes = sorted({process for one in measured for process in one.cpu_s})
    steps = measured[0].steps
    return {
        "case": name,
        "what": CASES[name].what,
        "transport": transport,
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
        "slots": arguments.slots * arguments.workers,
        "engines": arguments.engines,
        "workers": arguments.workers,
    }


def readable(row: dict[str, object]) -> str:
    """Return one case as a line for people."""
    return (
        f"{row['case']:<10} {row['transport']:<9} {row['steps']:>6} steps {row['wall_s']:>8} s "
        f"{row['steps_per_s']:>6} steps/s   overhead ms p50 {row['overhead_ms_p50']} p95 {row['overhead_ms_p95']} "
        f"p99 {row['overhead_ms_p99']}   cpu s/1000 steps {row['cpu_s_per_1000_steps']}   "
        f"floor {row['floor_rows_per_s']} rows/s   ({row['what']})"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES), help=f"comma-separated; known: {', '.join(CASES)}")
    parser.add_argument("--repeat", type=int, default=5, help="measured repeats of each case, after a warm-up")
    parser.add_argument("--transports", default="postgres", help="comma-separated: postgres, kafka")
    parser.add_argument("--engines", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--slots", type=int, default=256, help="of each worker")
    parser.add_argument("--json", action="store_true", help="one JSON object a case")
    return parser.parse_args()


if __name__ == "__main__":
    main()
