"""
Write the logs of running attempts, all together, about twice a second.

The end of a log goes along with the attempt's report, in the same commit: whoever sees the result sees the whole log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.clock import Clock
from maestro_py.ports.worker_store import Claimed, LogChunk, ReportRefused, StoreContended, WorkerStore
from maestro_py.workers.attempt_log import AttemptLog, LogEntry

log = structlog.get_logger(__name__)

_FLUSH_SECONDS: Final = 0.5
#: The moving tail of a log that is longer than its bound is written once in this many rounds.
_TAIL_ROUNDS: Final = 4
_ROUND_BYTES: Final = 8 << 20


class OpenLog:
    """The log of one attempt, while it runs."""

    def __init__(self, book: LogBook, claimed: Claimed) -> None:
        self._book = book
        self._claimed = claimed
        self._log: AttemptLog | None = None  # most attempts of a benchmark print nothing

    def write(self, data: bytes) -> None:
        """Take in a piece of output."""
        if self._log is None:
            self._log = AttemptLog(self._book.limit_bytes)
        self._log.write(data)
        self._book.note(self)

    def last_lines(self, count: int = 10) -> str:
        """Return the last lines of the output, for a message."""
        return "" if self._log is None else self._log.last_lines(count)

    def finish(self) -> Sequence[LogChunk]:
        """Return what is not yet written; nothing may be written afterwards."""
        self._book.forget(self)
        return () if self._log is None else self._chunks(self._log.take(tail=True, final=True))

    def take(self, *, tail: bool) -> list[LogChunk]:
        """Return what is to be written now; the same again until `confirm` is called."""
        return [] if self._log is None else self._chunks(self._log.take(tail=tail))

    def confirm(self) -> None:
        """Forget what the last `take` returned: it is durable."""
        if self._log is not None:
            self._log.confirm()

    @property
    def is_dirty(self) -> bool:
        """Say whether there is anything to be written."""
        return self._log is not None and self._log.is_dirty

    def _chunks(self, entries: Sequence[LogEntry]) -> list[LogChunk]:
        c = self._claimed
        now = self._book.now_ms()
        return [LogChunk(c.partition, c.run_uid, c.step_id, c.attempt, c.token, e.seq, now, *e[1:]) for e in entries]


class LogBook:
    """
    The logs of all running attempts of one worker.

    Args:
        store: Where they are written.
        clock: Dates the chunks.
        limit_bytes: What is kept of each.
    """

    def __init__(self, store: WorkerStore, clock: Clock, limit_bytes: int) -> None:
        self._store = store
        self._clock = clock
        self.limit_bytes: Final = limit_bytes
        self._dirty: set[OpenLog] = set()
        self._arrived = asyncio.Event()

    def open(self, claimed: Claimed) -> OpenLog:
        """Return the log of an attempt that begins to run."""
        return OpenLog(self, claimed)

    def note(self, log: OpenLog) -> None:
        """Remember that *log* has something to be written."""
        self._dirty.add(log)
        self._arrived.set()

    def forget(self, log: OpenLog) -> None:
        """Leave *log* to its attempt's report."""
        self._dirty.discard(log)

    def now_ms(self) -> int:
        """Return the time of day, UTC epoch ms."""
        return self._clock.now_ms()

    async def run(self) -> None:
        """Write what arrives, until cancelled; while the database is away, logs keep within their bounds."""
        rounds = 0
        while True:
            await self._arrived.wait()
            await asyncio.sleep(_FLUSH_SECONDS)
            rounds += 1
            await self._flush(tail=rounds % _TAIL_ROUNDS == 0)
            if not self._dirty:
                self._arrived.clear()

    async def _flush(self, *, tail: bool) -> None:
        taken: list[OpenLog] = []
        chunks: list[LogChunk] = []
        size = 0
        for open_log in list(self._dirty):
            mine = open_log.take(tail=tail)
            if mine:
                taken.append(open_log)
                chunks += mine
                size += sum(len(chunk.text) for chunk in mine)
            if size > _ROUND_BYTES:
                break
        if chunks:
            try:
                await self._store.write_logs(chunks)
            except (StoreUnavailable, StoreContended) as exc:
                log.warning("logs_delayed", attempts=len(taken), reason=str(exc))
                return
            except ReportRefused as exc:
                log.error("logs_refused", attempts=len(taken), reason=str(exc))
        for open_log in taken:
            open_log.confirm()
        self._dirty = {open_log for open_log in self._dirty if open_log.is_dirty}
