"""Promise 11: the database away costs the time it was away and nobody's work."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from maestro_py.testing.waiting import wait_until
from tests.system import running_system
from tests.system_evidence import Sink, assert_each_result_was_applied_once


@pytest.mark.slow
@pytest.mark.parametrize(("transport", "away"), [("postgres", 20), ("kafka", 10)])
def test_postgresql_away_for_longer_than_every_lease_loses_no_attempt_and_kills_no_step(
    private_postgres: EmbeddedPostgres, carrier: dict[str, object], tmp_path: Path, away: int
) -> None:
    """
    Promises 3 and 11: steps that end meanwhile are reported afterwards, steps that go on are not disturbed.

    Once it is back, everything goes on at once: no process died of it, none has to be started.
    """
    sink = Sink(tmp_path / "sink")
    # They end before, during and after the outage; a retry and a sleep are due in it.
    waits = [0.2, 3, 3, 9, 9, away + 1, away + 4]
    steps: list[dict[str, object]] = [
        {"id": f"s{number}", "type": "shell", "command": sink.command(seconds)} for number, seconds in enumerate(waits)
    ]
    steps.append({"id": "nap", "type": "Sleep", "seconds": 5})
    steps.append({"id": "after", "type": "shell", "command": sink.command(0.1), "dependencies": ["nap", "s3"]})
    with running_system(private_postgres.url, slots=8, **carrier) as system:
        system.start_all(engines=2, workers=2, signals=1)
        system.push({"workflow_id": "steps", "steps": steps})
        system.start_run("steps")
        wait_until(lambda: len(sink.effects()) == len(waits), 20, seen=system.logs)
        before = {process.pid for processes in system.processes.values() for process in processes}

        private_postgres.kill()
        back_at = time.monotonic() + away
        wait_until(lambda: time.monotonic() >= back_at, away + 1)
        private_postgres.start()

        wait_until(lambda: len(sink.effects()) == len(waits) + 1, 15, seen=system.logs)
        assert "SUCCEEDED" == system.wait_ended("steps", within_seconds=15)
        assert {1} == set(sink.effects().values())
        assert [("REPORTED", "SUCCEEDED", 1, len(waits) + 1)] == system.query(
            "SELECT dispatch, status, token, count(*) FROM step_attempt WHERE dispatch IS NOT NULL GROUP BY 1, 2, 3"
        )
        assert_each_result_was_applied_once(system)
        running = [process for processes in system.processes.values() for process in processes if process.is_running]
        assert before == {process.pid for process in running}
        lives = {kind: system.live(kind) for kind in ("api", "engine", "worker", "signal")}
        assert {"api": 1, "engine": 2, "worker": 2, "signal": 1} == lives
