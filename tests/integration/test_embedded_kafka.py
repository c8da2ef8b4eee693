"""The embedded Kafka comes back after whatever happens to it, is never left behind, and says what is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_py.supervisor import kafka_jars
from maestro_py.supervisor.embedded_kafka import EmbeddedKafka
from maestro_py.supervisor.errors import DataDirectoryInUse, EmbeddedKafkaFailed
from maestro_py.testing.waiting import wait_until
from maestro_py.transport.kafka_cluster import KafkaCluster, TopicKeeper
from maestro_py.transport.topics import Topic
from tests.kafka import broker_directory
from tests.processes import is_alive

TOPIC = Topic("kept", 1)

_PARENT = """
import signal, sys
from pathlib import Path
from maestro_py.supervisor.embedded_kafka import EmbeddedKafka
broker = EmbeddedKafka(Path(sys.argv[1]))
broker.start()
print(broker.pid, flush=True)
signal.pause()
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    with broker_directory() as directory:
        yield directory


@pytest.mark.slow
async def test_it_comes_back_at_the_same_address(directory: Path) -> None:
    """With its topics after a kill, without them after a wipe; its clients need not be told."""
    with EmbeddedKafka(directory) as broker:
        keeper = TopicKeeper(KafkaCluster(servers=broker.servers))
        await keeper.create([TOPIC])
        address = broker.servers

        broker.kill()
        assert not broker.is_running
        assert address == broker.start()
        assert {"kept": 1} == await keeper.find([TOPIC])

        broker.wipe()
        assert address == broker.start()
        assert {} == await keeper.find([TOPIC])


@pytest.mark.slow
def test_it_ends_with_its_parent(directory: Path) -> None:
    """SIGKILL leaves the parent no time to stop anything; a paused broker ends, too."""
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(directory)], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, signal.SIGSTOP)
        parent.send_signal(signal.SIGKILL)

    wait_until(lambda: not is_alive(pid), within_seconds=5)


def test_a_directory_serves_one_broker(private_kafka: EmbeddedKafka) -> None:
    with pytest.raises(DataDirectoryInUse, match=str(os.getpid())):
        EmbeddedKafka(private_kafka.log.parent).start()


def test_a_broker_that_cannot_start_says_why(directory: Path) -> None:
    with pytest.raises(EmbeddedKafkaFailed, match=r"num\.io\.threads"):
        EmbeddedKafka(directory, settings={"num.io.threads": "many"}).start()


def test_without_java_it_says_what_to_install(directory: Path) -> None:
    environ = {"PATH": str(directory)}

    with pytest.raises(EmbeddedKafkaFailed, match="install openjdk-17-jre-headless and maven, or set MAESTRO_KAFKA"):
        EmbeddedKafka(directory / "kafka", environ=environ).start()


def test_without_maven_it_says_what_to_install(directory: Path) -> None:
    _program(directory / "java", "exit 0")
    environ = {"PATH": str(directory), "XDG_CACHE_HOME": str(directory / "cache")}

    with pytest.raises(
        EmbeddedKafkaFailed, match=r"Maven.*: install openjdk-17-jre-headless and maven, or set MAESTRO_KAFKA"
    ):
        EmbeddedKafka(directory / "kafka", environ=environ).start()


def test_maven_that_fails_is_quoted_and_leaves_nothing(directory: Path) -> None:
    """Half a folder of jars would be taken for a whole one for ever."""
    _program(directory / "java", "exit 0")
    _program(directory / "mvn", "echo 'no route to host'; exit 1")
    environ = {"PATH": f"{directory}:{os.defpath}", "XDG_CACHE_HOME": str(directory / "cache")}

    with pytest.raises(EmbeddedKafkaFailed, match="no route to host"):
        EmbeddedKafka(directory / "kafka", environ=environ).start()
    assert [] == list(kafka_jars.jars_folder(environ).parent.iterdir())


def test_java_that_is_too_old_is_said_to_be(directory: Path) -> None:
    _program(directory / "java", "echo java.lang.UnsupportedClassVersionError: kafka/Kafka; exit 1")
    environ = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}", "JAVA_HOME": ""}

    with pytest.raises(EmbeddedKafkaFailed, match="Java 17 or newer, and this one is older"):
        EmbeddedKafka(directory / "kafka", environ=environ).start()


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
