"""
Real Kafka for the tests: a broker for the whole run, and one that a test may break.

The first is, in this order, the one that MAESTRO_TEST_KAFKA names, one in Docker, or Apache Kafka itself as a child
process.  Runs keep out of one another's way by a prefix of their own for the names of topics.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from maestro_py.supervisor.embedded_kafka import EmbeddedKafka
from maestro_py.supervisor.errors import SupervisorError
from maestro_py.transport.kafka_cluster import KafkaCluster, TopicKeeper
from maestro_py.transport.topics import Topics

_ROOM_BYTES = 512 << 20
_ADVICE = (
    "these tests need a real Kafka: name one by MAESTRO_TEST_KAFKA (host:port), start Docker, or install"
    " openjdk-17-jre-headless and maven, by which Apache Kafka runs as a child process"
)


@contextmanager
def kafka_for_tests() -> Iterator[str]:
    """Yield the bootstrap servers of this test run; a missing broker fails the test that asks."""
    named = os.environ.get("MAESTRO_TEST_KAFKA")
    if named:
        yield named
    elif _docker_runs():
        yield from _in_docker()
    else:
        with broker_directory() as directory:
            broker = started(directory)
            try:
                yield broker.servers
            finally:
                broker.stop(within_seconds=2)


@contextmanager
def broker_directory() -> Iterator[Path]:
    """
    Yield an empty directory for a broker, in memory where there is enough.

    Making a topic syncs hundreds of files: on a busy disk that takes seconds, of which no test wants to know.
    """
    memory = Path("/dev/shm")
    fits = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM_BYTES
    directory = Path(tempfile.mkdtemp(prefix="maestro-kafka-", dir=memory if fits else None))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def started(directory: Path) -> EmbeddedKafka:
    """Return a broker of our own that runs in *directory*; fail the test where none can."""
    broker = EmbeddedKafka(directory)
    try:
        broker.start()
    except SupervisorError as error:
        pytest.fail(f"{_ADVICE}  ({error})", pytrace=False)
    return broker


@contextmanager
def topics_of_a_run(servers: str) -> Iterator[str]:
    """
    Yield a prefix for the names of topics, all of which are deleted afterwards.

    They are made once for all tests, for a busy broker takes seconds to make a hundred partitions.
    """
    prefix = f"test-{uuid4().hex[:12]}"
    yield prefix
    # A loop of its own, and not the one that an asynchronous test has set.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(delete_topics(servers, prefix))


@contextmanager
def topics_of_a_system(servers: str, prefix: str) -> Iterator[str]:
    """
    Yield a prefix for one system's topics, which begins with *prefix*; they are there, as `maestro topics create` does.

    A group of an earlier system's would wait for the workers that its test has killed; and while a queue has no topic,
    hints for it are dropped, for up to a second after its first worker has come.
    """
    own = f"{prefix}-{uuid4().hex[:8]}"
    topics = Topics(own)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(TopicKeeper(KafkaCluster(servers=servers)).create([*topics.fixed, topics.steps("default")]))
        yield own
        runner.run(delete_topics(servers, own))


async def delete_topics(servers: str, prefix: str) -> None:
    """Delete every topic whose name begins with *prefix*."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        names = [name for name in await admin.list_topics() if name.startswith(prefix)]
        if names:
            await admin.delete_topics(names)
    finally:
        await admin.close()


def emptied(broker: EmbeddedKafka) -> bool:
    """Delete every topic of ours; return whether that is done, which a broker in any disorder prevents."""
    try:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(delete_topics(broker.servers, "maestro."))
    except KafkaError:
        # A broker that a test has started from a thread of its loop's has ended with that thread.
        return False
    return True


async def topics_with(servers: str, prefix: str) -> dict[str, int]:
    """Return the partitions of the topics whose names begin with *prefix*."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        described = await admin.describe_topics()
        return {t["topic"]: len(t["partitions"]) for t in described if t["topic"].startswith(prefix)}
    finally:
        await admin.close()


async def shares_of(servers: str, group: str) -> list[set[int]]:
    """Return the partitions of each member of a consumer group; none while it is forming."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        [response] = await admin.describe_consumer_groups([group])
        [(_, _, state, _, _, members, *_)] = response.groups
        if state != "Stable":
            return []
        assigned = (ConsumerProtocolMemberAssignment.decode(member[-1]).assignment for member in members)
        return [{number for _, numbers in topics for number in numbers} for topics in assigned]
    finally:
        await admin.close()


def _docker_runs() -> bool:
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


def _in_docker() -> Iterator[str]:
    from testcontainers.community.kafka import KafkaContainer

    with KafkaContainer().with_kraft() as broker:
        yield broker.get_bootstrap_server()
