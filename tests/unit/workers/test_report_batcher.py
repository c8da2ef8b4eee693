"""Reports are written together, never dropped, and applied once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from maestro_py.model.errors import StoreUnavailable
from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import DONE
from maestro_py.ports.transport import Address, HintKind
from maestro_py.ports.worker_store import Fate, LogChunk, Report, ReportRefused, StoreContended
from maestro_py.testing.waiting import wait_until_async
from maestro_py.workers.report_batcher import ReportBatcher
from maestro_py.workers.report_encoding import report_of
from tests.unit.workers.scripted_store import ScriptedStore, a_claimed, failing
from tests.worker_rig import HintsByHand


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore()


@pytest.fixture
def hints() -> HintsByHand:
    return HintsByHand()


@pytest.fixture
async def batcher(store: ScriptedStore, hints: HintsByHand) -> AsyncIterator[ReportBatcher]:
    batcher = ReportBatcher(store, hints)
    running = asyncio.ensure_future(batcher.run())
    yield batcher
    running.cancel()


def a_report(number: int = 1) -> Report:
    return report_of(a_claimed(number), DONE, 2)


async def test_what_finished_during_a_commit_is_written_together(batcher: ReportBatcher, store: ScriptedStore) -> None:
    """The first report goes at once, those that come meanwhile share the next commit."""
    commit = asyncio.Event()
    store.before["report"] = [commit.wait]
    batcher.add(a_report(1))
    await wait_until_async(lambda: not store.before["report"])
    for number in (2, 3, 4):
        batcher.add(a_report(number))
    commit.set()
    await batcher.emptied()

    assert [1, 3] == [len(batch) for batch in store.batches]
    assert (4, 2) == (batcher.applied, batcher.commits)


async def test_the_engine_is_told_after_the_commit(
    batcher: ReportBatcher, store: ScriptedStore, hints: HintsByHand
) -> None:
    """One hint for each partition, and none while the commit runs."""
    commit = asyncio.Event()
    store.before["report"] = [commit.wait]
    batcher.add_all([a_report(1), a_report(65), a_report(2)])
    await wait_until_async(lambda: not store.before["report"])
    assert [] == hints.sent
    commit.set()
    await batcher.emptied()

    assert {Address(HintKind.ENGINE, "1"), Address(HintKind.ENGINE, "2")} == set(hints.sent)
    assert 2 == len(hints.sent)


async def test_an_outage_of_the_database_drops_no_report(batcher: ReportBatcher, store: ScriptedStore) -> None:
    """The report is kept, tried again, and what finished meanwhile goes along."""
    store.before["report"] = [failing(StoreUnavailable("away")), failing(StoreUnavailable("still away"))]
    batcher.add(a_report(1))
    await wait_until_async(lambda: len(store.before["report"]) < 2)
    batcher.add(a_report(2))
    await batcher.emptied()

    assert 2 == len(store.applied)
    assert 0 == batcher.pending


async def test_a_commit_whose_answer_was_lost_is_repeated_and_applied_once(
    batcher: ReportBatcher, store: ScriptedStore, hints: HintsByHand
) -> None:
    """The repetition finds its own report in the row, which is as good; the hint is then still sent."""
    store.after["report"] = [failing(StoreUnavailable("connection lost"))]
    batcher.add(a_report(1))
    await batcher.emptied()

    assert 1 == len(store.applied)
    assert 2 == len(store.batches)
    assert [Address(HintKind.ENGINE, "1")] == hints.sent


async def test_a_late_report_is_counted_and_forgotten(batcher: ReportBatcher, store: ScriptedStore) -> None:
    """The attempt was no longer ours: there is nothing to try again."""
    store.fates = lambda _: Fate.LATE
    batcher.add(a_report(1))
    await batcher.emptied()

    assert (0, 1) == (batcher.applied, batcher.late)
    assert 1 == len(store.batches)


async def test_a_row_that_somebody_holds_delays_only_its_own_report(
    batcher: ReportBatcher, store: ScriptedStore
) -> None:
    """The others of the batch are settled; the one is tried again."""
    fates = [Fate.CONTENDED, Fate.APPLIED]
    store.fates = lambda report: fates.pop(0) if report.key == a_report(1).key else Fate.APPLIED
    batcher.add_all([a_report(1), a_report(2)])
    await batcher.emptied()

    assert [2, 1] == [len(batch) for batch in store.batches]
    assert 2 == batcher.applied


async def test_a_contended_batch_is_tried_again(batcher: ReportBatcher, store: ScriptedStore) -> None:
    """A deadlock that the database broke is nobody's fault."""
    store.before["report"] = [failing(StoreContended("deadlock detected"))]
    batcher.add(a_report(1))
    await batcher.emptied()

    assert 1 == batcher.applied


async def test_a_refused_report_is_found_and_replaced(batcher: ReportBatcher, store: ScriptedStore) -> None:
    """Its neighbours are applied as they are; itself says that the database cannot hold it."""
    guilty = a_report(3).key

    def refuse(report: Report) -> Fate:
        if report.key == guilty and b"DONE" in bytes(report.payload):
            raise ReportRefused("out of range")
        return Fate.APPLIED

    store.fates = refuse
    batcher.add_all([a_report(number) for number in range(1, 8)])
    await batcher.emptied()

    outcomes = {report.key: event.outcome for report, event in zip(store.applied, store.events, strict=True)}
    assert Outcome.FATAL_ERROR is outcomes.pop(guilty)
    assert {Outcome.DONE} == set(outcomes.values())
    assert 6 == len(outcomes)


async def test_the_end_of_a_log_is_in_the_commit_of_its_report(batcher: ReportBatcher, store: ScriptedStore) -> None:
    """Whoever sees the result sees the whole log."""
    chunk = LogChunk(1, "run", "s", 1, 1, 1, 5, "the end\n")
    batcher.add(a_report(1), [chunk])
    await batcher.emptied()

    assert [chunk] == store.logs
