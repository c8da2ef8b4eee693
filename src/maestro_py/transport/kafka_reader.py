"""
Hear hints from Kafka: readers that are told at their birth what to listen to, and go on until they are cancelled.

A reader begins at the end of its partitions, and whenever it begins, also after an outage, it reports everything
that it listens to as having arrived: what was sent until then went unheard.  When its consumer does not get answers
any more it is given up, and another is made; nothing hangs on how the library recovers.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from maestro_py.ports.transport import Address
from maestro_py.transport.kafka_cluster import (
    KafkaCluster,
    KafkaUnavailable,
    TopicKeeper,
    kafka_errors,
    run_together,
)
from maestro_py.transport.topics import Lane, Topics, partitions_of_next

_log = structlog.get_logger(__name__)

#: How long the broker keeps a request for hints that are not there yet; one that comes is sent at once.
_FETCH_WAIT_MS: Final = 500
#: A partition about which nothing was heard for this long has lost its broker, or itself.
_SILENCE_SECONDS: Final = 5.0
#: A member of a group that is silent for this long is taken for dead; brokers allow no less by default.
_SESSION_MS: Final = 6_000
_HEARTBEAT_MS: Final = 1_000
#: A request to join is answered when all members have joined or died.
_GROUP_REQUEST_TIMEOUT_MS: Final = _SESSION_MS + 3_000
_JOIN_SECONDS: Final = 20.0
#: What it may take to find the ends of the partitions: less than a session.
_SEEK_SECONDS: Final = 5.0
_WATCH_SECONDS: Final = 1.0
#: `getmany` returns when something is there; this only bounds how long it sleeps otherwise.
_READ_WAIT_MS: Final = 60_000

_FIRST_RETRY_SECONDS: Final = 0.1
_LAST_RETRY_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class OwnPartitions:
    """Partitions that this process chose by itself."""

    lanes: frozenset[Lane]
    group: None = None

    @property
    def topics(self) -> frozenset[str]:
        """The topics of the lanes."""
        return frozenset(lane.topic for lane in self.lanes)


@dataclass(frozen=True, slots=True)
class SharedTopic:
    """A topic whose partitions are shared among the processes of the consumer group of its name."""

    name: str

    @property
    def group(self) -> str:
        """The group."""
        return self.name

    @property
    def topics(self) -> frozenset[str]:
        """The one topic."""
        return frozenset({self.name})


class KafkaReader:
    """
    Hears what comes from *source*, by `run`.

    Args:
        cluster: Where from.
        keeper: Makes the topics that are missing.
        topics: Their names.
        source: What to read.
        arrive: Told the addresses that hints arrived for, and how often the freshest hint for each was passed on.
        missed: Called when anything of *source* may have been missed.
        bury: Ends a consumer beside everything else: its servers may not answer.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        keeper: TopicKeeper,
        topics: Topics,
        source: OwnPartitions | SharedTopic,
        *,
        arrive: Callable[[Mapping[Address, int]], None],
        missed: Callable[[], None],
        bury: Callable[[AIOKafkaConsumer], None],
    ) -> None:
        self._cluster = cluster
        self._keeper = keeper
        self._topics = topics
        self._source = source
        self._arrive = arrive
        self._missed = missed
        self._bury = bury
        self._is_away = False
        self._pause = _FIRST_RETRY_SECONDS
        #: The consumer that is a member of a group now; one that was given up may still be called back.
        self._member: AIOKafkaConsumer | None = None
        #: Since when it waits for its partitions; None while it has them.
        self._joining_since: float | None = None

    async def run(self) -> None:
        """Read until cancelled; failures are waited out."""
        while True:
            try:
                await self._listen()
            except KafkaUnavailable as exc:
                if not self._is_away:
                    _log.warning("hints_unheard", reason=str(exc), topics=sorted(self._source.topics))
                self._is_away = True
            except Exception:
                # A bug here must not deafen the process for ever.
                _log.exception("hints_reader_failed")
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, _LAST_RETRY_SECONDS)

    def next_member(self, passes: int) -> int | None:
        """
        Return a partition of the member that comes after this one in the group.

        None: nobody else has any, or a hint that was passed on *passes* times has been at all of them.
        """
        consumer = self._member
        if consumer is None or self._joining_since is not None:
            return None
        mine = {partition.partition for partition in consumer.assignment()}
        count = len(consumer.partitions_for_topic(self._source.group) or ())
        others = partitions_of_next(mine, count, passes)
        return random.choice(others) if others else None  # noqa: S311 - a spread, no secret

    # --- one consumer, from its start to its first failure ---

    async def _listen(self) -> None:
        source = self._source
        wanted = [self._topics.topic(name) for name in source.topics]
        found = await self._keeper.find_or_create(wanted)
        missing = source.topics - found.keys()
        if missing:
            raise KafkaUnavailable(f"there is no topic {', '.join(sorted(missing))}")
        arguments = self._cluster.arguments()
        if source.group is not None:
            arguments["request_timeout_ms"] = _GROUP_REQUEST_TIMEOUT_MS
        with kafka_errors():
            consumer = AIOKafkaConsumer(
                **arguments,
                group_id=source.group,
                enable_auto_commit=False,
                # Out of range means that the topic was made anew: then we too begin anew, and report it.
                auto_offset_reset="none" if source.group is None else "latest",
                fetch_max_wait_ms=_FETCH_WAIT_MS,
                session_timeout_ms=_SESSION_MS,
                heartbeat_interval_ms=_HEARTBEAT_MS,
                consumer_timeout_ms=_FETCH_WAIT_MS,
            )
            try:
                await self._cluster.started(consumer)
                if isinstance(source, OwnPartitions):
                    await self._begin_own(consumer, source, found)
                else:
                    self._begin_shared(consumer, source)
                await run_together(self._read(consumer), self._watch(consumer))
            finally:
                self._member = None
                self._bury(consumer)

    async def _begin_own(self, consumer: AIOKafkaConsumer, source: OwnPartitions, found: dict[str, int]) -> None:
        partitions = {TopicPartition(lane.topic, lane.partition(found[lane.topic])) for lane in source.lanes}
        consumer.assign(partitions)
        await _seek_to_end(consumer, partitions)
        self._note_here()

    def _begin_shared(self, consumer: AIOKafkaConsumer, source: SharedTopic) -> None:
        self._member = consumer
        self._joining_since = time.monotonic()
        consumer.subscribe([source.name], listener=_Member(consumer, self._on_joined, self._on_left))

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        with kafka_errors():
            while True:
                records = await consumer.getmany(timeout_ms=_READ_WAIT_MS)
                heard: dict[Address, int] = {}
                for partition, batch in records.items():
                    for record in batch:
                        for address, passes in self._topics.decode(partition.topic, record.value):
                            heard[address] = min(passes, heard.get(address, passes))
                self._arrive(heard)

    async def _watch(self, consumer: AIOKafkaConsumer) -> None:
        """Raise `KafkaUnavailable` when *consumer* has become deaf."""
        began = time.time()
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            gone = [topic for topic in self._source.topics if consumer.partitions_for_topic(topic) is None]
            if gone:
                raise KafkaUnavailable(f"topic {', '.join(gone)} is gone")
            if self._joining_since is not None:
                if time.monotonic() - self._joining_since > _JOIN_SECONDS:
                    raise KafkaUnavailable(f"the group does not form within {_JOIN_SECONDS:.0f} s")
                began = time.time()
                continue
            # The library notes the time of every answer, by the clock of the wall.
            heard = [consumer.last_poll_timestamp(partition) for partition in consumer.assignment()]
            oldest = min((answer / 1_000 if answer else began for answer in heard), default=time.time())
            if time.time() - max(oldest, began) > _SILENCE_SECONDS:
                raise KafkaUnavailable(f"nothing was heard for {_SILENCE_SECONDS:.0f} s")

    # --- what the group tells ---

    def _on_joined(self, consumer: AIOKafkaConsumer) -> None:
        if consumer is self._member:
            self._joining_since = None
            self._note_here()

    def _on_left(self, consumer: AIOKafkaConsumer) -> None:
        if consumer is self._member:
            self._joining_since = time.monotonic()

    def _note_here(self) -> None:
        if self._is_away:
            _log.info("hints_heard_again", topics=sorted(self._source.topics))
        self._is_away = False
        self._pause = _FIRST_RETRY_SECONDS
        self._missed()


class _Member(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """Begins at the end of the partitions that the group gives us."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        joined: Callable[[AIOKafkaConsumer], None],
        left: Callable[[AIOKafkaConsumer], None],
    ) -> None:
        self._consumer = consumer
        self._joined = joined
        self._left = left

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Note that the group is forming anew (called by the library)."""
        self._left(self._consumer)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Begin at the end of *assigned* (called by the library)."""
        # The library goes on looking for the ends that are not found in time, and does not beat before we return.
        with contextlib.suppress(KafkaUnavailable, TimeoutError):
            await _seek_to_end(self._consumer, assigned)
        self._joined(self._consumer)


async def _seek_to_end(consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]) -> None:
    """Have *consumer* begin with what comes from now on; none but this call makes sure where "now" is."""
    if not partitions:  # the group has more members than partitions
        return
    async with asyncio.timeout(_SEEK_SECONDS):
        if not await consumer.seek_to_end(*partitions):
            raise KafkaUnavailable("the ends of the partitions cannot be found")
