"""`maestro up --transport kafka` brings its own broker, unless it is told of another; and `maestro topics create`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from maestro_py.testing.waiting import wait_until
from tests.acceptance.test_supervisor import Up, running
from tests.kafka import broker_directory
from tests.processes import is_alive


def _kafka_pid(up: Up) -> int:
    """Return the broker that `maestro up` started: its only child that is a JVM."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,comm=", "--ppid", str(up.process.pid)], capture_output=True, text=True, check=True
    ).stdout
    pids = [int(pid) for pid, name in map(str.split, listed.splitlines()) if name == "java"]
    assert 1 == len(pids), listed
    return pids[0]


@pytest.mark.slow
def test_without_a_broker_it_starts_one_and_says_so() -> None:
    """Every child is told where it is; killed, it comes back at the same place; and it ends with everything else."""
    with broker_directory() as directory, running(directory, MAESTRO_TRANSPORT="kafka") as up:
        directory.chmod(0o711)
        wait_until(lambda: "maestro is up" in up.log, within_seconds=60, seen=lambda: up.log)
        served = re.search(r"Kafka 4\.\S+ serves on (127\.0\.0\.1:\d+), for MAESTRO_KAFKA names no other", up.log)
        assert served is not None
        wait_until(lambda: len(up.kinds("started")) == 6)
        assert {served[1]} == {words[-1] for words in up.events if "started" in words}

        first = _kafka_pid(up)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: "Kafka serves again" in up.log, within_seconds=60, seen=lambda: up.log)
        assert 6 == len(up.pids())

        second = _kafka_pid(up)
        up.process.send_signal(signal.SIGINT)
        assert 0 == up.process.wait(30)
        assert not is_alive(second)


@pytest.mark.slow
def test_killed_outright_it_leaves_no_broker_behind() -> None:
    with broker_directory() as directory, running(directory, MAESTRO_TRANSPORT="kafka") as up:
        directory.chmod(0o711)
        wait_until(lambda: "maestro is up" in up.log, within_seconds=60, seen=lambda: up.log)
        pid = _kafka_pid(up)
        up.process.send_signal(signal.SIGKILL)

        wait_until(lambda: not is_alive(pid), within_seconds=5)


def test_a_broker_that_is_named_is_used(data_directory: Path) -> None:
    with running(data_directory, MAESTRO_TRANSPORT="kafka", MAESTRO_KAFKA="kafka.example:9092") as up:
        up.wait_ready()

        assert {"kafka.example:9092"} == {words[-1] for words in up.events if "started" in words}
        assert "Kafka" not in up.log


def test_topics_are_created_by_hand(kafka_servers: str, kafka_prefix: str) -> None:
    """Where processes may not make topics, an operator does, once."""
    made = subprocess.run(
        [sys.executable, "-m", "maestro_py", "topics", "create", "--kafka", kafka_servers, "--queues", "default,gpu"],
        env={**os.environ, "MAESTRO_KAFKA_PREFIX": kafka_prefix},
        capture_output=True,
        text=True,
        check=True,
    )

    assert [
        f"{kafka_prefix}.engine (64 partitions)",
        f"{kafka_prefix}.signals (1 partition)",
        f"{kafka_prefix}.steps.default (64 partitions)",
        f"{kafka_prefix}.steps.gpu (64 partitions)",
        f"{kafka_prefix}.workers (16 partitions)",
    ] == made.stdout.splitlines()


def test_topics_cannot_be_created_nowhere() -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "maestro_py", "topics", "create", "--kafka", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 1 == refused.returncode
    assert "maestro: no broker answers at 127.0.0.1:1" in refused.stderr
