"""A worker claims queued attempts, runs them and reports them, on a real database."""

from __future__ import annotations

from pathlib import Path

import pytest

from maestro_py.model.statuses import Outcome
from maestro_py.testing.waiting import wait_until_async
from tests.worker_rig import running_worker
from tests.worker_rows import AttemptRows


@pytest.fixture
def rows(database_url: str) -> AttemptRows:
    return AttemptRows(database_url)


async def test_an_instant_step_is_claimed_run_and_reported(database_url: str, rows: AttemptRows) -> None:
    """The row is REPORTED, the inbox holds the event, and the engine's partition gets a hint."""
    key = rows.queue_one("bench_noop")
    async with running_worker(database_url) as rig:
        await wait_until_async(lambda: rows.reports(key))

    row = rows.row(key)
    assert "REPORTED" == row["dispatch"]
    assert rig.worker_id == row["worker"]
    assert 1 == row["token"]
    assert Outcome.DONE is rows.report(key).outcome


async def test_a_shell_step_hands_over_outputs_and_log(database_url: str, rows: AttemptRows) -> None:
    """A command reads its parameters, writes its outputs, and what it prints is in the log."""
    command = 'echo "hello $MAESTRO_PARAM_NAME" && echo \'{"n": 7}\' > "$MAESTRO_OUTPUT_FILE"'
    key = rows.queue_one("shell", {"command": command}, params={"name": "ana"})
    async with running_worker(database_url):
        await wait_until_async(lambda: rows.reports(key))

    report = rows.report(key)
    assert (Outcome.DONE, {"n": 7}) == (report.outcome, report.outputs)
    assert {"n": 7} == rows.row(key)["outputs"]
    assert "hello ana\n" == rows.log(key)


async def test_a_python_function_gets_the_params_it_names(database_url: str, rows: AttemptRows, tmp_path: Path) -> None:
    """A function in a warm process is called with the parameters that it names, and returns the outputs."""
    (tmp_path / "mine.py").write_text("def add(a, b=2):\n    print('adding')\n    return {'sum': a + b}\n")
    key = rows.queue_one("python", {"function": "mine:add"}, params={"a": 40, "other": "x"})
    async with running_worker(database_url, code=tmp_path):
        await wait_until_async(lambda: rows.reports(key))

    report = rows.report(key)
    assert (Outcome.DONE, {"sum": 42}) == (report.outcome, report.outputs)
    assert "adding\n" == rows.log(key)
