"""Starting for many callers at once, over a store that does as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from maestro_py.admission import StartOutcome, StartRequest, StartResult, VersionName
from maestro_py.api import starts
from maestro_py.api.errors import TooBusy
from maestro_py.api.starts import StartAsk, Starter
from maestro_py.model.definition import Step, Workflow
from maestro_py.model.errors import Conflict, NotFound, StoreUnavailable
from maestro_py.ports.api_records import VersionRecord, VersionRef, WorkflowRecord
from maestro_py.ports.api_store import ApiStore
from maestro_py.ports.transport import Address, HintKind
from tests.api_scene import NOW_MS, ManualClock, RecordingTransport

Answer = Callable[[StartRequest], StartOutcome]


class ScriptedStarts:
    """A store that answers each request as told, and remembers the batches."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.batches: list[list[StartRequest]] = []
        self.failures: list[Exception] = []
        self.version_number = 1
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def version(self, workflow_id: str, ref: VersionRef) -> VersionRecord:
        if workflow_id == "gone":
            raise NotFound("gone")
        workflow = WorkflowRecord(
            workflow_id=workflow_id,
            internal_id=UUID(int=1),
            active_version=self.version_number,
            latest_version=self.version_number,
            last_instance_id=0,
            properties={"owner": "olga"},
            create_time_ms=1,
            modify_time_ms=1,
        )
        return VersionRecord(
            owner=workflow,
            workflow_version=self.version_number,
            definition_uid=UUID(int=self.version_number),
            definition=Workflow(id=workflow_id, steps=(Step(id="a", type="NoOp"),)),
            metadata={},
        )

    async def start(self, requests: Sequence[StartRequest], *, now_ms: int) -> list[StartResult]:
        self.batches.append(list(requests))
        await self.may_go_on.wait()
        if self.failures:
            raise self.failures.pop(0)
        return [
            StartResult(
                outcome=self.answer(request),
                workflow_id=request.workflow_id,
                request_id=request.request_id,
                run_uid=request.run_uid,
                instance_id=number,
                partitions=(number % 3,),
            )
            for number, request in enumerate(requests, 1)
        ]


class World:
    """A starter over a scripted store."""

    def __init__(self, answer: Answer = lambda _: StartOutcome.CREATED) -> None:
        self.store = ScriptedStarts(answer)
        self.transport = RecordingTransport()
        bundle = type("Store", (), {"starts": self.store})()
        self.starter = Starter(cast("ApiStore", bundle), self.transport, ManualClock())

    async def start(self, workflow_id: str = "wf", request_id: str | None = None) -> StartResult:
        return await self.starter.start(an_ask(workflow_id, request_id))


def an_ask(workflow_id: str = "wf", request_id: str | None = None) -> StartAsk:
    return StartAsk(
        workflow_id=workflow_id,
        version=VersionRef(VersionName.ACTIVE),
        request_id=request_id or str(uuid4()),
        request_time_ms=NOW_MS,
        initiator={"type": "MANUAL"},
    )


async def test_what_arrives_during_a_transaction_is_started_by_the_next_one() -> None:
    world = World()
    world.store.may_go_on.clear()
    first = asyncio.create_task(world.start())
    await until(lambda: bool(world.store.batches))
    others = [asyncio.create_task(world.start()) for _ in range(50)]
    await asyncio.sleep(0)
    world.store.may_go_on.set()

    await asyncio.gather(first, *others)

    assert [1, 50] == [len(batch) for batch in world.store.batches]
    assert {Address(HintKind.ENGINE, str(number)) for number in (0, 1, 2)} == set(world.transport.sent)


async def test_many_asks_share_transactions_and_each_has_its_answer_in_its_place() -> None:
    world = World(lambda request: StartOutcome.NOT_FOUND if request.request_id == "bad" else StartOutcome.CREATED)
    asks = [an_ask(request_id="bad" if number == 7 else str(number)) for number in range(starts.BATCH_LIMIT + 20)]

    answers = await world.starter.start_all(asks)

    assert [starts.BATCH_LIMIT, 20] == [len(batch) for batch in world.store.batches]
    assert isinstance(answers[7], NotFound)
    started = [answer.request_id for answer in answers if isinstance(answer, StartResult)]
    assert [ask.request_id for ask in asks if ask.request_id != "bad"] == started


async def test_many_asks_for_which_there_is_no_room_are_refused_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "WAITING_LIMIT", 5)
    world = World()

    with pytest.raises(TooBusy):
        await world.starter.start_all([an_ask() for _ in range(6)])

    assert [] == world.store.batches
    # Whoever got an answer gives its place back.
    for _ in range(2):
        assert 5 == len(await world.starter.start_all([an_ask() for _ in range(5)]))
        await asyncio.sleep(0)


async def test_workflows_do_not_wait_for_one_another() -> None:
    world = World()
    world.store.may_go_on.clear()
    tasks = [asyncio.create_task(world.start(workflow_id)) for workflow_id in ("a", "b", "a")]

    await until(lambda: len(world.store.batches) == 2)

    world.store.may_go_on.set()
    assert 3 == len(await asyncio.gather(*tasks))


async def test_a_version_that_changed_meanwhile_is_evaluated_again_under_the_same_uid() -> None:
    world = World()

    def answer(request: StartRequest) -> StartOutcome:
        world.store.version_number = 2
        return StartOutcome.CREATED if request.workflow_version == 2 else StartOutcome.VERSION_CHANGED

    world.store.answer = answer

    assert StartOutcome.CREATED is (await world.start()).outcome
    [[before], [after]] = world.store.batches
    assert (1, 2) == (before.workflow_version, after.workflow_version)
    assert before.run_uid == after.run_uid


async def test_a_version_that_changes_for_ever_is_given_up() -> None:
    with pytest.raises(Conflict):
        await World(lambda _: StartOutcome.VERSION_CHANGED).start()


async def test_after_an_unknown_commit_the_same_request_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "_PAUSE", 0)
    world = World()
    world.store.failures = [StoreUnavailable("the link broke")]

    await world.start()

    [[first], [second]] = world.store.batches
    assert (first.run_uid, first.request_id) == (second.run_uid, second.request_id)


async def test_a_database_that_stays_away_is_told_to_everybody_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "_PAUSE", 0)
    world = World()
    world.store.failures = [StoreUnavailable("away")] * 3

    results = await asyncio.gather(*(world.start() for _ in range(5)), return_exceptions=True)

    assert [StoreUnavailable] * 5 == [type(result) for result in results]
    assert StartOutcome.CREATED is (await world.start()).outcome


async def test_an_error_that_nobody_foresaw_fails_the_one_who_caused_it_and_no_neighbour() -> None:
    def answer(request: StartRequest) -> StartOutcome:
        if request.request_id == "poison":
            raise ZeroDivisionError
        return StartOutcome.CREATED

    world = World(answer)

    results = await asyncio.gather(
        *(world.start(request_id="poison" if number == 3 else None) for number in range(6)), return_exceptions=True
    )

    assert [3] == [number for number, result in enumerate(results) if isinstance(result, ZeroDivisionError)]
    assert 5 == sum(isinstance(result, StartResult) for result in results)


async def test_who_asks_for_a_workflow_that_is_gone_is_told_so() -> None:
    with pytest.raises(NotFound):
        await World().start("gone")
    with pytest.raises(NotFound):
        await World(lambda _: StartOutcome.NOT_FOUND).start()


async def test_who_hung_up_before_the_transaction_began_is_not_started() -> None:
    world = World()
    world.store.may_go_on.clear()
    first = asyncio.create_task(world.start())
    await until(lambda: bool(world.store.batches))
    gone = asyncio.create_task(world.start(request_id="gone"))
    await asyncio.sleep(0)
    gone.cancel()
    world.store.may_go_on.set()
    await first
    await world.start()

    assert "gone" not in {request.request_id for batch in world.store.batches for request in batch}


async def test_too_many_who_wait_are_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "WAITING_LIMIT", 2)
    world = World()
    world.store.may_go_on.clear()
    tasks = [asyncio.create_task(world.start()) for _ in range(2)]
    await until(lambda: bool(world.store.batches))

    with pytest.raises(TooBusy):
        await world.start()

    world.store.may_go_on.set()
    await asyncio.gather(*tasks)
    await world.start()


async def test_closing_waits_for_whoever_was_there_before() -> None:
    world = World()
    tasks = [asyncio.create_task(world.start()) for _ in range(3)]
    await asyncio.sleep(0)

    await world.starter.close()

    assert all(task.done() for task in tasks) or 3 == len(await asyncio.gather(*tasks))


async def until(fact: Callable[[], Any]) -> None:
    """Let the other tasks run until *fact* is true."""
    for _ in range(1000):
        if fact():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")
