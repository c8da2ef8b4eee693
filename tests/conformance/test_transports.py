"""
What every transport of hints keeps, whatever it stands on.

A hint may be lost only where the port says so, so these tests first wait until the subscription is known to hear.
An implementation is one entry of `IMPLEMENTATIONS`: how to build the transport of one process.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from typing import Final
from uuid import uuid4

import pytest

from maestro_py.model.statuses import ProcessKind
from maestro_py.ports.transport import Address, HintKind, Transport
from maestro_py.storage.connections import application_name
from maestro_py.storage.notifications import PostgresNotifications
from maestro_py.testing.waiting import wait_until_async
from maestro_py.transport.faulty import Faults, FaultyTransport
from maestro_py.transport.kafka import KafkaTransport
from maestro_py.transport.kafka_cluster import KafkaCluster
from maestro_py.transport.postgres import PostgresTransport
from tests.ears import Ear, partition

SIGNALS: Final = Address(HintKind.SIGNALS, "")
#: Nobody is at home here.
NOWHERE: Final = "postgresql://nobody@127.0.0.1:1/nothing"

#: Builds the transport of one process; *away*: its broker cannot be reached.
Build = Callable[[pytest.FixtureRequest, bool], Transport]


def _postgres(request: pytest.FixtureRequest, away: bool) -> Transport:
    url = NOWHERE if away else request.getfixturevalue("database_url")
    return PostgresTransport(PostgresNotifications(url, application_name(ProcessKind.API, uuid4())))


def _postgres_at_its_worst(request: pytest.FixtureRequest, away: bool) -> Transport:
    return FaultyTransport(_postgres(request, away), Faults(seed=7, double=0.5, delay_ms=20))


def _kafka(request: pytest.FixtureRequest, away: bool) -> Transport:
    if away:
        return KafkaTransport(KafkaCluster(servers="127.0.0.1:1"))
    cluster = KafkaCluster(servers=request.getfixturevalue("kafka_servers"))
    return KafkaTransport(cluster, prefix=request.getfixturevalue("kafka_prefix"))


def _kafka_at_its_worst(request: pytest.FixtureRequest, away: bool) -> Transport:
    return FaultyTransport(_kafka(request, away), Faults(seed=7, double=0.5, delay_ms=20))


IMPLEMENTATIONS: Final[dict[str, Build]] = {
    "kafka": _kafka,
    "kafka-doubled-late-reordered": _kafka_at_its_worst,
    "postgres": _postgres,
    "postgres-doubled-late-reordered": _postgres_at_its_worst,
}


class Processes:
    """Makes the transports of as many processes as a test needs, and closes them at its end."""

    def __init__(self, build: Build, request: pytest.FixtureRequest, stack: AsyncExitStack) -> None:
        self._build = build
        self._request = request
        self._stack = stack

    async def another(self, *, away: bool = False) -> Transport:
        transport = self._build(self._request, away)
        await transport.open()
        self._stack.push_async_callback(transport.close)
        return transport


@pytest.fixture(params=IMPLEMENTATIONS)
async def processes(request: pytest.FixtureRequest) -> AsyncIterator[Processes]:
    async with AsyncExitStack() as stack:
        yield Processes(IMPLEMENTATIONS[request.param], request, stack)


async def test_every_engine_hears_of_its_partitions(processes: Processes) -> None:
    sender, one, two = await processes.another(), await processes.another(), await processes.another()
    ear_one, ear_two = Ear(one, partition(0), partition(1)), Ear(two, partition(2))
    await ear_one.hears_from(sender, partition(0), partition(1))
    await ear_two.hears_from(sender, partition(2))

    sender.send([partition(0), partition(1), partition(2)])

    await ear_one.hears(partition(0), partition(1))
    await ear_two.hears(partition(2))
    assert partition(2) not in ear_one.heard


@pytest.mark.parametrize("address", [SIGNALS, Address(HintKind.WORKER, str(uuid4())), partition(63)])
async def test_each_subscribed_process_hears_of_what_is_no_step(processes: Processes, address: Address) -> None:
    sender, one, two = await processes.another(), await processes.another(), await processes.another()
    ears = [Ear(one, address), Ear(two, address)]
    for ear in ears:
        await ear.hears_from(sender, address)

    sender.send([address])

    for ear in ears:
        await ear.hears(address)


async def test_some_worker_of_a_queue_hears_of_each_step(processes: Processes) -> None:
    sender, one, two = await processes.another(), await processes.another(), await processes.another()
    queue = Address(HintKind.STEPS, "gpu")
    ears = [Ear(one, queue), Ear(two, queue)]
    await ears[0].hears_from(sender, queue)

    for _ in range(5):
        for ear in ears:
            ear.heard.clear()
        sender.send([queue])
        await wait_until_async(lambda: any(ear.heard for ear in ears))


async def test_a_hint_that_workers_pass_on_reaches_every_other_worker(processes: Processes) -> None:
    """Each that has no room for what it heard passes it on, so a round of busy workers ends at the one that is free."""
    sender = await processes.another()
    queue = Address(HintKind.STEPS, "passed")
    workers = [await processes.another() for _ in range(3)]
    ears = [Ear(worker, queue) for worker in workers]
    for ear in ears:
        await ear.hears_from(sender, queue)

    # The first rounds may be helped by the group that forms, whose members are told that they missed something.
    for _ in range(10):
        sender.send([queue])
        left = set(range(len(ears)))
        while left:
            for number in await wait_until_async(functools.partial(_heard, ears)):
                ears[number].heard.clear()
                workers[number].pass_on([queue])
                left.discard(number)


def _heard(ears: Sequence[Ear]) -> list[int]:
    return [number for number, ear in enumerate(ears) if ear.heard]


async def test_a_process_hears_what_it_tells_itself(processes: Processes) -> None:
    transport = await processes.another()
    ear = Ear(transport, partition(5))

    transport.send([partition(5)])

    await ear.hears(partition(5))


async def test_two_subscriptions_of_one_process_both_hear(processes: Processes) -> None:
    sender, receiver = await processes.another(), await processes.another()
    ears = [Ear(receiver, SIGNALS), Ear(receiver, SIGNALS, partition(1))]
    for ear in ears:
        await ear.hears_from(sender, SIGNALS)

    sender.send([SIGNALS])

    for ear in ears:
        await ear.hears(SIGNALS)


async def test_an_updated_subscription_hears_the_new_addresses_and_none_of_the_old(processes: Processes) -> None:
    sender, receiver = await processes.another(), await processes.another()
    ear = Ear(receiver, partition(1))
    await ear.hears_from(sender, partition(1))

    ear.subscription.update([partition(2)])
    await ear.hears_from(sender, partition(2))
    sender.send([partition(1)])
    sender.send([partition(2)])

    await ear.hears(partition(2))
    assert {partition(2)} == ear.heard


async def test_a_subscription_may_begin_empty_and_turn_to_another_kind(processes: Processes) -> None:
    sender, receiver = await processes.another(), await processes.another()
    ear = Ear(receiver)

    ear.subscription.update([SIGNALS])
    await ear.hears_from(sender, SIGNALS)
    ear.subscription.update([partition(9)])

    await ear.hears_from(sender, partition(9))


async def test_a_closed_subscription_hears_nothing(processes: Processes) -> None:
    sender, receiver = await processes.another(), await processes.another()
    closed, other = Ear(receiver, SIGNALS), Ear(receiver, SIGNALS)
    await closed.hears_from(sender, SIGNALS)
    await other.hears_from(sender, SIGNALS)

    await closed.subscription.close()
    closed.heard.clear()
    sender.send([SIGNALS])

    await other.hears(SIGNALS)
    assert not closed.heard


async def test_a_thousand_hints_at_once_are_all_heard(processes: Processes) -> None:
    sender, receiver = await processes.another(), await processes.another()
    addresses = {Address(HintKind.WORKER, str(uuid4())) for _ in range(900)}
    addresses |= {Address(HintKind.ENGINE, f"{number}{of}") for number in range(64) for of in ("", "w")}
    ear = Ear(receiver, *addresses)
    await ear.hears_from(sender, *addresses)

    sender.send(addresses)

    await ear.hears(*addresses)


@pytest.mark.parametrize("queue", ["default", "gpu.large", "gpu_large", "очередь", "a b/c", "x" * 300])
async def test_a_queue_may_be_called_anything(processes: Processes, queue: str) -> None:
    """Keys are what users call their queues: any script, any length, whatever a broker accepts as a name."""
    sender, receiver = await processes.another(), await processes.another()
    ear = Ear(receiver, Address(HintKind.STEPS, queue))
    await ear.hears_from(sender, Address(HintKind.STEPS, queue))

    sender.send([Address(HintKind.STEPS, queue)])

    await ear.hears(Address(HintKind.STEPS, queue))


async def test_a_worker_hears_of_each_of_its_queues(processes: Processes) -> None:
    sender, receiver = await processes.another(), await processes.another()
    queues = [Address(HintKind.STEPS, name) for name in ("default", "gpu", "large")]
    ears = [Ear(receiver, queue) for queue in queues]
    for ear, queue in zip(ears, queues, strict=True):
        await ear.hears_from(sender, queue)

    sender.send(queues)

    for ear, queue in zip(ears, queues, strict=True):
        await ear.hears(queue)
        assert {queue} == ear.heard


async def test_events_for_workflows_and_for_runs_of_a_partition_are_told_apart(processes: Processes) -> None:
    """They are for different lanes of an engine, whatever they travel by."""
    sender, receiver = await processes.another(), await processes.another()
    runs, workflows = partition(7), Address(HintKind.ENGINE, "7w")
    ears = [Ear(receiver, address) for address in (runs, workflows)]
    await ears[1].hears_from(sender, workflows)

    for address, ear in zip((workflows, runs), reversed(ears), strict=True):
        sender.send([address])
        await ear.hears(address)
        assert {address} == ear.heard


async def test_whoever_begins_to_listen_is_told_that_something_may_have_been_missed(processes: Processes) -> None:
    """What was sent before is not heard again; so everything is looked at once."""
    receiver = await processes.another()

    ear = Ear(receiver, partition(3), SIGNALS, Address(HintKind.STEPS, "default"))

    await ear.hears(partition(3), SIGNALS, Address(HintKind.STEPS, "default"))


async def test_a_worker_that_leaves_takes_no_hint_along(processes: Processes) -> None:
    """When one of two workers of a queue stops, the other one hears of everything from then on."""
    sender, one, two = await processes.another(), await processes.another(), await processes.another()
    queue = Address(HintKind.STEPS, "gpu")
    leaving, staying = Ear(one, queue), Ear(two, queue)
    await staying.hears_from(sender, queue)

    await one.close()
    leaving.heard.clear()
    await staying.hears_from(sender, queue)

    for _ in range(5):
        sender.send([queue])
        await staying.hears(queue)
        staying.heard.clear()
    assert not leaving.heard


async def test_hints_for_a_queue_that_nobody_serves_hold_up_nothing(processes: Processes) -> None:
    sender, receiver = await processes.another(), await processes.another()
    ear = Ear(receiver, partition(1))
    await ear.hears_from(sender, partition(1))

    for number in range(50):
        sender.send([Address(HintKind.STEPS, f"nobody-{number}"), partition(1)])
        await ear.hears(partition(1))
        ear.heard.clear()


@pytest.mark.parametrize("processes", ["kafka", "postgres"], indirect=True)  # the others lose what is late
async def test_what_is_queued_is_sent_before_closing(processes: Processes) -> None:
    sender, receiver = await processes.another(), await processes.another()
    ear = Ear(receiver, partition(1))
    await ear.hears_from(sender, partition(1))
    sender.send([partition(1)])

    await sender.close()

    await ear.hears(partition(1))


async def test_opening_and_closing_leave_no_task_behind(processes: Processes) -> None:
    before = asyncio.all_tasks()
    transport = await processes.another()
    ear = Ear(transport, partition(1), SIGNALS, Address(HintKind.STEPS, "default"))
    await ear.hears(SIGNALS)

    await transport.close()

    await wait_until_async(lambda: asyncio.all_tasks() <= before, seen=lambda: asyncio.all_tasks() - before)


async def test_the_same_hint_a_thousand_times_is_few_calls(processes: Processes) -> None:
    sender, receiver = await processes.another(), await processes.another()
    ear = Ear(receiver, SIGNALS)
    await ear.hears_from(sender, SIGNALS)
    before = ear.calls

    for _ in range(1_000):
        sender.send([SIGNALS])

    await ear.hears(SIGNALS)
    assert ear.calls - before < 500


@pytest.mark.parametrize("key", ["two\nlines", "nul\0", "half \ud800", "x" * 10_000])
async def test_a_key_that_cannot_be_sent_is_dropped_alone(processes: Processes, key: str) -> None:
    """No key may block or break the hints that come after it."""
    sender, receiver = await processes.another(), await processes.another()
    ear = Ear(receiver, SIGNALS)
    await ear.hears_from(sender, SIGNALS)

    sender.send([Address(HintKind.STEPS, key)])
    sender.send([SIGNALS])

    await ear.hears(SIGNALS)


async def test_a_receiver_that_fails_loses_nothing_for_others_or_later(processes: Processes) -> None:
    sender, receiver = await processes.another(), await processes.another()
    called = asyncio.Event()

    def fail(_: Collection[Address]) -> None:
        called.set()
        raise RuntimeError("a bug of ours")

    receiver.subscribe([SIGNALS], fail)
    ear = Ear(receiver, SIGNALS)
    await ear.hears_from(sender, SIGNALS)
    await called.wait()

    sender.send([SIGNALS])

    await ear.hears(SIGNALS)


async def test_a_broker_that_is_away_stops_nobody(processes: Processes) -> None:
    began = time.monotonic()
    transport = await processes.another(away=True)
    Ear(transport, SIGNALS)

    for number in range(20_000):
        transport.send([Address(HintKind.STEPS, str(number)), SIGNALS])
    await transport.close()

    assert time.monotonic() - began < 30
    assert transport.hints_dropped > 0
