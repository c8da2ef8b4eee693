"""Kafka breaks in every way we know in the middle of the whole system's work: only the latency of sweeps is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import pytest

from maestro_py.supervisor.embedded_kafka import EmbeddedKafka
from maestro_py.testing.waiting import wait_until
from tests.everything import SIGNALS, assert_everything_ended_as_it_should, start_everything
from tests.kafka import delete_topics
from tests.system import System, running_system

#: How long a broker that does not answer is stopped, in seconds.
PAUSED: Final = 30
#: At most, by the sweep of 1.5 s and its spread.
SWEEP: Final = 1.8
#: A run of one step needs three hints: to the engine, to a worker, and back; and a busy machine needs some time.
WITHOUT_HINTS: Final = 3 * SWEEP + 2
#: With hints it is quicker than with any of them lost.
WITH_HINTS: Final = 1.0
#: Processes look for a broker every two seconds at least; a group may wait for a former self of a member.
AGAIN: Final = 40


def neighbour_ends(system: System) -> float:
    """Start a run of one step, and return how many seconds passed until it has ended well."""
    began = time.monotonic()
    instance = system.start_run("neighbour")
    assert "SUCCEEDED" == system.wait_ended("neighbour", instance)
    return time.monotonic() - began


def neighbours_end_in_time(system: System, count: int) -> None:
    """No run waits for longer than the sweeps that its hints would have spared it."""
    assert max(neighbour_ends(system) for _ in range(count)) < WITHOUT_HINTS


@contextmanager
def killed(broker: EmbeddedKafka, prefix: str) -> Iterator[None]:
    """Keep the broker away by SIGKILL, and start it again."""
    broker.kill()
    yield
    broker.start()


@contextmanager
def paused(broker: EmbeddedKafka, prefix: str) -> Iterator[None]:
    """Keep the broker from answering for 30 s by SIGSTOP: its connections stay."""
    until = time.monotonic() + PAUSED
    broker.pause()
    yield
    wait_until(lambda: time.monotonic() > until, PAUSED)
    broker.resume()


@contextmanager
def wiped(broker: EmbeddedKafka, prefix: str) -> Iterator[None]:
    """Keep the broker away, and start it again with an empty data directory."""
    broker.wipe()
    yield
    broker.start()


@contextmanager
def topics_deleted(broker: EmbeddedKafka, prefix: str) -> Iterator[None]:
    """Delete the topics by which engines and workers are told, while everybody reads and writes them."""
    for name in ("engine", "steps."):
        asyncio.run(delete_topics(broker.servers, f"{prefix}.{name}"))
    yield


@pytest.mark.slow
@pytest.mark.parametrize("broken", [killed, paused, wiped, topics_deleted])
def test_the_final_state_is_the_same_whatever_becomes_of_kafka(
    database_url: str,
    private_kafka: EmbeddedKafka,
    private_carrier: dict[str, object],
    broken: Callable[[EmbeddedKafka, str], AbstractContextManager[None]],
) -> None:
    """
    Promises 5, 6 and 12: everything goes on, each thing at most some sweeps later, and the API answers at once.

    Some time after the broker is in order again hints travel as before, and no process was started for that.
    """
    with running_system(database_url, **private_carrier) as system:
        system.start_all(engines=2, workers=2, signals=1)
        system.push(
            {"workflow_id": "neighbour", "run_strategy": "PARALLEL", "steps": [{"id": "s", "type": "bench_noop"}]}
        )
        wait_until(lambda: neighbour_ends(system) < WITH_HINTS, AGAIN, seen=system.logs)
        start_everything(system)
        system.announce("ready")
        system.wait_step("everything", "each", "RUNNING")

        with broken(private_kafka, str(private_carrier["kafka_prefix"])):
            began = time.monotonic()
            system.announce("ready")
            assert time.monotonic() - began < 1
            neighbours_end_in_time(system, 3)
            system.announce("ready")
        for _ in range(SIGNALS - 3):
            system.announce("ready")
        neighbours_end_in_time(system, 2)

        assert_everything_ended_as_it_should(system, within_seconds=30)
        # Several times in a row: one may owe it to a sweep.
        wait_until(lambda: all(neighbour_ends(system) < WITH_HINTS for _ in range(5)), AGAIN, seen=system.logs)
        assert all(process.is_running for processes in system.processes.values() for process in processes)
