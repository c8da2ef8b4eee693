"""
Claim work for the free slots, and remember which claims have failed.

A claim that fails on our side may have happened in the table.  What it took is handed back later, by its ``claim_id``
(`maestro_py.workers.reconciler`); a claim whose answer is merely late is not touched, unless it is later than a lease
allows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final
from uuid import UUID, uuid4

import structlog

from maestro_py.histogram import Histogram
from maestro_py.ports.worker_store import Claimed, ClaimRequest, WorkerStore
from maestro_py.workers.executor import Executor
from maestro_py.workers.lease import until_kill_ms
from maestro_py.workers.registry import KeyGroup, Registry
from maestro_py.workers.report_batcher import ReportBatcher

log = structlog.get_logger(__name__)

#: A statement whose connection broke may still run in the server for this long, in seconds; far above its timeouts.
_REMEMBERED_SECONDS: Final = 600.0


class FailedClaims:
    """The claims of the last minutes whose answers will never come."""

    def __init__(self) -> None:
        self._failed: dict[UUID, float] = {}

    def __contains__(self, claim_id: object) -> bool:
        return claim_id in self._failed

    def __bool__(self) -> bool:
        return bool(self._failed)

    def add(self, claim_id: UUID) -> None:
        """Remember a claim that has just failed."""
        self._failed[claim_id] = time.monotonic()

    def expire(self) -> None:
        """Forget those that are long over."""
        oldest = time.monotonic() - _REMEMBERED_SECONDS
        self._failed = {claim_id: at for claim_id, at in self._failed.items() if at > oldest}


class Claimer:
    """
    Claims attempts for one worker.

    Args:
        store: The rows of the attempts.
        executor: Runs them; its free slots bound each claim.
        reports: How attempts ended; while too many wait to be written, nothing is claimed.
        registry: What this worker can run.
        queues: From which queues it takes.
        lease_ms: The worker's; an answer that took nearly as long may speak of what is others' by now.
    """

    def __init__(
        self,
        store: WorkerStore,
        executor: Executor,
        reports: ReportBatcher,
        registry: Registry,
        queues: Sequence[str],
        lease_ms: int,
    ) -> None:
        self._store = store
        self._executor = executor
        self._reports = reports
        self._groups = registry.key_groups()
        self._attachable = registry.attachable_types
        self._queues = list(queues)
        self._patience = until_kill_ms(lease_ms) / 1000
        self.failed: Final = FailedClaims()
        self.in_flight: UUID | None = None  #: The claim whose answer is on its way.
        self.claims = 0  #: Claims made, since the start.
        self.claimed = 0  #: Attempts they took, since the start.
        self.claim_seconds = Histogram()  #: From asking for work to the answer.

    async def claim_all(self) -> bool:
        """
        Claim and start attempts until the slots are full or nothing is left; say whether something may be left.

        Raises:
            StoreUnavailable: PostgreSQL is away; what the claim took is handed back later.
            StoreContended: nothing was claimed; try again.
        """
        while True:
            came_full = has_no_room = False
            for group in self._groups:
                await self._reports.room()
                limit = self._limit_of(group)
                if limit <= 0:
                    has_no_room = True
                elif await self._claim(group, limit):
                    came_full = True
            if not came_full:
                return has_no_room

    def _limit_of(self, group: KeyGroup) -> int:
        limit = self._executor.free
        if group.concurrency is not None:
            limit = min(limit, group.concurrency - self._executor.count_of(group.step_types))
        return limit

    async def _claim(self, group: KeyGroup, limit: int) -> bool:
        """Claim at most *limit* attempts and start them; say whether there may be more."""
        # No queue starves behind another one: each comes first in turn.
        self._queues.append(self._queues.pop(0))
        claim_id = self.in_flight = uuid4()
        request = ClaimRequest(claim_id, self._queues, group.keys, self._attachable, limit)
        asked_at = time.monotonic()
        try:
            claims: list[Claimed] = await self._store.claim(request)
        except BaseException:
            self.failed.add(claim_id)
            raise
        finally:
            self.in_flight = None
        self.claims += 1
        self.claim_seconds.observe(time.monotonic() - asked_at)
        if claims and time.monotonic() - asked_at > self._patience:
            # This process was stopped meanwhile, say: its attempts may have been given to others, who run them.
            log.warning("claim_answered_too_late", attempts=len(claims))
            self.failed.add(claim_id)
            return False
        self.claimed += len(claims)
        self._executor.start(claim_id, claims)
        return len(claims) == limit
