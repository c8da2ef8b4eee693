"""`maestro up` as its user meets it: what it starts lives, and what it leaves is nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from maestro_py.testing.waiting import wait_until
from tests.processes import is_alive


class Up:
    """A running `maestro up` over children of tests.acceptance.fake_maestro."""

    def __init__(self, directory: Path, port: int = 0, **environ: str) -> None:
        self._events = directory / "events"
        self._events.touch()
        self._log = directory / "log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.acceptance.fake_maestro", "up", str(directory), str(port)],
                env={**os.environ, "FAKE_EVENTS": str(self._events), **environ},
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def events(self) -> list[list[str]]:
        return [line.split() for line in self._events.read_text().splitlines()]

    def kinds(self, what: str) -> list[str]:
        """The kinds of the children that wrote *what*, in the order in which they did."""
        return [words[0] for words in self.events if what in words]

    def pids(self, kind: str = "") -> list[int]:
        return [int(words[1]) for words in self.events if "started" in words and kind in ("", words[0])]

    @property
    def postgres_pid(self) -> int:
        url = next(words[2] for words in self.events if words[0] == "migrate")
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)").fetchone()
        assert row is not None
        return int(row[0])

    def wait_ready(self) -> None:
        wait_until(
            lambda: "maestro is up" in self.log and len(self.kinds("started")) >= 6,
            within_seconds=30,
            seen=lambda: self.log,
        )

    def wait_said(self, sentence: str) -> None:
        wait_until(lambda: re.search(sentence, self.log), within_seconds=15, seen=lambda: self.log)


@contextmanager
def running(directory: Path, port: int = 0, **environ: str) -> Iterator[Up]:
    """Yield a running `maestro up`; kill whatever is left of it."""
    up = Up(directory, port, **environ)
    try:
        with up.process:
            try:
                yield up
            finally:
                up.process.kill()
    finally:
        for pid in up.pids():
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def test_ctrl_c_stops_everything_in_order(data_directory: Path) -> None:
    """First nobody asks, then nothing fires, then nothing runs, then nothing decides, then the data rests."""
    with running(data_directory) as up:
        up.wait_ready()
        pids = [up.postgres_pid, *up.pids()]
        up.process.send_signal(signal.SIGINT)

        assert 0 == up.process.wait(60)
        assert ["api", "signal", "worker", "worker", "engine", "engine"] == up.kinds("stopped")
        assert [] == [pid for pid in pids if is_alive(pid)]
        assert re.search(r"worker-2 +\| a line of the worker", up.log)


def test_a_child_that_dies_is_started_again_and_said_so(data_directory: Path) -> None:
    with running(data_directory) as up:
        up.wait_ready()
        os.kill(up.pids("engine")[0], signal.SIGKILL)

        up.wait_said(r"engine-\d was killed by SIGKILL; it is started again in 0\.5 s")
        wait_until(lambda: len(up.pids("engine")) == 3)


def test_it_says_that_it_is_up_when_everybody_works_and_until_then_for_whom_it_waits(data_directory: Path) -> None:
    with running(data_directory, FAKE_IDLE="worker") as up:
        up.wait_said("not yet up: worker-1 is idle, worker-2 is idle")

        assert "maestro is up" not in up.log


def test_each_child_serves_its_metrics_on_a_port_of_its_own_and_it_is_said_which(data_directory: Path) -> None:
    with running(data_directory, FAKE_METRICS_PORT="19100", MAESTRO_METRICS_PORT="1") as up:
        up.wait_ready()
        wait_until(lambda: len(up.kinds("measures")) == 6, seen=lambda: up.events)

        assert {"engine": {"19100", "19101"}, "worker": {"19102", "19103"}, "signal": {"19104"}, "api": {"0"}} == {
            kind: {words[3] for words in up.events if words[0] == kind and "measures" in words}
            for kind in ("engine", "worker", "signal", "api")
        }
        assert "metrics: engine-1 on port 19100, engine-2 on port 19101, worker-1 on port 19102" in up.log


def test_postgresql_that_dies_comes_back_at_the_same_address(data_directory: Path) -> None:
    """The other processes hold its address: they need not even be told."""
    with running(data_directory) as up:
        up.wait_ready()
        first = up.postgres_pid
        os.kill(first, signal.SIGKILL)

        up.wait_said("PostgreSQL was killed by SIGKILL; it is started again")
        up.wait_said("PostgreSQL serves again")
        assert first != up.postgres_pid
        assert 6 == len(up.pids())


def test_killed_outright_it_leaves_nothing_behind(data_directory: Path) -> None:
    """SIGKILL of the supervisor: 5 s later no process of ours is alive, not even one that ignores SIGTERM."""
    with running(data_directory, FAKE_STUBBORN="worker") as up:
        up.wait_ready()
        pids = [up.postgres_pid, *up.pids()]
        up.process.send_signal(signal.SIGKILL)

        wait_until(
            lambda: not any(map(is_alive, pids)),
            within_seconds=5,
            seen=lambda: [words for words in up.events if is_alive(int(words[1]))],
        )

    with running(data_directory) as up:
        up.wait_ready()


def test_a_second_ctrl_c_hurries(data_directory: Path) -> None:
    """A worker may take half a minute to finish what it runs; whoever presses twice does not want to wait."""
    with running(data_directory, FAKE_STUBBORN="worker") as up:
        up.wait_ready()
        up.process.send_signal(signal.SIGINT)
        wait_until(lambda: "signal" in up.kinds("stopped"))
        up.process.send_signal(signal.SIGINT)

        assert 0 == up.process.wait(60)
        assert ["api", "signal", "engine", "engine"] == up.kinds("stopped")
        assert [] == [pid for pid in up.pids() if is_alive(pid)]


def test_a_data_directory_has_one_owner(data_directory: Path) -> None:
    with running(data_directory) as up:
        up.wait_ready()
        with running(data_directory) as second:
            assert 1 == second.process.wait(10)
        up.wait_said(rf"another `maestro up` \(process {up.process.pid}\) runs on {data_directory}: stop it first")


def test_wrong_settings_stop_everything(data_directory: Path) -> None:
    """To start such a child again and again would hide the reason."""
    with running(data_directory, FAKE_MISCONFIGURED="worker") as up:
        assert 1 == up.process.wait(20)
        told = r"worker-\d cannot run with these settings: MAESTRO_SLOTS: 0 is too few\n  give at least one\n\Z"
        assert re.search(told, up.log)
        assert [] == [pid for pid in up.pids() if is_alive(pid)]


def test_a_taken_port_is_refused_before_anything_starts(data_directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(data_directory, port) as up:
            assert 1 == up.process.wait(10)
            assert [] == up.events
            assert f"the API cannot listen on 127.0.0.1:{port} (Address already in use)" in up.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_ways_to_ask_are_understood(data_directory: Path, number: signal.Signals) -> None:
    """A service manager sends SIGTERM, a terminal that closes SIGHUP."""
    with running(data_directory) as up:
        up.wait_ready()
        up.process.send_signal(number)

        assert 0 == up.process.wait(60)
        assert 6 == len(up.kinds("stopped"))
