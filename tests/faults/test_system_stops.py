"""Promise 9: a stop or kill that was acknowledged is obeyed, whatever the run is doing, and with every hint lost."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from maestro_py.testing.waiting import wait_until
from tests.processes import descendants, is_alive
from tests.system import BOTH_TRANSPORTS, ENDED, System

#: What becomes of hints, and after how many seconds from the acknowledgement at the latest everything has obeyed.
WITHIN: Final = {"flow": 2.0, "lost": 6.0}
FAULTS: Final = {"flow": "", "lost": "seed=1,drop=1"}
TARGETS: Final = {"stop": "STOPPED", "kill": "FAILED"}

#: Pays no heed to SIGTERM, nor does its child: only SIGKILL of the whole group ends them.
STUBBORN: Final = "trap '' TERM; sleep 301 & wait"
SLOW: Final = {"id": "slow", "type": "shell", "command": "sleep 302"}
BACKOFF: Final = {"error_retry_limit": 9, "backoff": {"type": "FIXED_BACKOFF", "error_retry_backoff_in_secs": 300}}

#: What a run can be waiting for, and the status by which one knows that it does.
WAITS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "sleeping": ({"id": "a", "type": "Sleep", "seconds": 300}, "RUNNING"),
    "failed_once": ({"id": "a", "type": "shell", "command": "exit 1", "retries": BACKOFF}, "USER_FAILED"),
    "unserved": ({"id": "a", "type": "shell", "command": "true", "queue": "nobodys"}, "WAITING_FOR_PERMITS"),
    "running": ({"id": "a", "type": "shell", "command": STUBBORN}, "RUNNING"),
    "loop": ({"id": "a", "items": list(range(50)), "concurrency": 4, "steps": [SLOW]}, "RUNNING"),
    "nested": (
        {
            "id": "a",
            "items": [1, 2],
            "steps": [{"id": "b", "items": [1, 2, 3], "concurrency": 2, "steps": [SLOW]}],
        },
        "RUNNING",
    ),
}
#: Slots for all of them at a time.
SLOTS: Final = 1 + 4 + 4

#: Runs of a workflow, those of its loops included, that have not ended; and their attempts that somebody may work on.
UNFINISHED: Final = "SELECT count(*) FROM workflow_instance WHERE end_time_ms IS NULL AND root_workflow_id = %s"
AT_WORK: Final = """
SELECT count(*) FROM step_attempt JOIN workflow_instance USING (partition, run_uid)
WHERE root_workflow_id = %s AND dispatch IN ('READY', 'QUEUED', 'CLAIMED')
"""
STEP_STATUSES: Final = """
SELECT DISTINCT a.status FROM step_attempt a JOIN workflow_instance w USING (partition, run_uid)
WHERE w.workflow_id = %s AND a.attempt = (SELECT max(attempt) FROM step_attempt b
    WHERE b.partition = a.partition AND b.run_uid = a.run_uid AND b.step_id = a.step_id)
"""


def end(system: System, action: str, workflow_id: str, instance_id: int = 1) -> dict[str, Any]:
    """Stop or kill an instance, and return the answer."""
    answer = system.call("PUT", f"/workflows/{workflow_id}/instances/{instance_id}/actions/{action}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def claimed(system: System, workflow_id: str) -> int:
    """Return how many attempts of a workflow workers hold."""
    statement = """
        SELECT count(*) FROM step_attempt JOIN workflow_instance USING (partition, run_uid)
        WHERE root_workflow_id = %s AND dispatch = 'CLAIMED'
    """
    return int(system.query(statement, workflow_id)[0][0])


def programs(system: System) -> set[int]:
    """Return the processes of shell steps that sleep."""
    found = set()
    for worker in system.processes["worker"]:
        for pid in descendants(worker.pid):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_text()
            except OSError:  # gone this moment
                continue
            if "sleep\x0030" in command:
                found.add(pid)
    return found


def begin_every_wait(system: System) -> None:
    """Start a run of each of `WAITS`, and one queued behind the first; return when each waits for what it should."""
    for workflow_id, (step, _) in WAITS.items():
        system.push({"workflow_id": workflow_id, "steps": [step]})
        system.start_run(workflow_id)
    system.start_run("sleeping")
    for workflow_id, (_, status) in WAITS.items():
        system.wait_step(workflow_id, "a", status)
    wait_until(lambda: [claimed(system, name) for name in ("loop", "nested")] == [4, 4], 20, seen=system.logs)
    wait_until(lambda: len(programs(system)) == SLOTS, 20, seen=lambda: programs(system))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "hints", "transport"),
    [
        ("stop", "flow", "postgres"),
        ("kill", "flow", "postgres"),
        ("stop", "flow", "kafka"),
        ("kill", "flow", "kafka"),
        # Whatever would have carried them.
        ("stop", "lost", "postgres"),
        ("kill", "lost", "postgres"),
    ],
)
def test_a_run_ends_as_asked_whatever_it_waits_for(system: System, action: str, hints: str) -> None:
    """
    Promise 9: queued, sleeping, waiting to try again, for a worker or for its iterations, or running on one.

    Soon after the acknowledgement nothing of it is alive, and the answer said truly whether it had ended.
    """
    target = TARGETS[action]
    for kind in ("api", "engine", "worker"):
        system.start(kind, slots=SLOTS, transport_faults=FAULTS[hints])
    system.wait_ready(apis=1, engines=1, workers=1)
    begin_every_wait(system)
    alive = programs(system)

    queued = end(system, action, "sleeping", 2)

    assert (True, target) == (queued["completed"], queued["workflow_instance_status"])
    with ThreadPoolExecutor(len(WAITS)) as callers:
        ended = callers.map(lambda name: (end(system, action, name), time.time()), WAITS)
        answers = dict(zip(WAITS, ended, strict=True))
    acknowledged = max(at for _, at in answers.values())
    left = acknowledged + WITHIN[hints] - time.time()
    wait_until(lambda: not any(map(is_alive, alive)), left, seen=system.logs)
    for workflow_id, (answer, _) in answers.items():
        assert target == system.wait_ended(workflow_id, within_seconds=5)
        assert answer["workflow_instance_status"] == target or not answer["completed"]
        assert [(0,)] == system.query(UNFINISHED, workflow_id)
        assert [(0,)] == system.query(AT_WORK, workflow_id)
        of_steps = "STOPPED" if action == "stop" else "FATALLY_FAILED"
        assert [(of_steps,)] == system.query(STEP_STATUSES, workflow_id)
    # The iterations of a killed run are stopped, not killed; those that were not launched are not there.
    iterations = "SELECT DISTINCT status, count(*) FROM workflow_instance WHERE scope = 'a' GROUP BY 1"
    assert [("STOPPED", 4 + 2)] == system.query(iterations)
    assert "SUCCEEDED" not in {status for (status,) in system.query("SELECT status FROM workflow_instance")}
    assert [] == system.query("SELECT * FROM engine_dead_letter")


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_a_run_that_no_engine_has_begun_never_begins(system: System) -> None:
    """Promise 9: it is acknowledged as accepted, and is the first thing that the engine hears of the run."""
    system.start("api")
    system.wait_ready(apis=1)
    system.push({"workflow_id": "early", "steps": [{"id": "a", "type": "NoOp"}]})
    system.start_run("early")

    answer = end(system, "kill", "early")

    assert (False, "CREATED") == (answer["completed"], answer["workflow_instance_status"])
    assert "still running" in answer["info"]
    system.start("engine")
    assert "FAILED" == system.wait_ended("early")
    assert [] == system.query("SELECT * FROM step_attempt")
    assert "FAILED" == end(system, "kill", "early")["workflow_instance_status"]
    assert 400 == system.call("PUT", "/workflows/early/instances/1/actions/stop").status_code


RACES: Final = 36


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_a_stop_that_races_with_the_natural_end_wins_or_loses_and_says_so(system: System) -> None:
    """Promise 9: the answer and the row agree, and the end of each run and step is announced once."""
    system.start_all(engines=1, workers=1)
    strategy = {"rule": "PARALLEL", "workflow_concurrency": RACES}
    steps = [{"id": "a", "type": "shell", "command": "sleep 0.05"}, {"id": "b", "type": "NoOp", "dependencies": ["a"]}]
    system.push({"workflow_id": "race", "run_strategy": strategy, "steps": steps})
    chance = random.Random(7)
    said: dict[int, tuple[int, dict[str, Any]]] = {}
    for number in range(RACES):
        instance = system.start_run("race")
        # From at once to well after the end: whether a stop wins is a matter of a ms somewhere in between.
        moment = time.monotonic() + (0 if number < 3 else chance.random() * 0.25)
        wait_until(lambda at=moment: time.monotonic() >= at)  # type: ignore[misc]
        if number == RACES - 1:
            system.wait_ended("race", instance)
        action = chance.choice(["stop", "kill"])
        answer = system.call("PUT", f"/workflows/race/instances/{instance}/actions/{action}")
        said[instance] = (answer.status_code, answer.json() | {"target": TARGETS[action]})

    outcomes: Counter[str] = Counter()
    for instance, (code, told) in said.items():
        ended = system.wait_ended("race", instance)
        assert ended in ("SUCCEEDED", told["target"])
        if code == 200 and told["completed"]:
            assert ended == told["workflow_instance_status"]
        if code == 400:
            assert ended == "SUCCEEDED"
            assert "has ended already" in told["message"]
        outcomes[ended] += 1
    assert outcomes["SUCCEEDED"], "at least the last stop came too late"
    assert outcomes["SUCCEEDED"] < RACES, "at least the first stops came in time"
    statement = """
        SELECT e.event->>'run_uid', r->>0, count(*) FROM event_log e, json_array_elements(e.event->'records') r
        WHERE r->>3 = ANY(%s) GROUP BY 1, 2 HAVING count(*) > 1
    """
    assert [] == system.query(statement, [*ENDED, "FATALLY_FAILED"])
    # A step that ended well was not undone by a stop, and the other one did not follow a stopped one.
    wrong = """
        SELECT 1 FROM step_attempt a JOIN step_attempt b USING (partition, run_uid)
        WHERE a.step_id = 'a' AND b.step_id = 'b' AND a.status <> 'SUCCEEDED'
    """
    assert [] == system.query(wrong)


ITERATIONS: Final = 10_000
KILLED_AT: Final = 3_000


@pytest.mark.slow
@pytest.mark.parametrize(("hints", "transport"), [("flow", "postgres"), ("flow", "kafka"), ("lost", "postgres")])
def test_a_large_foreach_that_is_killed_creates_and_claims_nothing_more(system: System, hints: str) -> None:
    """Promise 9: soon after the acknowledgement nothing of it is created or claimed, and nothing at all at its end."""
    for kind in ("api", "engine", "engine", "worker"):
        # Without hints each round takes two sweeps: large rounds come to the middle in time.
        system.start(kind, slots=64 if hints == "flow" else 1_000, transport_faults=FAULTS[hints])
    system.wait_ready(apis=1, engines=2, workers=1)
    work = {"id": "work", "type": "bench_noop"}
    loop = {"id": "each", "items": list(range(ITERATIONS)), "concurrency": 500, "steps": [work]}
    system.push({"workflow_id": "large", "steps": [loop]})
    system.start_run("large")
    children = "SELECT count(*) FROM workflow_instance WHERE scope = 'each'"
    wait_until(lambda: system.query(children)[0][0] >= KILLED_AT, 120, seen=system.logs)

    answer = end(system, "kill", "large")
    acknowledged = time.time()

    assert "FAILED" == system.wait_ended("large", within_seconds=20)
    assert answer["workflow_instance_status"] == "FAILED" or not answer["completed"]
    [(ended_ms,)] = system.query("SELECT end_time_ms FROM workflow_instance WHERE workflow_id = 'large'")
    # Whatever is still under way would show within some sweeps.
    quiet = time.time() + 4
    wait_until(lambda: time.time() > quiet)
    [(count, created_ms, unfinished)] = system.query(
        """
        SELECT count(*), max(create_time_ms), count(*) FILTER (WHERE end_time_ms IS NULL)
        FROM workflow_instance WHERE scope = 'each'
        """
    )
    [(claimed_ms, at_work)] = system.query(
        """
        SELECT (extract(epoch FROM max(claimed_at)) * 1000)::bigint,
               count(*) FILTER (WHERE dispatch IN ('READY', 'QUEUED', 'CLAIMED'))
        FROM step_attempt WHERE step_id = 'work'
        """
    )
    assert KILLED_AT <= count < ITERATIONS
    assert (0, 0) == (unfinished, at_work)
    assert max(created_ms, claimed_ms) <= (acknowledged + WITHIN[hints]) * 1000
    assert max(created_ms, claimed_ms) <= ended_ms
    assert [] == system.query("SELECT * FROM engine_inbox")
