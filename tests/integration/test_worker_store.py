"""Claims, reports and hand-backs are guarded statements: of two rivals exactly one wins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from uuid import uuid4

import msgspec
import psycopg
import pytest

from maestro_py.model.statuses import Outcome, ProcessKind
from maestro_py.ports.step_type import DONE, StepReport
from maestro_py.ports.worker_store import (
    AttemptTaken,
    Claimed,
    ClaimRequest,
    Fate,
    Held,
    LogChunk,
    Report,
    ReportRefused,
)
from maestro_py.storage.connections import Database, application_name
from maestro_py.storage.worker_store import PostgresWorkerStore
from maestro_py.workers.report_encoding import report_of
from tests.worker_rows import AttemptRows

Stores = Callable[[], "PostgresWorkerStore"]


@pytest.fixture
def rows(database_url: str) -> AttemptRows:
    return AttemptRows(database_url)


@pytest.fixture
async def stores(database_url: str) -> AsyncIterator[list[PostgresWorkerStore]]:
    """The stores of two workers."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(2):
            worker = uuid4()
            name = application_name(ProcessKind.WORKER, worker)
            database = await stack.enter_async_context(Database(database_url, name, size=5, hot=True))
            made.append(PostgresWorkerStore(database, worker))
        yield made


@pytest.fixture
def store(stores: list[PostgresWorkerStore]) -> PostgresWorkerStore:
    return stores[0]


def a_request(limit: int = 10, **more: object) -> ClaimRequest:
    return ClaimRequest(uuid4(), ["default"], ["shell", "bench_noop"], ["external_job"], limit)._replace(**more)  # type: ignore[arg-type]  # a test states only what it is about


async def test_an_attempt_is_claimed_by_one_worker(stores: list[PostgresWorkerStore], rows: AttemptRows) -> None:
    """Twenty claims race for a hundred attempts: each attempt is handed out once."""
    rows.queue("shell", count=100)
    answers = await asyncio.gather(*(stores[n % 2].claim(a_request(10)) for n in range(20)))

    claimed = [claim.key for answer in answers for claim in answer]
    assert 100 == len(claimed) == len(set(claimed))
    assert {"CLAIMED": 100} == rows.dispatches()


async def test_a_claim_raises_the_token_and_sets_the_deadline(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """The row says who has it, by which claim, and until when."""
    key = rows.queue_one("shell", timeout_ms=60_000)
    request = a_request()
    (claim,) = await store.claim(request)

    row = rows.row(key)
    assert (1, 1, request.claim_id) == (claim.token, row["token"], row["claim_id"])
    assert 60 == (row["deadline_at"] - row["claimed_at"]).total_seconds()
    assert claim.claimed_ms == int(row["claimed_at"].timestamp() * 1000)
    assert not row["attachable"]


async def test_a_claim_without_timeout_has_no_deadline(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """Nobody will look at it."""
    key = rows.queue_one("shell")
    await store.claim(a_request())

    assert rows.row(key)["deadline_at"] is None


async def test_a_claim_tells_the_outside(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """One event for each attempt, in the commit of the claim."""
    keys = rows.queue("shell", count=2)
    await store.claim(a_request())

    events = rows.events()
    assert {"STEP_ATTEMPT_CLAIMED"} == {event["type"] for event in events}
    assert {str(key.run_uid) for key in keys} == {event["run_uid"] for event in events}


async def test_a_claim_takes_only_what_the_worker_serves(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """By queue, and by any of the attempt's keys."""
    rows.queue_one("trino")
    rows.queue_one("shell", queue="gpu")
    mapped = rows.queue_one("spark", backend_keys=["spark", "spark:image=etl:1", "spark:step=s"])
    claims = await store.claim(a_request(backend_keys=["shell", "spark:image=etl:1"]))

    assert [str(mapped.run_uid)] == [claim.run_uid for claim in claims]


async def test_the_longest_waiting_attempt_is_claimed_first(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """Within a queue."""
    keys = [rows.queue_one("shell") for _ in range(3)]
    rows.update(keys[2], "queued_at = now() - interval '1 minute'")
    (claim,) = await store.claim(a_request(1))

    assert str(keys[2].run_uid) == claim.run_uid


async def test_a_claim_goes_through_several_queues(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """In the order given, up to the limit over all."""
    for queue in ("first", "second"):
        rows.queue("shell", count=3, queue=queue, step_id=queue)
    claims = await store.claim(a_request(4, queues=["second", "first"]))

    assert ["first", "second", "second", "second"] == sorted(claim.step_id for claim in claims)


async def test_attachable_types_are_marked(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """Whoever judges the attempt lost lets another worker attach to its job."""
    key = rows.queue_one("external_job")
    await store.claim(a_request(backend_keys=["external_job"]))

    assert rows.row(key)["attachable"]


async def claimed(store: PostgresWorkerStore, count: int = 1) -> list[Claimed]:
    claims = await store.claim(a_request(count))
    assert count == len(claims)
    return claims


def a_report(claim: Claimed, report: StepReport = DONE) -> Report:
    return report_of(claim, report, claim.claimed_ms + 5)


async def test_a_report_is_in_the_row_and_in_the_inbox(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """One commit writes both."""
    key = rows.queue_one("shell")
    (claim,) = await claimed(store)
    fates = await store.report([a_report(claim, StepReport(Outcome.DONE, {"n": 1}))])

    row = rows.row(key)
    assert [Fate.APPLIED] == fates
    assert ("REPORTED", {"n": 1}) == (row["dispatch"], row["outputs"])
    assert "DONE" == row["report"]["outcome"]
    assert "outputs" not in row["report"]
    assert {"n": 1} == rows.report(key).outputs


async def test_a_repeated_report_is_applied_once(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """The second call finds the row reported under our token, and says so."""
    key = rows.queue_one("shell")
    (claim,) = await claimed(store)

    assert [Fate.APPLIED] == await store.report([a_report(claim)])
    assert [Fate.APPLIED] == await store.report([a_report(claim)])
    assert 1 == len(rows.reports(key))


async def test_a_report_of_a_lost_attempt_is_recorded_and_changes_nothing(
    store: PostgresWorkerStore, rows: AttemptRows
) -> None:
    """LOST won; the report is kept for whoever asks what happened."""
    key = rows.queue_one("shell")
    (claim,) = await claimed(store)
    rows.lose(key)

    assert [Fate.LATE] == await store.report([a_report(claim, StepReport(Outcome.DONE, {"n": 1}))])
    row = rows.row(key)
    assert ("LOST", None) == (row["dispatch"], row["outputs"])
    assert {"n": 1} == row["report"]["outputs"]
    assert [] == rows.reports()


async def test_a_report_of_an_old_token_changes_nothing(stores: list[PostgresWorkerStore], rows: AttemptRows) -> None:
    """The attempt went back and somebody else has it; his report is the one that counts."""
    key = rows.queue_one("shell")
    (old,) = await claimed(stores[0])
    rows.update(key, "dispatch = 'QUEUED', worker = NULL, claim_id = NULL")
    (new,) = await claimed(stores[1])

    assert [Fate.LATE] == await stores[0].report([a_report(old, StepReport(Outcome.USER_ERROR))])
    assert [Fate.APPLIED] == await stores[1].report([a_report(new)])
    assert [Fate.LATE] == await stores[0].report([a_report(old, StepReport(Outcome.USER_ERROR))])
    assert "DONE" == rows.row(key)["report"]["outcome"]
    assert Outcome.DONE is rows.report(key).outcome


async def test_of_a_mixed_batch_each_report_has_its_own_fate(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """The fates come in the order of the reports."""
    rows.queue("shell", count=3)
    claims = await claimed(store, 3)
    await store.report([a_report(claims[0])])
    lost = next(key for key in _keys(claims) if key[1] == claims[1].run_uid)
    rows.lose(lost)  # type: ignore[arg-type]  # the same three values
    unknown = claims[2]._replace(run_uid=str(uuid4()))
    fates = await store.report([a_report(c) for c in (claims[0], claims[1], claims[2], unknown)])

    assert [Fate.APPLIED, Fate.LATE, Fate.APPLIED, Fate.LATE] == fates
    assert 2 == len(rows.reports())


def _keys(claims: list[Claimed]) -> list[tuple[int, str, str]]:
    return [(claim.partition, claim.run_uid, claim.step_id) for claim in claims]


async def test_a_report_and_a_verdict_cannot_both_win(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """Many times: a report races with LOST, and exactly one of them is in the row."""
    rows.queue("shell", count=20)
    claims = await claimed(store, 20)

    async def judge() -> int:
        return await asyncio.to_thread(_lose_all, rows)

    fates, lost = await asyncio.gather(
        asyncio.gather(*(store.report([a_report(claim)]) for claim in claims)),
        judge(),
    )

    assert 20 == sum(fate == [Fate.APPLIED] for fate in fates) + lost
    assert {"REPORTED": 20 - lost, **({"LOST": lost} if lost else {})} == rows.dispatches()


def _lose_all(rows: AttemptRows) -> int:
    with psycopg.connect(rows.url, autocommit=True) as conn:
        return conn.execute("UPDATE step_attempt SET dispatch = 'LOST' WHERE dispatch = 'CLAIMED'").rowcount


async def test_a_locked_row_delays_only_its_own_report(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """A stopped process may hold the lock for seconds: the other reports of the batch go through."""
    rows.queue("shell", count=2)
    claims = await claimed(store, 2)
    with psycopg.connect(rows.url) as holder:
        holder.execute("SELECT FROM step_attempt WHERE run_uid = %s FOR UPDATE", (claims[0].run_uid,))
        fates = await store.report([a_report(claim) for claim in claims])

    assert [Fate.CONTENDED, Fate.APPLIED] == fates
    assert [Fate.APPLIED, Fate.APPLIED] == await store.report([a_report(claim) for claim in claims])


async def test_the_database_refuses_what_it_cannot_hold(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """Nothing of the batch is written, and the error has a name."""
    rows.queue("shell", count=2)
    claims = await claimed(store, 2)
    broken = msgspec.structs.replace(a_report(claims[0]), payload=msgspec.Raw(b'{"kind": "\\ud800"}'))

    with pytest.raises(ReportRefused):
        await store.report([broken, a_report(claims[1])])
    assert {"CLAIMED": 2} == rows.dispatches()


async def test_a_worker_sees_what_it_holds(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """With the claim, the token, and whether it is to be cancelled."""
    keys = rows.queue("shell", count=2)
    request = a_request()
    await store.claim(request)
    rows.cancel(keys[0])
    held = {str(h.key.run_uid): h for h in await store.held()}

    assert {request.claim_id} == {h.claim_id for h in held.values()}
    assert [True, False] == [held[str(key.run_uid)].cancel_requested for key in keys]


async def test_what_is_handed_back_can_be_claimed_again(stores: list[PostgresWorkerStore], rows: AttemptRows) -> None:
    """Under a higher token; the row forgets the first worker, and keeps a cancellation that was asked for."""
    key = rows.queue_one("shell")
    await stores[0].claim(a_request())
    rows.cancel(key)
    queues = await stores[0].hand_back(await stores[0].held())

    row = rows.row(key)
    assert ["default"] == queues
    assert ("QUEUED", None, None, None) == (row["dispatch"], row["worker"], row["claim_id"], row["deadline_at"])
    (again,) = await stores[1].claim(a_request())
    assert (2, True) == (again.token, again.cancel_requested)


async def test_only_what_is_still_ours_is_handed_back(stores: list[PostgresWorkerStore], rows: AttemptRows) -> None:
    """Not what was reported, judged lost, or claimed again meanwhile."""
    reported, lost, other = rows.queue("shell", count=3)
    await stores[0].claim(a_request())
    held = await stores[0].held()
    rows.update(reported, "dispatch = 'REPORTED'")
    rows.lose(lost)
    rows.update(other, "dispatch = 'QUEUED', worker = NULL, claim_id = NULL")
    await stores[1].claim(a_request())

    assert [] == await stores[0].hand_back(held)
    assert {"REPORTED": 1, "LOST": 1, "CLAIMED": 1} == rows.dispatches()


async def test_another_claim_of_the_same_worker_is_not_handed_back(
    store: PostgresWorkerStore, rows: AttemptRows
) -> None:
    """The claim is part of the guard."""
    rows.queue_one("shell")
    await store.claim(a_request())
    (held,) = await store.held()

    assert [] == await store.hand_back([Held(held.key, held.token, uuid4(), cancel_requested=False)])


async def test_a_handle_is_kept_for_the_next_worker(stores: list[PostgresWorkerStore], rows: AttemptRows) -> None:
    """The claim hands it over."""
    rows.queue_one("shell")
    (claim,) = await claimed(stores[0])
    await stores[0].save_handle(claim.key, claim.token, {"job": "a"})
    await stores[0].hand_back(await stores[0].held())
    (again,) = await claimed(stores[1])

    assert again.handle is not None
    assert {"job": "a"} == msgspec.json.decode(again.handle)


async def test_a_handle_of_an_attempt_that_is_not_ours_is_refused(
    store: PostgresWorkerStore, rows: AttemptRows
) -> None:
    """Whoever submitted the job learns that the attempt was taken."""
    key = rows.queue_one("shell")
    (claim,) = await claimed(store)
    rows.lose(key)

    with pytest.raises(AttemptTaken):
        await store.save_handle(claim.key, claim.token, {"job": "a"})


async def test_step_types_are_registered_once(stores: list[PostgresWorkerStore], rows: AttemptRows) -> None:
    """However many workers start."""
    await asyncio.gather(*(store.register_step_types(["shell", "python"]) for store in stores))
    with psycopg.connect(rows.url, autocommit=True) as conn:
        names = conn.execute("SELECT name FROM step_type ORDER BY name").fetchall()

    assert [("python",), ("shell",)] == names


async def test_the_end_of_a_log_comes_with_the_report(store: PostgresWorkerStore, rows: AttemptRows) -> None:
    """One commit; a report that is late still brings its log."""
    key = rows.queue_one("shell")
    (claim,) = await claimed(store)
    rows.lose(key)
    await store.report([a_report(claim)], [LogChunk(*claim.key, claim.token, 1, 0, "the end\n")])

    assert "the end\n" == rows.log(key)
