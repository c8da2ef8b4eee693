"""Promise 7: a poison event stops no partition; its run says so, can be stopped, and can be tried again."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from maestro_py.model.events import Event, RunEnded, RunStarted, encode_event
from maestro_py.testing.waiting import wait_until
from tests.system import BOTH_TRANSPORTS, System

#: Runs in one partition: they share the batch.
NEIGHBOURS = 6
#: Counters of a foreach, of which the step is none: no run can be made of that.
SET_RUNTIME = """
UPDATE step_attempt SET runtime = %s WHERE run_uid = (SELECT run_uid FROM workflow_instance WHERE workflow_id = %s)
"""


def tell(system: System, workflow_id: str, *payloads: str) -> None:
    """Put events into the inbox of a run, all in one commit."""
    statement = """
        INSERT INTO engine_inbox (partition, class, run_uid, payload)
        SELECT partition, 0, run_uid, p.payload::json
        FROM workflow_instance, unnest(%s::text[]) WITH ORDINALITY AS p (payload, number)
        WHERE workflow_id = %s ORDER BY p.number
    """
    system.query(statement, list(payloads), workflow_id)


def text(event: Event) -> str:
    return encode_event(event).decode()


def waiting_run(system: System, workflow_id: str) -> None:
    """Start a run whose only step waits for a file of the workflow's name."""
    command = f"while [ ! -e {system.folder}/{workflow_id} ]; do sleep 0.1; done"
    system.push({"workflow_id": workflow_id, "steps": [{"id": "wait", "type": "shell", "command": command}]})
    system.start_run(workflow_id)
    system.wait_step(workflow_id, "wait", "RUNNING")


def finish(system: System, workflow_id: str) -> None:
    """Let the step of `waiting_run` end."""
    (system.folder / workflow_id).touch()


def dead_letters(system: System, workflow_id: str) -> list[dict[str, Any]]:
    """Return what the API says of the dead letters of a workflow."""
    elements = system.call("GET", "/dead-letters").json()["elements"]
    return [letter for letter in elements if letter["workflow_id"] == workflow_id]


def retry_by_command(system: System, number: int) -> None:
    """``maestro dead-letter retry``."""
    command = [sys.executable, "-m", "maestro_py", "dead-letter", "retry", str(number), "--url", system.api_url()]
    subprocess.run([*command, "--user", "tester"], env=os.environ, check=True, timeout=30)


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_a_poison_event_is_quarantined_and_everybody_else_goes_on(system: System) -> None:
    """
    Promise 7: an event that is none, one that cannot be, and rows that make no run.

    Their neighbours in the same batch go on; the API says what is wrong; later events queue behind; a stop is obeyed;
    once the cause is gone, a retry lets the run end as it should.
    """
    system.start_all(engines=1, workers=1)
    for workflow_id in ("unknown", "impossible", "unreadable", "stopped"):
        waiting_run(system, workflow_id)
    system.push({"workflow_id": "neighbour", "run_strategy": "PARALLEL", "steps": [{"id": "s", "type": "bench_noop"}]})
    # All at once, so that they are in the batches of the neighbours; and the engine has none of them in memory.
    system.query(SET_RUNTIME, "{}", "unreadable")
    system.processes["engine"][0].kill()
    tell(system, "unknown", '{"kind":"Unheard"}')
    tell(system, "impossible", text(RunEnded()), text(RunStarted()))
    tell(system, "stopped", '{"kind":"Unheard"}')
    tell(system, "unreadable", text(RunStarted()))
    neighbours = [system.start_run("neighbour") for _ in range(NEIGHBOURS)]
    system.start("engine")

    for instance in neighbours:
        assert "SUCCEEDED" == system.wait_ended("neighbour", instance)
    for workflow_id, reason in (
        ("unknown", "Unheard"),
        ("impossible", "cannot take RunEnded"),
        ("unreadable", "its rows cannot be read"),
        ("stopped", "Unheard"),
    ):
        wait_until(lambda w=workflow_id: "quarantine" in system.instance(w), 10, seen=system.logs)  # type: ignore[misc]
        assert reason in system.instance(workflow_id)["quarantine"]
        assert "IN_PROGRESS" == system.status(workflow_id)
        assert reason in dead_letters(system, workflow_id)[0]["reason"]
    assert ["RunEnded", "RunStarted"] == [letter["event"]["kind"] for letter in dead_letters(system, "impossible")]

    # Later events queue behind.
    for workflow_id in ("unknown", "impossible", "unreadable"):
        finish(system, workflow_id)
        wait_until(
            lambda w=workflow_id: dead_letters(system, w)[-1]["event"]["kind"] == "AttemptReported",  # type: ignore[misc]
            10,
            seen=system.logs,
        )
    assert 3 == len(dead_letters(system, "impossible"))

    # A stop is obeyed, although nothing else is applied.
    answer = system.call("PUT", "/workflows/stopped/instances/1/actions/stop")
    assert answer.status_code == 200, answer.text
    assert "STOPPED" == system.wait_ended("stopped", within_seconds=10)

    # The causes go, and what queued behind is applied in its order.
    system.query(SET_RUNTIME, None, "unreadable")
    system.query("UPDATE engine_dead_letter SET payload = %s WHERE payload->>'kind' = 'Unheard'", text(RunStarted()))
    system.query("UPDATE engine_dead_letter SET payload = %s WHERE payload->>'kind' = 'RunEnded'", text(RunStarted()))
    for workflow_id in ("unknown", "impossible", "unreadable"):
        retry_by_command(system, dead_letters(system, workflow_id)[0]["id"])
        assert "SUCCEEDED" == system.wait_ended(workflow_id, within_seconds=10)
        assert [] == dead_letters(system, workflow_id)
        assert "quarantine" not in system.instance(workflow_id)
