"""What signal triggers compute is computed before anything is locked, and starts each of its runs once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from psycopg import AsyncConnection

from maestro_py.model.definition import ParamDefinition, ParamType, Step, Workflow, encode_workflow
from maestro_py.model.ids import name_based_uuid, new_uid
from maestro_py.params import answer
from maestro_py.ports.evaluator import EvaluationAborted, EvaluatorBusy
from maestro_py.ports.signal_store import Move
from tests.signal_scene import Scene, a_scene, a_service, a_trigger, eventually

HEAVY = "long t = 0; for (int i = 0; i <= 100000; i += 1) { t += i; } t"
NEVER_SWEEP_MS = 600_000


@pytest_asyncio.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with a_scene(database_url, size=16) as scene:
        yield scene


class Gate:
    """An evaluator that lets nothing through until it is told to."""

    def __init__(self, *, open_: bool = False) -> None:
        self.asked = 0
        self._open = asyncio.Event()
        if open_:
            self._open.set()

    def open(self) -> None:
        self._open.set()

    async def evaluate(self, document: bytes) -> bytes:
        self.asked += 1
        await self._open.wait()
        return await asyncio.to_thread(answer, document)


class Refusing:
    """An evaluator that fails in the same way so often, and then works."""

    def __init__(self, error: Exception, times: int = 1_000_000) -> None:
        self._error = error
        self._left = times

    async def evaluate(self, document: bytes) -> bytes:
        if self._left:
            self._left -= 1
            raise self._error
        return await asyncio.to_thread(answer, document)


def computing(**computed: Any) -> dict[str, Any]:
    """A trigger of the signal ``ready``."""
    return {**a_trigger("ready"), **computed}


def e(expression: str, kind: str = "STRING") -> dict[str, Any]:
    return {"type": kind, "expression": expression}


async def trace_of(scene: Scene, workflow_id: str = "wf") -> Any:
    return await scene.one("SELECT drops FROM signal_trigger WHERE workflow_id = %s", workflow_id)


async def settled(scene: Scene) -> None:
    await eventually(scene.is_settled, 30)


async def test_parameters_of_the_trigger_are_those_of_the_run_and_dedup_expr_makes_its_request_id(scene: Scene) -> None:
    trigger = computing(
        params={"day": e("params.getFromSignal('ready', 'day')")},
        condition="day != '20231231'",
        dedup_expr="'load-' + day",
    )
    await scene.workflow("wf", trigger, params={"next": ParamDefinition(type=ParamType.STRING, value="after ${day}")})
    async with a_service(scene) as service:
        for day in ("20231231", "20240101", "20240101", "20240102"):
            await scene.announce("ready", str(new_uid()), day=day)
        await settled(scene)

    runs = await scene.rows("SELECT workflow_uuid, params, initiator FROM workflow_instance ORDER BY instance_id")
    assert [name_based_uuid(f"load-{day}") for day in ("20240101", "20240102")] == [uuid for uuid, _, _ in runs]
    assert ["after 20240101", "after 20240102"] == [params["next"]["evaluated_result"] for _, params, _ in runs]
    assert {"day": "20240102", "ready": {"day": "20240102"}} == runs[1][2]["params"]
    assert {"CONDITION_FALSE": 1, "DUPLICATE": 1} == (await trace_of(scene))["counts"]
    assert [3, 1] == [drop["signal_id"] for drop in (await trace_of(scene))["latest"]]
    assert {"CONDITION_FALSE": 1, "DUPLICATE": 1} == dict(service.process.dropped)


async def test_a_condition_that_is_false_for_a_thousand_signals_starts_nothing_and_stays_cheap(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.workflow("wf", computing(params={"n": e("ready__n", "LONG")}, condition="n > 1000"))
    await asyncio.gather(*(scene.announce("ready", str(n), n=n) for n in range(1000)))
    executed: list[str] = []
    execute = AsyncConnection.execute

    async def counting(self: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        executed.append(str(query))
        return await execute(self, query, *arguments, **named)

    async with a_service(scene, sweep_interval_ms=NEVER_SWEEP_MS) as service:
        monkeypatch.setattr(AsyncConnection, "execute", counting)
        await settled(scene)
        visits = service.process.visits
    statements = [query for query in executed if "count(*) FROM signal_pending" not in query]

    assert [] == await scene.started_by("wf")
    assert {"wf": 1001} == await scene.cursors("ready")
    assert {"CONDITION_FALSE": 1000} == (await trace_of(scene))["counts"]
    assert visits <= 4
    assert len(statements) <= 40, statements


async def test_nothing_is_locked_and_nobody_held_up_while_an_expression_is_evaluated(scene: Scene) -> None:
    gate = Gate()
    await scene.workflow("heavy", computing(condition=f"{HEAVY} > 0"), a_trigger("ready"))
    await scene.workflow("light", computing(condition="true"))
    async with a_service(scene, evaluator=gate) as service:
        await scene.announce("ready", "1")
        await eventually(lambda: gate.asked)
        await scene.announce("ready", "2")
        # The other trigger of the workflow, and other workflows, go on.
        await eventually(lambda: is_started(scene, "light", [1, 2]))
        await eventually(lambda: is_started(scene, "heavy", [1, 2]))
        async with scene.database.transaction() as conn:
            await conn.execute("SELECT FROM workflow WHERE workflow_id = 'heavy' FOR UPDATE NOWAIT")
            await conn.execute("SELECT FROM signal_trigger WHERE workflow_id = 'heavy' FOR UPDATE NOWAIT")
        assert 1 == service.process.evaluating
        gate.open()
        await settled(scene)

    assert [1, 1, 2, 2] == sorted(await scene.started_by("heavy"))


async def is_started(scene: Scene, workflow_id: str, signals: list[int]) -> bool:
    return await scene.started_by(workflow_id) == signals


async def test_parameters_of_the_run_that_take_long_lock_nothing_either(scene: Scene) -> None:
    gate = Gate()
    heavy = ParamDefinition(type=ParamType.LONG, expression=HEAVY)
    await scene.workflow("wf", a_trigger("ready"), params={"total": heavy})
    async with a_service(scene, evaluator=gate):
        await scene.announce("ready", "1")
        await eventually(lambda: gate.asked)
        async with scene.database.transaction() as conn:
            await conn.execute("SELECT FROM workflow FOR UPDATE NOWAIT")
        gate.open()
        await settled(scene)

    [(params,)] = await scene.rows("SELECT params FROM workflow_instance")
    assert 5_000_050_000 == params["total"]["evaluated_result"]


async def test_a_version_that_becomes_active_meanwhile_is_the_one_that_is_evaluated_and_started(scene: Scene) -> None:
    """DESIGN section 4, Admission: the version is checked again under the lock."""
    gate = Gate()
    await scene.workflow("wf", computing(condition=f"{HEAVY} > 0"))
    async with a_service(scene, evaluator=gate):
        await scene.announce("ready", "1")
        await eventually(lambda: gate.asked)
        async with scene.database.transaction() as conn:
            definition = Workflow(
                id="wf",
                steps=(Step(id="s", type="NoOp"),),
                params={"new": ParamDefinition(type=ParamType.LONG, value=2)},
            )
            await conn.execute("SELECT FROM workflow WHERE workflow_id = 'wf' FOR UPDATE")
            await conn.execute(
                "INSERT INTO workflow_version (definition_uid, workflow_id, workflow_version, definition, metadata)"
                " VALUES (%s, 'wf', 2, %s, '{}')",
                (new_uid(), encode_workflow(definition).decode()),
            )
            await conn.execute("UPDATE workflow SET active_version = 2, latest_version = 2 WHERE workflow_id = 'wf'")
        gate.open()
        await settled(scene)

    [(version, params)] = await scene.rows("SELECT workflow_version, params FROM workflow_instance")
    assert 2 == version
    assert 2 == params["new"]["evaluated_result"]


async def test_several_services_evaluate_what_is_heavy_once_and_start_it_once(scene: Scene) -> None:
    gate = Gate()
    await scene.workflow("wf", computing(condition=f"{HEAVY} > 0"))
    async with a_service(scene, evaluator=gate) as one, a_service(scene, evaluator=gate) as two:
        await scene.announce("ready", "1")
        await eventually(lambda: gate.asked)
        before = one.process.visits + two.process.visits
        await eventually(lambda: one.process.visits + two.process.visits > before + 6)
        gate.open()
        await settled(scene)

    assert 1 == gate.asked
    assert [1] == await scene.started_by("wf")


async def test_a_service_that_stops_leaves_what_it_evaluates_to_others_at_once(scene: Scene) -> None:
    await scene.workflow("wf", computing(condition=f"{HEAVY} > 0"))
    gate = Gate()
    async with a_service(scene, evaluator=gate):
        await scene.announce("ready", "1")
        await eventually(lambda: gate.asked)
    assert await scene.one("SELECT claimed_until IS NULL FROM signal_trigger")

    async with a_service(scene, sweep_interval_ms=NEVER_SWEEP_MS):
        await settled(scene)

    assert [1] == await scene.started_by("wf")


async def test_a_claim_of_a_service_that_is_gone_lapses(scene: Scene) -> None:
    await scene.workflow("wf", a_trigger("ready"))
    await scene.announce("ready", "1")
    async with scene.database.connection() as conn:
        await conn.execute("UPDATE signal_trigger SET claimed_until = clock_timestamp() + interval '1 second'")
    async with a_service(scene):
        await settled(scene)

    assert [1] == await scene.started_by("wf")
    assert await scene.one("SELECT claimed_until IS NULL FROM signal_trigger")


async def test_an_evaluation_that_ends_its_processes_stops_neither_its_cursor_nor_others(scene: Scene) -> None:
    aborted = Refusing(EvaluationAborted("the processes that evaluated it ended 3 times before they could answer"))
    await scene.workflow("dropped", computing(condition=f"if (ready__n > 1) {{ return true; }} {HEAVY} > 0"))
    await scene.workflow("failed", computing(params={"p": e(HEAVY, "LONG")}))
    await scene.workflow("light", a_trigger("ready"))
    async with a_service(scene, evaluator=aborted):
        await scene.announce("ready", n=1)
        await scene.announce("ready", n=2)
        await settled(scene)

    assert [2] == await scene.started_by("dropped")
    [drop] = (await trace_of(scene, "dropped"))["latest"]
    assert ("CONDITION_FAILED", 1) == (drop["reason"], drop["signal_id"])
    assert "ended 3 times" in drop["message"]
    rows = await scene.rows("SELECT status, timeline FROM workflow_instance WHERE workflow_id = 'failed'")
    assert ["FAILED", "FAILED"] == [status for status, _ in rows]
    assert "ended 3 times" in json.dumps(rows[0][1])
    assert [1, 2] == await scene.started_by("light")


async def test_an_evaluator_that_is_busy_is_asked_again(scene: Scene) -> None:
    await scene.workflow("wf", computing(condition=f"{HEAVY} > 0"))
    async with a_service(scene, evaluator=Refusing(EvaluatorBusy("10000 evaluations wait already"), times=2)):
        await scene.announce("ready", "1")
        await settled(scene)

    assert [1] == await scene.started_by("wf")


async def test_a_workflow_whose_row_is_held_while_its_start_was_evaluated_is_started_when_it_is_free(
    scene: Scene,
) -> None:
    gate = Gate()
    await scene.workflow("wf", computing(condition=f"{HEAVY} > 0"))
    async with a_service(scene, evaluator=gate) as service:
        await scene.announce("ready", "1")
        await eventually(lambda: gate.asked)
        async with scene.database.transaction() as conn:
            await conn.execute("SELECT FROM workflow WHERE workflow_id = 'wf' FOR UPDATE")
            gate.open()
            await eventually(lambda: is_awaited(scene), 5)
            assert 1 == service.process.evaluating
        await settled(scene)

    assert 1 == gate.asked
    assert [1] == await scene.started_by("wf")


async def is_awaited(scene: Scene) -> bool:
    """Say whether some session waits for the row of a workflow."""
    return bool(
        await scene.one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    )


async def test_many_heavy_signals_of_one_trigger_start_in_their_order(scene: Scene) -> None:
    await scene.workflow("wf", computing(condition=f"{HEAVY} > 0 && ready__n != 13"))
    async with a_service(scene, evaluator=Gate(open_=True)), a_service(scene, evaluator=Gate(open_=True)):
        for n in range(1, 21):
            await scene.announce("ready", n=n)
        await settled(scene)

    assert [n for n in range(1, 21) if n != 13] == await scene.started_by("wf")


async def test_cursors_that_somebody_else_has_moved_since_the_look_are_not_held(scene: Scene) -> None:
    await scene.workflow("a", a_trigger("ready"))
    await scene.workflow("b", a_trigger("ready"))
    await scene.announce("ready", "1")
    look = await scene.store.look("ready", 10, (), 10)
    async with a_service(scene):
        await settled(scene)

    assert ["a", "b"] == sorted(cursor.workflow_id for cursor in look.cursors)
    async with scene.store.transaction() as tx:
        assert [] == await tx.hold(look.cursors)
        assert [] == await tx.hold(look.cursors[:1])


async def test_of_two_who_looked_at_once_the_second_leaves_what_the_first_has_claimed(scene: Scene) -> None:
    await scene.workflow("a", a_trigger("ready"))
    await scene.workflow("b", a_trigger("ready"))
    await scene.announce("ready", "1")
    look = await scene.store.look("ready", 10, (), 10)
    first = next(cursor for cursor in look.cursors if cursor.workflow_id == "a")
    async with scene.store.transaction() as tx:
        await tx.hold([first])
        await tx.move([Move(first, first.next_seq, first.drops, claim_ms=60_000)])

    async with scene.store.transaction() as tx:
        assert ["b"] == [cursor.workflow_id for cursor in await tx.hold(look.cursors)]
        assert [] == await tx.hold([first])
        assert [first] == await tx.hold([first], claimed=True)
    assert ["b"] == [cursor.workflow_id for cursor in (await scene.store.look("ready", 10, (), 10)).cursors]
