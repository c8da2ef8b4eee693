"""
A step type whose job lives outside the worker: a detached process, and a folder that is its name.

It stands for Spark and Kubernetes in tests.  The job waits until the test lets it go on, and outlives the worker that
submitted it; submitting it again under the same name finds the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import StepContext, StepReport, StepTask
from maestro_py.testing.waiting import wait_until_async

#: A job that the test forgets ends by itself, in seconds.
_PATIENCE_SECONDS: Final = 60

#: The job: says that it runs, waits for the file ``go``, and leaves its outputs.
_JOB: Final = f"""
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
(folder / "pid").write_text(str(os.getpid()))
with (folder / "starts").open("a") as starts:
    starts.write("x")
until = time.monotonic() + {_PATIENCE_SECONDS}
while not (folder / "go").exists() and time.monotonic() < until:
    time.sleep(0.01)
(folder / "result.part").write_text(json.dumps({{"pid": os.getpid()}}))
(folder / "result.part").rename(folder / "result")
"""


class ExternalJobStep:
    """
    Submit a job, wait for it, and attach to it again.

    Args:
        folder: Where the jobs have their folders; the same for every worker.
    """

    kind: Final = "external_job"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def run(self, task: StepTask, context: StepContext) -> StepReport:
        """Submit the job under the attempt's key, and wait for it."""
        job = self.job_folder(task)
        _submit(job)
        await context.save_handle({"job": str(job)})
        return await self._wait(job, context)

    async def attach(self, task: StepTask, handle: dict[str, Any], context: StepContext) -> StepReport:
        """Wait for the job that is there already."""
        context.log("attached\n")
        return await self._wait(Path(handle["job"]), context)

    def job_folder(self, task: StepTask) -> Path:
        """Return the folder of the job of *task*, whose name is the attempt's key."""
        return self._folder / hashlib.sha256(task.idempotency_key.encode()).hexdigest()[:16]

    async def _wait(self, job: Path, context: StepContext) -> StepReport:
        try:
            await wait_until_async((job / "result").exists, within_seconds=_PATIENCE_SECONDS)
        except asyncio.CancelledError:
            if context.cancelled.is_set():
                _end(job)
            raise
        return StepReport(Outcome.DONE, json.loads((job / "result").read_text()))


def _submit(job: Path) -> None:
    """Start the job in a session of its own, unless it has been started before."""
    try:
        job.mkdir(parents=True)
    except FileExistsError:
        return
    os.posix_spawn(sys.executable, [sys.executable, "-c", _JOB, str(job)], os.environ, setsid=True)


def _end(job: Path) -> None:
    """End the job itself: the engine asked for it."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((job / "pid").read_text()), signal.SIGKILL)
