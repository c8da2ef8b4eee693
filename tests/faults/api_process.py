"""
An API as a process of its own on a free port, which can be told to fail at an exact moment.

Run as ``python -m tests.faults.api_process URL LEASE_MS FAULT NUMBER``; the fault (or ``none``) strikes at the
*NUMBER*-th time that its moment comes.  The port is in the ``info`` of its process row.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from maestro_py.admission import StartRequest, StartResult
from maestro_py.api.app import ApiOptions
from maestro_py.api.process import ApiProcess
from maestro_py.clock import SystemClock
from maestro_py.model.statuses import ProcessKind
from maestro_py.parent import die_with_parent
from maestro_py.ports.transport import Address, HintKind
from maestro_py.storage.api_store import PostgresApiStore, PostgresStarts
from maestro_py.storage.connections import Database
from maestro_py.storage.definition_cache import DefinitionCache
from maestro_py.storage.notifications import PostgresNotifications
from maestro_py.storage.processes import Beat, PostgresJudge
from maestro_py.storage.retries import Connection, in_transaction
from maestro_py.storage.starts import start_runs
from maestro_py.testing.waiting import wait_until
from maestro_py.transport.postgres import PostgresTransport

KILLED_INSIDE_START = "killed-inside-start"  #: The runs are written, their transaction is open.
STOPPED_INSIDE_START = "stopped-inside-start"  #: The same, and it stays open.
KILLED_BEFORE_HINT = "killed-before-hint"  #: The transaction is committed, and no engine has been told.

#: Short, so that the tests are; the promise is 15 s with the default of 6 s.
LEASE_MS = 1_500

_ROOT = Path(__file__).parents[2]
_SIGNAL_OF = {
    KILLED_INSIDE_START: signal.SIGKILL,
    STOPPED_INSIDE_START: signal.SIGSTOP,
    KILLED_BEFORE_HINT: signal.SIGKILL,
}


class ApiUnderTest:
    """An API process as its test sees it."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process = process
        self.url = url

    @property
    def is_stopped(self) -> bool:
        """Say whether SIGSTOP holds the process."""
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"


@contextmanager
def api_processes(database_url: str, count: int) -> Iterator[list[ApiUnderTest]]:
    """Yield that many APIs, each in a process of its own; they serve by now and are killed afterwards."""
    # All are launched before the first is waited for: most of a start is imports.
    processes = [_launched(database_url, "none", 1) for _ in range(count)]
    try:
        yield [_serving(database_url, process) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def api_process(database_url: str, fault: str = "none", number: int = 1) -> Iterator[ApiUnderTest]:
    """Yield an API in a process of its own, which serves by now and is killed afterwards."""
    process = _launched(database_url, fault, number)
    try:
        yield _serving(database_url, process)
    finally:
        process.kill()
        process.wait()


def _launched(database_url: str, fault: str, number: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faults.api_process", database_url, str(LEASE_MS), fault, str(number)]
    return subprocess.Popen(command, cwd=_ROOT, preexec_fn=die_with_parent(signal.SIGKILL))


def _serving(database_url: str, process: subprocess.Popen[bytes]) -> ApiUnderTest:
    port = wait_until(lambda: _port_of(database_url, process.pid), within_seconds=60)
    return ApiUnderTest(process, f"http://127.0.0.1:{port}")


def _port_of(database_url: str, pid: int) -> int | None:
    with psycopg.connect(database_url) as conn:
        row = conn.execute("SELECT info->>'port' FROM process WHERE kind = 'api' AND pid = %s", (pid,)).fetchone()
    return None if row is None or row[0] is None else int(row[0])


class _Fault:
    """Strikes this process once, at its moment."""

    def __init__(self, name: str, number: int) -> None:
        self._name = name
        self._left = number

    def at(self, *names: str) -> None:
        """Strike if this is the moment."""
        if self._name in names:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), _SIGNAL_OF[self._name])


class _FailingStarts(PostgresStarts):
    """Starts runs and fails between the writes and the commit."""

    def __init__(self, database: Database, fault: _Fault) -> None:
        super().__init__(database, DefinitionCache())
        self._fault = fault

    async def start(self, requests: Sequence[StartRequest], *, now_ms: int) -> list[StartResult]:
        async def work(conn: Connection) -> list[StartResult]:
            results = await start_runs(conn, requests, now_ms=now_ms)
            self._fault.at(KILLED_INSIDE_START, STOPPED_INSIDE_START)
            return results

        return await in_transaction(self._database, work)


class _FailingTransport(PostgresTransport):
    """A transport that fails instead of hinting an engine."""

    fault: _Fault

    def send(self, addresses: Collection[Address]) -> None:
        if any(address.kind is HintKind.ENGINE for address in addresses):
            self.fault.at(KILLED_BEFORE_HINT)
        super().send(addresses)


async def _serve(url: str, lease_ms: int, fault: _Fault) -> None:
    beat = Beat(url, ProcessKind.API, lease_ms=lease_ms, interval_ms=max(100, lease_ms // 6))
    beat.start()
    await beat.ready()
    transport = _FailingTransport(PostgresNotifications(url, beat.name))
    transport.fault = fault
    await transport.open()
    async with Database(url, beat.name) as reads, Database(url, beat.name, size=6, hot=True) as hot:
        store = PostgresApiStore(reads, hot)
        store.starts = _FailingStarts(hot, fault)
        judge = PostgresJudge(reads, beat)
        await ApiProcess(store, transport, beat, judge, SystemClock(), ApiOptions(port=0)).run()


if __name__ == "__main__":
    _url, _lease_ms, _name, _number = sys.argv[1:5]
    asyncio.run(_serve(_url, int(_lease_ms), _Fault(_name, int(_number))))
