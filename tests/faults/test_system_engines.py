"""Promises 4, 5 and 12: an engine that is stopped, hung or killed in a batch loses nothing and holds nobody up."""

from __future__ import annotations

from pathlib import Path

import pytest

from maestro_py.storage.processes import STUCK_STATUS
from maestro_py.testing.waiting import wait_until
from tests.faults.engine_process import (
    BLOCKED,
    KILLED_AFTER_COMMIT,
    KILLED_BEFORE_COMMIT,
    STOPPED_BEFORE_SAVE,
    STOPPED_INSIDE_SAVE,
)
from tests.system import BOTH_TRANSPORTS, OsProcess, System
from tests.system_evidence import (
    Sink,
    assert_each_result_was_applied_once,
    assert_effects_doubled_only_by_interruption,
)

FAULTY = "tests.faults.engine_process"
FAILOVER = 15
#: Everything that an engine writes about runs.
WRITTEN = """
SELECT (SELECT sum(row_version) FROM workflow_instance), (SELECT count(*) FROM step_attempt),
       (SELECT count(*) FROM event_log), (SELECT count(*) FROM engine_inbox), (SELECT count(*) FROM engine_timer)
"""


def a_loop(sink: Sink) -> dict[str, object]:
    step = {"id": "write", "type": "shell", "command": sink.command(0.2)}
    return {
        "workflow_id": "loop",
        "steps": [{"id": "each", "items": list(range(24)), "concurrency": 6, "steps": [step]}],
    }


def start_with(system: System, fault: str, number: int) -> OsProcess:
    """Start a system of two engines, of which one has the *fault*; return that one."""
    for kind in ("api", "worker"):
        system.start(kind)
    faulty = system.start("engine", fault, str(number), module=FAULTY)
    system.start("engine")
    system.wait_ready(engines=2, workers=1, apis=1)
    wait_until(lambda: system.owned_by(faulty) == 32)
    return faulty


def wait_taken_over(system: System, faulty: OsProcess) -> None:
    """All partitions of the engine have another owner within 15 s."""
    wait_until(lambda: system.owned_by(faulty) == 0, FAILOVER, seen=system.logs)


@pytest.mark.slow
@pytest.mark.parametrize(("transport", "fault"), [("kafka", STOPPED_BEFORE_SAVE), ("postgres", STOPPED_INSIDE_SAVE)])
def test_an_engine_stopped_in_a_batch_that_wakes_after_its_partitions_moved_writes_nothing(
    system: System, tmp_path: Path, fault: str
) -> None:
    """Promises 3, 4 and 12: what it held is taken over while it sleeps, its transaction with its locks included."""
    sink = Sink(tmp_path / "sink")
    faulty = start_with(system, fault, 4)
    system.push(a_loop(sink))
    system.start_run("loop")
    wait_until(lambda: faulty.is_paused, 20, seen=system.logs)

    wait_taken_over(system, faulty)
    assert "SUCCEEDED" == system.wait_ended("loop", within_seconds=20)
    assert faulty.is_paused
    written = system.query(WRITTEN)

    # It wakes, finds out, and is an engine like any other again.
    faulty.resume()
    wait_until(lambda: system.owned_by(faulty) == 32, 20, seen=system.logs)
    assert written == system.query(WRITTEN)
    system.start_run("loop")
    assert "SUCCEEDED" == system.wait_ended("loop", 2)
    assert_each_result_was_applied_once(system)
    assert_effects_doubled_only_by_interruption(system, sink)


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_an_engine_stopped_between_its_batches_is_replaced_while_it_sleeps(system: System, tmp_path: Path) -> None:
    """Promises 4 and 12: it wakes with runs in memory that others have changed, and its next batch is fenced."""
    sink = Sink(tmp_path / "sink")
    system.start_all(engines=2)
    system.push(a_loop(sink))
    system.start_run("loop")
    sleeper = system.processes["engine"][0]
    wait_until(lambda: system.query("SELECT count(*) > 6 FROM step_attempt WHERE status = 'SUCCEEDED'")[0][0])
    sleeper.pause()

    wait_taken_over(system, sleeper)
    sleeper.resume()
    assert "SUCCEEDED" == system.wait_ended("loop", within_seconds=20)
    assert_each_result_was_applied_once(system)
    assert_effects_doubled_only_by_interruption(system, sink)


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_an_engine_whose_loop_is_blocked_ends_itself_and_is_replaced(system: System, tmp_path: Path) -> None:
    """Promise 12: it stops beating, so its partitions move within 15 s; its own process does not stay either."""
    sink = Sink(tmp_path / "sink")
    faulty = start_with(system, BLOCKED, 4)
    system.push(a_loop(sink))
    system.start_run("loop")
    # Its database session has a batch open, and waits for a client that does nothing.
    stuck = """
        SELECT count(*) FROM pg_stat_activity
        WHERE state = 'idle in transaction' AND state_change < now() - interval '1 s' AND application_name = %s
    """
    name = f"maestro:engine:{system.process_id(faulty)}"
    wait_until(lambda: system.query(stuck, name) != [(0,)], 20, seen=system.logs)

    wait_taken_over(system, faulty)
    assert STUCK_STATUS == faulty.wait(FAILOVER)
    assert "SUCCEEDED" == system.wait_ended("loop", within_seconds=20)
    assert_each_result_was_applied_once(system)


@pytest.mark.slow
@pytest.mark.parametrize(("transport", "fault"), [("postgres", KILLED_BEFORE_COMMIT), ("kafka", KILLED_AFTER_COMMIT)])
def test_an_engine_killed_at_the_worst_moment_of_a_batch_loses_and_doubles_nothing(
    system: System, tmp_path: Path, fault: str
) -> None:
    """Promises 3, 5 and 6: what was not committed is decided again; what was committed needs no hint."""
    sink = Sink(tmp_path / "sink")
    faulty = start_with(system, fault, 6)
    system.push(a_loop(sink))
    system.start_run("loop")
    assert -9 == faulty.wait(20)

    wait_taken_over(system, faulty)
    assert "SUCCEEDED" == system.wait_ended("loop", within_seconds=20)
    assert_each_result_was_applied_once(system)
    assert_effects_doubled_only_by_interruption(system, sink)
