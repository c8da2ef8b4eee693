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
from maestro_py.workers.report_batcher import ReportBatcher

log = structlog.get_logger(__name__)


class Difference(NamedTuple):
    """What has to be done so that we run what the table says we hold."""

    hand_back: list[Held]
    cancel: list[Lot]
    kill: list[Lot]
    strange: list[Held]  #: Held by a claim that was answered, and nothing is known of them: forgotten, or just ended.


def compare(
    held: Sequence[Held], ran_before: Collection[Lot], failed_claims: Container[UUID], in_flight: UUID | None
) -> Difference:
    """
    Return the difference between the table and what runs.  Pure.

    Args:
        held: What the table says we hold.
        ran_before: What ran before the table was read; what was claimed since then is judged the next time.
        failed_claims: Claims whose answers will never come.
        in_flight: The claim whose answer is on its way: what it took is not touched.
    """
    lots = {(h.key, h.token) for h in held}
    unknown = [h for h in held if h.claim_id != in_flight and (h.key, h.token) not in ran_before]
    return Difference(
        hand_back=[h for h in unknown if h.claim_id in failed_claims],
        cancel=[(h.key, h.token) for h in held if h.cancel_requested and (h.key, h.token) in ran_before],
        kill=[lot for lot in ran_before if lot not in lots],
        strange=[h for h in unknown if h.claim_id not in failed_claims],
    )


class Reconciler:
    """
    Keeps what runs equal to what the table says.

    Args:
        store: The rows of this worker's attempts.
        transport: Tells other workers of what was handed back.
        executor: What runs.
        claimer: Knows the claims that failed.
        reports: Knows what has ended and is not yet written.
        lease: Tells when local work has to end.
        interval_ms: Time between two looks at the table.
    """

    def __init__(
        self,
        store: WorkerStore,
        transport: Transport,
        executor: Executor,
        claimer: Claimer,
        reports: ReportBatcher,
        lease: LeaseKeeper,
        interval_ms: int,
    ) -> None:
        self._store = store
        self._transport = transport
        self._executor = executor
        self._claimer = claimer
        self._reports = reports
        self._lease = lease
        self._interval = interval_ms / 1000
        self._asked = asyncio.Event()
        self._strange: set[Lot] = set()
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
        if not ran_before and not self._claimer.failed and not self._strange:
            return
        in_flight = self._claimer.in_flight
        difference = compare(await self._store.held(), ran_before, self._claimer.failed, in_flight)
        self._executor.end(difference.cancel, Ending.CANCELLED)
        self._executor.end(difference.kill, Ending.TAKEN)
        self.taken += len(difference.kill)
        await self.hand_back(difference.hand_back + self._forgotten(difference.strange))

    def _forgotten(self, strange: Sequence[Held]) -> list[Held]:
        """
        Return the attempts that a fault of ours has forgotten: strange for a second time, and no report is under way.

        They would be claimed for ever: the table says that we run them, and nobody else may.
        """
        pending = self._reports.pending_keys() if strange else set()
        running = self._executor.running()
        lots = {(h.key, h.token): h for h in strange if h.key not in pending and (h.key, h.token) not in running}
        forgotten = [held for lot, held in lots.items() if lot in self._strange]
        self._strange = lots.keys() - {(held.key, held.token) for held in forgotten}
        if forgotten:
            log.error("attempts_forgotten", attempts=len(forgotten))
        return forgotten

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
