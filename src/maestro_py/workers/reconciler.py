"""
Compare what the table says this worker holds with what it runs, with every beat and whenever it is told to.

The table is right.  What it holds for us by a claim that failed goes back; what it wants cancelled is cancelled; what
we run and it does not hold for us is no longer ours, and is killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Container, Sequence
from typing import NamedTuple
from uuid import UUID

import structlog

from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.transport import Address, HintKind, Transport
from maestro_py.ports.worker_store import Held, StoreContended, WorkerStore
from maestro_py.workers.claims import Claimer
from maestro_py.workers.executor import Ending, Executor, Lot
from maestro_py.workers.lease import LeaseKeeper

log = structlog.get_logger(__name__)


class Difference(NamedTuple):
    """What has to be done so that we run what the table says we hold."""

    hand_back: list[Held]
    cancel: list[Lot]
    kill: list[Lot]


def compare(held: Sequence[Held], ran_before: Collection[Lot], failed_claims: Container[UUID]) -> Difference:
    """
    Return the difference between the table and what runs.  Pure.

    Args:
        held: What the table says we hold.
        ran_before: What ran before the table was read; what was claimed since then is judged the next time.
        failed_claims: Claims whose answers will never come.  An unknown attempt of any other claim is left alone: its
            answer is on the way, or its report is.
    """
    lots = {(h.key, h.token) for h in held}
    return Difference(
        hand_back=[h for h in held if h.claim_id in failed_claims and (h.key, h.token) not in ran_before],
        cancel=[(h.key, h.token) for h in held if h.cancel_requested and (h.key, h.token) in ran_before],
        kill=[lot for lot in ran_before if lot not in lots],
    )


class Reconciler:
    """
    Keeps what runs equal to what the table says.

    Args:
        store: The rows of this worker's attempts.
        transport: Tells other workers of what was handed back.
        executor: What runs.
        claimer: Knows the claims that failed.
        lease: Tells when local work has to end.
        interval_ms: Time between two looks at the table.
    """

    def __init__(
        self,
        store: WorkerStore,
        transport: Transport,
        executor: Executor,
        claimer: Claimer,
        lease: LeaseKeeper,
        interval_ms: int,
    ) -> None:
        self._store = store
        self._transport = transport
        self._executor = executor
        self._claimer = claimer
        self._lease = lease
        self._interval = interval_ms / 1000
        self._asked = asyncio.Event()
        self.handed_back = 0  #: Attempts handed back, since the start.
        self.taken = 0  #: Running attempts that turned out to be no longer ours, since the start.

    def ask(self) -> None:
        """Have the table looked at now: a hint says that something is to be cancelled."""
        self._asked.set()

    async def run(self) -> None:
        """Reconcile with every beat, until cancelled; a database that is away is asked again at the next one."""
        while True:
            try:
                async with asyncio.timeout(self._interval):
                    await self._asked.wait()
            except TimeoutError:
                pass
            self._asked.clear()
            self._end_without_lease()
            try:
                await self.once()
            except (StoreUnavailable, StoreContended) as exc:
                log.warning("not_reconciled", reason=str(exc))

    async def once(self) -> None:
        """
        Look at the table and do what it asks for.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        ran_before = self._executor.running()
        self._claimer.failed.expire()
        if not ran_before and not self._claimer.failed:
            return
        difference = compare(await self._store.held(), ran_before, self._claimer.failed)
        self._executor.end(difference.cancel, Ending.CANCELLED)
        self._executor.end(difference.kill, Ending.TAKEN)
        self.taken += len(difference.kill)
        await self.hand_back(difference.hand_back)

    async def hand_back(self, held: Sequence[Held]) -> None:
        """Put attempts back into their queues, and wake the workers of these."""
        if not held:
            return
        queues = await self._store.hand_back(held)
        self.handed_back += len(queues)
        log.info("attempts_handed_back", attempts=len(queues))
        self._transport.send({Address(HintKind.STEPS, queue) for queue in queues})

    def _end_without_lease(self) -> None:
        """End what runs in this process too when the lease is over; the guard has ended the rest."""
        if self._lease.is_over and self._executor.busy:
            log.warning("lease_over", attempts=self._executor.busy)
            self._executor.end(self._executor.running(), Ending.LEASE_OVER)
