"""
What every step type keeps, ours and those of other packages (`maestro_py.ports.step_type`).

To hold another type to it, add a `Case`: how to make the type, parameters of an attempt that succeeds, and of one that
goes on until it is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import Attachable, InstantType, StepType, StepTypeConfig
from maestro_py.testing.external_job import ExternalJobStep
from maestro_py.testing.waiting import wait_until_async
from maestro_py.workers.registry import Registry
from maestro_py.workers.steps.bench_noop import BenchNoopStep
from maestro_py.workers.steps.http import HttpStep
from maestro_py.workers.steps.python import PythonStep
from maestro_py.workers.steps.shell import ShellStep
from maestro_py.workers.steps.sql import SqlStep
from tests.integration.http_service import HANG, Received, running_service
from tests.worker_rig import Rig, running_worker
from tests.worker_rows import AttemptRows, Key

CODE = """
import pathlib, time
def quick(): pass
def endless(begun):
    pathlib.Path(begun).touch()
    time.sleep(600)
"""


ENDLESS_ROWS = "VALUES (1) UNION ALL SELECT x + 1 FROM n"


@dataclass(frozen=True)
class Case:
    """
    A step type under test; in *endless*, ``{begun}`` is a file that the work makes when it has begun.

    ``{service}`` is the URL of a server whose ``/hang`` makes that file, and answers never.
    """

    make: Callable[[Path], StepType | InstantType]
    succeeds: dict[str, Any]
    endless: dict[str, Any] | None = None  #: None: the type is done at once.
    begun: str = "begun"  #: Pattern of that file.


CASES = {
    "bench_noop": Case(lambda _: BenchNoopStep(), {}),
    "shell": Case(lambda _: ShellStep(), {"command": "true"}, {"command": "touch {begun}; sleep 600"}),
    "python source": Case(
        lambda _: PythonStep(),
        {"source": "pass"},
        {"source": "import pathlib, time\npathlib.Path('{begun}').touch()\ntime.sleep(600)\n"},
    ),
    "python function": Case(lambda _: PythonStep(), {"function": "mine:quick"}, {"function": "mine:endless"}),
    "http": Case(lambda _: an_http_step(), {"url": "{service}/fine"}, {"url": "{service}/hang"}),
    "sql": Case(
        lambda _: SqlStep(),
        {"url": "sqlite://", "sql": "select 1"},
        {"url": "sqlite:///{begun}", "sql": f"WITH RECURSIVE n(x) AS ({ENDLESS_ROWS}) SELECT count(*) FROM n"},
    ),
    "external_job": Case(lambda folder: ExternalJobStep(folder / "jobs"), {}, {}, "jobs/*/starts"),
}
ENDLESS = {name: case for name, case in CASES.items() if case.endless is not None}


@pytest.fixture(autouse=True)
async def service(tmp_path: Path) -> AsyncIterator[None]:
    """Serve, and leave the URL where `queue` finds it."""

    def hang(_: Received) -> bytes:
        (tmp_path / "begun").touch()
        return HANG

    async with running_service(hang=hang) as running:
        (tmp_path / "service.url").write_text(running.url)
        yield


def an_http_step() -> HttpStep:
    """Return a type that may reach the server."""
    step = HttpStep()
    step.configure(StepTypeConfig(http_allow=("127.0.0.1",)))
    return step


@pytest.fixture
def rows(database_url: str) -> AttemptRows:
    return AttemptRows(database_url)


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "mine.py").write_text(CODE)
    yield folder
    finish_jobs(tmp_path)


def finish_jobs(folder: Path) -> None:
    """Let the jobs outside end."""
    for job in folder.glob("jobs/*/starts"):
        (job.parent / "go").touch()


def queue(rows: AttemptRows, case: Case, own: dict[str, Any], folder: Path) -> Key:
    begun = str(folder / "begun")
    service = (folder / "service.url").read_text()
    filled = {name: value.replace("{begun}", begun).replace("{service}", service) for name, value in own.items()}
    return rows.queue_one(case.make(folder).kind, filled, params={"begun": begun})


@asynccontextmanager
async def worker_of(rows: AttemptRows, case: Case, folder: Path, code: Path, **options: Any) -> AsyncIterator[Rig]:
    async with running_worker(
        rows.url, step_types=[case.make(folder)], code=code, cancel_grace_ms=300, **options
    ) as rig:
        yield rig


async def has_begun(folder: Path, case: Case) -> None:
    await wait_until_async(lambda: list(folder.glob(case.begun)))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_it_can_be_registered(case: Case, tmp_path: Path) -> None:
    """It has a kind, and runs in exactly one of the two ways."""
    step_type = case.make(tmp_path)
    registry = Registry([step_type])

    assert [step_type.kind] == registry.step_types
    assert isinstance(step_type, InstantType) != hasattr(step_type, "run")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_it_succeeds(case: Case, rows: AttemptRows, tmp_path: Path, code: Path) -> None:
    """An attempt that can succeed does, and is reported once."""
    key = queue(rows, case, case.succeeds, tmp_path)
    async with worker_of(rows, case, tmp_path, code):
        await wait_until_async(lambda: list(tmp_path.glob(case.begun)) or rows.reports(key))
        finish_jobs(tmp_path)
        await wait_until_async(lambda: rows.reports(key))

    assert Outcome.DONE is rows.report(key).outcome
    assert "REPORTED" == rows.row(key)["dispatch"]


@pytest.mark.parametrize("case", ENDLESS.values(), ids=ENDLESS.keys())
async def test_it_ends_when_it_is_cancelled(case: Case, rows: AttemptRows, tmp_path: Path, code: Path) -> None:
    """Within a second or two, as STOPPED."""
    key = queue(rows, case, case.endless or {}, tmp_path)
    async with worker_of(rows, case, tmp_path, code) as rig:
        await has_begun(tmp_path, case)
        rows.cancel(key)
        rig.hint_cancel()
        await wait_until_async(lambda: rows.reports(key), within_seconds=5)

    assert Outcome.STOPPED is rows.report(key).outcome


@pytest.mark.parametrize("case", ENDLESS.values(), ids=ENDLESS.keys())
async def test_it_lets_go_when_the_attempt_is_taken(case: Case, rows: AttemptRows, tmp_path: Path, code: Path) -> None:
    """Its slot is free again, and nothing is reported."""
    key = queue(rows, case, case.endless or {}, tmp_path)
    async with worker_of(rows, case, tmp_path, code) as rig:
        await has_begun(tmp_path, case)
        rows.lose(key)
        rig.hint_cancel()
        await wait_until_async(lambda: rig.process.executor.busy == 0, within_seconds=5)

    assert [] == rows.reports(key)


@pytest.mark.parametrize("case", ENDLESS.values(), ids=ENDLESS.keys())
async def test_it_survives_the_end_of_its_worker(case: Case, rows: AttemptRows, tmp_path: Path, code: Path) -> None:
    """One that can attach goes back to its queue with a handle; any other reports that its worker shut down."""
    key = queue(rows, case, case.endless or {}, tmp_path)
    async with worker_of(rows, case, tmp_path, code, drain_ms=0):
        await has_begun(tmp_path, case)
        await wait_until_async(lambda: rows.row(key)["external_handle"] or not _attaches(case, tmp_path))

    row = rows.row(key)
    if _attaches(case, tmp_path):
        assert ("QUEUED", True) == (row["dispatch"], row["external_handle"] is not None)
    else:
        assert "worker shut down" == rows.report(key).message
        assert Outcome.PLATFORM_ERROR is rows.report(key).outcome


def _attaches(case: Case, folder: Path) -> bool:
    return isinstance(case.make(folder), Attachable)


@pytest.mark.parametrize("case", ENDLESS.values(), ids=ENDLESS.keys())
async def test_the_loop_goes_on_while_it_works(case: Case, rows: AttemptRows, tmp_path: Path, code: Path) -> None:
    """A step type never blocks the worker: other attempts are claimed and reported meanwhile."""
    queue(rows, case, case.endless or {}, tmp_path)
    async with worker_of(rows, case, tmp_path, code, drain_ms=0) as rig:
        await has_begun(tmp_path, case)
        claims = rig.process.claimer.claims
        async with asyncio.timeout(5):
            await wait_until_async(lambda: rig.process.claimer.claims > claims)
