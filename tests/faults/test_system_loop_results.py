"""Results of loops are read and evaluated outside of the engine's loop; whoever dies meanwhile, the run goes on."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from maestro_py.testing.waiting import wait_until
from tests.faults.test_system_evaluations import members_of
from tests.system import System

#: More than one query reads.
MANY = 2_500
#: The results of a loop, and some seconds of work.
SUM = "long t = 0; for (int i = 0; i < a.length; i += 1) { t += a[i]; }"
LONG = "for (int i = 0; i < 900000; i += 1) { t += 1; }"
ASKED = "long[] a = params.getFromForeach('loop', 'work', 'x');"
TOTAL = 900_000 + sum(range(MANY))


def collecting(place: str) -> dict[str, Any]:
    """A workflow whose step *read*, or the edge of whose loop, takes long over the results of the loop."""
    body = {"id": "work", "type": "NoOp", "params": {"x": "${item}"}}
    loop = {"id": "loop", "items": list(range(MANY)), "concurrency": MANY, "steps": [body]}
    read: dict[str, Any] = {"id": "read", "type": "NoOp", "dependencies": ["loop"]}
    if place == "params":
        read["params"] = {"total": {"type": "LONG", "expression": f"{ASKED} {SUM} {LONG} t"}}
    else:
        read["when"] = f"{ASKED} {SUM} {LONG} t == {TOTAL}"
    return {"workflow_id": "collect", "steps": [loop, read]}


def status_of(system: System, step_id: str) -> str | None:
    rows = system.query("SELECT status FROM step_attempt WHERE step_id = %s", step_id)
    return str(rows[0][0]) if rows else None


@pytest.mark.parametrize("place", ["params", "edges"])
@pytest.mark.parametrize("victim", ["the engine", "the pool process", "the engine, which comes back"])
def test_a_run_goes_on_when_somebody_is_killed_while_results_are_evaluated(
    system: System, place: str, victim: str
) -> None:
    """What was read of the loop dies with whoever read it, and is read again."""
    system.start_all(engines=2 if victim == "the engine" else 1)
    system.push(collecting(place))
    system.start_run("collect")
    parked, status = ("read", "EVALUATING_PARAMS") if place == "params" else ("loop", "FINISHING")
    wait_until(lambda: status_of(system, parked) == status, 60, seen=system.logs)
    engine, member = wait_until(
        lambda: [(engine, pid) for engine in system.processes["engine"] for pid in members_of(engine.pid)]
    )[0]
    if victim == "the pool process":
        os.kill(member, signal.SIGKILL)
    else:
        engine.kill()
        if victim != "the engine":
            system.start("engine")

    assert "SUCCEEDED" == system.wait_ended("collect", within_seconds=60)
    assert [(1, "SUCCEEDED"), (1, "SUCCEEDED")] == system.query(
        "SELECT attempt, status FROM step_attempt WHERE step_id <> 'work'"
    )
    if place == "params":
        assert TOTAL == system.steps("collect")["read"]["params"]["total"]["evaluated_result"]
