"""
How to reach a Kafka cluster, and make the topics of maestro-py exist in it.

Errors of the client library end here and in the two files that send and read: outside there is `KafkaUnavailable`.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError

from maestro_py.model.errors import MaestroError
from maestro_py.transport.topics import Topic

_log = structlog.get_logger(__name__)

#: A hint that is older than this has long been found by a sweep.
RETENTION_MS: Final = 3_600_000
#: A process makes a topic that is gone again this long after it did so last, at the earliest.
CREATE_AGAIN_SECONDS: Final = 60.0

#: What one request may take before its connection counts as broken.
_REQUEST_TIMEOUT_MS: Final = 3_000
#: What a new topic may take until all its partitions have a leader.
_SETTLE_SECONDS: Final = 5.0
_SETTLE_POLL_SECONDS: Final = 0.05

_TOPIC_CONFIG: Final = {
    "cleanup.policy": "delete",
    "retention.ms": str(RETENTION_MS),
    "segment.ms": str(RETENTION_MS // 2),  # what lies in the newest segment is not deleted
}

_NO_ERROR: Final = 0
_EXISTS_ALREADY: Final = 36


class KafkaUnavailable(MaestroError):
    """No broker answers, or none as it should.  Hints wait and are dropped meanwhile; try again later."""


class TopicRefused(MaestroError):
    """The cluster does not make a topic as we ask: an operator's move.  The text says which, and why."""


@contextmanager
def kafka_errors() -> Iterator[None]:
    """Raise `KafkaUnavailable` in place of any error of the client library or the network."""
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as exc:
        raise KafkaUnavailable(str(exc) or type(exc).__name__) from exc


class Client(Protocol):
    """What sends, reads or administers."""

    async def start(self) -> None:
        """Connect."""
        ...


async def end(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Stop *client*; whatever goes wrong in that, its connections are closed and its tasks end."""
    stopping = asyncio.create_task(client.stop())
    await asyncio.gather(stopping, return_exceptions=True)
    # A consumer that is stopped between two attempts to fetch takes that for a cancellation of the stopping itself,
    # and would leave its connections open.  To close them twice does no harm.
    await (client.client if isinstance(client, AIOKafkaProducer) else client._client).close()


async def run_together(*works: Coroutine[Any, Any, None]) -> None:
    """
    Run *works* until one of them ends, cancel the others, and raise what it raised.

    A TaskGroup would do, but before Python 3.13 its failure leaves the task that waits for it marked as being
    cancelled, and the next `asyncio.timeout` in that task then ends it instead of raising.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _LogOfClient(logging.Handler):
    """
    Keeps why the library could not connect, which it logs and leaves out of its exceptions.

    It also keeps that log from the standard error, where it would repeat itself several times a second.
    """

    reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Look at *record*."""
        if isinstance(record.msg, str) and record.msg.startswith("Unable connect"):
            self.reason = record.getMessage()


_log_of_client = _LogOfClient()
logging.getLogger("aiokafka").addHandler(_log_of_client)


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaCluster:
    """Where a cluster is, and how it knows us."""

    servers: str  #: host:port[,host:port]
    client_id: str = "maestro-py"
    security_protocol: str = "PLAINTEXT"
    ssl_context: ssl.SSLContext | None = None  #: For SSL and SASL_SSL.
    sasl_mechanism: str = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    replication: int = 0  #: Copies of each topic that we make; 0 leaves it to the cluster.

    def arguments(self) -> dict[str, Any]:
        """Return what every client of the library is built with."""
        return {
            "bootstrap_servers": [server.strip() for server in self.servers.split(",")],
            "client_id": self.client_id,
            "security_protocol": self.security_protocol,
            "ssl_context": self.ssl_context,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
            "request_timeout_ms": _REQUEST_TIMEOUT_MS,
        }

    async def started(self, client: Client) -> None:
        """
        Start *client*.

        Raises:
            KafkaUnavailable: no broker answers, or none lets us in; the text ends with the reason.
        """
        with kafka_errors():
            try:
                await client.start()
            except KafkaConnectionError as exc:
                raise KafkaUnavailable(f"no broker answers at {self.servers}: {_log_of_client.reason or exc}") from exc


def tls_context(
    authorities: Path | None, certificate: Path | None, key: Path | None, key_password: str | None
) -> ssl.SSLContext:
    """
    Return how to speak TLS with the brokers, whose names are checked.

    Args:
        authorities: PEM file of whom to trust; None trusts whom this machine trusts.
        certificate: PEM file by which we show who we are, if they ask.
        key: PEM file of its private key; None when it is in the same file.
        key_password: Opens the key.

    Raises:
        OSError: a file cannot be read or is not what it should be.
    """
    context = ssl.create_default_context(cafile=authorities)
    if certificate is not None:
        # Without a password an encrypted key would have OpenSSL ask for it on the terminal.
        context.load_cert_chain(certificate, key, key_password or "")
    return context


class TopicKeeper:
    """
    Finds topics, and makes those that are missing; each that is gone again at most once a minute.

    Args:
        cluster: Where they are.
    """

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self._made: set[str] = set()
        #: When those were made again.
        self._made_again_at: dict[str, float] = {}
        #: Sender and readers of a process look at the same time after an outage: one creates, the others find.
        self._one_at_a_time = asyncio.Lock()

    async def find(self, topics: Collection[Topic]) -> dict[str, int]:
        """
        Return how many partitions those of *topics* have that are there and ready.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        async with self._admin() as admin:
            return await _ready_partitions(admin, [topic.name for topic in topics])

    async def find_or_create(self, topics: Collection[Topic]) -> dict[str, int]:
        """
        Return how many partitions each of *topics* has, after making what was missing.

        A topic is left out that is refused, or was made again less than a minute ago and is gone.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        async with self._one_at_a_time, self._admin() as admin:
            names = [topic.name for topic in topics]
            found = await _ready_partitions(admin, names)
            lacking = [t for t in topics if found.get(t.name, 0) < t.partitions and self._may_make(t.name)]
            if not lacking:
                return found
            made = await _make(admin, lacking, self._cluster.replication)
            for name, reason in made.refused.items():
                _log.warning("topic_refused", topic=name, reason=reason)
            return await _settled(admin, names, made.expected)

    async def create(self, topics: Collection[Topic]) -> dict[str, int]:
        """
        Make all of *topics* exist now, and return how many partitions each has.

        Raises:
            KafkaUnavailable: no broker answers.
            TopicRefused: the cluster does not make one of them.
        """
        async with self._admin() as admin:
            made = await _make(admin, topics, self._cluster.replication)
            if made.refused:
                raise TopicRefused("; ".join(f"topic {name} is refused: {why}" for name, why in made.refused.items()))
            return await _settled(admin, [topic.name for topic in topics], made.expected)

    def _may_make(self, name: str) -> bool:
        """Return whether the topic *name* may be made now, which is taken for done."""
        if name not in self._made:
            self._made.add(name)
            return True
        now = time.monotonic()
        before = self._made_again_at.get(name)
        if before is not None and now - before < CREATE_AGAIN_SECONDS:
            return False
        self._made_again_at[name] = now
        return True

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        with kafka_errors():
            admin = AIOKafkaAdminClient(**self._cluster.arguments())
            try:
                await self._cluster.started(admin)
                yield admin
            finally:
                await admin.close()


async def _ready_partitions(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    """Return the number of partitions of those of *names* that exist and whose partitions all have a leader."""
    described = await admin.describe_topics(names)
    return {
        topic["topic"]: len(topic["partitions"])
        for topic in described
        if topic["error_code"] == _NO_ERROR and all(part["leader"] >= 0 for part in topic["partitions"])
    }


class _Made(NamedTuple):
    """What became of topics that were to be made."""

    expected: dict[str, int]  #: How many partitions each has, or will have in a moment.
    refused: dict[str, str]  #: Why the others were not made.


async def _make(admin: AIOKafkaAdminClient, topics: Collection[Topic], replication: int) -> _Made:
    """Make *topics*, and give those that have too few partitions more."""
    wanted = {topic.name: topic.partitions for topic in topics}
    # The empty assignment has the library accept -1, which leaves the number of copies to the cluster.
    copies: tuple[int, dict[int, list[int]] | None] = (replication, None) if replication else (-1, {})
    response = await admin.create_topics(
        [NewTopic(name, partitions, *copies, _TOPIC_CONFIG) for name, partitions in wanted.items()]
    )
    expected, refused, existing = {}, {}, []
    for name, code, reason in response.topic_errors:
        if code == _NO_ERROR:
            expected[name] = wanted[name]
        elif code == _EXISTS_ALREADY:
            existing.append(name)
        else:
            refused[name] = str(reason or f"error {code}")
    if existing:
        expected |= await _grow(admin, {name: wanted[name] for name in existing})
    return _Made(expected, refused)


async def _grow(admin: AIOKafkaAdminClient, wanted: Mapping[str, int]) -> dict[str, int]:
    """
    Give existing topics the partitions they lack: a cluster that makes topics by itself makes them with one.

    Returns how many each has then.  A refusal is no error: the hints of a topic then share what it has.
    """
    found = await _ready_partitions(admin, list(wanted))
    expected = dict.fromkeys(wanted, 1) | found
    for name in found.keys() & wanted.keys():
        if found[name] < wanted[name]:
            try:
                await admin.create_partitions({name: NewPartitions(wanted[name])})
            except KafkaError as exc:
                _log.warning("topic_has_few_partitions", topic=name, partitions=found[name], reason=str(exc))
            else:
                expected[name] = wanted[name]
    return expected


async def _settled(admin: AIOKafkaAdminClient, names: list[str], expected: Mapping[str, int]) -> dict[str, int]:
    """Return how many partitions each of *names* has once it has those *expected*: all servers know in a moment."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        found = await _ready_partitions(admin, names)
        if all(found.get(name, 0) >= count for name, count in expected.items()) or time.monotonic() > deadline:
            return found
        await asyncio.sleep(_SETTLE_POLL_SECONDS)
