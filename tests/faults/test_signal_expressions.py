"""Whoever dies while the expressions of a signal trigger are evaluated, each signal starts its run exactly once."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from maestro_py.ports.transport import Address, HintKind
from tests.faults.signal_service_process import KILLED_BEFORE_HINT, KILLED_INSIDE_START
from tests.faults.test_signal_service_faults import a_service_process
from tests.faults.test_system_evaluations import members_of
from tests.signal_scene import Scene, a_scene, a_service, a_trigger, eventually

#: Some seconds of work.
LONG = "long t = 0; for (int i = 0; i < 900000; i += 1) { t += i; } t"
NEVER_SWEEP_MS = 600_000


@pytest_asyncio.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with a_scene(database_url) as scene:
        yield scene


TRIGGERS: dict[str, dict[str, Any]] = {
    "params": {"params": {"total": {"type": "LONG", "expression": LONG}}},
    "condition": {"condition": f"{LONG} > 0"},
    "dedup_expr": {"dedup_expr": f"{LONG}; 'ready-' + ready__n"},
}


async def started_once(scene: Scene) -> None:
    await eventually(scene.is_settled, 60)
    assert [1] == await scene.started_by("wf")
    assert 1 == await scene.one("SELECT count(*) FROM engine_inbox")
    assert 1 == await scene.one("SELECT count(*) FROM start_request")


@pytest.mark.parametrize("kind", TRIGGERS)
async def test_a_service_killed_while_it_evaluates_costs_a_claim_and_no_start(
    scene: Scene, database_url: str, kind: str
) -> None:
    await scene.workflow("wf", {**a_trigger("ready"), **TRIGGERS[kind]})
    with a_service_process(database_url) as doomed:
        await scene.announce("ready", n=1)
        await eventually(partial(members_of, doomed.pid))
        doomed.send_signal(signal.SIGKILL)
        doomed.wait()
    assert [] == await scene.started_by("wf")

    with a_service_process(database_url):
        await started_once(scene)


@pytest.mark.parametrize("fault", [KILLED_INSIDE_START, KILLED_BEFORE_HINT])
async def test_a_service_killed_when_it_stores_what_it_evaluated_starts_it_once(
    scene: Scene, database_url: str, fault: str
) -> None:
    await scene.workflow("wf", {**a_trigger("ready"), **TRIGGERS["dedup_expr"]})
    with a_service_process(database_url, fault) as doomed:
        await scene.announce("ready", n=1)
        await eventually(lambda: doomed.poll() is not None, 30)
    with a_service_process(database_url):
        await started_once(scene)


async def test_a_pool_process_that_is_killed_is_replaced_and_the_run_starts(scene: Scene, database_url: str) -> None:
    await scene.workflow("wf", {**a_trigger("ready"), **TRIGGERS["condition"]})
    with a_service_process(database_url) as service:
        await scene.announce("ready", n=1)
        await eventually(partial(members_of, service.pid))
        os.kill(members_of(service.pid)[0], signal.SIGKILL)
        await started_once(scene)


@pytest.mark.parametrize(("kind", "runs"), [("condition", []), ("params", ["FAILED"]), ("dedup_expr", ["FAILED"])])
async def test_an_expression_whose_pool_process_dies_each_time_is_given_up_with_the_reason(
    scene: Scene, database_url: str, kind: str, runs: list[str]
) -> None:
    await scene.workflow("wf", {**a_trigger("ready"), **TRIGGERS[kind]})
    await scene.workflow("other", a_trigger("ready"))
    with a_service_process(database_url) as service:
        await scene.announce("ready", n=1)
        killed: set[int] = set()

        async def given_up() -> bool:
            for pid in members_of(service.pid):
                if pid not in killed:
                    killed.add(pid)
                    os.kill(pid, signal.SIGKILL)
            return await scene.is_settled()

        await eventually(given_up, 60)

    assert 3 == len(killed)
    assert runs == [
        status for (status,) in await scene.rows("SELECT status FROM workflow_instance WHERE workflow_id = 'wf'")
    ]
    assert [1] == await scene.started_by("other")
    said = await scene.one(
        "SELECT coalesce((SELECT timeline::text FROM workflow_instance WHERE workflow_id = 'wf'), drops::text)"
        " FROM signal_trigger WHERE workflow_id = 'wf'"
    )
    assert "ended 3 times before they could answer" in said


async def test_hints_that_are_doubled_or_lost_start_a_heavy_trigger_once(scene: Scene) -> None:
    await scene.workflow("wf", {**a_trigger("ready"), "condition": f"{LONG} > 0"})
    async with a_service(scene, sweep_interval_ms=300), a_service(scene, sweep_interval_ms=NEVER_SWEEP_MS) as hinted:
        await scene.announce("ready", n=1)
        for _ in range(50):
            hinted.transport.send([Address(HintKind.SIGNALS, "")])
        await started_once(scene)
