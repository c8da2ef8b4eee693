"""
Announce signals for many callers at once: what arrives while a transaction commits is stored by the next.

Announcers of one name pass one after the other anyway, at the row of the name; gathered they wait once.
"""

from __future__ import annotations

import asyncio
from typing import Final

from maestro_py.api.errors import TooBusy
from maestro_py.model.errors import DuplicateSignal
from maestro_py.ports.api_store import ApiStore
from maestro_py.ports.clock import Clock
from maestro_py.ports.signal_store import Announcement, SignalInstance
from maestro_py.ports.transport import Address, HintKind, Transport

#: Signals stored by one transaction at most.
BATCH_LIMIT: Final = 500

#: Callers that may wait for one process; more are told to come back.
WAITING_LIMIT: Final = 20_000

_Waiting = tuple[Announcement, "asyncio.Future[SignalInstance]"]


class Announcer:
    """Announces signals; one for each API process."""

    def __init__(self, store: ApiStore, transport: Transport, clock: Clock) -> None:
        self._store = store
        self._transport = transport
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def announce(self, announcement: Announcement) -> SignalInstance:
        """
        Store one signal, wake the signal service and return what was stored.

        Raises:
            DuplicateSignal: it was announced before.
            TooBusy: too many callers wait already.
            StoreUnavailable: the database is away; a signal with a request id may be sent again.
        """
        if len(self._waiting) >= WAITING_LIMIT:
            raise TooBusy(f"{len(self._waiting)} callers wait already to announce signals")
        answer: asyncio.Future[SignalInstance] = asyncio.get_running_loop().create_future()
        self._waiting.append((announcement, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await answer

    async def close(self) -> None:
        """Wait for the transaction under way."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH_LIMIT], self._waiting[BATCH_LIMIT:]
            try:
                await self._store_batch(batch)
            except Exception as exc:  # told to everybody who waits
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(exc)
        self._task = None

    async def _store_batch(self, batch: list[_Waiting]) -> None:
        stored = await self._store.signals.announce(
            [announcement for announcement, _ in batch], now_ms=self._clock.now_ms()
        )
        if any(isinstance(signal, SignalInstance) for signal in stored):
            self._transport.send([Address(HintKind.SIGNALS, "")])
        for (_, answer), signal in zip(batch, stored, strict=True):
            if answer.done():
                continue
            if isinstance(signal, DuplicateSignal):
                answer.set_exception(signal)
            else:
                answer.set_result(signal)
