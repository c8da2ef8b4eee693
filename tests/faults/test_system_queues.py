"""Several workers and queues: a step waits for whoever serves its queue, and a free slot is found at once."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest

from maestro_py.testing.waiting import wait_until
from tests.system import BOTH_TRANSPORTS, System

#: The queue of each attempt that a worker has or had, and that worker.
TAKEN: Final = """
SELECT queue, p.pid FROM step_attempt a JOIN process p ON p.id = a.worker WHERE dispatch IN ('CLAIMED', 'REPORTED')
"""


def public_status(system: System, workflow_id: str) -> str:
    return str(system.steps(workflow_id)["work"]["runtime_state"]["status"])


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_a_step_of_a_queue_that_nobody_serves_waits_and_says_so_until_a_worker_joins(system: System) -> None:
    """Two workers serve two of three queues; the third one's step is a later worker's, and holds up nobody before."""
    serving = {queue: system.start("worker", queues=queue) for queue in ("one", "two")}
    system.start_all(workers=0)
    system.wait_ready(workers=2)
    for queue in ("one", "two", "three"):
        step = {"id": "work", "type": "shell", "command": "true", "queue": queue}
        system.push({"workflow_id": queue, "run_strategy": "PARALLEL", "steps": [step]})
    system.start_run("three")
    system.wait_step("three", "work", "WAITING_FOR_PERMITS")

    for queue in ("one", "two", "one", "two"):
        instance = system.start_run(queue)
        assert "SUCCEEDED" == system.wait_ended(queue, instance)

    assert "WAITING_FOR_PERMITS" == public_status(system, "three")
    said = [entry["message"] for entry in system.steps("three")["work"]["timeline"] if "message" in entry]
    assert ["no live worker serves queue 'three' / type 'shell'"] == said
    assert [("READY",)] == system.query("SELECT dispatch FROM step_attempt WHERE queue = 'three'")
    serving["three"] = system.start("worker", queues="three")
    assert "SUCCEEDED" == system.wait_ended("three")
    expected = {("one", serving["one"].pid): 2, ("two", serving["two"].pid): 2, ("three", serving["three"].pid): 1}
    assert expected == Counter(system.query(TAKEN))


CLAIMED: Final = "SELECT count(*) FROM step_attempt WHERE dispatch = 'CLAIMED'"
#: Within so many seconds a group has formed; and once it has, each worker knows.
JOINED: Final = 40
TOLD: Final = 10
SLOTS: Final = 2


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_steps_of_one_batch_fill_the_slots_of_every_worker_at_once(system: System) -> None:
    """
    One hint tells of all of them, and a worker takes no more than it has slots for: the next one learns of the rest.

    The workers practically never sweep, so that nothing but hints can have told them.
    """
    for _ in range(3):
        system.start("worker", slots=SLOTS, sweep_interval_ms=600_000)
    system.start_all(workers=0)
    system.wait_ready(workers=3)
    count = 3 * SLOTS
    command = f"while [ ! -e {system.folder}/$MAESTRO_INSTANCE_ID ]; do sleep 0.05; done"
    steps = [{"id": f"s{number}", "type": "shell", "command": command} for number in range(count)]
    system.push({"workflow_id": "wide", "run_strategy": "SEQUENTIAL", "steps": steps})

    # In the first round the workers may learn of steps by joining, which may take a while; then nobody joins any more.
    for within in (JOINED, TOLD, TOLD):
        instance = system.start_run("wide")
        wait_until(lambda: system.query(CLAIMED) == [(count,)], within, seen=lambda: system.query(CLAIMED))
        (system.folder / str(instance)).touch()
        assert "SUCCEEDED" == system.wait_ended("wide", instance)
