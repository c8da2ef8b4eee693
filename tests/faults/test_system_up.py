"""`maestro up` killed outright: nothing of it is left, and the next one finishes what was running."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from maestro_py.testing.waiting import wait_until
from tests.nursery import ROOT
from tests.processes import descendants, is_alive
from tests.system import System, free_port, plain_environment, running_system

STEPS = 6


@contextmanager
def maestro_up(data_directory: Path, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the process of a ``maestro up``, which is killed afterwards if it still runs."""
    command = [sys.executable, "-m", "maestro_py", "up", "--port", str(port), "--data-dir", str(data_directory)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=plain_environment(),
            stdout=output,
            stderr=output,
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_up(system: System, log: Path) -> None:
    wait_until(system.is_ready, 40, seen=log.read_text)


@pytest.mark.slow
def test_up_killed_while_steps_run_leaves_nothing_and_finishes_when_started_again(
    data_directory: Path, tmp_path: Path
) -> None:
    """Promises 1, 3 and 5: 5 s after a SIGKILL no process of ours lives, and none in any step's process group."""
    port, log, started = free_port(), tmp_path / "log", tmp_path / "started"
    # Each step has a child of its own, and one that has left it.
    command = f"(sleep 600 &) ; sleep 600 & echo $MAESTRO_ITERATION $MAESTRO_ATTEMPT >> {started}; sleep 3; kill $!"
    steps = [{"id": "step", "type": "shell", "command": command}]
    with running_system("") as system:
        system.attach_api(port)
        with maestro_up(data_directory, port, log) as first:
            wait_up(system, log)
            system.push({"workflow_id": "loop", "steps": [{"id": "each", "items": list(range(STEPS)), "steps": steps}]})
            system.start_run("loop")
            wait_until(lambda: len(started.read_text().splitlines()) == STEPS, 20, seen=log.read_text)
            below = descendants(first.pid)
            assert len(set(below.values())) > STEPS
            first.kill()

            wait_until(
                lambda: not [pid for pid in below if is_alive(pid)],
                5,
                seen=lambda: [Path(f"/proc/{pid}/cmdline").read_text() for pid in below if is_alive(pid)],
            )

        with maestro_up(data_directory, port, log) as second:
            wait_up(system, log)
            wait_until(lambda: system.instance("loop")["status"] == "SUCCEEDED", 30, seen=log.read_text)
            # Each step was interrupted once, and ran once more.
            assert 2 * STEPS == len(started.read_text().splitlines())
            second.terminate()
            assert 0 == second.wait(40)
