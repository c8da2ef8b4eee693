"""The workers of a queue share its hints: each reaches one of them, also when one of them is gone without a word."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from maestro_py.ports.transport import Address, HintKind
from maestro_py.testing.waiting import NeverHappened, wait_until_async
from maestro_py.transport.kafka import KafkaTransport
from maestro_py.transport.kafka_cluster import KafkaCluster
from tests.ears import Ear
from tests.kafka import shares_of

QUEUE: Final = Address(HintKind.STEPS, "shared")
#: A member that died is taken for dead after six seconds.
FORGOTTEN_SECONDS: Final = 40.0


@pytest.fixture
async def transport(kafka_servers: str, kafka_prefix: str) -> AsyncIterator[KafkaTransport]:
    made = KafkaTransport(KafkaCluster(servers=kafka_servers), prefix=kafka_prefix)
    await made.open()
    yield made
    await made.close()


class OtherWorker:
    """A worker in a process of its own, which writes a line to *log* whenever it hears something."""

    def __init__(self, servers: str, prefix: str, log: Path) -> None:
        self._log = log
        command = [sys.executable, "-m", "tests.faults.kafka_listener_process", servers, prefix, QUEUE.key]
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out)

    @property
    def heard(self) -> int:
        return self._log.read_text().count("heard")


@contextmanager
def _other_worker(servers: str, prefix: str, log: Path) -> Iterator[OtherWorker]:
    worker = OtherWorker(servers, prefix, log)
    with worker.process:
        try:
            yield worker
        finally:
            worker.process.kill()


@pytest.mark.slow
async def test_each_hint_reaches_one_of_two_workers(
    transport: KafkaTransport, kafka_servers: str, kafka_prefix: str, tmp_path: Path
) -> None:
    """Neither hears all of them: with a hundred workers a step wakes one, and not a hundred."""
    sender = KafkaTransport(KafkaCluster(servers=kafka_servers), prefix=kafka_prefix)
    await sender.open()
    ear = Ear(transport, QUEUE)
    await ear.hears_from(sender, QUEUE)
    with _other_worker(kafka_servers, kafka_prefix, tmp_path / "log") as other:
        group = f"{kafka_prefix}.steps.{QUEUE.key}"
        await wait_until_async(partial(_has_members, kafka_servers, group, 2), FORGOTTEN_SECONDS)
        shares = await shares_of(kafka_servers, group)
        assert not shares[0] & shares[1]
        assert set(range(64)) == shares[0] | shares[1]
        before_here, before_there = ear.calls, other.heard

        for number in range(1, 41):
            sender.send([QUEUE])
            await wait_until_async(partial(_have_heard, ear, other, before_here + before_there + number))

        # Each hears one thing more: that the group has formed.
        assert 1 < ear.calls - before_here < 40
        assert 1 < other.heard - before_there < 40
    await sender.close()


class Busy:
    """A worker that never has room: it passes on whatever it hears, at once."""

    def __init__(self, transport: KafkaTransport, queue: Address) -> None:
        self.heard = 0
        self._transport = transport
        transport.subscribe([queue], self._on_hint)

    def _on_hint(self, addresses: Collection[Address]) -> None:
        self.heard += 1
        self._transport.pass_on(addresses)


@pytest.mark.slow
async def test_a_hint_that_nobody_has_room_for_goes_round_once(kafka_servers: str, kafka_prefix: str) -> None:
    """Each worker hears of it, and then it ends, however eagerly it is passed on."""
    queue, rounds = Address(HintKind.STEPS, "busy"), 3
    async with AsyncExitStack() as stack:
        transports = [KafkaTransport(KafkaCluster(servers=kafka_servers), prefix=kafka_prefix) for _ in range(4)]
        for transport in transports:
            await transport.open()
            stack.push_async_callback(transport.close)
        sender, *workers = transports
        busy = [Busy(transport, queue) for transport in workers]
        group = f"{kafka_prefix}.steps.{queue.key}"
        await wait_until_async(partial(_has_members, kafka_servers, group, len(busy)), FORGOTTEN_SECONDS)
        await _all_listen(sender, queue, busy)

        for number in range(1, rounds + 1):
            sender.send([queue])
            await wait_until_async(partial(_each_heard, busy, number))

        # Once more than there are workers where their shares are not even, and once that the group has formed.
        most = (rounds + 1) * (len(busy) + 1)
        with pytest.raises(NeverHappened):
            await wait_until_async(lambda: sum(worker.heard for worker in busy) > most, within_seconds=2)


async def _all_listen(sender: KafkaTransport, queue: Address, busy: list[Busy]) -> None:
    """A member of a group hears nothing before it has found the ends of its partitions: tell until all have heard."""
    for _ in range(20):
        sender.send([queue])
        with suppress(NeverHappened):
            await wait_until_async(partial(_each_heard, busy, 1), within_seconds=2)
            break
    is_calm = False
    while not is_calm:
        before = sum(worker.heard for worker in busy)
        try:
            await wait_until_async(lambda: sum(worker.heard for worker in busy) > before, within_seconds=1)  # noqa: B023
        except NeverHappened:
            is_calm = True
    for worker in busy:
        worker.heard = 0


async def _has_members(servers: str, group: str, count: int) -> bool:
    return len(await shares_of(servers, group)) == count


def _each_heard(busy: list[Busy], times: int) -> bool:
    return all(worker.heard >= times for worker in busy)


@pytest.mark.slow
async def test_a_worker_that_is_killed_takes_no_hint_along_for_long(
    transport: KafkaTransport, kafka_servers: str, kafka_prefix: str, tmp_path: Path
) -> None:
    """Until the group notices, hints for its partitions go unheard, which is what the sweep is for."""
    sender = KafkaTransport(KafkaCluster(servers=kafka_servers), prefix=kafka_prefix)
    await sender.open()
    ear = Ear(transport, QUEUE)
    await ear.hears_from(sender, QUEUE)
    with _other_worker(kafka_servers, kafka_prefix, tmp_path / "log") as other:
        await wait_until_async(lambda: other.heard > 0, within_seconds=FORGOTTEN_SECONDS)
        other.process.send_signal(signal.SIGKILL)

        async def hears_everything() -> bool:
            for _ in range(20):
                ear.heard.clear()
                sender.send([QUEUE])
                try:
                    await wait_until_async(lambda: ear.heard, within_seconds=0.5)
                except NeverHappened:
                    return False
            return True

        await wait_until_async(hears_everything, within_seconds=FORGOTTEN_SECONDS)
    await sender.close()


def _have_heard(ear: Ear, other: OtherWorker, times: int) -> bool:
    return ear.calls + other.heard >= times
