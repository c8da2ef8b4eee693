"""
Write reports: those that finished while the previous commit ran are written together.

A report is never dropped while the process lives.  A database that is away is tried again; a commit whose answer was
lost is repeated, which applies nothing twice; a report that the database refuses is replaced by one that says so.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence
from typing import Final

import structlog

from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.transport import Address, HintKind, Transport
from maestro_py.ports.worker_store import (
    AttemptKey,
    Fate,
    LogChunk,
    Report,
    ReportRefused,
    StoreContended,
    WorkerStore,
)
from maestro_py.workers.report_encoding import replaced

log = structlog.get_logger(__name__)

#: A report with the rest of its attempt's log.
_Entry = tuple[Report, Sequence[LogChunk]]

_BATCH_LIMIT: Final = 1_000
#: With more reports than this waiting, the database is behind, and no more work is taken on.
_ROOMY: Final = 2_000
_BATCH_BYTES: Final = 64 << 20
_FIRST_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 1.0


class ReportBatcher:
    """
    Collects reports and writes them, one commit at a time.

    Args:
        store: The rows of this worker's attempts.
        transport: Wakes the engine after each commit.
    """

    def __init__(self, store: WorkerStore, transport: Transport) -> None:
        self._store = store
        self._transport = transport
        self._waiting: list[_Entry] = []
        self._batches: list[list[_Entry]] = []
        self._arrived = asyncio.Event()
        self._committed = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self.applied = 0  #: Reports that won, since the start.
        self.late = 0  #: Reports of attempts that were no longer ours, since the start.
        self.commits = 0  #: Commits that wrote reports, since the start.

    @property
    def pending(self) -> int:
        """Return how many reports wait or are being written."""
        return len(self._waiting) + sum(map(len, self._batches))

    def pending_keys(self) -> set[AttemptKey]:
        """Return the attempts whose reports wait or are being written."""
        return {report.key for batch in (self._waiting, *self._batches) for report, _ in batch}

    def add(self, report: Report, logs: Sequence[LogChunk] = ()) -> None:
        """Take a report into the next commit, together with the rest of the attempt's log."""
        self._waiting.append((report, logs))
        self._arrived.set()
        self._empty.clear()

    def add_all(self, reports: Collection[Report]) -> None:
        """Take reports of attempts without logs into the next commit."""
        if reports:
            self._waiting.extend((report, ()) for report in reports)
            self._arrived.set()
            self._empty.clear()

    async def room(self) -> None:
        """Return when few enough reports wait that more work may be taken on."""
        while self.pending > _ROOMY:
            self._committed.clear()
            await self._committed.wait()

    async def emptied(self) -> None:
        """Return when no report waits or is being written."""
        await self._empty.wait()

    async def run(self) -> None:
        """Write what arrives, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                self._batches = [self._take(_BATCH_LIMIT, _BATCH_BYTES)]
                await self._write()
            self._empty.set()

    def _take(self, limit: int, room_bytes: int) -> list[_Entry]:
        """Return the reports that are written next: bounded in number and in bytes, but one of any size."""
        count = 0
        for entry in self._waiting[:limit]:
            room_bytes -= _size(entry)
            if room_bytes < 0 and (count or limit < _BATCH_LIMIT):
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    async def _write(self) -> None:
        """Write the batches, the last one first, until none of their reports needs any more care."""
        pause = _FIRST_PAUSE_SECONDS
        while self._batches:
            batch = self._batches[-1]
            reports = [report for report, _ in batch]
            try:
                fates = await self._store.report(reports, [chunk for _, logs in batch for chunk in logs])
            except ReportRefused as exc:
                self._batches[-1:] = _without_guilty(batch, str(exc))
                continue
            except (StoreUnavailable, StoreContended) as exc:
                log.warning("reports_delayed", reports=len(reports), reason=str(exc))
                fates = [Fate.CONTENDED] * len(reports)
            self._settle(reports, fates)
            again = [entry for entry, fate in zip(batch, fates, strict=True) if fate is Fate.CONTENDED]
            self._batches[-1:] = [again] if again else []
            if again:
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # jitter, not a secret
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                # What finished meanwhile goes along: during an outage everything is one batch in the end.
                again += self._take(_BATCH_LIMIT - len(again), _BATCH_BYTES - sum(map(_size, again)))

    def _settle(self, reports: Sequence[Report], fates: Sequence[Fate]) -> None:
        settled = [report for report, fate in zip(reports, fates, strict=True) if fate is not Fate.CONTENDED]
        if not settled:
            return
        self.commits += 1
        self._committed.set()
        applied = fates.count(Fate.APPLIED)
        self.applied += applied
        self.late += len(settled) - applied
        # An applied one may owe its hint to a commit whose answer was lost; a superfluous hint costs nothing.
        self._transport.send({Address(HintKind.ENGINE, str(p)) for p in {r.partition for r in settled}})


def _size(entry: _Entry) -> int:
    report, logs = entry
    return len(report.payload) + sum(len(chunk.text) for chunk in logs)


def _without_guilty(batch: list[_Entry], reason: str) -> list[list[_Entry]]:
    """Return what to write in place of a refused batch: its halves; one alone is replaced by one that says why."""
    if len(batch) > 1:
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]
    report, _ = batch[0]
    log.error("report_refused", step_id=report.step_id, reason=reason)
    return [[(replaced(report, f"the database cannot hold the report: {reason}"), ())]]
