"""
The lane of the aggregates ``@workflow:<id>``: admits queued runs when others end.

A lane of its own, because it locks workflow rows: one hot workflow delays nobody's steps (DESIGN section 4).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Any

import structlog

from maestro_py.engine.context import EngineContext
from maestro_py.model.errors import Fenced, RowContended, StaleInstance, StoreUnavailable
from maestro_py.model.events import RunEnded, encode_event
from maestro_py.model.statuses import EventClass
from maestro_py.ports.engine_store import Writes

_log = structlog.get_logger(__name__)

#: Events taken of each partition by one batch, at most.
BATCH_LIMIT = 200
#: Pause after a batch that met a lock or an absent database, in seconds.
PAUSE_SECONDS = 0.2


class WorkflowLane:
    """Takes events for workflows and lets the next runs begin."""

    def __init__(self, context: EngineContext) -> None:
        self.epochs: dict[int, int] = {}
        self.batch_opened_at: float | None = None
        self._context = context
        self._dirty: set[int] = set()
        self._swept: set[int] = set()  # of the dirty ones, those that no hint announced
        self._wake = asyncio.Event()
        self._idle = asyncio.Lock()
        self._stopping = False

    def hint(self, partitions: Collection[int], *, swept: bool = False) -> None:
        """Look into the inbox of those of *partitions* that are ours; *swept*: nobody but a sweep says so."""
        mine = self.epochs.keys() & partitions
        if mine:
            self._swept = self._swept | (mine - self._dirty) if swept else self._swept - mine
            self._dirty |= mine
            self._wake.set()

    def acquire(self, epochs: Mapping[int, int]) -> None:
        """Begin to serve these partitions."""
        self.epochs.update(epochs)
        self.hint(epochs.keys())

    async def release(self, partitions: Collection[int]) -> None:
        """Stop serving these partitions; returns when no batch touches them any more."""
        async with self._idle:
            for partition in partitions:
                self.epochs.pop(partition, None)
            self._dirty.difference_update(partitions)

    def stop(self) -> None:
        """Finish the batch at hand and return from `run`."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Serve until `stop` is called."""
        while not self._stopping:
            if not self._dirty:
                await self._wake.wait()
            self._wake.clear()
            partitions = [p for p in self._dirty if p in self.epochs]
            self._dirty.clear()
            try:
                async with self._idle:
                    await self._batch(partitions)
            except Fenced as exc:
                _log.warning("fenced", lane="workflow", reason=str(exc))
                self._context.lost(partitions)
                for partition in partitions:
                    self.epochs.pop(partition, None)
            except (StaleInstance, RowContended, StoreUnavailable) as exc:
                _log.info("batch_retried", lane="workflow", reason=str(exc))
                self._dirty.update(partitions)
                await asyncio.sleep(PAUSE_SECONDS)
            except Exception:
                # A bug of ours: nothing was committed, so trying again loses nothing.
                _log.exception("batch_failed", lane="workflow")
                self._dirty.update(partitions)
                await asyncio.sleep(1.0)
            finally:
                self.batch_opened_at = None

    async def _batch(self, partitions: list[int]) -> None:
        held = [(p, self.epochs[p]) for p in partitions if p in self.epochs]
        if not held:
            return
        self.batch_opened_at = time.monotonic()
        swept, self._swept = self._swept, set()
        now_ms = self._context.clock.now_ms()
        async with self._context.store.batch(held) as tx:
            taken = await tx.take([p for p, _ in held], [(EventClass.WORKFLOW, BATCH_LIMIT)])
            if not taken:
                return
            addressee = {row.workflow_id: row.partition for row in taken if row.workflow_id is not None}
            dequeued = await tx.dequeue(sorted(addressee), now_ms)
            locked = {workflow_id: addressee[workflow_id] for workflow_id in dequeued.held}
            await tx.save(Writes(inbox=[_told_again(workflow_id, p) for workflow_id, p in locked.items()]))
        self._context.metrics.note_swept(taken, swept)
        if len(taken) >= BATCH_LIMIT:
            self._dirty.update(partitions)
        if locked:
            asyncio.get_running_loop().call_later(PAUSE_SECONDS, self.hint, set(locked.values()))
        self._context.hint_partitions(dequeued.partitions)


def _told_again(workflow_id: str, partition: int) -> dict[str, Any]:
    """Return the event that was taken for a workflow whose row is locked, for a later batch."""
    return {"p": partition, "c": EventClass.WORKFLOW, "u": None, "w": workflow_id, "e": encode_event(RunEnded())}
