"""A real engine process that is killed, or stopped in the middle of a COPY, is replaced and writes nothing later."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from maestro_py.testing.waiting import wait_until_async
from tests.ownership_scene import PARTITIONS, Lanes, running_engine

#: An engine that owns partitions and, asked to, begins a batch with a COPY and stops itself within it.
ENGINE = """
import asyncio, os, signal, sys
import structlog
from maestro_py.engine.ownership import Ownership
from maestro_py.model.ids import new_uid
from maestro_py.model.statuses import ProcessKind
from maestro_py.storage.connections import Database
from maestro_py.storage.partitions import PostgresPartitions, fence
from maestro_py.storage.processes import Beat

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
url, lease_ms, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]

async def let_go(_):
    pass

async def write(database, epochs):
    async with database.transaction() as conn:
        await fence(conn, epochs)
        into = "COPY engine_timer (partition, run_uid, fire_at, payload) FROM STDIN"
        async with conn.cursor() as cursor, cursor.copy(into) as copy:
            await copy.write_row((0, new_uid(), "2030-01-01T00:00:00Z", "{}"))
            print("copying", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
            await copy.write_row((0, new_uid(), "2030-01-01T00:00:00Z", "{}"))

async def main():
    beat = Beat(url, ProcessKind.ENGINE, lease_ms=lease_ms, interval_ms=lease_ms // 6)
    beat.start()
    await beat.ready()
    async with Database(url, beat.name, hot=True) as database:
        ownership = Ownership(PostgresPartitions(database), beat, lambda _: None, let_go)
        running = asyncio.create_task(ownership.run())
        while len(ownership.owned) < 64:
            await asyncio.sleep(0.01)
        print("owns", flush=True)
        if mode == "copy":
            try:
                await write(database, ownership.owned)
                print("committed", flush=True)
            except Exception as exc:
                print("refused", type(exc).__name__, flush=True)
            os._exit(0)
        await running

asyncio.run(main())
"""


@contextmanager
def engine_process(url: str, lease_ms: int, mode: str) -> Iterator[subprocess.Popen[str]]:
    """A real engine process that owns every partition; killed at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENGINE, url, str(lease_ms), mode], stdout=subprocess.PIPE, text=True
    )
    try:
        assert "owns" == said(process)
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def said(process: subprocess.Popen[str]) -> str:
    """Return the next line that the process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def owns_everything(lanes: Lanes, within_seconds: float) -> float:
    """Return after how many seconds the lanes held every partition."""
    began = time.monotonic()
    await wait_until_async(
        lambda: len(lanes.held) == PARTITIONS, within_seconds, lambda: f"{len(lanes.held)} partitions"
    )
    return time.monotonic() - began


@pytest.mark.slow
async def test_failover_after_a_kill_takes_less_than_ten_seconds_with_the_default_lease(database_url: str) -> None:
    with engine_process(database_url, 6_000, "own") as process:
        async with running_engine(database_url) as (_, lanes):
            await wait_until_async(lambda: len(lanes.held) == PARTITIONS // 2)

            process.kill()

            await owns_everything(lanes, within_seconds=10.0)


@pytest.mark.slow
async def test_an_engine_stopped_in_a_copy_is_replaced_while_it_sleeps_and_writes_nothing(database_url: str) -> None:
    """It holds its fence through every session timeout: only terminating its sessions frees the partitions."""
    with engine_process(database_url, 2_000, "copy") as process:
        assert "copying" == await asyncio.to_thread(said, process)
        async with running_engine(database_url, lease_ms=2_000) as (_, lanes):
            await owns_everything(lanes, within_seconds=15.0)
            assert set(lanes.held.values()) == {2}

            os.kill(process.pid, signal.SIGCONT)

            assert (await asyncio.to_thread(said, process)).startswith("refused")
            with psycopg.connect(database_url) as conn:
                assert conn.execute("SELECT count(*) FROM engine_timer").fetchone() == (0,)
