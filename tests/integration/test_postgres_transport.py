"""The transport ``postgres`` finds back to the database by itself, and says then what may have been missed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import psycopg

from maestro_py.model.ids import new_uid
from maestro_py.model.statuses import ProcessKind
from maestro_py.ports.transport import Address, HintKind
from maestro_py.storage.connections import application_name
from maestro_py.storage.notifications import PostgresNotifications
from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from maestro_py.testing.waiting import wait_until_async
from maestro_py.transport.postgres import PostgresTransport

PARTITIONS = [Address(HintKind.ENGINE, str(number)) for number in range(3)]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresTransport]:
    """The transport of one process."""
    transport = PostgresTransport(PostgresNotifications(url, application_name(ProcessKind.ENGINE, new_uid())))
    await transport.open()
    try:
        yield transport
    finally:
        await transport.close()


def listeners(url: str) -> list[int]:
    with psycopg.connect(url, autocommit=True) as conn:
        query = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%%' AND datname = current_database()"
        return [pid for (pid,) in conn.execute(query).fetchall()]


def terminate(url: str) -> None:
    """End every session of every process."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'maestro:%'"
            " AND datname = current_database()"
        )


async def test_who_was_deaf_for_a_while_is_told_of_everything_it_wants(database_url: str) -> None:
    heard: list[Collection[Address]] = []
    async with opened(database_url) as receiver:
        receiver.subscribe(PARTITIONS, heard.append)
        await wait_until_async(lambda: heard)
        assert set(PARTITIONS) == set(heard[0])
        old = listeners(database_url)
        heard.clear()

        terminate(database_url)

        await wait_until_async(lambda: heard)
        assert set(PARTITIONS) == set(heard[0])
        assert old != listeners(database_url)


async def test_hints_go_on_after_the_sessions_were_terminated(database_url: str) -> None:
    heard: set[Address] = set()
    async with opened(database_url) as sender, opened(database_url) as receiver:
        receiver.subscribe(PARTITIONS, heard.update)
        sender.send(PARTITIONS)
        await wait_until_async(lambda: heard == set(PARTITIONS))

        terminate(database_url)
        await wait_until_async(lambda: listeners(database_url))
        heard.clear()
        sender.send(PARTITIONS[:1])

        await wait_until_async(lambda: PARTITIONS[0] in heard)


async def test_hints_outlive_a_server_that_is_killed(private_postgres: EmbeddedPostgres) -> None:
    heard: set[Address] = set()
    async with opened(private_postgres.url) as sender, opened(private_postgres.url) as receiver:
        receiver.subscribe(PARTITIONS, heard.update)
        await wait_until_async(lambda: heard)

        private_postgres.kill()
        heard.clear()
        sender.send(PARTITIONS[:2])
        private_postgres.start()

        await wait_until_async(lambda: heard.issuperset(PARTITIONS[:2]), 20)
        assert 0 == sender.hints_dropped
        heard.clear()
        sender.send(PARTITIONS[2:])
        await wait_until_async(lambda: heard.issuperset(PARTITIONS[2:]))


async def test_a_process_that_only_sends_holds_no_listening_session(database_url: str) -> None:
    async with opened(database_url) as sender, opened(database_url) as receiver:
        heard: set[Address] = set()
        receiver.subscribe(PARTITIONS, heard.update)
        sender.send(PARTITIONS)
        await wait_until_async(lambda: heard)

        assert 1 == len(listeners(database_url))
