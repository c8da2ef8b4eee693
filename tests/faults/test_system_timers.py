"""Promise 8: timeouts, backoffs and sleeps survive the engine that set them, and come once."""

from __future__ import annotations

import pytest

from maestro_py.testing.waiting import wait_until
from tests.system import BOTH_TRANSPORTS, System

#: How late a timer may be, in seconds: the failover of an engine that is gone, a sweep, and a busy machine.
LATE = 15

FAIL = 'test "$MAESTRO_ATTEMPT" -gt 2'
BACKOFF = {"type": "FIXED_BACKOFF", "error_retry_backoff_in_secs": 6, "timeout_retry_backoff_in_secs": 6}
WORKFLOWS: list[dict[str, object]] = [
    {"workflow_id": "asleep", "steps": [{"id": "s", "type": "Sleep", "seconds": 7}]},
    {
        "workflow_id": "retried",
        "steps": [
            {
                "id": "s",
                "type": "shell",
                "command": FAIL,
                "retries": {"error_retry_limit": 5, "backoff": BACKOFF},
            }
        ],
    },
    {
        "workflow_id": "slow_step",
        "steps": [
            {
                "id": "s",
                "type": "shell",
                "command": "test $MAESTRO_ATTEMPT -gt 1 || sleep 300",
                "timeout": 7,
                "retries": {"timeout_retry_limit": 1, "backoff": BACKOFF},
            }
        ],
    },
    {"workflow_id": "slow_run", "timeout": 8, "steps": [{"id": "s", "type": "shell", "command": "sleep 300"}]},
    {
        "workflow_id": "slow_loop",
        "steps": [
            {
                "id": "each",
                "items": [1, 2, 3],
                "timeout": 8,
                "steps": [{"id": "s", "type": "shell", "command": "sleep 300"}],
            }
        ],
    },
]
ENDS = {
    "asleep": "SUCCEEDED",
    "retried": "SUCCEEDED",
    "slow_step": "SUCCEEDED",
    "slow_run": "TIMED_OUT",
    "slow_loop": "TIMED_OUT",
}
#: The milliseconds from the first sign of each run's step to its end.
TOOK = """
SELECT i.end_time_ms - i.start_time_ms FROM workflow_instance i WHERE workflow_id = %s AND scope = ''
"""


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_timers_and_deadlines_survive_the_engine_that_set_them(system: System) -> None:
    """
    Promise 8: a sleep, two backoffs, and the timeouts of a step, of a run and of a foreach.

    The engine is killed while all of them are pending; the one that comes after carries them out: none early, none
    twice, and none later than its failover explains.
    """
    system.start_all(engines=1, workers=1)
    for workflow in WORKFLOWS:
        system.push(workflow)
    for workflow in WORKFLOWS:
        system.start_run(str(workflow["workflow_id"]))
    wait_until(
        lambda: (
            system.query("SELECT count(*) FROM step_attempt WHERE dispatch = 'CLAIMED'") == [(5,)]
            and system.query("SELECT status FROM step_attempt WHERE status = 'USER_FAILED'") != []
        ),
        6,
        seen=system.logs,
    )
    system.processes["engine"][0].kill()
    system.start("engine")

    ended = {workflow_id: system.wait_ended(workflow_id, within_seconds=30) for workflow_id in ENDS}
    assert ENDS == ended
    for workflow_id, at_least in (
        ("asleep", 7),
        ("retried", 12),
        ("slow_step", 13),
        ("slow_run", 8),
        ("slow_loop", 8),
    ):
        took = system.query(TOOK, workflow_id)[0][0] / 1000
        assert at_least <= took <= at_least + LATE, workflow_id
    assert [(1, "USER_FAILED"), (2, "USER_FAILED"), (3, "SUCCEEDED")] == attempts(system, "retried")
    assert [(1, "TIMEOUT_FAILED"), (2, "SUCCEEDED")] == attempts(system, "slow_step")
    assert [(1, "SUCCEEDED")] == attempts(system, "asleep")
    assert [(1, "TIMED_OUT")] == attempts(system, "slow_run")
    assert [] == system.query("SELECT 1 FROM step_attempt WHERE dispatch IN ('QUEUED', 'CLAIMED')")
    assert [] == system.query("SELECT reason FROM engine_dead_letter")


def attempts(system: System, workflow_id: str) -> list[tuple[int, str]]:
    """Return (attempt, status) of the step of a workflow."""
    statement = """
        SELECT attempt, a.status FROM step_attempt a JOIN workflow_instance i USING (partition, run_uid)
        WHERE i.workflow_id = %s ORDER BY attempt
    """
    return [(attempt, status) for attempt, status in system.query(statement, workflow_id)]
