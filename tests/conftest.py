"""Fixtures of every tier.  They are the few things that tests share: databases and servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from tests.postgres import (
    PostgresForTests,
    migrated_private_postgres,
    postgres_for_tests,
    temporary_data_directory,
)
from tests.system import System, running_system


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
def system(database_url: str) -> Iterator[System]:
    """The processes of a system on a database of the test's own; none runs yet."""
    with running_system(database_url) as running:
        yield running
