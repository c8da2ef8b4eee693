"""Fixtures of every tier.  They are the few things that tests share: databases and servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from maestro_py.supervisor.embedded_kafka import EmbeddedKafka
from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from tests.kafka import broker_directory, emptied, kafka_for_tests, started, topics_of_a_run, topics_of_a_system
from tests.postgres import (
    PostgresForTests,
    migrated_private_postgres,
    postgres_for_tests,
    temporary_data_directory,
)
from tests.system import System, running_system

#: Asks at its end what all of it has seen, so that it is not divided between processes.
UNDIVIDED = "tests/unit/decide/"


class _ByFile(LoadFileScheduling):  # type: ignore[misc]  # (it has no types)
    """Keep the tests of a file in one process, for their servers, and those of the pure core all together."""

    def _split_scope(self, nodeid: str) -> str:
        return UNDIVIDED if nodeid.startswith(UNDIVIDED) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _ByFile:
    """Say how tests are shared out where `--numprocesses` asks for several processes."""
    return _ByFile(config, log)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresForTests]:
    """The PostgreSQL server of this test run."""
    with postgres_for_tests() as server:
        yield server


@pytest.fixture
def database_url(postgres_server: PostgresForTests) -> Iterator[str]:
    """A migrated database of the test's own, dropped afterwards."""
    with postgres_server.migrated_database() as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_server: PostgresForTests) -> Iterator[str]:
    """A database of the test's own without any schema."""
    with postgres_server.empty_database() as url:
        yield url


@pytest.fixture
def private_postgres() -> Iterator[EmbeddedPostgres]:
    """A durable, migrated server of the test's own: it may be killed, stopped and started."""
    with migrated_private_postgres() as server:
        yield server


@pytest.fixture
def data_directory() -> Iterator[Path]:
    """An empty data directory, open to an embedded server's account also when the tests run as root."""
    with temporary_data_directory() as directory:
        yield directory


@pytest.fixture
def transport() -> str:
    """What carries the hints of a test's system; `tests.system.BOTH_TRANSPORTS` runs a test over each."""
    return "postgres"


@pytest.fixture
def carrier(transport: str, request: pytest.FixtureRequest) -> Iterator[dict[str, object]]:
    """The settings of a system by which its hints travel by *transport*, by topics of the test's own if by Kafka."""
    if transport == "postgres":
        yield {}
        return
    servers, prefix = request.getfixturevalue("kafka_servers"), request.getfixturevalue("kafka_prefix")
    with topics_of_a_system(servers, prefix) as own:
        yield {"transport": transport, "kafka": servers, "kafka_prefix": own}


@pytest.fixture
def system(database_url: str, carrier: dict[str, object]) -> Iterator[System]:
    """The processes of a system on a database of the test's own; none runs yet."""
    with running_system(database_url, **carrier) as running:
        yield running


@pytest.fixture(scope="session")
def kafka_servers() -> Iterator[str]:
    """The Kafka broker of this test run."""
    with kafka_for_tests() as servers:
        yield servers


@pytest.fixture(scope="session")
def kafka_prefix(kafka_servers: str) -> Iterator[str]:
    """What the names of this run's topics begin with (MAESTRO_KAFKA_PREFIX); they are deleted afterwards."""
    with topics_of_a_run(kafka_servers) as prefix:
        yield prefix


@pytest.fixture(scope="session")
def breakable_kafka() -> Iterator[EmbeddedKafka]:
    """A broker that fault tests break in turn; `private_kafka` is the same one in order."""
    with broker_directory() as directory:
        broker = started(directory)
        yield broker
        broker.stop(within_seconds=2)


@pytest.fixture
def private_kafka(breakable_kafka: EmbeddedKafka) -> Iterator[EmbeddedKafka]:
    """A running broker of the test's own, without topics: it may be killed, paused, wiped and started."""
    if not emptied(breakable_kafka):
        breakable_kafka.wipe()
        breakable_kafka.start()
    yield breakable_kafka
    if breakable_kafka.is_running:
        breakable_kafka.resume()


@pytest.fixture
def private_carrier(private_kafka: EmbeddedKafka) -> dict[str, object]:
    """The settings of a system whose hints travel by a broker that the test may break."""
    return {"transport": "kafka", "kafka": private_kafka.servers, "kafka_prefix": f"maestro.{uuid4().hex[:8]}"}
