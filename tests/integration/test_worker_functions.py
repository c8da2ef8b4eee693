"""Functions run in warm processes: each call alone, and what goes wrong in one stays in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from maestro_py.model.events import AttemptReported
from maestro_py.model.statuses import Outcome
from maestro_py.testing.waiting import wait_until_async
from maestro_py.workers import function_pool
from tests.processes import is_alive
from tests.worker_rig import running_worker
from tests.worker_rows import AttemptRows, Key

CODE = """
import asyncio, os, subprocess, sys, time
from maestro_py.step import FatalError

def pid(): return {"pid": os.getpid()}
def nothing(): pass
def plain(): return [1, 2]
def named(a, b=2): return {"a": a, "b": b}
def everything(**params): return params
def as_dict(params): return {"names": sorted(params)}
def who(context): return {"key": context.idempotency_key, "day": context.params["day"]}
async def later(): await asyncio.sleep(0); return {"later": True}
class Job:
    @staticmethod
    def run(): return {"job": True}
class Scalar:
    def tolist(self): return 1.5
def scalars(): return {"score": Scalar()}
def not_json(): return {"when": object()}
def fails(): raise ValueError("no such segment")
def gives_up(): raise FatalError("the table was dropped")
def exits(): sys.exit(4)
def crashes(): os._exit(9)
def is_killed(): os.kill(os.getpid(), 9)
def talks():
    print("from python")
    print("to stderr", file=sys.stderr)
    subprocess.run(["echo", "from a child"])
    os.write(1, b"from below\\n")
def holds(folder):
    open(f"{folder}/{os.getpid()}", "w").close()
    child = subprocess.Popen(["sleep", "600"])
    print(os.getpid(), child.pid, flush=True)
    while not os.path.exists(f"{folder}/go"): time.sleep(0.02)
    child.kill()
    return {"pid": os.getpid()}
"""


@pytest.fixture
def rows(database_url: str) -> AttemptRows:
    return AttemptRows(database_url)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "mine.py").write_text(CODE)
    return folder


async def call(rows: AttemptRows, code: Path, function: str, **params: object) -> tuple[Key, AttemptReported]:
    key = rows.queue_one("python", {"function": function}, params=params)
    async with running_worker(rows.url, code=code):
        await wait_until_async(lambda: rows.reports(key))
    return key, rows.report(key)


@pytest.mark.parametrize(
    ("function", "params", "outputs"),
    [
        ("nothing", {}, None),
        ("plain", {}, {"result": [1, 2]}),
        ("named", {"a": 1, "c": 3}, {"a": 1, "b": 2}),
        ("everything", {"a": 1, "c": 3}, {"a": 1, "c": 3}),
        ("as_dict", {"a": 1, "c": 3}, {"names": ["a", "c"]}),
        ("who", {"day": 20}, {"key": "tests/1/1/step/1", "day": 20}),
        ("later", {}, {"later": True}),
        ("Job.run", {}, {"job": True}),
        ("scalars", {}, {"score": 1.5}),
    ],
)
async def test_a_function_gets_what_it_names_and_returns_the_outputs(
    rows: AttemptRows, code: Path, function: str, params: dict[str, object], outputs: object
) -> None:
    """By name, all of them, as a dict, or with the context; a dict is the outputs, any other value is ``result``."""
    _, report = await call(rows, code, f"mine:{function}", **params)

    assert (Outcome.DONE, outputs) == (report.outcome, report.outputs)


@pytest.mark.parametrize(
    ("function", "outcome", "message"),
    [
        ("mine:fails", Outcome.USER_ERROR, "ValueError: no such segment"),
        ("mine:gives_up", Outcome.FATAL_ERROR, "FatalError: the table was dropped"),
        ("mine:exits", Outcome.USER_ERROR, "SystemExit: 4"),
        ("mine:crashes", Outcome.USER_ERROR, "exit status 9"),
        ("mine:is_killed", Outcome.PLATFORM_ERROR, "killed by SIGKILL, perhaps out of memory"),
        ("mine:named", Outcome.USER_ERROR, "mine:named wants a; the step's parameters are: none"),
        ("mine:nowhere", Outcome.USER_ERROR, "module 'mine' has no 'nowhere'"),
        ("mine", Outcome.USER_ERROR, "a function is named \"module:function\", not 'mine'"),
        ("nowhere:f", Outcome.USER_ERROR, "ModuleNotFoundError: No module named 'nowhere'"),
        ("mine:not_json", Outcome.USER_ERROR, "what mine:not_json returned cannot be written as JSON"),
    ],
)
async def test_what_goes_wrong_is_said(
    rows: AttemptRows, code: Path, function: str, outcome: Outcome, message: str
) -> None:
    """The outcome says whether a retry may help, the message what went wrong."""
    _, report = await call(rows, code, function)

    assert outcome is report.outcome
    assert report.message.startswith(message)


async def test_the_traceback_is_in_the_log(rows: AttemptRows, code: Path) -> None:
    """With the line of the user's code."""
    key, _ = await call(rows, code, "mine:fails")

    assert 'raise ValueError("no such segment")' in rows.log(key)


async def test_everything_a_function_prints_is_in_its_log(rows: AttemptRows, code: Path) -> None:
    """Also what its children and libraries below Python print."""
    key, _ = await call(rows, code, "mine:talks")

    assert ["from a child", "from below", "from python", "to stderr"] == sorted(rows.log(key).splitlines())


async def test_processes_are_warm(rows: AttemptRows, code: Path) -> None:
    """Call after call runs in the same one, with everything imported."""
    keys = rows.queue("python", {"function": "mine:pid"}, count=20)
    async with running_worker(rows.url, code=code, pool_size=1):
        await wait_until_async(lambda: len(rows.reports()) == 20)

    assert 1 == len({str(rows.report(key).outputs) for key in keys})


async def test_a_crash_takes_only_its_own_call_with_it(rows: AttemptRows, code: Path, tmp_path: Path) -> None:
    """The neighbour in the pool goes on, and the pool is whole again."""
    holding = rows.queue_one("python", {"function": "mine:holds"}, params={"folder": str(tmp_path)})
    async with running_worker(rows.url, code=code, pool_size=2) as rig:
        await wait_until_async(lambda: rows.log(holding))
        crashed = rows.queue_one("python", {"function": "mine:crashes"})
        rig.hint_steps()
        await wait_until_async(lambda: rows.reports(crashed))
        after = rows.queue_one("python", {"function": "mine:pid"})
        rig.hint_steps()
        await wait_until_async(lambda: rows.reports(after))
        (tmp_path / "go").touch()
        await wait_until_async(lambda: rows.reports(holding))

    assert Outcome.USER_ERROR is rows.report(crashed).outcome
    assert Outcome.DONE is rows.report(after).outcome
    assert Outcome.DONE is rows.report(holding).outcome


async def test_a_cancelled_function_ends_with_what_it_started(rows: AttemptRows, code: Path, tmp_path: Path) -> None:
    """The process of this call and its children; another call is not touched."""
    keys = [
        rows.queue_one("python", {"function": "mine:holds"}, params={"folder": str(tmp_path)}, step_id=step_id)
        for step_id in ("cancelled", "other")
    ]
    async with running_worker(rows.url, code=code, pool_size=2, cancel_grace_ms=200) as rig:
        await wait_until_async(lambda: all(rows.log(key) for key in keys))
        rows.cancel(keys[0])
        rig.hint_cancel()
        await wait_until_async(lambda: rows.reports(keys[0]))
        assert [] == rows.reports(keys[1])
        (tmp_path / "go").touch()
        await wait_until_async(lambda: rows.reports(keys[1]))

    assert [Outcome.STOPPED, Outcome.DONE] == [rows.report(key).outcome for key in keys]
    for pid in rows.log(keys[0]).split():
        assert not is_alive(int(pid))


async def test_a_changed_file_renews_the_processes(rows: AttemptRows, code: Path) -> None:
    """The next call runs the new code."""
    before = rows.queue_one("python", {"function": "mine:pid"})
    async with running_worker(rows.url, code=code) as rig:
        await wait_until_async(lambda: rows.reports(before))
        (code / "mine.py").write_text("def pid(): return {'version': 2}\n")

        async def runs_the_new_code() -> bool:
            key = rows.queue_one("python", {"function": "mine:pid"})
            rig.hint_steps()
            await wait_until_async(lambda: rows.reports(key))
            return rows.report(key).outputs == {"version": 2}

        await wait_until_async(runs_the_new_code, within_seconds=5)


async def test_long_calls_do_not_keep_short_ones_waiting(rows: AttemptRows, code: Path, tmp_path: Path) -> None:
    """When every warm process is busy with a long call, one more is started, up to the slots."""
    rows.queue("python", {"function": "mine:holds"}, params={"folder": str(tmp_path)}, count=2)
    async with running_worker(rows.url, code=code, pool_size=1, slots=4) as rig:
        await wait_until_async(lambda: rows.dispatches() == {"CLAIMED": 2})
        short = rows.queue_one("python", {"function": "mine:pid"})
        rig.hint_steps()
        await wait_until_async(lambda: rows.reports(short))
        assert 1 == len(rows.reports())
        (tmp_path / "go").touch()
        await wait_until_async(lambda: len(rows.reports()) == 3)


async def test_calls_that_wait_for_a_process_go_back_when_the_worker_drains(
    rows: AttemptRows, code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have not begun, so another worker takes them at once; the one that runs is finished."""
    monkeypatch.setattr(function_pool, "_PATIENCE_SECONDS", 600)
    rows.queue("python", {"function": "mine:holds"}, params={"folder": str(tmp_path)}, count=3)
    async with running_worker(rows.url, code=code, pool_size=1, slots=3, drain_ms=30_000) as rig:
        await wait_until_async(lambda: rig.process.executor.busy == 3)
        await wait_until_async(lambda: len(list(tmp_path.iterdir())) == 2)  # the code, and the file of the one
        rig.process.stop()
        await wait_until_async(lambda: rows.dispatches().get("QUEUED") == 2)
        assert [] == rows.reports()
        (tmp_path / "go").touch()

    assert {"QUEUED": 2, "REPORTED": 1} == rows.dispatches()


async def test_processes_that_cannot_begin_are_said(rows: AttemptRows, code: Path) -> None:
    """Their last words tell why: here, a file of the user's that has the name of a library."""
    (code / "msgspec.py").write_text("raise ImportError('this is not the library')\n")
    _, report = await call(rows, code, "mine:pid")

    assert Outcome.PLATFORM_ERROR is report.outcome
    assert "a Python process ended as it began" in report.message
    assert "this is not the library" in report.message
