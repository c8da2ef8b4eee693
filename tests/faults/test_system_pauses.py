"""Promise 12: a process that is stopped wedges nobody, whatever rows it holds; what it held goes on without it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest

from maestro_py.testing.waiting import wait_until
from tests.system import BOTH_TRANSPORTS, OsProcess, System
from tests.system_evidence import (
    Sink,
    assert_each_result_was_applied_once,
    assert_effects_doubled_only_by_interruption,
)

#: Within this time of a stop everything goes on, in seconds.
FAILOVER: Final = 15
#: A neighbour's run may take so long while a process is stopped, in seconds: a sweep, and a busy machine.
NEIGHBOUR: Final = 6

#: Processes with a session that waits for a lock, or that idles in a transaction.
_IN_STATE: Final = """
SELECT p.pid FROM pg_stat_activity a JOIN process p ON a.application_name = 'maestro:' || p.kind || ':' || p.id
WHERE p.kind = %s AND (a.wait_event_type = 'Lock' OR a.state LIKE 'idle in transaction%%')
"""


@contextmanager
def locked_row(system: System, workflow_id: str) -> Iterator[Callable[[], None]]:
    """Hold the row of a workflow until the value, a function, is called."""
    with psycopg.connect(system.url) as conn:
        conn.execute("SELECT 1 FROM workflow WHERE workflow_id = %s FOR UPDATE", (workflow_id,))
        yield conn.rollback


def who_waits(system: System, kind: str) -> OsProcess:
    """Return the process of *kind* that waits for a lock, as soon as one does."""
    pid = wait_until(lambda: [row[0] for row in system.query(_IN_STATE, kind)], 10, seen=system.logs)[0]
    return next(process for process in system.processes[kind] if process.pid == pid)


def neighbour_ends(system: System) -> float:
    """Start a run of a workflow that nobody holds by an API that runs, and return how many seconds it took."""
    began = time.monotonic()
    instance = system.start_run("neighbour", api=1)
    system.wait_ended("neighbour", instance, within_seconds=FAILOVER)
    return time.monotonic() - began


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_an_api_a_signal_service_and_a_worker_that_are_stopped_delay_nobody(system: System, tmp_path: Path) -> None:
    """
    Promises 1, 3 and 12: all three are stopped holding rows.

    The API and the signal service hold the rows of workflows inside a start, the worker runs a step.  Within 15 s
    others have taken all of it over, and meanwhile neighbours end as quickly as ever.
    """
    sink = Sink(tmp_path / "sink")
    system.start_all(engines=2, workers=2, signals=2, apis=2)
    nothing = {"id": "nothing", "type": "bench_noop"}
    system.push({"workflow_id": "neighbour", "run_strategy": "PARALLEL", "steps": [nothing]})
    system.push({"workflow_id": "asked", "steps": [nothing]})
    system.push({"workflow_id": "signalled", "trigger": {"type": "signal", "signal_name": "ready"}, "steps": [nothing]})
    system.push({"workflow_id": "long", "steps": [{"id": "write", "type": "shell", "command": sink.command(2)}]})
    request_id = str(uuid.uuid4())
    with ThreadPoolExecutor(1) as patient, locked_row(system, "asked") as let_go:
        system.start_run("long")
        wait_until(lambda: sink.effects(), 10, seen=system.logs)
        holder = system.query("SELECT p.pid FROM process p JOIN step_attempt a ON a.worker = p.id")[0][0]
        asked = patient.submit(system.call, "POST", START, start_body(request_id), api=0)
        stopped = [
            next(worker for worker in system.processes["worker"] if worker.pid == holder),
            who_waits(system, "api"),
        ]
        with locked_row(system, "signalled") as let_signalled_go:
            system.announce("ready", api=1)
            stopped.append(who_waits(system, "signal"))
            for process in stopped:
                process.pause()
            # Their sessions get the locks now, and hold them for clients that do nothing.
            let_go()
            let_signalled_go()
        stopped_at = time.monotonic()

        slowest = max(neighbour_ends(system) for _ in range(10))
        wait_until(lambda: system.status("signalled") == "SUCCEEDED", left(stopped_at), seen=system.logs)
        wait_until(lambda: len(sink.effects()) == 2, left(stopped_at), seen=system.logs)
        answer = system.call("POST", START, start_body(request_id), api=1)
        assert answer.status_code == 200, answer.text
        assert time.monotonic() < stopped_at + FAILOVER
        assert slowest < NEIGHBOUR
        assert "SUCCEEDED" == system.wait_ended("long")
        assert all(process.is_paused for process in stopped)

        # They wake, and write nothing of what they had begun.
        for process in stopped:
            process.resume()
        asked.result(30)
    wait_until(lambda: system.live("worker") == 2, 15)
    assert "SUCCEEDED" == system.wait_ended("asked")
    counts = system.query("SELECT workflow_id, count(*) FROM workflow_instance GROUP BY 1 ORDER BY 1")
    assert [("asked", 1), ("long", 1), ("neighbour", 10), ("signalled", 1)] == counts
    assert_each_result_was_applied_once(system)
    assert_effects_doubled_only_by_interruption(system, sink)


START: Final = "/workflows/asked/versions/active/actions/start"


def start_body(request_id: str) -> dict[str, object]:
    return {"initiator": {"type": "manual"}, "request_id": request_id}


def left(since: float) -> float:
    """Return how many seconds of the failover time are left."""
    return since + FAILOVER - time.monotonic()


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_a_run_whose_row_somebody_holds_keeps_no_other_run_waiting(system: System) -> None:
    """Promise 12: its lane goes on with the other runs, at their usual pace, and comes back to it when it is free."""
    system.start_all(engines=1, workers=1, apis=2)
    nothing = {"id": "nothing", "type": "bench_noop"}
    system.push({"workflow_id": "neighbour", "run_strategy": "PARALLEL", "steps": [nothing]})
    system.push({"workflow_id": "held", "steps": [{"id": "sleep", "type": "Sleep", "seconds": 1}]})
    system.start_run("held")
    wait_until(lambda: system.status("held") == "IN_PROGRESS")
    with psycopg.connect(system.url) as conn:
        conn.execute("SELECT 1 FROM workflow_instance WHERE workflow_id = 'held' FOR UPDATE")
        # Until its timer has fired, and the lane has met the lock.
        wait_until(lambda: system.query("SELECT count(*) FROM engine_timer WHERE fire_at < now()") != [(0,)])

        took = sorted(neighbour_ends(system) for _ in range(12))
        assert "IN_PROGRESS" == system.status("held")
    assert "SUCCEEDED" == system.wait_ended("held", within_seconds=5)
    # The lane waits for a lock once, for half a second.
    assert took[-2] < 1.5


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_a_workflow_whose_row_somebody_holds_keeps_no_other_workflow_waiting(system: System) -> None:
    """Promise 12: queued runs of the others begin as their predecessors end; its own begins when the row is free."""
    system.start_all(engines=1, workers=1)
    nothing = {"id": "nothing", "type": "bench_noop"}
    nap = {"id": "nap", "type": "Sleep", "seconds": 1}
    system.push({"workflow_id": "held", "run_strategy": "SEQUENTIAL", "steps": [nap]})
    system.push({"workflow_id": "neighbour", "run_strategy": "SEQUENTIAL", "steps": [nothing]})
    for _ in range(2):
        system.start_run("held")
    with locked_row(system, "held") as let_go:
        assert "SUCCEEDED" == system.wait_ended("held", 1)
        began = time.monotonic()
        last = [system.start_run("neighbour") for _ in range(8)][-1]
        assert "SUCCEEDED" == system.wait_ended("neighbour", last, within_seconds=NEIGHBOUR)
        assert time.monotonic() - began < NEIGHBOUR
        assert "CREATED" == system.status("held", 2)
        let_go()
    assert "SUCCEEDED" == system.wait_ended("held", 2, within_seconds=5)
