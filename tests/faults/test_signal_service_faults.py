"""Whatever happens to a signal service or its database, each signal starts each of its runs exactly once."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from maestro_py.parent import die_with_parent
from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from tests.faults.signal_service_process import KILLED_BEFORE_HINT, KILLED_INSIDE_START, STOPPED_INSIDE_START
from tests.signal_scene import Scene, a_scene, a_service, a_trigger, eventually

#: Short, so that the tests are; the promise is 15 s with the default of 6 s.
LEASE_MS = 1_500
#: Fewer than may run at once: each run must have told its engine.
SIGNALS = 900
ROOT = Path(__file__).parents[2]


@pytest_asyncio.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with a_scene(database_url) as scene:
        yield scene


@contextmanager
def a_service_process(database_url: str, fault: str = "none", number: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a signal service in a process of its own, which is killed afterwards."""
    command = [sys.executable, "-m", "tests.faults.signal_service_process", database_url]
    process = subprocess.Popen(
        [*command, str(LEASE_MS), fault, str(number)], cwd=ROOT, preexec_fn=die_with_parent(signal.SIGKILL)
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def announce_all_at_once(scene: Scene) -> None:
    await asyncio.gather(*(scene.announce("ready", str(i)) for i in range(SIGNALS)))


async def all_started_exactly_once(scene: Scene) -> None:
    await eventually(scene.is_settled, 30)
    assert list(range(1, SIGNALS + 1)) == await scene.started_by("wf")
    # Each run has told its engine: a start without its inbox row would never begin.
    assert SIGNALS == await scene.one("SELECT count(*) FROM engine_inbox")


def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"


@pytest.mark.parametrize("fault", [KILLED_INSIDE_START, KILLED_BEFORE_HINT])
@pytest.mark.parametrize("number", [1, 3])
async def test_a_service_killed_at_the_worst_moment_loses_and_doubles_nothing(
    scene: Scene, database_url: str, fault: str, number: int
) -> None:
    await scene.workflow("wf", a_trigger("ready"))
    with a_service_process(database_url, fault, number) as doomed:
        await announce_all_at_once(scene)

        async def is_dead_after_one_more() -> bool:
            await scene.announce("ready", str(uuid4()))
            return doomed.poll() is not None

        await eventually(is_dead_after_one_more)
    async with a_service(scene):
        await eventually(scene.is_settled, 30)

    count = await scene.one("SELECT count(*) FROM signal_instance")
    assert list(range(1, count + 1)) == await scene.started_by("wf")
    assert count == await scene.one("SELECT count(*) FROM engine_inbox")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_services_killed_and_started_again_and_again_start_each_run_once(
    scene: Scene, database_url: str, seed: int
) -> None:
    chance = random.Random(seed)
    await scene.workflow("wf", a_trigger("ready"))
    announcing = asyncio.create_task(announce_all_at_once(scene))
    with a_service_process(database_url) as steady:
        for _ in range(3):
            with a_service_process(database_url) as doomed:
                before = await scene.one("SELECT count(*) FROM workflow_instance")
                await eventually(partial(more_runs_than, scene, before + chance.randrange(200), announcing))
                doomed.send_signal(signal.SIGKILL)
        await announcing
        await all_started_exactly_once(scene)
        assert steady.poll() is None


async def more_runs_than(scene: Scene, count: int, announcing: asyncio.Task[None]) -> bool:
    return announcing.done() or await scene.one("SELECT count(*) FROM workflow_instance") > count


async def test_what_a_stopped_service_holds_is_started_by_another_while_it_sleeps(
    scene: Scene, database_url: str
) -> None:
    """Promise 12: the other terminates the sessions of the stopped one once its lease is over."""
    await scene.workflow("wf", a_trigger("ready"))
    await announce_all_at_once(scene)
    with a_service_process(database_url, STOPPED_INSIDE_START) as sleeper:
        await eventually(lambda: is_stopped(sleeper))
        with a_service_process(database_url):
            await all_started_exactly_once(scene)
            assert is_stopped(sleeper)

            # It wakes as a zombie: its transaction is gone, and it writes nothing of it.
            sleeper.send_signal(signal.SIGCONT)
            await scene.announce("ready", "one more")
            await eventually(scene.is_settled, 15)
            assert list(range(1, SIGNALS + 2)) == await scene.started_by("wf")


@pytest.mark.slow
async def test_a_database_that_is_killed_and_comes_back_costs_only_the_time_it_was_away(
    private_postgres: EmbeddedPostgres,
) -> None:
    async with a_scene(private_postgres.url) as scene:
        await scene.workflow("wf", a_trigger("ready"))
        async with a_service(scene), a_service(scene):
            announcing = asyncio.create_task(announce_stubbornly(scene))
            for at_least in (SIGNALS // 4, SIGNALS // 2):
                await eventually(partial(more_runs_than, scene, at_least, announcing))
                private_postgres.kill()
                private_postgres.start()
            await announcing
            await all_started_exactly_once(scene)


async def announce_stubbornly(scene: Scene) -> None:
    """Announce each signal until there is an answer, as a client does that knows its request id."""

    async def until_answered(request_id: str) -> bool:
        await scene.announce("ready", request_id)
        return True

    for number in range(SIGNALS):
        await eventually(partial(until_answered, str(number)))
