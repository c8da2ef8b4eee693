"""
Send hints to Kafka: one task, one record under way for each partition, nothing that waits for anything.

While no broker answers, hints gather in the outbox, each once, and are dropped when it is full.  After a failure the
producer is made anew, so that nothing hangs on what it believed about the cluster.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import Future
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer

from maestro_py.ports.transport import Address
from maestro_py.transport.kafka_cluster import (
    KafkaCluster,
    KafkaUnavailable,
    TopicKeeper,
    kafka_errors,
    run_together,
)
from maestro_py.transport.outbox import Outbox
from maestro_py.transport.topics import ANYWHERE, Lane, Topics, encode, is_sendable

_log = structlog.get_logger(__name__)

#: Hints for a topic that is not there are dropped for this long, before somebody looks for it again.
ABSENT_SECONDS: Final = 1.0

_FIRST_RETRY_SECONDS: Final = 0.1
_LAST_RETRY_SECONDS: Final = 2.0
#: A producer that asks for topics which we have just seen gets the answer in milliseconds, or they are gone again.
_METADATA_SECONDS: Final = 2.0


class KafkaSender:
    """
    Sends what is put, by `run`.

    Args:
        cluster: Where to.
        keeper: Finds the topics, and makes those that every installation has.
        topics: Their names.
        queue_limit: Hints that wait, at most; more are dropped.
        bury: Ends a producer beside everything else: its servers may not answer.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        keeper: TopicKeeper,
        topics: Topics,
        *,
        queue_limit: int,
        bury: Callable[[AIOKafkaProducer], None],
    ) -> None:
        self._cluster = cluster
        self._keeper = keeper
        self._topics = topics
        self._bury = bury
        self._outbox = Outbox(queue_limit)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._dropped = 0
        #: Partitions of the topics that were found; empty after a failure.
        self._found: dict[str, int] = {}
        #: Lanes whose topic is being looked for.
        self._sought: dict[str, set[Lane]] = {}
        self._seek = asyncio.Event()
        #: Until when a topic counts as absent, by the loop's clock.
        self._absent_until: dict[str, float] = {}
        #: The next partition for what may go to any, by topic.
        self._turn: dict[str, int] = {}
        self._producer: AIOKafkaProducer | None = None
        self._failure: BaseException | None = None
        self._is_away = False

    @property
    def dropped(self) -> int:
        """Hints dropped since the start."""
        return self._dropped

    def put(self, address: Address) -> None:
        """Queue *address* for sending; drop it when the queue is full or no record can carry it."""
        if is_sendable(address.key):
            self.put_into(self._topics.lane(address), address.key)
        else:
            self._dropped += 1

    def put_into(self, lane: Lane, key: str) -> None:
        """Queue *key*, which is sendable, for the partition of *lane*; drop it when the queue is full."""
        if not self._outbox.put(lane, key):
            self._dropped += 1
            return
        self._idle.clear()
        self._wake.set()

    async def all_sent(self, within_seconds: float) -> None:
        """Return when nothing waits any more, or after *within_seconds*; what waits then is dropped."""
        try:
            await asyncio.wait_for(self._idle.wait(), within_seconds)
        except TimeoutError:
            self._dropped += len(self._outbox)

    async def run(self) -> None:
        """Send until cancelled; failures are waited out."""
        pause = _FIRST_RETRY_SECONDS
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._serve()
            except KafkaUnavailable as exc:
                self._note_away(exc)
            except Exception:
                # A bug here must not silence the process for ever.
                _log.exception("hints_sender_failed")
            if asyncio.get_running_loop().time() - began > _LAST_RETRY_SECONDS:
                pause = _FIRST_RETRY_SECONDS
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_RETRY_SECONDS)

    # --- one producer, from its start to its first failure ---

    async def _serve(self) -> None:
        with kafka_errors():
            producer = AIOKafkaProducer(**self._cluster.arguments(), acks=1, linger_ms=0)
            try:
                await self._cluster.started(producer)
                self._producer, self._failure = producer, None
                self._wake.set()
                await run_together(self._pump(producer), self._seek_topics(producer))
            finally:
                self._producer = None
                self._found.clear()
                self._turn.clear()
                self._sought.clear()
                self._outbox.all_failed()
                self._bury(producer)

    async def _pump(self, producer: AIOKafkaProducer) -> None:
        with kafka_errors():
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._failure is not None:
                    raise KafkaUnavailable(str(self._failure) or type(self._failure).__name__)
                for lane in self._outbox.ready():
                    count = self._found.get(lane.topic)
                    if count is None:
                        self._want(lane)
                    else:
                        await self._send(producer, lane, count)
                self._note_idle()

    async def _send(self, producer: AIOKafkaProducer, lane: Lane, count: int) -> None:
        if producer.client.cluster.partitions_for_topic(lane.topic) is None:
            # The library would wait for the topic to come back, and everybody else's hints with it.
            raise KafkaUnavailable(f"topic {lane.topic} is gone")
        keys = self._outbox.take(lane)
        partition = self._next_partition(lane.topic, count) if lane.number == ANYWHERE else lane.partition(count)
        sent = await producer.send(lane.topic, encode(keys), partition=partition)
        sent.add_done_callback(partial(self._on_answer, producer, lane))

    def _next_partition(self, topic: str, count: int) -> int:
        # Processes that start together shall not all begin with the same worker.
        turn = self._turn.get(topic, random.randrange(count))  # noqa: S311 - a spread, no secret
        self._turn[topic] = turn + 1
        return turn % count

    def _on_answer(self, producer: AIOKafkaProducer, lane: Lane, sent: Future[Any]) -> None:
        failure = None if sent.cancelled() else sent.exception()
        if producer is not self._producer:
            return  # it was given up, and its hints are queued again
        if failure is None:
            self._outbox.sent(lane)
            self._note_here()
        else:
            self._outbox.failed(lane)
            self._failure = failure
        self._wake.set()

    def _note_idle(self) -> None:
        if not self._outbox:
            self._idle.set()

    # --- topics ---

    def _want(self, lane: Lane) -> None:
        """Have the topic of *lane* looked for; drop its hints while it is known to be absent."""
        until = self._absent_until.get(lane.topic)
        if until is not None and until > asyncio.get_running_loop().time():
            self._dropped += self._outbox.drop(lane)
            return
        self._sought.setdefault(lane.topic, set()).add(lane)
        self._seek.set()

    async def _seek_topics(self, producer: AIOKafkaProducer) -> None:
        while True:
            await self._seek.wait()
            self._seek.clear()
            sought = [self._topics.topic(name) for name in self._sought]
            fixed = [topic for topic in sought if topic in self._topics.fixed]
            # Only a worker makes the topic of its queue: what nobody serves needs none.
            of_queues = [topic for topic in sought if topic not in self._topics.fixed]
            found = await self._keeper.find_or_create(fixed) if fixed else {}
            if of_queues:
                found |= await self._keeper.find(of_queues)
            with kafka_errors():
                async with asyncio.timeout(_METADATA_SECONDS):
                    for name in found:
                        await producer.partitions_for(name)
            self._found |= found
            now = asyncio.get_running_loop().time()
            self._absent_until = {name: until for name, until in self._absent_until.items() if until > now}
            for topic in sought:
                lanes = self._sought.pop(topic.name)
                if topic.name not in found:
                    self._absent_until[topic.name] = now + ABSENT_SECONDS
                    self._dropped += sum(map(self._outbox.drop, lanes))
            self._wake.set()

    # --- what an operator reads ---

    def _note_away(self, reason: BaseException) -> None:
        if not self._is_away:
            _log.warning("hints_wait", reason=str(reason), addresses=len(self._outbox))
        self._is_away = True

    def _note_here(self) -> None:
        if self._is_away:
            _log.info("hints_leave_again", addresses=len(self._outbox))
        self._is_away = False
