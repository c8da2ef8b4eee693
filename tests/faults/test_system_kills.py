"""Promise 5: any process may be SIGKILLed at any moment, PostgreSQL included, and every instance ends right."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_py.supervisor.embedded_kafka import EmbeddedKafka
from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from maestro_py.testing.waiting import wait_until
from tests.system import System, running_system
from tests.system_evidence import (
    Sink,
    assert_each_result_was_applied_once,
    assert_effects_doubled_only_by_interruption,
)

#: Enough that the loop outlasts all kills: while a broker starts again, it goes on.
ITERATIONS = {"postgres": 60, "kafka": 120}
#: Within this time of a kill everything goes on, in seconds.
FAILOVER = 15
SIGNALS = 12


def workflows(sink: Sink, iterations: int) -> list[dict[str, object]]:
    """A foreach whose iterations take a moment, and a workflow that signals start."""
    step = {"id": "write", "type": "shell", "command": sink.command(0.3)}
    return [
        {
            "workflow_id": "loop",
            "steps": [{"id": "each", "items": list(range(iterations)), "concurrency": 4, "steps": [step]}],
        },
        {
            "workflow_id": "triggered",
            "run_strategy": "PARALLEL",
            "trigger": {"type": "signal", "signal_name": "ready"},
            "steps": [step],
        },
    ]


def succeeded(system: System) -> int:
    """Return how many steps have succeeded so far."""
    return int(system.query("SELECT count(*) FROM step_attempt WHERE status = 'SUCCEEDED'")[0][0])


def wait_goes_on(system: System, since: float) -> None:
    """Nothing is held by the dead any more within 15 s of *since* (monotonic s), and more steps succeed."""
    before = succeeded(system)
    held_by_the_dead = """
        SELECT (SELECT count(*) FROM engine_partition e WHERE owner IS NULL OR NOT EXISTS (
                    SELECT FROM process p WHERE p.id = e.owner AND p.beat_at + p.lease_ms * interval '1 ms' > now()))
             + (SELECT count(*) FROM step_attempt a WHERE dispatch = 'CLAIMED' AND NOT EXISTS (
                    SELECT FROM process p WHERE p.id = a.worker AND p.beat_at + p.lease_ms * interval '1 ms' > now()))
    """

    def goes_on() -> bool:
        return system.query(held_by_the_dead) == [(0,)] and (
            succeeded(system) > before or system.status("loop") == "SUCCEEDED"
        )

    wait_until(goes_on, since + FAILOVER - time.monotonic(), seen=system.logs)


def killed_and_started(server: EmbeddedPostgres | EmbeddedKafka) -> None:
    server.kill()
    server.start()


@pytest.mark.slow
@pytest.mark.parametrize(("transport", "seed"), [("postgres", 1), ("kafka", 2)])
def test_every_instance_succeeds_whatever_is_killed_and_whenever(
    private_postgres: EmbeddedPostgres, request: pytest.FixtureRequest, tmp_path: Path, transport: str, seed: int
) -> None:
    """
    Promises 1, 3 and 5: an engine, a worker, the signal service, PostgreSQL and Kafka are killed at seeded moments.

    Within 15 s of each kill everything goes on, each step has exactly one applied result, and more than one effect
    only where an attempt was interrupted.
    """
    chance = random.Random(seed)
    sink = Sink(tmp_path / "sink")
    carrier = request.getfixturevalue("private_carrier") if transport == "kafka" else {}
    with running_system(private_postgres.url, slots=3, **carrier) as system:
        system.start_all(engines=2, workers=2, signals=1)
        for workflow in workflows(sink, ITERATIONS[transport]):
            system.push(workflow)
        system.start_run("loop")

        def kill(kind: str) -> None:
            system.processes[kind][0].kill()
            system.start(kind)

        kills: list[Callable[[], None]] = [
            lambda: kill("engine"),
            lambda: kill("worker"),
            lambda: kill("signal"),
            lambda: killed_and_started(private_postgres),
        ]
        if transport == "kafka":
            broker: EmbeddedKafka = request.getfixturevalue("private_kafka")
            kills.append(lambda: killed_and_started(broker))
        chance.shuffle(kills)
        announced = 0
        for victim, kill_victim in enumerate(kills):
            while announced < SIGNALS * (victim + 1) // len(kills):
                system.announce("ready")
                announced += 1
            # Somewhere in the next dozen of steps, at any moment of one.
            moment = succeeded(system) + chance.randrange(1, 6)
            assert "SUCCEEDED" != system.status("loop")
            wait_until(lambda at=moment: succeeded(system) >= at, 30, seen=system.logs)  # type: ignore[misc]
            pause_until = time.monotonic() + chance.random() * 0.3
            wait_until(lambda until=pause_until: time.monotonic() >= until)  # type: ignore[misc]
            assert "IN_PROGRESS" == system.status("loop")
            killed_at = time.monotonic()
            kill_victim()
            wait_goes_on(system, killed_at)

        assert "SUCCEEDED" == system.wait_ended("loop", within_seconds=40)
        wait_until(
            lambda: (
                system.query(
                    "SELECT count(*) FROM workflow_instance WHERE workflow_id = 'triggered' AND status = 'SUCCEEDED'"
                )
                == [(SIGNALS,)]
            ),
            20,
            seen=system.logs,
        )
        assert SIGNALS == system.query("SELECT count(*) FROM workflow_instance WHERE workflow_id = 'triggered'")[0][0]
        assert_each_result_was_applied_once(system)
        assert_effects_doubled_only_by_interruption(system, sink)
