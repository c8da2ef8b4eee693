"""
A signal service as a process of its own, which can be told to fail at an exact moment.

Run as ``python -m tests.faults.signal_service_process URL LEASE_MS FAULT NUMBER``; the fault (or ``none``)
strikes at the *NUMBER*-th time that its moment comes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

from maestro_py.admission import StartRequest, StartResult
from maestro_py.evaluation.pool import EvaluationPool
from maestro_py.model.statuses import ProcessKind
from maestro_py.ports.transport import Address, HintKind
from maestro_py.signals.process import SignalProcess
from maestro_py.storage.connections import Database
from maestro_py.storage.notifications import PostgresNotifications
from maestro_py.storage.processes import Beat, PostgresJudge
from maestro_py.storage.signal_cursors import PostgresCursorTransaction, PostgresSignalStore
from maestro_py.transport.postgres import PostgresTransport

KILLED_INSIDE_START = "killed-inside-start"  #: The runs are written, their transaction is open.
STOPPED_INSIDE_START = "stopped-inside-start"  #: The same, and it stays open.
KILLED_BEFORE_HINT = "killed-before-hint"  #: The transaction is committed, and no engine has been told.

_SIGNAL_OF = {
    KILLED_INSIDE_START: signal.SIGKILL,
    STOPPED_INSIDE_START: signal.SIGSTOP,
    KILLED_BEFORE_HINT: signal.SIGKILL,
}


class Fault:
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


class FailingTransaction(PostgresCursorTransaction):
    """A transaction that fails between its writes and its commit."""

    fault: Fault

    async def start(self, requests: Sequence[StartRequest], now_ms: int) -> list[StartResult]:
        results = await super().start(requests, now_ms)
        self.fault.at(KILLED_INSIDE_START, STOPPED_INSIDE_START)
        return results


class FailingStore(PostgresSignalStore):
    """A store of failing transactions."""

    def __init__(self, database: Database, fault: Fault) -> None:
        super().__init__(database)
        self._fault = fault

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresCursorTransaction]:
        async with super().transaction() as tx:
            failing = FailingTransaction(tx._conn)
            failing.fault = self._fault
            yield failing


class FailingTransport(PostgresTransport):
    """A transport that fails instead of hinting an engine."""

    fault: Fault

    def send(self, addresses: Collection[Address]) -> None:
        if any(address.kind is HintKind.ENGINE for address in addresses):
            self.fault.at(KILLED_BEFORE_HINT)
        super().send(addresses)


class SystemClock:
    """The time of day."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


async def serve(url: str, lease_ms: int, fault: Fault) -> None:
    """Run a signal service until the process ends."""
    beat = Beat(url, ProcessKind.SIGNAL, lease_ms=lease_ms, interval_ms=max(100, lease_ms // 6))
    beat.start()
    await beat.ready()
    transport = FailingTransport(PostgresNotifications(url, beat.name))
    transport.fault = fault
    await transport.open()
    pool = EvaluationPool(os.environ)
    async with Database(url, beat.name, size=6, hot=True) as database:
        store = FailingStore(database, fault)
        judge = PostgresJudge(database, beat)
        service = SignalProcess(store, transport, beat, judge, SystemClock(), sweep_interval_ms=500, evaluator=pool)
        await service.run()


if __name__ == "__main__":
    url, lease_ms, name, number = sys.argv[1:5]
    asyncio.run(serve(url, int(lease_ms), Fault(name, int(number))))
