"""Whatever happens to a worker or its database: each attempt has one result, and nothing of a dead worker runs on."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from maestro_py.model.statuses import Outcome
from maestro_py.parent import die_with_parent
from maestro_py.storage.connections import connection_arguments
from maestro_py.storage.lost_attempts import lose_attempts
from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from maestro_py.testing.waiting import wait_until, wait_until_async
from tests.faults.worker_process import STOPPED_INSIDE_CLAIM
from tests.processes import is_alive
from tests.worker_rig import running_worker
from tests.worker_rows import AttemptRows, Key

#: Short, so that the tests are; the promises are made for the default of 4 s.
LEASE_MS = 1_500
ROOT = Path(__file__).parents[2]

#: Prints its own pid, that of a child, and that of a grandchild that has left the group and the session.
FAMILY = "sleep 600 & echo $$ $!; setsid sh -c 'echo $$; exec sleep 600' & wait"


@pytest.fixture
def rows(database_url: str) -> AttemptRows:
    return AttemptRows(database_url)


@contextmanager
def a_worker(rows: AttemptRows, jobs: Path, fault: str = "none") -> Iterator[subprocess.Popen[bytes]]:
    """Yield a worker in a process of its own, which is killed afterwards."""
    command = [sys.executable, "-m", "tests.faults.worker_process", rows.url, str(LEASE_MS), str(jobs), fault]
    process = subprocess.Popen(command, cwd=ROOT, preexec_fn=die_with_parent(signal.SIGKILL))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def pids_in(rows: AttemptRows, key: Key) -> list[int]:
    return [int(pid) for pid in rows.log(key).split()]


def lose(rows: AttemptRows) -> dict[str, int]:
    """Judge the attempts of dead workers, as the owner of every partition does each second; count the states."""

    async def judge() -> None:
        arguments = connection_arguments("maestro:engine:test", hot=True)
        async with await psycopg.AsyncConnection.connect(rows.url, **arguments) as conn:
            await lose_attempts(conn, [(partition, 0) for partition in range(64)], beaten_ms=1_000_000)

    asyncio.run(judge())
    return rows.dispatches()


def queue_again(rows: AttemptRows) -> dict[str, int]:
    """Offer lost attempts again: what the engine does by a new attempt, these tests do with the same row."""
    lose(rows)
    with psycopg.connect(rows.url, autocommit=True) as conn:
        conn.execute("UPDATE step_attempt SET dispatch = 'QUEUED', worker = NULL WHERE dispatch = 'LOST'")
    return rows.dispatches()


def test_a_killed_worker_takes_everything_it_started_with_it(rows: AttemptRows, tmp_path: Path) -> None:
    """Within 5 s: the shell, its child, a grandchild that left the group, and what a warm function started."""
    shell = rows.queue_one("shell", {"command": FAMILY})
    function = rows.queue_one("python", {"source": "import os, time\nprint(os.getpid())\ntime.sleep(600)\n"})
    with a_worker(rows, tmp_path) as worker:
        wait_until(lambda: len(pids_in(rows, shell)) == 3 and len(pids_in(rows, function)) == 1, within_seconds=20)
        pids = pids_in(rows, shell) + pids_in(rows, function)
        assert all(is_alive(pid) for pid in pids)
        worker.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in pids), within_seconds=5)


def test_the_attempts_of_a_killed_worker_are_lost_and_run_again(rows: AttemptRows, tmp_path: Path) -> None:
    """Its lease ends, the verdict is in the inbox, and another worker runs what is offered again."""
    go = tmp_path / "go"
    key = rows.queue_one("shell", {"command": f"echo run; while ! [ -e {go} ]; do sleep 0.05; done"})
    with a_worker(rows, tmp_path) as first:
        wait_until(lambda: rows.log(key) == "run\n", within_seconds=20)
        first.kill()
        first.wait()
        wait_until(lambda: queue_again(rows)["QUEUED"] == 1, within_seconds=10)
    go.touch()
    with a_worker(rows, tmp_path):
        wait_until(lambda: rows.reports(key), within_seconds=20)

    assert Outcome.DONE is rows.report(key).outcome
    assert 2 == rows.row(key)["token"]
    assert "run\nrun\n" == rows.log(key)


def test_a_stopped_worker_runs_nothing_past_its_lease(rows: AttemptRows, tmp_path: Path) -> None:
    """The guard kills its steps before anybody else may start them; its late report changes nothing."""
    key = rows.queue_one("shell", {"command": FAMILY})
    with a_worker(rows, tmp_path) as worker:
        wait_until(lambda: len(pids_in(rows, key)) == 3, within_seconds=20)
        pids = pids_in(rows, key)[:2]  # the group; who left it ends with the worker
        os.kill(worker.pid, signal.SIGSTOP)
        wait_until(lambda: not any(is_alive(pid) for pid in pids), within_seconds=5)
        assert "CLAIMED" == rows.row(key)["dispatch"]
        wait_until(lambda: lose(rows)["LOST"] == 1, within_seconds=10)
        os.kill(worker.pid, signal.SIGCONT)
        wait_until(lambda: rows.row(key)["report"], within_seconds=10)

    assert [] == rows.reports(key)
    assert "LOST" == rows.row(key)["dispatch"]


def test_a_worker_stopped_between_claim_and_commit_holds_nobody_up(rows: AttemptRows, tmp_path: Path) -> None:
    """Its lease ends, whoever sees that ends its sessions, and the attempts are another worker's within 15 s."""
    keys = rows.queue("shell", {"command": "true"}, count=5)
    with a_worker(rows, tmp_path, STOPPED_INSIDE_CLAIM) as stopped:
        wait_until(lambda: is_stopped(stopped.pid), within_seconds=20)
        with a_worker(rows, tmp_path):
            wait_until(lambda: len(rows.reports()) == 5, within_seconds=15)
        os.kill(stopped.pid, signal.SIGCONT)

    assert all(rows.row(key)["token"] == 1 for key in keys)
    assert 5 == len(rows.reports())


def is_stopped(pid: int) -> bool:
    return "\nState:\tT" in Path(f"/proc/{pid}/status").read_text()


def test_a_job_outside_is_attached_to_and_not_run_again(rows: AttemptRows, tmp_path: Path) -> None:
    """Its worker is killed; the same attempt goes on with the same job on another worker."""
    key = rows.queue_one("external_job")
    with a_worker(rows, tmp_path) as first:
        wait_until(lambda: rows.row(key)["external_handle"] and list(tmp_path.glob("*/starts")), within_seconds=20)
        first.kill()
        first.wait()
        wait_until(lambda: lose(rows)["QUEUED"] == 1, within_seconds=10)
    with a_worker(rows, tmp_path):
        wait_until(lambda: rows.row(key)["dispatch"] == "CLAIMED", within_seconds=20)
        finish_jobs(tmp_path)
        wait_until(lambda: rows.reports(key), within_seconds=10)

    assert Outcome.DONE is rows.report(key).outcome
    assert 2 == rows.row(key)["token"]
    assert ["x"] == [starts.read_text() for starts in tmp_path.glob("*/starts")]
    assert "attached\n" == rows.log(key)


def test_a_draining_worker_leaves_its_jobs_to_others_at_once(rows: AttemptRows, tmp_path: Path) -> None:
    """No lease has to end first, and the job goes on."""
    key = rows.queue_one("external_job")
    with a_worker(rows, tmp_path) as first:
        wait_until(lambda: rows.row(key)["external_handle"] and list(tmp_path.glob("*/starts")), within_seconds=20)
        first.terminate()
        first.wait(timeout=20)
        assert "QUEUED" == rows.row(key)["dispatch"]
    with a_worker(rows, tmp_path):
        wait_until(lambda: rows.row(key)["dispatch"] == "CLAIMED", within_seconds=20)
        finish_jobs(tmp_path)
        wait_until(lambda: rows.reports(key), within_seconds=10)

    assert ["x"] == [starts.read_text() for starts in tmp_path.glob("*/starts")]


def test_a_cancelled_job_outside_ends(rows: AttemptRows, tmp_path: Path) -> None:
    """The step type is told that it is the work itself that is to stop."""
    key = rows.queue_one("external_job")
    with a_worker(rows, tmp_path):
        wait_until(lambda: rows.row(key)["external_handle"] and list(tmp_path.glob("*/pid")), within_seconds=20)
        (pid_file,) = tmp_path.glob("*/pid")
        wait_until(pid_file.read_text)
        rows.cancel(key)
        wait_until(lambda: rows.reports(key), within_seconds=5)

    assert Outcome.STOPPED is rows.report(key).outcome
    wait_until(lambda: not is_alive(int(pid_file.read_text())))


def finish_jobs(folder: Path) -> None:
    for job in folder.glob("*/starts"):
        (job.parent / "go").touch()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_workers_killed_at_any_moment_leave_one_result_for_each_attempt(
    rows: AttemptRows, tmp_path: Path, seed: int
) -> None:
    """Two workers, steps that write to a sink under a key of their attempt, and kills at seeded moments."""
    chance = random.Random(seed)
    sink = tmp_path / "sink"
    sink.mkdir()
    command = f'sleep 0.1; echo x >> {sink}/$(echo "$MAESTRO_IDEMPOTENCY_KEY" | tr / _)'
    keys = rows.queue("shell", {"command": command}, count=150)
    with a_worker(rows, tmp_path), a_worker(rows, tmp_path) as second:
        wait_until(lambda: len(rows.reports()) > chance.randrange(1, 60), within_seconds=20)
        second.kill()
        second.wait()
        with a_worker(rows, tmp_path):
            wait_until(lambda: queue_again(rows) == {"REPORTED": 150}, within_seconds=30)

    effects = {path.name: path.read_text().count("x") for path in sink.iterdir()}
    assert 150 == len(effects)
    assert [1] * 150 == [len(rows.reports(key)) for key in keys]
    # More than one effect only where an attempt was interrupted and claimed again.
    claims = {f"tests_{row['task']['instance_id']}_1_step_1": row["token"] for row in map(rows.row, keys)}
    assert all(effects[name] <= claims[name] for name in claims)
    assert all(Outcome.DONE is rows.report(key).outcome for key in keys)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_while_postgresql_is_away_steps_go_on_and_count_once(
    private_postgres: EmbeddedPostgres, tmp_path: Path, how: str
) -> None:
    """Away for longer than the lease: nothing is killed, and each result is applied once it is back."""
    rows = AttemptRows(private_postgres.url)
    go = tmp_path / "go"
    command = f"echo run; while ! [ -e {go} ]; do sleep 0.05; done; touch {tmp_path}/$MAESTRO_INSTANCE_ID.done"
    keys = rows.queue("shell", {"command": command}, count=4)
    with a_worker(rows, tmp_path):
        await wait_until_async(lambda: all(rows.log(key) for key in keys), within_seconds=20)
        end_server(private_postgres, how)
        back_at = time.monotonic() + 2 * LEASE_MS / 1000
        await wait_until_async(lambda: time.monotonic() >= back_at)
        go.touch()
        await wait_until_async(lambda: len(list(tmp_path.glob("*.done"))) == 4)
        private_postgres.start()
        await wait_until_async(lambda: len(rows.reports()) == 4, within_seconds=20)

    assert [Outcome.DONE] * 4 == [rows.report(key).outcome for key in keys]
    assert {1} == {rows.row(key)["token"] for key in keys}


def end_server(server: EmbeddedPostgres, how: str) -> None:
    """End the server so that it starts again at the same address."""
    if how == "killed":
        server.kill()
    else:
        os.kill(server.pid, signal.SIGINT)  # a fast shutdown, in order
        wait_until(lambda: not server.is_running)


async def test_a_guard_that_is_killed_is_replaced(rows: AttemptRows) -> None:
    """Its steps end as platform errors, and the next step runs under a new guard."""
    key = rows.queue_one("shell", {"command": "echo $PPID $$; sleep 600"})
    async with running_worker(rows.url) as rig:
        await wait_until_async(lambda: rows.log(key))
        guard, step = pids_in(rows, key)
        os.kill(guard, signal.SIGKILL)
        await wait_until_async(lambda: rows.reports(key))
        after = rows.queue_one("shell", {"command": "echo again"})
        rig.hint_steps()
        await wait_until_async(lambda: rows.reports(after))

    assert Outcome.PLATFORM_ERROR is rows.report(key).outcome
    assert not is_alive(step)
    assert "again\n" == rows.log(after)
