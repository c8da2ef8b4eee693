"""
The transport ``kafka``: hints as small records, one producer and a few consumers in each process.

No transactions, no committed offsets: whoever listens begins at the end and takes "something may have been missed" for
a hint.  A hint for an address that this very process listens to is delivered at once, without the broker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from functools import partial
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from maestro_py.ports.transport import Address, HintKind, OnHint
from maestro_py.transport.deliveries import Deliveries, LocalSubscription
from maestro_py.transport.kafka_cluster import KafkaCluster, TopicKeeper, end
from maestro_py.transport.kafka_reader import KafkaReader, OwnPartitions, SharedTopic
from maestro_py.transport.kafka_sender import KafkaSender
from maestro_py.transport.topics import PREFIX, Lane, Topics, is_sendable, passed_on

#: Different addresses that wait to be sent, at most.
QUEUE_LIMIT: Final = 10_000
#: Time that `KafkaTransport.close` gives to what is queued, in seconds, and then to the connections.
CLOSE_SECONDS: Final = 1.0

#: Kinds whose address has one receiver only: when that is this process, nobody else needs to hear.
_ONE_RECEIVER: Final = frozenset({HintKind.ENGINE, HintKind.WORKER})


class KafkaTransport:
    """
    Carries hints by Kafka (`ports.transport.Transport`).

    Args:
        cluster: Where the brokers are.
        prefix: What the names of the topics begin with; installations that share a cluster have each their own.
        queue_limit: Different addresses that wait to be sent, at most; more are dropped.
    """

    def __init__(self, cluster: KafkaCluster, *, prefix: str = PREFIX, queue_limit: int = QUEUE_LIMIT) -> None:
        self._cluster = cluster
        self._topics = Topics(prefix)
        self._keeper = TopicKeeper(cluster)
        self._deliveries = Deliveries(self._on_change)
        self._sender = KafkaSender(cluster, self._keeper, self._topics, queue_limit=queue_limit, bury=self._bury)
        self._sending: asyncio.Task[None] | None = None
        self._reading: dict[OwnPartitions | SharedTopic, asyncio.Task[None]] = {}
        self._readers: dict[OwnPartitions | SharedTopic, KafkaReader] = {}
        #: How often the freshest hint for a queue, of those heard since we passed one on, had been passed on before.
        self._passes: dict[Address, int] = {}
        self._is_changed = False
        #: Connections that are being closed, to servers that may not answer.
        self._buried: set[asyncio.Task[None]] = set()

    @property
    def hints_dropped(self) -> int:
        """Hints dropped since the start."""
        return self._sender.dropped

    async def open(self) -> None:
        """Start to send and to listen; returns at once even when no broker is there."""
        self._sending = asyncio.create_task(self._sender.run(), name="hints-sender")
        self._on_change()

    async def close(self) -> None:
        """Send what is queued, for at most a second, and stop; connections get another second to close."""
        if self._sending is None:
            return
        await self._sender.all_sent(CLOSE_SECONDS)
        tasks = [self._sending, *self._reading.values()]
        self._sending = None
        self._reading.clear()
        self._readers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._buried:
            # What takes longer ends by itself: each request has a limit of its own.
            await asyncio.wait(self._buried, timeout=CLOSE_SECONDS)

    def send(self, addresses: Collection[Address]) -> None:
        """Queue hints for sending, after the commit that justifies them; drop them when the queue is full."""
        for address in addresses:
            if address in self._deliveries.addresses:
                self._deliveries.arrive((address,))
                if address.kind in _ONE_RECEIVER:
                    continue
            self._sender.put(address)

    def pass_on(self, addresses: Collection[Address]) -> None:
        """Queue hints for the next member of each queue's group; drop those that each of them has heard."""
        for address in addresses:
            # None: it was no hint but the word that something was missed, which was for all of them.
            passes = self._passes.pop(address, None)
            topic = self._topics.steps(address.key).name
            reader = self._readers.get(SharedTopic(topic))
            if passes is None or reader is None:
                continue
            partition = reader.next_member(passes)
            if partition is not None:
                self._sender.put_into(Lane(topic, partition), passed_on(address.key, passes + 1))

    def subscribe(self, addresses: Collection[Address], on_hint: OnHint) -> LocalSubscription:
        """Call *on_hint* for hints sent to *addresses*, and for all of them after any time they may have been lost."""
        return self._deliveries.subscribe(addresses, on_hint)

    def _arrive(self, heard: Mapping[Address, int]) -> None:
        for address, passes in heard.items():
            if address.kind is HintKind.STEPS:
                self._passes[address] = min(passes, self._passes.get(address, passes))
        self._deliveries.arrive(heard)

    # --- listening to what the subscriptions say ---

    def _on_change(self) -> None:
        """Read something else soon: an engine gains and loses partitions several at a time."""
        if self._sending is not None and not self._is_changed:
            self._is_changed = True
            asyncio.get_running_loop().call_soon(self._read_anew)

    def _read_anew(self) -> None:
        self._is_changed = False
        if self._sending is None:
            return
        wanted = self._wanted()
        for source in self._reading.keys() - wanted.keys():
            self._reading.pop(source).cancel()
            del self._readers[source]
        for source in wanted.keys() - self._reading.keys():
            reader = self._readers[source] = KafkaReader(
                self._cluster,
                self._keeper,
                self._topics,
                source,
                arrive=self._arrive,
                missed=partial(self._deliveries.arrive, wanted[source]),
                bury=self._bury,
            )
            self._reading[source] = asyncio.create_task(reader.run(), name="hints-reader")

    def _wanted(self) -> dict[OwnPartitions | SharedTopic, list[Address]]:
        """Return what to read, and the addresses that it is read for."""
        own: list[Address] = []
        wanted: dict[OwnPartitions | SharedTopic, list[Address]] = {}
        for address in filter(lambda a: is_sendable(a.key), self._deliveries.addresses):
            if address.kind is HintKind.STEPS:
                wanted[SharedTopic(self._topics.lane(address).topic)] = [address]
            else:
                own.append(address)
        if own:
            wanted[OwnPartitions(frozenset(map(self._topics.lane, own)))] = own
        return wanted

    def _bury(self, client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
        """End *client* beside everything else: whoever gives up a connection does not wait for it."""
        task = asyncio.create_task(end(client), name="kafka-client-ends")
        self._buried.add(task)
        task.add_done_callback(self._buried.discard)
