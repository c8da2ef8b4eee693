"""Expressions that take long are evaluated outside of the engine's loop; whoever dies meanwhile, the run goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from maestro_py.testing.waiting import wait_until
from tests.system import BOTH_TRANSPORTS, System

#: Some seconds of work; gives 124999750000.
LONG = "long t = 0; for (int i = 0; i < 500000; i += 1) { t += i; } t"
TOTAL = 124_999_750_000


def computed(expression: str) -> dict[str, Any]:
    return {"type": "LONG", "expression": expression}


def heavy(kind: str, workflow_id: str = "heavy") -> dict[str, Any]:
    """A workflow whose first step takes long to begin, or whose edge takes long to judge."""
    first: dict[str, Any] = {"id": "first", "type": "NoOp"}
    second: dict[str, Any] = {"id": "second", "type": "shell", "command": "true", "dependencies": ["first"]}
    if kind == "params":
        first["params"] = {"total": computed(LONG)}
    else:
        second["when"] = f"{LONG} > n"
    return {"workflow_id": workflow_id, "params": {"n": 1}, "run_strategy": "PARALLEL", "steps": [first, second]}


STATUS = {"params": "EVALUATING_PARAMS", "edges": "FINISHING"}


def members_of(pid: int) -> list[int]:
    """Return the processes that *pid* has evaluate something."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        arguments = Path(f"/proc/{child}/cmdline").read_bytes()
        if b"maestro_py.evaluation.member" in arguments:
            found.append(int(child))
    return found


@pytest.mark.parametrize(("transport", "kind"), [("postgres", "params"), ("kafka", "edges")])
@pytest.mark.parametrize("victim", ["the engine", "the pool process", "the engine, which comes back"])
def test_a_run_goes_on_when_somebody_is_killed_while_an_expression_is_evaluated(
    system: System, kind: str, victim: str
) -> None:
    """The timer that was committed with the parked step has its next owner evaluate again."""
    system.start_all(engines=2 if victim == "the engine" else 1)
    system.push(heavy(kind))
    system.start_run("heavy")
    system.wait_step("heavy", "first", STATUS[kind])

    evaluating = wait_until(
        lambda: [(engine, pid) for engine in system.processes["engine"] for pid in members_of(engine.pid)]
    )
    engine, member = evaluating[0]
    if victim == "the pool process":
        os.kill(member, signal.SIGKILL)
    else:
        engine.kill()
        if victim != "the engine":
            system.start("engine")

    assert "SUCCEEDED" == system.wait_ended("heavy", within_seconds=60)
    steps = system.steps("heavy")
    if kind == "params":
        assert TOTAL == steps["first"]["params"]["total"]["evaluated_result"]
    assert [(1, "SUCCEEDED"), (1, "SUCCEEDED")] == system.query("SELECT attempt, status FROM step_attempt")


@BOTH_TRANSPORTS
def test_a_hundred_iterations_that_wait_to_be_evaluated_hold_up_nobody(system: System) -> None:
    """A neighbour's run goes through while they wait for the few processes that evaluate."""
    body = {"id": "body", "type": "NoOp", "params": {"total": computed(LONG)}}
    system.start_all()
    system.push({"workflow_id": "many", "steps": [{"id": "loop", "items": list(range(100)), "steps": [body]}]})
    system.push({"workflow_id": "quick", "steps": [{"id": "a", "type": "shell", "command": "true"}]})
    system.start_run("quick")
    system.wait_ended("quick")
    system.start_run("many")
    wait_until(lambda: parked(system) > 80, 30)

    for instance_id in range(2, 5):
        system.start_run("quick")
        assert "SUCCEEDED" == system.wait_ended("quick", instance_id, within_seconds=10)
    assert parked(system) > 20


def parked(system: System) -> int:
    """Return how many attempts wait for their parameters."""
    return int(system.query("SELECT count(*) FROM step_attempt WHERE status = 'EVALUATING_PARAMS'")[0][0])
