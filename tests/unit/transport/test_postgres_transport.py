"""The coalescer sends at once, each address once, and never more than one notification at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.notifications import Notification
from maestro_py.ports.transport import Address, HintKind
from maestro_py.testing.waiting import wait_until_async
from maestro_py.transport.postgres import PostgresTransport, decode

SIGNALS = Address(HintKind.SIGNALS, "")
QUEUE = Address(HintKind.STEPS, "default")
WORKER = Address(HintKind.WORKER, str(uuid4()))


def partition(number: int) -> Address:
    return Address(HintKind.ENGINE, str(number))


class Channels:
    """Notification channels whose answers the test gives."""

    def __init__(self) -> None:
        self.said: list[set[Address]] = []
        self.answered = asyncio.Event()
        self.answered.set()
        self.fails = 0
        self.listening: frozenset[str] = frozenset()

    async def notify(self, notifications: Sequence[Notification]) -> None:
        self.said.append({address for notification in notifications for address in decode(notification)})
        await self.answered.wait()
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("away")

    @asynccontextmanager
    async def listen(self, channels: Collection[str]) -> AsyncIterator[AsyncIterator[Notification]]:
        self.listening = frozenset(channels)
        yield self._silence()

    async def close(self) -> None: ...

    async def _silence(self) -> AsyncIterator[Notification]:
        await asyncio.Event().wait()
        yield Notification("", "")


@pytest.fixture
def channels() -> Channels:
    return Channels()


@pytest.fixture
async def transport(channels: Channels) -> AsyncIterator[PostgresTransport]:
    transport = PostgresTransport(channels, queue_limit=100)
    await transport.open()
    yield transport
    channels.answered.set()
    await transport.close()


async def test_what_gathers_while_a_notification_is_on_its_way_is_the_next_one(
    channels: Channels, transport: PostgresTransport
) -> None:
    channels.answered.clear()
    transport.send([partition(1)])
    await wait_until_async(lambda: channels.said)

    for number in range(50):
        transport.send([partition(2), partition(number), SIGNALS])
    channels.answered.set()
    await wait_until_async(lambda: len(channels.said) == 2)

    assert [{partition(1)}, {SIGNALS, *(partition(n) for n in range(50))}] == channels.said


@pytest.mark.parametrize("address", [partition(3), WORKER])
async def test_a_hint_that_only_this_process_needs_stays_in_it(
    channels: Channels, transport: PostgresTransport, address: Address
) -> None:
    heard: list[Address] = []
    transport.subscribe([address], heard.extend)

    transport.send([address, partition(9)])

    await wait_until_async(lambda: channels.said)
    assert address in heard
    assert [{partition(9)}] == channels.said


@pytest.mark.parametrize("address", [SIGNALS, QUEUE])
async def test_a_hint_that_others_may_need_is_heard_here_at_once_and_sent_as_well(
    channels: Channels, transport: PostgresTransport, address: Address
) -> None:
    heard: list[Address] = []
    transport.subscribe([address], heard.extend)

    transport.send([address])

    await wait_until_async(lambda: channels.said)
    assert address in heard
    assert [{address}] == channels.said


async def test_hints_wait_for_a_database_that_is_away_and_more_of_them_than_fit_are_dropped(
    channels: Channels, transport: PostgresTransport
) -> None:
    channels.fails = 3
    channels.answered.clear()
    transport.send([SIGNALS])
    await wait_until_async(lambda: channels.said)

    transport.send([partition(number) for number in range(150)])
    assert 50 == transport.hints_dropped
    channels.answered.set()
    await wait_until_async(lambda: len(channels.said) > 3)

    assert {SIGNALS, *(partition(n) for n in range(100))} == channels.said[3]


async def test_only_kinds_that_somebody_here_wants_are_listened_to(
    channels: Channels, transport: PostgresTransport
) -> None:
    transport.subscribe([QUEUE], lambda _: None)
    await wait_until_async(lambda: channels.listening == {"maestro_steps"})

    subscription = transport.subscribe([], lambda _: None)
    subscription.update([WORKER])

    await wait_until_async(lambda: channels.listening == {"maestro_steps", "maestro_worker"})


async def test_what_is_queued_at_the_end_is_still_sent(channels: Channels) -> None:
    transport = PostgresTransport(channels)
    await transport.open()
    transport.send([SIGNALS])

    await transport.close()

    assert [{SIGNALS}] == channels.said
    assert 0 == transport.hints_dropped
