"""
A worker as a process of its own, which can be told to stop inside its first claim.

Run as ``python -m tests.faults.worker_process URL LEASE_MS JOBS FAULT``: *JOBS* is the folder of the external jobs,
*FAULT* is ``none`` or ``stopped-inside-claim``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import uvloop

from maestro_py.clock import SystemClock
from maestro_py.model.statuses import ProcessKind
from maestro_py.ports.worker_store import Claimed, ClaimRequest
from maestro_py.storage import worker_store
from maestro_py.storage.connections import Database
from maestro_py.storage.notifications import PostgresNotifications
from maestro_py.storage.processes import Beat, PostgresJudge
from maestro_py.storage.worker_store import PostgresWorkerStore
from maestro_py.testing.external_job import ExternalJobStep
from maestro_py.transport.postgres import PostgresTransport
from maestro_py.workers.options import WorkerOptions
from maestro_py.workers.process import WorkerProcess
from maestro_py.workers.registry import Registry
from maestro_py.workers.steps.python import PythonStep
from maestro_py.workers.steps.shell import ShellStep

STOPPED_INSIDE_CLAIM = "stopped-inside-claim"  #: The rows are written, their transaction is open.


class StoppingStore(PostgresWorkerStore):
    """A store that stops the whole process between the writes of a claim and its commit."""

    async def claim(self, request: ClaimRequest) -> list[Claimed]:
        values = {
            "queues": list(request.queues),
            "backend_keys": list(request.backend_keys),
            "attachable": list(request.attachable_types),
            "limit": request.limit,
            "worker": self._worker,
            "claim_id": request.claim_id,
        }
        async with self._database.transaction() as conn:
            claims = await (await conn.execute(worker_store._CLAIM.encode(), values)).fetchall()
            if claims:
                os.kill(os.getpid(), signal.SIGSTOP)
        return [Claimed._make(row) for row in claims]


async def serve(url: str, lease_ms: int, jobs: Path, fault: str) -> None:
    """Run a worker until SIGTERM."""
    beat = Beat(url, ProcessKind.WORKER, lease_ms=lease_ms, interval_ms=max(100, lease_ms // 6))
    beat.start()
    await beat.ready()
    transport = PostgresTransport(PostgresNotifications(url, beat.name))
    await transport.open()
    options = WorkerOptions(
        slots=16, pool_size=1, lease_ms=lease_ms, beat_interval_ms=200, sweep_interval_ms=200, drain_ms=1_000
    )
    async with Database(url, beat.name, size=6, hot=True) as database:
        store = (StoppingStore if fault == STOPPED_INSIDE_CLAIM else PostgresWorkerStore)(database, beat.process_id)
        registry = Registry([PythonStep(), ShellStep(), ExternalJobStep(jobs)])
        judge = PostgresJudge(database, beat)
        worker = WorkerProcess(options, store, transport, beat, judge, registry, SystemClock())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        await worker.run()
    await transport.close()
    beat.stop()


if __name__ == "__main__":
    url, lease_ms, jobs, fault = sys.argv[1:5]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the loop of production
        runner.run(serve(url, int(lease_ms), Path(jobs), fault))
