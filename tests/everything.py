"""Workflows with a bit of everything that processes tell each other by hints, and their state in the end."""

from __future__ import annotations

from maestro_py.testing.waiting import wait_until
from tests.system import System
from tests.system_evidence import assert_each_result_was_applied_once

ECHO = 'echo "{\\"list\\": [1, 2, 3, 4, 5]}" > "$MAESTRO_OUTPUT_FILE"'
#: The first attempt fails, by its number.
FAIL_ONCE = 'test "$MAESTRO_ATTEMPT" -gt 1'
SIGNALS = 5

#: A bit of everything that is told by hints: chains, a foreach over an output, retries, timers, conditions.
EVERYTHING: dict[str, object] = {
    "workflow_id": "everything",
    "steps": [
        {"id": "make", "type": "shell", "command": ECHO},
        {
            "id": "each",
            "dependencies": ["make"],
            "items": "${make.output.list}",
            "concurrency": 2,
            "steps": [
                {"id": "one", "type": "bench_noop"},
                {"id": "two", "type": "bench_noop", "dependencies": ["one"]},
            ],
        },
        {
            "id": "retried",
            "type": "shell",
            "command": FAIL_ONCE,
            "retries": {"error_retry_limit": 1, "backoff": {"type": "FIXED_BACKOFF", "error_retry_backoff_in_secs": 1}},
        },
        {"id": "nap", "type": "Sleep", "seconds": 1, "dependencies": ["retried"]},
        {"id": "never", "type": "bench_noop", "dependencies": ["make"], "when": "false"},
        {"id": "last", "type": "NoOp", "dependencies": ["each", "nap"]},
    ],
}
TRIGGERED: dict[str, object] = {
    "workflow_id": "triggered",
    "run_strategy": "SEQUENTIAL",
    "trigger": {"type": "signal", "signal_name": "ready"},
    "steps": [{"id": "work", "type": "bench_noop"}],
}
#: The state in the end, whatever happens to hints.
STEPS = [
    ("each", 1, "SUCCEEDED", 1),
    ("last", 1, "SUCCEEDED", 1),
    ("make", 1, "SUCCEEDED", 1),
    ("nap", 1, "SUCCEEDED", 1),
    ("never", 1, "UNSATISFIED", 1),
    ("one", 1, "SUCCEEDED", 5),
    ("retried", 1, "USER_FAILED", 1),
    ("retried", 2, "SUCCEEDED", 1),
    ("two", 1, "SUCCEEDED", 5),
    ("work", 1, "SUCCEEDED", SIGNALS),
]


def start_everything(system: System) -> None:
    """Push both workflows and start the one that no signal starts."""
    system.push(EVERYTHING)
    system.push(TRIGGERED)
    system.start_run("everything")


def assert_everything_ended_as_it_should(system: System, within_seconds: float) -> None:
    """All runs, of which `SIGNALS` announcements of ``ready`` started some, end in time, and in that state."""
    assert "SUCCEEDED" == system.wait_ended("everything", within_seconds=within_seconds)
    ended = "SELECT count(*) FROM workflow_instance WHERE workflow_id = 'triggered' AND status = 'SUCCEEDED'"
    wait_until(lambda: system.query(ended) == [(SIGNALS,)], 20, seen=system.logs)

    found = system.query(
        """
        SELECT a.step_id, a.attempt, a.status, count(*)
        FROM step_attempt a JOIN workflow_instance i USING (partition, run_uid)
        WHERE i.root_workflow_id IN ('everything', 'triggered') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """
    )
    assert STEPS == found
    # SUCCEEDED needs one report of each step that a worker ran; the one that failed before has another.
    assert [(1,)] == system.query("SELECT max(token) FROM step_attempt")
    assert [] == system.query("SELECT 1 FROM engine_dead_letter")
    assert_each_result_was_applied_once(system)
