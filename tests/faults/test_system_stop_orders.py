"""Promise 9: stops and kills of runs that have ended, are being ended, or wait for an expression; the kill stands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from maestro_py.testing.waiting import wait_until
from tests.faults.test_system_evaluations import STATUS, heavy
from tests.system import System

TARGETS: Final = {"stop": "STOPPED", "kill": "FAILED"}
#: Ends only by SIGKILL, when its grace is over.
STUBBORN: Final[dict[str, Any]] = {"id": "a", "type": "shell", "command": "trap '' TERM; sleep 301 & wait"}
GRACE_MS: Final = 3_000

#: How a run can end, and what does it.
ENDS: Final[dict[str, dict[str, Any]]] = {
    "SUCCEEDED": {"steps": [{"id": "a", "type": "NoOp"}]},
    "FAILED": {"steps": [{"id": "a", "type": "shell", "command": "exit 1"}]},
    "TIMED_OUT": {"timeout": 1, "steps": [{"id": "a", "type": "Sleep", "seconds": 300}]},
    "STOPPED": {"steps": [{"id": "a", "type": "Sleep", "seconds": 300}]},
}
ROWS: Final = "SELECT workflow_id, status, row_version, end_time_ms FROM workflow_instance ORDER BY 1"


def path(workflow_id: str, action: str) -> str:
    return f"/workflows/{workflow_id}/instances/1/actions/{action}"


@pytest.mark.slow
def test_a_run_that_has_ended_stays_as_it_is_and_the_answer_says_how_it_is(system: System) -> None:
    system.start_all()
    for workflow_id, definition in ENDS.items():
        system.push({"workflow_id": workflow_id, **definition})
        system.start_run(workflow_id)
    assert system.call("PUT", path("STOPPED", "stop")).json()["completed"]
    for workflow_id in ENDS:
        assert workflow_id == system.wait_ended(workflow_id)
    rows = system.query(ROWS)

    for workflow_id in ENDS:
        for action, target in TARGETS.items():
            answer = system.call("PUT", path(workflow_id, action))
            if workflow_id == target:
                assert (200, True) == (answer.status_code, answer.json()["completed"])
                assert target == answer.json()["workflow_instance_status"]
            else:
                assert 400 == answer.status_code
                assert f"has ended already: {workflow_id}" in answer.json()["message"]
    assert rows == system.query(ROWS)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [("stop", "kill"), ("kill", "stop")])
def test_a_run_that_is_stopped_and_killed_ends_as_killed(system: System, first: str, second: str) -> None:
    """Whichever comes first, while its step is being ended; both answers tell the end, and its timeline names both."""
    for kind in ("api", "engine", "worker"):
        system.start(kind, cancel_grace_ms=GRACE_MS)
    system.wait_ready(apis=1, engines=1, workers=1)
    system.push({"workflow_id": "both", "steps": [STUBBORN]})
    system.start_run("both")
    system.wait_step("both", "a", "RUNNING")

    with ThreadPoolExecutor(1) as other:
        answer = other.submit(system.call, "PUT", path("both", first))
        wait_until(lambda: system.query("SELECT stop_target FROM workflow_instance") == [(TARGETS[first],)])
        later = system.call("PUT", path("both", second)).json()

    for told in (answer.result().json(), later):
        assert not told["completed"] or told["workflow_instance_status"] == "FAILED"
    assert "FAILED" == system.wait_ended("both")
    assert "FATALLY_FAILED" == system.steps("both")["a"]["runtime_state"]["status"]
    said = str(system.instance("both")["timeline"])
    assert "Stop requested by tester" in said
    assert "Kill requested by tester" in said


@pytest.mark.slow
@pytest.mark.parametrize(("action", "kind"), [("stop", "params"), ("kill", "params"), ("stop", "edges")])
def test_a_run_whose_expressions_are_being_evaluated_ends_at_once(system: System, action: str, kind: str) -> None:
    """What is still evaluated is an answer to nobody; a step whose work was done keeps its end."""
    system.start_all()
    system.push(heavy(kind))
    system.start_run("heavy")
    system.wait_step("heavy", "first", STATUS[kind])

    answer = system.call("PUT", path("heavy", action)).json()

    assert (True, TARGETS[action]) == (answer["completed"], answer["workflow_instance_status"])
    end = {"params": {"stop": "STOPPED", "kill": "FATALLY_FAILED"}[action], "edges": "SUCCEEDED"}[kind]
    assert [("first", end)] == system.query("SELECT step_id, status FROM step_attempt")
    wait_until(lambda: system.query("SELECT 1 FROM engine_inbox") == [])
    assert [] == system.query("SELECT 1 FROM engine_dead_letter")
