"""A step that kills its worker does not take ten down in a row."""

from __future__ import annotations

from itertools import pairwise

import pytest

from maestro_py.testing.waiting import wait_until
from tests.system import BOTH_TRANSPORTS, System

#: Kills the worker, which is the parent of the guard, which is the parent of the shell.
KILL_WORKER = "kill -9 $(sed -n 's/^PPid:[[:space:]]*//p' /proc/$PPID/status); sleep 60"
BACKOFF_SECONDS = 2
#: Shorter than usual: the test is about what follows a loss, and not about when it is noticed.
LEASE_MS = 2_000


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_a_step_that_kills_its_workers_is_given_up_after_its_budget(system: System) -> None:
    """
    The first loss is tried again at once, the next with a backoff; then the step fails for good.

    A neighbour that the same workers ran loses attempts with them, and ends well.
    """
    for kind in ("api", "engine", "worker", "worker", "worker"):
        system.start(kind, worker_lease_ms=LEASE_MS, beat_interval_ms=300)
    system.wait_ready(apis=1, engines=1, workers=3)
    backoff = {"type": "FIXED_BACKOFF", "platform_retry_backoff_in_secs": BACKOFF_SECONDS}
    killer = {"id": "kill", "type": "shell", "command": KILL_WORKER}
    system.push(
        {
            "workflow_id": "killer",
            "steps": [killer | {"retries": {"platform_retry_limit": 2, "backoff": backoff}}],
        }
    )
    work = {"id": "work", "type": "shell", "command": "sleep 1", "retries": {"backoff": backoff}}
    system.push({"workflow_id": "neighbour", "steps": [work]})
    system.start_run("killer")
    system.start_run("neighbour")

    assert "FAILED" == system.wait_ended("killer", within_seconds=35)
    lost = system.query(
        "SELECT attempt, status, dispatch, times->>'CREATED', times->>'PLATFORM_FAILED', times->>'FATALLY_FAILED'"
        " FROM step_attempt WHERE step_id = 'kill' ORDER BY attempt"
    )
    assert [
        (1, "PLATFORM_FAILED", "LOST"),
        (2, "PLATFORM_FAILED", "LOST"),
        (3, "FATALLY_FAILED", "LOST"),
    ] == [row[:3] for row in lost]
    pauses = [int(after[3]) - int(before[4]) for before, after in pairwise(lost)]
    assert pauses[0] < 1_000
    assert BACKOFF_SECONDS * 1_000 <= pauses[1] < BACKOFF_SECONDS * 1_000 + 3_000
    # Three attempts, three workers.
    wait_until(lambda: not any(worker.is_running for worker in system.processes["worker"]))

    system.start("worker")
    assert "SUCCEEDED" == system.wait_ended("neighbour", within_seconds=20)
