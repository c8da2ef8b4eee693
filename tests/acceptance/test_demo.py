"""`make demo` as its user meets it: a result, whatever is killed on the way, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from maestro_py.testing.waiting import wait_until
from tests.processes import is_alive

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


class Demo:
    """A running demo; its output goes to a file, so it prints a line for each change."""

    def __init__(self, data_directory: Path, output: Path) -> None:
        self._output = output
        #: Every process that was ever seen below it.
        self.seen: set[int] = set()
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "examples.ml_pipeline.demo", "--data-dir", str(data_directory)],
                cwd=ROOT,
                stdout=file,
                stderr=file,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def wait_said(self, pattern: str, within_seconds: float = 90) -> re.Match[str]:
        def said() -> re.Match[str] | None:
            self.processes()
            assert self.process.poll() is None or re.search(pattern, self.output), "it has ended"
            return re.search(pattern, self.output)

        found = wait_until(said, within_seconds, seen=lambda: self.output)
        assert found is not None
        return found

    def processes(self) -> dict[int, str]:
        """Return the command lines of all processes below it, and remember them."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (parent := _parent_of(entry)) is not None:
                children.setdefault(parent, []).append(int(entry.name))
        found: dict[int, str] = {}
        waiting = [self.process.pid]
        while waiting:
            for pid in children.get(waiting.pop(), ()):
                found[pid] = _command_line(pid)
                waiting.append(pid)
        self.seen |= found.keys()
        return found

    def pid_of(self, command: str) -> int:
        """Return the process whose command line holds *command*."""
        return wait_until(lambda: next(pid for pid, line in self.processes().items() if command in line))

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def left_alive(self) -> dict[int, str]:
        return {pid: _command_line(pid) for pid in self.seen if is_alive(pid)}


def _parent_of(entry: Path) -> int | None:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None  # it has just ended


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


@contextmanager
def running(data_directory: Path, tmp_path: Path) -> Iterator[Demo]:
    """Yield a running demo; kill whatever is left of it."""
    demo = Demo(data_directory, tmp_path / "output")
    try:
        with demo.process:
            try:
                yield demo
            finally:
                demo.processes()
                demo.process.kill()
    finally:
        for pid in demo.left_alive():
            with suppress(ProcessLookupError):  # it ended since we looked
                os.kill(pid, signal.SIGKILL)


def test_the_demo_reaches_its_result_though_its_processes_are_killed(data_directory: Path, tmp_path: Path) -> None:
    """An engine, the worker that runs a step, then `maestro up` with all that it started: each by SIGKILL."""
    with running(data_directory, tmp_path) as demo:
        worker = int(demo.wait_said(r"data_prep +running on \S+:(\d+)").group(1))
        demo.kill(demo.pid_of("maestro engine"))
        demo.kill(worker)
        demo.wait_said(r"model_train +running on ")
        demo.kill(demo.pid_of("maestro_py up"))

        assert 0 == demo.process.wait(120), demo.output
        assert "maestro up was killed by SIGKILL; it is started again" in demo.output
        assert re.search(r"data_prep +succeeded \(attempt 2\) on", demo.output)
        assert re.search(r"feature_engineering +succeeded 36 of 36 iterations on", demo.output)
        assert re.search(r"model_train +succeeded \(attempt 2\) on", demo.output)
        assert re.search(r"  AUC +0\.7\d\d ", demo.output)
        wait_until(lambda: not demo.left_alive(), 5, seen=demo.left_alive)


def test_ctrl_c_stops_everything_and_the_next_run_reaches_the_result(data_directory: Path, tmp_path: Path) -> None:
    """The run that was left in the middle is finished first: runs of this workflow follow one another."""
    with running(data_directory, tmp_path) as demo:
        demo.wait_said(r"data_prep +running on ")
        demo.process.send_signal(signal.SIGINT)

        assert 130 == demo.process.wait(60)
        assert {} == demo.left_alive()
    with running(data_directory, tmp_path) as demo:
        assert 0 == demo.process.wait(120), demo.output
        assert "the signal started instance 2" in demo.output
        assert "AUC" in demo.output


def test_a_service_that_cannot_start_says_why(data_directory: Path, tmp_path: Path) -> None:
    """Two demos in one directory: the second is told who has it, and the first is not disturbed."""
    (tmp_path / "second").mkdir()
    with running(data_directory, tmp_path) as demo:
        demo.wait_said("maestro is up")
        with running(data_directory, tmp_path / "second") as second:
            assert 1 == second.process.wait(60)
            assert "FAILED: maestro up ended with status 1" in second.output
            assert "another `maestro up`" in second.output
        assert demo.process.poll() is None


def test_a_failure_shows_what_the_step_said_and_where_the_rest_is(data_directory: Path, tmp_path: Path) -> None:
    """A file lies where the steps want a folder."""
    (data_directory / "flights").touch()
    with running(data_directory, tmp_path) as demo:
        assert 1 == demo.process.wait(90)
        assert "NotADirectoryError" in demo.output
        assert "FAILED: instance 1 ended as FAILED" in demo.output
        assert f"the end of {data_directory}/maestro.log, which has the rest:" in demo.output
        assert {} == demo.left_alive()
