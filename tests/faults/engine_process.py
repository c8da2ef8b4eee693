"""
An engine as a process of its own, with everything as in production, that fails at an exact moment.

Run as ``python -m tests.faults.engine_process engine FAULT NUMBER``, with the settings of an engine in its environment;
the fault strikes in the *NUMBER*-th batch that has something to save.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from maestro_py import bootstrap
from maestro_py.ports.engine_store import Writes
from maestro_py.settings import Settings
from maestro_py.storage.engine_statements import SAVE_PARTS
from maestro_py.storage.engine_store import PostgresEngineStore, PostgresTransaction

STOPPED_BEFORE_SAVE = "stopped-before-save"  #: Its events are taken, nothing is written.
STOPPED_INSIDE_SAVE = "stopped-inside-save"  #: Rows are written, and the transaction is open.
BLOCKED = "blocked"  #: Its loop does not tick any more; its other threads run.
KILLED_BEFORE_COMMIT = "killed-before-commit"  #: Rows are written, and it dies.
KILLED_AFTER_COMMIT = "killed-after-commit"  #: The batch is committed, and nobody is told.

_BLOCKED_SECONDS = 3600


class Fault:
    """Strikes this process in one of its batches."""

    def __init__(self, name: str, number: int) -> None:
        self._name = name
        self._left = number

    def begin_batch(self) -> None:
        """Count a batch that has something to save."""
        self._left -= 1

    def at(self, *names: str) -> None:
        """Strike if this is the moment."""
        if self._left != 0 or self._name not in names:
            return
        if self._name == BLOCKED:
            time.sleep(_BLOCKED_SECONDS)
        stops = self._name in (STOPPED_BEFORE_SAVE, STOPPED_INSIDE_SAVE)
        os.kill(os.getpid(), signal.SIGSTOP if stops else signal.SIGKILL)


class FailingTransaction(PostgresTransaction):
    """A batch that fails at one of its moments."""

    fault: Fault

    async def save(self, writes: Writes) -> list[UUID]:
        """Write in two steps, so that there is something between them."""
        parts = [name for name in SAVE_PARTS if getattr(writes, name)]
        if not parts:
            return await super().save(writes)
        self.fault.begin_batch()
        self.fault.at(STOPPED_BEFORE_SAVE, BLOCKED)
        await self._save_parts(writes)
        self.fault.at(STOPPED_INSIDE_SAVE, KILLED_BEFORE_COMMIT)
        asked = await super().save(replace(writes, **{name: [] for name in parts}))
        self.fault.at(KILLED_AFTER_COMMIT)
        return asked


class FailingStore(PostgresEngineStore):
    """A store of failing batches."""

    fault: Fault

    @asynccontextmanager
    async def batch(self, fence: Sequence[tuple[int, int]]) -> AsyncIterator[PostgresTransaction]:
        async with super().batch(fence) as transaction:
            failing = FailingTransaction(transaction._conn, fence)
            failing.fault = self.fault
            yield failing


if __name__ == "__main__":
    FailingStore.fault = Fault(sys.argv[2], int(sys.argv[3]))
    # The one part that is not as in production.
    vars(bootstrap)["PostgresEngineStore"] = FailingStore
    bootstrap.run_engine(Settings.from_environment())
