"""The worker's loops, over a store whose answers the test delays, loses and refuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from maestro_py.clock import SystemClock
from maestro_py.model.errors import StoreUnavailable
from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import DONE, InstantType, StepContext, StepReport, StepTask, StepType
from maestro_py.ports.transport import Address, HintKind
from maestro_py.ports.worker_store import Claimed
from maestro_py.testing.waiting import wait_until_async
from maestro_py.workers.backends import parse_config
from maestro_py.workers.options import WorkerOptions
from maestro_py.workers.process import WorkerProcess
from maestro_py.workers.registry import Registry
from maestro_py.workers.steps.bench_noop import BenchNoopStep
from tests.unit.workers.scripted_store import ScriptedStore, a_claimed, failing
from tests.worker_rig import HintsByHand, JudgeOfNobody, Rig, SteadyBeat


class Gate:
    """A step type whose attempts run until the test lets them end."""

    kind = "gate"

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.running: list[StepTask] = []
        self.most_at_once = 0
        self.cancelled: list[bool] = []

    async def run(self, task: StepTask, context: StepContext) -> StepReport:
        self.running.append(task)
        self.most_at_once = max(self.most_at_once, len(self.running))
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.append(context.cancelled.is_set())
            raise
        finally:
            self.running.remove(task)
        return DONE


class AttachableGate(Gate):
    """The same, with jobs outside."""

    async def attach(self, task: StepTask, handle: dict[str, Any], context: StepContext) -> StepReport:
        return await self.run(task, context)


class Broken:
    """A step type with a fault."""

    kind = "broken"

    async def run(self, task: StepTask, context: StepContext) -> StepReport:
        raise ValueError("not today")


@asynccontextmanager
async def working(
    store: ScriptedStore,
    step_types: Iterable[StepType | InstantType] = (),
    config: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Rig]:
    given = {"sweep_interval_ms": 50, "beat_interval_ms": 50, "drain_ms": 0, "cancel_grace_ms": 50, **options}
    beat, hints = SteadyBeat(), HintsByHand()
    registry = Registry([BenchNoopStep(), *step_types], parse_config(config or {}))
    process = WorkerProcess(WorkerOptions(**given), store, hints, beat, JudgeOfNobody(), registry, SystemClock())
    rig = Rig(process, beat, hints, store)
    try:
        yield rig
    finally:
        await rig.stop()


def gates(count: int, first: int = 1) -> list[Claimed]:
    return [a_claimed(number, step_type="gate") for number in range(first, first + count)]


async def test_a_claim_whose_answer_is_delayed_past_a_beat_runs_once() -> None:
    """The table holds the attempt for us and we do not know it: it is on its way, and stays ours."""
    store, answer = ScriptedStore(), asyncio.Event()
    store.queued = [a_claimed()]
    store.after["claim"] = [answer.wait]
    looks = 0

    def looked() -> None:
        nonlocal looks
        looks += 1

    store.before["held"] = [looked] * 100
    async with working(store) as rig:
        await wait_until_async(lambda: store.holds)
        rig.process.claimer.failed.add(rig.worker_id)  # so that there is a reason to look at the table
        await wait_until_async(lambda: looks > 3)
        assert [] == store.handed_back
        answer.set()
        await wait_until_async(lambda: store.applied)

    assert 1 == len(store.applied)
    assert [] == store.handed_back


async def test_a_claim_that_is_answered_after_the_lease_may_have_ended_runs_nothing() -> None:
    """A worker that was stopped wakes to an answer of attempts that others run by now; what is still its goes back."""
    store, answer = ScriptedStore(), asyncio.Event()
    store.queued = [a_claimed()]
    store.after["claim"] = [answer.wait]
    looks: list[None] = []
    store.before["held"] = [lambda: looks.append(None)] * 100
    async with working(store, lease_ms=60) as rig:
        await wait_until_async(lambda: store.holds)
        rig.process.claimer.failed.add(rig.worker_id)  # so that there is a reason to look at the table
        await wait_until_async(lambda: len(looks) > 3)
        answer.set()
        await wait_until_async(lambda: store.handed_back)

    assert [] == store.applied


async def test_a_claim_that_failed_after_its_commit_is_handed_back() -> None:
    """What it took is not lost until the lease ends: it goes back with the next beat, and the queue is told."""
    store = ScriptedStore()
    store.queued = [a_claimed()]
    store.after["claim"] = [failing(StoreUnavailable("connection lost"))]
    async with working(store) as rig:
        await wait_until_async(lambda: store.handed_back)

    assert [a_claimed().key] == [held.key for held in store.handed_back]
    assert [] == store.applied
    assert Address(HintKind.STEPS, "default") in rig.transport.sent


async def test_an_attempt_that_a_fault_has_forgotten_goes_back() -> None:
    """The table says twice that we hold it, its claim was answered, and nothing of it runs or waits to be written."""
    store, gate = ScriptedStore(), Gate()
    store.queued = gates(1)
    async with working(store, [gate]):
        await wait_until_async(lambda: gate.running)
        forgotten = store.holds[0]._replace(key=a_claimed(2).key)
        store.holds.append(forgotten)
        await wait_until_async(lambda: store.handed_back)

    assert [forgotten] == store.handed_back


async def test_after_an_outage_the_worker_first_looks_at_what_it_holds() -> None:
    """Then it claims again."""
    store, story = ScriptedStore(), list[str]()
    store.before["claim"] = [failing(StoreUnavailable("away")), *[lambda: story.append("claim")] * 50]
    store.before["held"] = [lambda: story.append("held")] * 50
    async with working(store):
        await wait_until_async(lambda: "claim" in story)

    assert "held" == story[0]


async def test_no_more_than_the_slots_run_at_a_time() -> None:
    """A free slot is filled as soon as one is free."""
    store, gate = ScriptedStore(), Gate()
    store.queued = gates(5)
    async with working(store, [gate], slots=2, drain_ms=5_000):
        await wait_until_async(lambda: len(gate.running) == 2)
        gate.open.set()
        await wait_until_async(lambda: len(store.applied) == 5)

    assert 2 == gate.most_at_once


async def test_a_limited_type_leaves_slots_for_others() -> None:
    """Its attempts beyond the limit stay in the queue, for other workers."""
    store, gate = ScriptedStore(), Gate()
    store.queued = gates(3)
    async with working(store, [gate], {"concurrency": {"gate": 1, "bench_noop": 8}}, slots=8):
        await wait_until_async(lambda: gate.running)
        await wait_until_async(lambda: len(store.requests) > 3)

    limits = {request.backend_keys: request.limit for request in store.requests}
    assert 1 == gate.most_at_once
    assert {("gate",): 1, ("bench_noop",): 7} == limits


QUEUE = Address(HintKind.STEPS, "default")


async def test_what_is_more_than_the_free_slots_is_passed_on() -> None:
    """A hint may have woken nobody else: another worker of the queue may have slots that wait."""
    store, gate = ScriptedStore(), Gate()
    async with working(store, [gate], slots=2, sweep_interval_ms=60_000) as rig:
        await wait_until_async(lambda: store.requests)
        store.queued = gates(3)
        rig.hint_steps()
        await wait_until_async(lambda: len(gate.running) == 2)
        await wait_until_async(lambda: rig.transport.passed_on)

    assert [QUEUE] == rig.transport.passed_on


async def test_what_finds_room_is_not_passed_on() -> None:
    store, gate = ScriptedStore(), Gate()
    async with working(store, [gate], slots=4, sweep_interval_ms=60_000) as rig:
        await wait_until_async(lambda: store.requests)
        store.queued = gates(3)
        rig.hint_steps()
        await wait_until_async(lambda: len(gate.running) == 3)

    assert [] == rig.transport.passed_on


async def test_a_full_worker_passes_hints_on_five_times_a_second_at_most() -> None:
    """Where all are full a hint would go round and round otherwise; and what no hint told is nobody's to pass on."""
    store, gate = ScriptedStore(), Gate()
    async with working(store, [gate], slots=1, sweep_interval_ms=50) as rig:
        store.queued = gates(3)
        await wait_until_async(lambda: gate.running)
        rig.hint_steps()
        await wait_until_async(lambda: rig.transport.passed_on)
        began = time.monotonic()
        hints = 0
        while len(rig.transport.passed_on) < 4:
            rig.hint_steps()
            hints += 1
            await asyncio.sleep(0)

    assert time.monotonic() - began >= 0.5
    assert hints > 10


async def test_hints_are_not_needed() -> None:
    """The sweep finds what no hint told."""
    store = ScriptedStore()
    async with working(store):
        await wait_until_async(lambda: store.requests)
        store.queued = [a_claimed()]
        await wait_until_async(lambda: store.applied)


async def test_a_hint_for_our_queue_wakes_us() -> None:
    """Long before the sweep."""
    store = ScriptedStore()
    async with working(store, sweep_interval_ms=60_000) as rig:
        await wait_until_async(lambda: store.requests)
        store.queued = [a_claimed()]
        rig.hint_steps()
        await wait_until_async(lambda: store.applied)


async def test_a_requested_cancellation_reaches_the_step() -> None:
    """The step is told that it is the work itself that is to stop, and the outcome is STOPPED."""
    store, gate = ScriptedStore(), Gate()
    store.queued = gates(1)
    async with working(store, [gate], beat_interval_ms=60_000) as rig:
        await wait_until_async(lambda: gate.running)
        store.holds = [held._replace(cancel_requested=True) for held in store.holds]
        rig.hint_cancel()
        await wait_until_async(lambda: store.applied)

    assert [True] == gate.cancelled
    assert [Outcome.STOPPED] == [event.outcome for event in store.events]


async def test_an_attempt_claimed_with_a_cancellation_is_not_begun() -> None:
    """Somebody handed it back after the engine had asked for its end."""
    store, gate = ScriptedStore(), Gate()
    store.queued = [a_claimed(step_type="gate", cancel_requested=True)]
    async with working(store, [gate]):
        await wait_until_async(lambda: store.applied)

    assert 0 == gate.most_at_once
    assert [Outcome.STOPPED] == [event.outcome for event in store.events]


async def test_a_job_outside_that_is_claimed_with_a_cancellation_is_ended() -> None:
    """Its worker died after the engine had asked for the end: whoever attaches to the job ends it."""
    store, attachable = ScriptedStore(), AttachableGate()
    store.queued = [a_claimed(step_type="gate", cancel_requested=True)._replace(handle='{"job":1}')]
    async with working(store, [attachable]):
        await wait_until_async(lambda: store.applied)

    assert [True] == attachable.cancelled
    assert [Outcome.STOPPED] == [event.outcome for event in store.events]


async def test_an_attempt_that_is_no_longer_ours_is_killed_without_a_report() -> None:
    """It was judged lost; a job outside would go on, for whoever attaches to it."""
    store, gate = ScriptedStore(), Gate()
    store.queued = gates(1)
    async with working(store, [gate]) as rig:
        await wait_until_async(lambda: gate.running)
        store.holds.clear()
        await wait_until_async(lambda: gate.cancelled)
        await wait_until_async(lambda: rig.process.executor.busy == 0)

    assert [False] == gate.cancelled
    assert [] == store.applied
    assert 1 == rig.process.reconciler.taken


async def test_without_a_lease_everything_ends() -> None:
    """Two thirds of the lease without an answered beat: the attempts end, and nothing is claimed."""
    store, gate = ScriptedStore(), Gate()
    store.queued = gates(1)
    async with working(store, [gate], lease_ms=3_000) as rig:
        await wait_until_async(lambda: gate.running)
        rig.beat.answered_ms_ago = 2_500
        await wait_until_async(lambda: store.applied)
        asked = len(store.requests)
        store.queued = gates(1, first=2)
        await wait_until_async(lambda: rig.process.executor.busy == 0)
        rig.beat.answered_ms_ago = 0
        await wait_until_async(lambda: gate.running)

    assert [Outcome.PLATFORM_ERROR, Outcome.PLATFORM_ERROR] == [event.outcome for event in store.events]
    assert "the worker could not renew its lease" == store.events[0].message
    assert len(store.requests) > asked


async def test_while_the_server_is_away_nothing_is_killed() -> None:
    """An outage of the database is nobody's death."""
    store, gate = ScriptedStore(), Gate()
    store.queued = gates(1)
    async with working(store, [gate], drain_ms=5_000) as rig:
        await wait_until_async(lambda: gate.running)
        rig.beat.is_away = True
        rig.beat.answered_ms_ago = 30_000
        store.before["held"] = [failing(StoreUnavailable("away"))] * 5
        await wait_until_async(lambda: not store.before["held"])
        assert gate.running
        rig.beat.is_away, rig.beat.answered_ms_ago = False, 0
        gate.open.set()
        await wait_until_async(lambda: store.applied)

    assert [Outcome.DONE] == [event.outcome for event in store.events]


async def test_a_fault_of_a_step_type_is_a_platform_error() -> None:
    """The message names the type and the fault, the log has the traceback."""
    store = ScriptedStore()
    store.queued = [a_claimed(step_type="broken")]
    async with working(store, [Broken()]):
        await wait_until_async(lambda: store.applied)

    assert Outcome.PLATFORM_ERROR is store.events[0].outcome
    assert "the step type 'broken' failed: ValueError: not today" == store.events[0].message
    assert "Traceback" in "".join(chunk.text for chunk in store.logs)


async def test_a_task_that_cannot_be_read_is_fatal() -> None:
    """No worker could ever read it."""
    store = ScriptedStore()
    store.queued = [a_claimed(step_type="gate", task='{"workflow_id": 7}')]
    async with working(store, [Gate()]):
        await wait_until_async(lambda: store.applied)

    assert Outcome.FATAL_ERROR is store.events[0].outcome
    assert "the task cannot be read" in store.events[0].message


async def test_a_draining_worker_finishes_what_runs_and_claims_no_more() -> None:
    """Its description says at once that it has no slots."""
    store, gate = ScriptedStore(), Gate()
    store.queued = gates(1)
    async with working(store, [gate], drain_ms=10_000) as rig:
        await wait_until_async(lambda: gate.running)
        rig.process.stop()
        await wait_until_async(lambda: rig.beat.info["slots"] == 0)
        store.queued = gates(1, first=2)
        rig.hint_steps()
        gate.open.set()
        await rig.running

    assert [Outcome.DONE] == [event.outcome for event in store.events]
    assert 1 == len(store.queued)


async def test_what_outlasts_the_drain_is_ended_and_said() -> None:
    """A retry is then the engine's to decide."""
    store, gate = ScriptedStore(), Gate()
    store.queued = gates(1)
    async with working(store, [gate], drain_ms=50) as rig:
        await wait_until_async(lambda: gate.running)
        await rig.stop()

    assert [(Outcome.PLATFORM_ERROR, "worker shut down")] == [(e.outcome, e.message) for e in store.events]
    assert [False] == gate.cancelled


async def test_a_worker_registers_its_types_also_when_the_database_is_away_at_first() -> None:
    """A definition of a type that was never seen would be refused."""
    store = ScriptedStore()
    store.before["register_step_types"] = [failing(StoreUnavailable("starting"))]
    async with working(store, [Gate()]):
        await wait_until_async(lambda: store.registered)

    assert {"bench_noop", "gate"} == store.registered
