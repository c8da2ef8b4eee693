"""The first promise: a run survives SIGKILL of the engine and of the worker at any moment."""

from __future__ import annotations

import pytest

from tests.system import BOTH_TRANSPORTS, System

ONE_STEP = {"workflow_id": "one", "steps": [{"id": "work", "type": "shell", "command": "sleep 1; echo done"}]}


@pytest.mark.parametrize(
    ("transport", "victim"),
    [
        ("postgres", "engine"),
        ("kafka", "engine"),
        ("postgres", "worker"),
        ("kafka", "worker"),
        ("postgres", "api"),
        ("kafka", "signal"),
    ],
)
def test_a_run_survives_sigkill_while_its_step_runs(system: System, victim: str) -> None:
    """A process that is killed while a step runs, and started again, costs at most one more attempt."""
    system.start_all(signals=1)
    system.push(ONE_STEP)
    system.start_run("one")
    system.wait_step("one", "work", "RUNNING")

    system.processes[victim][0].kill()
    system.start(victim)

    assert "SUCCEEDED" == system.wait_ended("one", within_seconds=20)
    attempts = system.query("SELECT status FROM step_attempt ORDER BY attempt")
    expected = [("PLATFORM_FAILED",), ("SUCCEEDED",)] if victim == "worker" else [("SUCCEEDED",)]
    assert expected == attempts


@BOTH_TRANSPORTS
def test_a_start_that_was_answered_survives_sigkill_of_everything(system: System) -> None:
    """A start that was answered before every process was killed is carried out by those that come after."""
    system.start_all()
    system.push(ONE_STEP)
    for processes in (system.processes["engine"], system.processes["worker"]):
        processes[0].kill()
    system.start_run("one")
    system.processes["api"][0].kill()

    for kind in ("api", "engine", "worker"):
        system.start(kind)

    assert "SUCCEEDED" == system.wait_ended("one", within_seconds=25)
