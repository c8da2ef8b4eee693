"""
Kafka breaks in every way we know, in the middle of its use, and costs nothing but hints.

Sending never waits, nothing is raised, nothing piles up, and some seconds after the broker is back hints flow again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import pytest

from maestro_py.ports.transport import Address, HintKind
from maestro_py.supervisor.embedded_kafka import EmbeddedKafka
from maestro_py.testing.waiting import wait_until_async
from maestro_py.transport.kafka import KafkaTransport
from maestro_py.transport.kafka_cluster import KafkaCluster
from tests.ears import Ear, partition
from tests.kafka import delete_topics, topics_with

QUEUE: Final = Address(HintKind.STEPS, "default")
SIGNALS: Final = Address(HintKind.SIGNALS, "")
ALL: Final = (partition(5), SIGNALS, QUEUE)

#: A send puts an address into a set; what is more is the machine being busy with something else.
SEND_SECONDS: Final = 0.5
#: Sender and readers look for a broker every two seconds at least; a group may wait for a former self of a member.
AGAIN_SECONDS: Final = 40.0


class Chatter:
    """A process that goes on sending as long as the test lasts, and remembers how long its slowest send took."""

    def __init__(self, transport: KafkaTransport) -> None:
        self.slowest_seconds = 0.0
        self.sent = 0
        self._transport = transport

    async def run(self) -> None:
        while True:
            began = time.monotonic()
            self._transport.send(ALL)
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
            self.sent += 1
            await asyncio.sleep(0.01)


class Scene:
    """A process that sends without pause, one that listens, and the broker between them."""

    def __init__(self, broker: EmbeddedKafka, stack: AsyncExitStack) -> None:
        self.broker = broker
        self._stack = stack

    async def transport(self) -> KafkaTransport:
        transport = KafkaTransport(KafkaCluster(servers=self.broker.servers))
        await transport.open()
        self._stack.push_async_callback(transport.close)
        return transport

    async def begin(self) -> None:
        sender, receiver = await self.transport(), await self.transport()
        self.sender, self.chatter = sender, Chatter(sender)
        self.ear = Ear(receiver, *ALL)
        await self.ear.hears_from(sender, *ALL)
        chatting = asyncio.create_task(self.chatter.run())
        self._stack.callback(chatting.cancel)

    async def hints_flow(self) -> None:
        """Return once each kind of hint was heard twice: the first may be the word that something was missed."""
        for _ in range(2):
            self.ear.heard.clear()
            await wait_until_async(
                lambda: self.ear.heard.issuperset(ALL), within_seconds=AGAIN_SECONDS, seen=lambda: self.ear.heard
            )

    async def chats_on(self, times: int = 100) -> None:
        """Return when more hints were sent, whatever became of them."""
        until = self.chatter.sent + times
        await wait_until_async(lambda: self.chatter.sent >= until, within_seconds=30)


@pytest.fixture
async def scene(private_kafka: EmbeddedKafka) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        yield Scene(private_kafka, stack)
    # Connections to a broker that did not answer are closed beside everything else, and soon.
    await wait_until_async(lambda: len(asyncio.all_tasks()) == 1, within_seconds=30, seen=asyncio.all_tasks)


async def _killed(scene: Scene) -> None:
    scene.broker.kill()
    await scene.chats_on()
    await asyncio.to_thread(scene.broker.start)


async def _killed_for_long(scene: Scene) -> None:
    """Longer than any request, session or silence is waited for."""
    scene.broker.kill()
    await scene.chats_on(1_200)
    await asyncio.to_thread(scene.broker.start)


async def _paused(scene: Scene) -> None:
    """Connections stay, and nobody answers: only our own limits end the waiting."""
    scene.broker.pause()
    await scene.chats_on(1_000)
    scene.broker.resume()


async def _wiped(scene: Scene) -> None:
    scene.broker.wipe()
    await scene.chats_on()
    await asyncio.to_thread(scene.broker.start)


async def _topics_deleted(scene: Scene) -> None:
    await delete_topics(scene.broker.servers, "maestro.")
    await scene.chats_on()


@pytest.mark.slow
@pytest.mark.parametrize("breaks", [_killed, _killed_for_long, _paused, _wiped, _topics_deleted])
async def test_hints_flow_again(scene: Scene, breaks: Callable[[Scene], Awaitable[None]]) -> None:
    """Whatever happens to the broker: no send waits, no task is left over, and then hints are heard as before."""
    await scene.begin()
    await scene.hints_flow()
    tasks = len(asyncio.all_tasks())

    await breaks(scene)

    await scene.hints_flow()
    assert scene.chatter.slowest_seconds < SEND_SECONDS
    await wait_until_async(
        lambda: len(asyncio.all_tasks()) <= tasks, within_seconds=30, seen=lambda: sorted(map(str, asyncio.all_tasks()))
    )


@pytest.mark.slow
async def test_a_process_that_starts_before_the_broker_finds_it(scene: Scene) -> None:
    """It makes the topics then, and whoever listens is told to look for what was missed."""
    scene.broker.wipe()
    sender, receiver = await scene.transport(), await scene.transport()
    ear = Ear(receiver, *ALL)
    sender.send(ALL)
    await asyncio.to_thread(scene.broker.start)

    await wait_until_async(lambda: ear.heard.issuperset(ALL), within_seconds=AGAIN_SECONDS, seen=lambda: ear.heard)
    assert {
        "maestro.engine": 64,
        "maestro.signals": 1,
        "maestro.steps.default": 64,
    }.items() <= (await topics_with(scene.broker.servers, "maestro.")).items()


async def test_closing_does_not_wait_for_a_broker_that_does_not_answer(scene: Scene) -> None:
    await scene.begin()
    scene.broker.pause()
    try:
        scene.sender.send([partition(number) for number in range(64)])
        began = time.monotonic()
        await scene.sender.close()

        assert time.monotonic() - began < 4
        assert scene.sender.hints_dropped > 0
    finally:
        scene.broker.resume()


async def test_what_cannot_be_sent_is_bounded(scene: Scene) -> None:
    """An outage of an hour holds no more than the queue does; what is more is dropped and counted."""
    scene.broker.kill()
    transport = KafkaTransport(KafkaCluster(servers=scene.broker.servers), queue_limit=100)
    await transport.open()

    for number in range(1_000):
        transport.send([Address(HintKind.WORKER, str(number))])
        transport.send([Address(HintKind.WORKER, "0")])

    assert 900 == transport.hints_dropped
    await transport.close()
    assert 1_000 == transport.hints_dropped
