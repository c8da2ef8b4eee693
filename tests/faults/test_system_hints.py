"""Promise 6: a message lost, doubled or reordered changes nothing but the time it takes."""

from __future__ import annotations

import pytest

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


@pytest.mark.slow
@pytest.mark.parametrize(
    "faults",
    [
        "seed=1,drop=0,double=0,delay_ms=0",
        "seed=2,drop=0.5,double=0.5,delay_ms=200",
        "seed=3,drop=0.1,double=1,delay_ms=1000",
        "seed=4,drop=1",
    ],
)
def test_the_final_state_is_the_same_whatever_becomes_of_hints(system: System, faults: str) -> None:
    """Promise 6: with none, half and all of the hints dropped, doubled and reordered: only slower."""
    for kind in ("api", "engine", "engine", "worker", "worker", "signal"):
        system.start(kind, transport_faults=faults, sweep_interval_ms=500)
    system.wait_ready(apis=1, engines=2, workers=2, signals=1)
    system.push(EVERYTHING)
    system.push(TRIGGERED)
    system.start_run("everything")
    for _ in range(SIGNALS):
        system.announce("ready")

    assert "SUCCEEDED" == system.wait_ended("everything", within_seconds=35)
    ended = "SELECT count(*) FROM workflow_instance WHERE workflow_id = 'triggered' AND status = 'SUCCEEDED'"
    wait_until(lambda: system.query(ended) == [(SIGNALS,)], 20, seen=system.logs)

    found = system.query(
        "SELECT step_id, attempt, status, count(*) FROM step_attempt GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    assert STEPS == found
    # SUCCEEDED needs one report of each step that a worker ran; the one that failed before has another.
    assert [(1,)] == system.query("SELECT max(token) FROM step_attempt")
    assert [] == system.query("SELECT 1 FROM engine_dead_letter")
    assert_each_result_was_applied_once(system)
