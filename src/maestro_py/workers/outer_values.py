"""
Give the tasks of iterations the parameters that all iterations of their foreach share.

They lie in one row, by reference, rather than in each of a hundred thousand tasks; a worker reads them once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, Final
from uuid import UUID

import msgspec

from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.step_type import StepTask
from maestro_py.ports.worker_store import AttemptKey, WorkerStore

#: Foreach attempts whose parameters are kept in memory, at most.
KEPT: Final = 64
_RETRY_SECONDS: Final = 0.5


class OuterValues:
    """Reads shared parameters, each at most once while it is remembered."""

    def __init__(self, store: WorkerStore) -> None:
        self._store = store
        self._known: OrderedDict[AttemptKey, dict[str, Any]] = OrderedDict()
        self._reading = asyncio.Lock()

    async def complete(self, task: StepTask) -> None:
        """Lay the parameters of *task* over those of the foreach it is an iteration of, if it is one."""
        if task.outer is None:
            return
        partition, run_uid, step_id, attempt = task.outer
        key = AttemptKey(partition, str(UUID(run_uid)), step_id, attempt)
        values = self._known.get(key)
        if values is None:
            async with self._reading:  # hundreds of iterations begin at once, and one of them reads
                values = self._known.get(key) or await self._read(key)
        # The task was decoded for this attempt alone; nobody else has seen this value yet.
        msgspec.structs.force_setattr(task, "params", {**values, **task.params})

    async def _read(self, key: AttemptKey) -> dict[str, Any]:
        while True:
            try:
                values = await self._store.outer_values(key)
                break
            except StoreUnavailable:
                await asyncio.sleep(_RETRY_SECONDS)  # the attempt is ours all the while
        self._known[key] = values
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return values
