"""
Wait for what became of runs that the engine was asked to end, for many callers by one statement at a time.

The row of a run is the verdict; nobody announces it to an API process, so it is looked at until it is there.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final
from uuid import UUID

from maestro_py.model.errors import StoreUnavailable
from maestro_py.model.statuses import InstanceStatus
from maestro_py.ports.api_store import StopStore

#: Pause between two looks, in seconds.
_PAUSE: Final = 0.025

#: The partition and the uid of a run: its primary key.
RunKey = tuple[int, UUID]


class Verdicts:
    """
    Tells how runs end; one for each API process.

    Args:
        stops: Where the statuses of runs are.
        patience_seconds: How long a caller waits for a run to end.
    """

    def __init__(self, stops: StopStore, patience_seconds: float) -> None:
        self._stops = stops
        self._patience = patience_seconds
        self._waiting: dict[asyncio.Future[InstanceStatus], RunKey] = {}
        self._seen: dict[UUID, InstanceStatus] = {}
        self._task: asyncio.Task[None] | None = None

    async def of(self, run: RunKey, status: InstanceStatus) -> InstanceStatus:
        """
        Return the status with which *run* ended, or after the patience the newest one that was seen.

        Args:
            run: Which run.
            status: As it was when the engine was asked to end it; the answer if nothing newer is seen.
        """
        ended: asyncio.Future[InstanceStatus] = asyncio.get_running_loop().create_future()
        self._waiting[ended] = run
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        try:
            return await asyncio.wait_for(ended, self._patience)
        except TimeoutError:
            return self._seen.get(run[1], status)
        finally:
            del self._waiting[ended]

    async def _look(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(_PAUSE)
                # What was asked is committed: if the database is away, whoever waits in vain is told that the run
                # goes on.
                with suppress(StoreUnavailable):
                    self._seen = await self._stops.statuses(sorted(set(self._waiting.values())))
                    self._tell()
        finally:
            self._task = None

    def _tell(self) -> None:
        for ended, (_, run_uid) in self._waiting.items():
            status = self._seen.get(run_uid)
            if status is not None and status.is_terminal and not ended.done():
                ended.set_result(status)
