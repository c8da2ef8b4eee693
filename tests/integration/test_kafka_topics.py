"""Topics are made where they are missing, and made again when they are gone, but not again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from maestro_py.testing.waiting import wait_until_async
from maestro_py.transport import kafka_cluster
from maestro_py.transport.kafka_cluster import KafkaCluster, KafkaUnavailable, TopicKeeper, TopicRefused
from maestro_py.transport.topics import Topic
from tests.kafka import delete_topics, topics_with


@pytest.fixture
def cluster(kafka_servers: str) -> KafkaCluster:
    return KafkaCluster(servers=kafka_servers)


@pytest.fixture
async def topic(kafka_servers: str, kafka_prefix: str) -> AsyncIterator[Topic]:
    name = f"{kafka_prefix}.keeper-{uuid4().hex[:8]}"
    yield Topic(name, 4)
    await delete_topics(kafka_servers, name)


async def _gone(servers: str, topic: Topic) -> None:
    await delete_topics(servers, topic.name)

    async def is_gone() -> bool:
        return not await topics_with(servers, topic.name)

    await wait_until_async(is_gone)


async def test_a_missing_topic_is_made(cluster: KafkaCluster, topic: Topic) -> None:
    keeper = TopicKeeper(cluster)

    assert {} == await keeper.find([topic])
    assert {topic.name: 4} == await keeper.find_or_create([topic])
    assert {topic.name: 4} == await keeper.find([topic])
    assert {topic.name: 4} == await keeper.find_or_create([topic])


async def test_a_topic_that_is_gone_is_made_again_once_a_minute(
    cluster: KafkaCluster, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who deletes it on purpose, again and again, is not fought by a hundred processes."""
    keeper = TopicKeeper(cluster)
    for _ in range(2):
        assert {topic.name: 4} == await keeper.find_or_create([topic])
        await _gone(cluster.servers, topic)

    assert {} == await keeper.find_or_create([topic])
    monkeypatch.setattr(kafka_cluster, "CREATE_AGAIN_SECONDS", 0.0)
    assert {topic.name: 4} == await keeper.find_or_create([topic])


async def test_a_topic_that_the_cluster_made_by_itself_gets_its_partitions(cluster: KafkaCluster, topic: Topic) -> None:
    """Clusters that make what they are asked about make it with one partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic.name, 1, 1)])
    await admin.close()

    assert {topic.name: 4} == await TopicKeeper(cluster).find_or_create([topic])


async def test_our_topics_keep_hints_for_an_hour(cluster: KafkaCluster, topic: Topic) -> None:
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    await TopicKeeper(cluster).create([topic])
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.servers)
    await admin.start()
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name)])
    await admin.close()
    settings = {entry[0]: entry[1] for entry in answer.resources[0][4]}

    assert ("3600000", "delete") == (settings["retention.ms"], settings["cleanup.policy"])


async def test_what_the_cluster_refuses_is_said(kafka_servers: str, topic: Topic) -> None:
    keeper = TopicKeeper(KafkaCluster(servers=kafka_servers, replication=99))

    with pytest.raises(TopicRefused, match=topic.name):
        await keeper.create([topic])
    assert {} == await keeper.find_or_create([topic])


async def test_a_cluster_that_is_away_is_said_to_be() -> None:
    with pytest.raises(KafkaUnavailable, match=r"no broker answers at 127\.0\.0\.1:1"):
        await TopicKeeper(KafkaCluster(servers="127.0.0.1:1")).create([Topic("any", 1)])
