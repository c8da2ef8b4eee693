"""Who works is read from the rows that the processes keep, and said in words."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from maestro_py.model.ids import new_uid
from maestro_py.model.statuses import ProcessKind
from maestro_py.storage.roll_call import RollCall

ENGINE = {"engine-1": (ProcessKind.ENGINE, 41)}
WORKER = {"worker-1": (ProcessKind.WORKER, 42)}
ORPHANED = "64 of 64 partitions have no engine"


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


@pytest.fixture
def roll_call(database_url: str) -> Iterator[RollCall]:
    called = RollCall(database_url)
    yield called
    called.close()


def beat(
    connection: psycopg.Connection[Any], kind: str, pid: int, info: object = None, *, host: str = "", old: bool = False
) -> Any:
    process_id = new_uid()
    connection.execute(
        "INSERT INTO process (id, kind, host, pid, lease_ms, info, beat_at)"
        " VALUES (%s, %s, %s, %s, 5000, %s, clock_timestamp() - make_interval(secs => %s))",
        (process_id, kind, host or socket.gethostname(), pid, json.dumps(info or {}), 60 if old else 0),
    )
    return process_id


def test_an_engine_works_when_partitions_are_its_own(connection: psycopg.Connection[Any], roll_call: RollCall) -> None:
    assert ["engine-1 does not beat", ORPHANED] == roll_call.absent(ENGINE)

    process_id = beat(connection, "engine", 41)
    assert ["engine-1 owns no partition", ORPHANED] == roll_call.absent(ENGINE)

    connection.execute("UPDATE engine_partition SET owner = %s WHERE partition > 3", (process_id,))
    assert ["4 of 64 partitions have no engine"] == roll_call.absent(ENGINE)

    connection.execute("UPDATE engine_partition SET owner = %s", (process_id,))
    assert [] == roll_call.absent(ENGINE)


def test_partitions_of_an_engine_that_died_have_none(connection: psycopg.Connection[Any], roll_call: RollCall) -> None:
    connection.execute("UPDATE engine_partition SET owner = %s", (beat(connection, "engine", 7, old=True),))

    assert [ORPHANED] == roll_call.absent({})


def test_a_worker_works_when_it_offers_slots(connection: psycopg.Connection[Any], roll_call: RollCall) -> None:
    beat(connection, "worker", 42, {"slots": 4}, host="another")
    beat(connection, "worker", 42, {"slots": 4}, old=True)
    assert ["worker-1 does not beat", ORPHANED] == roll_call.absent(WORKER)

    beat(connection, "worker", 42)
    assert ["worker-1 offers no slot", ORPHANED] == roll_call.absent(WORKER)

    connection.execute("UPDATE process SET info = '{\"slots\": 4}' WHERE info = '{}'")
    assert [ORPHANED] == roll_call.absent(WORKER)


def test_a_database_that_is_away_is_asked_again(connection: psycopg.Connection[Any], roll_call: RollCall) -> None:
    connection.execute("UPDATE engine_partition SET owner = %s", (beat(connection, "engine", 41),))
    assert [] == roll_call.absent(ENGINE)
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'maestro:up' AND datname = current_database()"
    )

    assert [["the database does not answer"], []] == [roll_call.absent(ENGINE) for _ in range(2)]
