"""Processes beat on their own, are judged by the database's clock, and leave no session behind when they die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from maestro_py.model.errors import StoreUnavailable
from maestro_py.model.ids import new_uid
from maestro_py.model.statuses import ProcessKind
from maestro_py.storage import processes
from maestro_py.storage.connections import Database, application_name, connection_arguments
from maestro_py.storage.processes import DEAD_ROW_KEPT_MS, STUCK_STATUS, Beat, PostgresJudge, is_away
from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from maestro_py.testing.waiting import wait_until, wait_until_async

LEASE_MS = 1_500
QUICK: dict[str, Any] = {"lease_ms": LEASE_MS, "interval_ms": 100}


@contextmanager
def beating(url: str, kind: ProcessKind = ProcessKind.WORKER, **arguments: Any) -> Iterator[Beat]:
    """A process that beats, and stops at the end of the block."""
    beat = Beat(url, kind, **(QUICK | arguments))
    beat.start()
    try:
        yield beat
    finally:
        beat.stop()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, application_name(ProcessKind.API, new_uid())) as database:
        yield database


def rows(url: str, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as conn:
        return conn.execute(query.encode(), parameters).fetchall()


def row_of(url: str, process_id: UUID) -> tuple[Any, ...] | None:
    found = rows(url, "SELECT kind, pid, lease_ms, info, beat_at FROM process WHERE id = %s", process_id)
    return found[0] if found else None


def a_process(url: str, kind: ProcessKind, *, silent_ms: int, lease_ms: int = LEASE_MS) -> UUID:
    """The row of a process whose newest beat is *silent_ms* old."""
    process_id = new_uid()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO process (id, kind, host, pid, beat_at, lease_ms)"
            " VALUES (%s, %s, 'h', 1, clock_timestamp() - %s * interval '1 ms', %s)",
            (process_id, kind, silent_ms, lease_ms),
        )
    return process_id


# --- our own beat ---


async def test_a_process_is_in_the_table_once_it_is_ready_and_describes_itself(database_url: str) -> None:
    with beating(database_url) as beat:
        await beat.ready()
        row = row_of(database_url, beat.process_id)

        assert row is not None
        assert ("worker", os.getpid(), LEASE_MS, {}) == row[:4]

        beat.set_info({"slots": 4})
        await wait_until_async(lambda: (row_of(database_url, beat.process_id) or row)[3] == {"slots": 4})


async def test_a_stopped_process_leaves_no_row_and_no_session(database_url: str) -> None:
    with beating(database_url) as beat:
        await beat.ready()

    assert row_of(database_url, beat.process_id) is None
    sessions = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
    wait_until(lambda: not rows(database_url, sessions, beat.name))


async def test_a_loop_that_is_blocked_does_not_stop_the_beat(database_url: str) -> None:
    """Whether it should is for the process to say, by `may_beat`."""
    with beating(database_url) as beat:
        await beat.ready()

        time.sleep(LEASE_MS / 1000 + 0.5)  # noqa: ASYNC251  # it is the loop that is blocked here

        assert beat.last_answered_ms_ago() < LEASE_MS
        [(age,)] = rows(
            database_url,
            "SELECT extract(epoch FROM clock_timestamp() - beat_at) * 1000 FROM process WHERE id = %s",
            beat.process_id,
        )
        assert age < LEASE_MS


async def test_a_process_that_may_not_beat_falls_silent_and_is_told_that_it_is_stuck(database_url: str) -> None:
    reasons: list[str] = []
    ticking = True
    with beating(database_url, may_beat=lambda: ticking, on_stuck=reasons.append) as beat:
        await beat.ready()
        assert not reasons

        ticking = False
        await wait_until_async(lambda: reasons)

        assert "did not tick" in reasons[0]
        assert beat.last_answered_ms_ago() >= LEASE_MS
        assert 0 == beat.beaten_without_gap_for_ms()

        ticking = True
        await wait_until_async(lambda: beat.last_answered_ms_ago() < LEASE_MS)


def test_a_stuck_process_ends_and_says_why(database_url: str) -> None:
    program = (
        "import sys, time\n"
        "from maestro_py.model.statuses import ProcessKind\n"
        "from maestro_py.storage.processes import Beat\n"
        "Beat(sys.argv[1], ProcessKind.ENGINE, lease_ms=1000, interval_ms=100, may_beat=lambda: False).start()\n"
        "time.sleep(60)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, database_url], capture_output=True, timeout=30, check=False)

    assert STUCK_STATUS == ended.returncode
    assert b"ends itself" in ended.stderr


async def test_a_terminated_session_of_the_beat_is_no_gap(database_url: str) -> None:
    with beating(database_url) as beat:
        await wait_until_async(lambda: beat.beaten_without_gap_for_ms() > 300)
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        before = beat.beaten_without_gap_for_ms()

        assert [(True,)] == rows(database_url, ended, beat.name)

        new_session = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
        await wait_until_async(lambda: rows(database_url, new_session, beat.name))
        await wait_until_async(lambda: beat.beaten_without_gap_for_ms() > before)
        assert not beat.server_away()


async def test_an_outage_is_noticed_as_such_and_starts_the_count_again(private_postgres: EmbeddedPostgres) -> None:
    url = private_postgres.url
    with beating(url, outage_grace_ms=1_000) as beat:
        await wait_until_async(lambda: beat.beaten_without_gap_for_ms() > 500)

        private_postgres.kill()
        await wait_until_async(beat.server_away)
        assert 0 == beat.beaten_without_gap_for_ms()
        # Beyond the grace it is an outage like any other silence.
        await wait_until_async(lambda: not beat.server_away())

        private_postgres.start()
        began = time.monotonic()
        await wait_until_async(lambda: beat.beaten_without_gap_for_ms() > 0)
        assert beat.beaten_without_gap_for_ms() <= (time.monotonic() - began) * 1000 + 100
        assert beat.last_answered_ms_ago() < LEASE_MS
        assert row_of(url, beat.process_id) is not None


async def test_a_server_that_answers_late_is_not_away(private_postgres: EmbeddedPostgres) -> None:
    """A worker that is cut off must not take it for an outage: its lease ends like anybody's."""
    with beating(private_postgres.url) as beat:
        await beat.ready()
        [(backend,)] = rows(
            private_postgres.url, "SELECT pid FROM pg_stat_activity WHERE application_name = %s", beat.name
        )
        os.kill(backend, signal.SIGSTOP)
        try:
            await wait_until_async(lambda: beat.last_answered_ms_ago() > LEASE_MS)

            assert not beat.server_away()
            assert 0 == beat.beaten_without_gap_for_ms()
        finally:
            os.kill(backend, signal.SIGCONT)
        await wait_until_async(lambda: beat.last_answered_ms_ago() < LEASE_MS)


def test_what_counts_as_a_server_that_is_away() -> None:
    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect("postgresql://nobody@127.0.0.1:1/nothing", connect_timeout=2)

    assert is_away(refused.value)
    assert is_away(errors.AdminShutdown())
    assert is_away(errors.CrashShutdown())
    assert is_away(errors.CannotConnectNow())
    assert not is_away(errors.ConnectionTimeout())
    assert not is_away(errors.QueryCanceled())
    assert not is_away(errors.LockNotAvailable())


# --- the judgement over others ---


async def test_a_process_is_expired_when_its_lease_is_over_by_the_database_clock(
    database_url: str, database: Database
) -> None:
    dead = a_process(database_url, ProcessKind.WORKER, silent_ms=LEASE_MS + 100)
    a_process(database_url, ProcessKind.WORKER, silent_ms=LEASE_MS - 1_000)

    async with database.connection() as conn:
        assert [dead] == await processes.expired(conn, new_uid(), LEASE_MS)


async def test_who_has_not_beaten_for_a_whole_lease_judges_nobody(database_url: str, database: Database) -> None:
    short = a_process(database_url, ProcessKind.WORKER, silent_ms=60_000, lease_ms=2_000)
    long = a_process(database_url, ProcessKind.ENGINE, silent_ms=60_000, lease_ms=6_000)

    async with database.connection() as conn:
        assert [] == await processes.expired(conn, new_uid(), 1_999)
        assert [short] == await processes.expired(conn, new_uid(), 2_000)
        assert [short, long] == await processes.expired(conn, new_uid(), 6_000)


async def test_nobody_judges_itself_and_kinds_can_be_asked_for(database_url: str, database: Database) -> None:
    worker = a_process(database_url, ProcessKind.WORKER, silent_ms=60_000)
    api = a_process(database_url, ProcessKind.API, silent_ms=60_000)

    async with database.connection() as conn:
        assert [api] == await processes.expired(conn, worker, LEASE_MS)
        assert [worker] == await processes.expired(conn, new_uid(), LEASE_MS, [ProcessKind.WORKER])


@pytest.mark.parametrize("kind", ProcessKind)
async def test_the_sessions_of_a_dead_process_are_terminated_and_no_others(
    database_url: str, database: Database, kind: ProcessKind
) -> None:
    """A process that was stopped inside a transaction holds its locks until somebody does this."""
    dead = a_process(database_url, kind, silent_ms=60_000)
    alive = a_process(database_url, kind, silent_ms=0, lease_ms=60_000)
    with (
        psycopg.connect(database_url, **connection_arguments(application_name(kind, dead))) as stopped,
        psycopg.connect(database_url, **connection_arguments(application_name(kind, alive))) as other,
        beating(database_url, lease_ms=LEASE_MS) as beat,
    ):
        stopped.execute("BEGIN")
        stopped.execute("SELECT FROM engine_partition WHERE partition = 3 FOR UPDATE")
        await wait_until_async(lambda: beat.beaten_without_gap_for_ms() >= LEASE_MS)

        assert [dead] == await PostgresJudge(database, beat).judge()

        wait_until(lambda: _is_broken(stopped))
        other.execute("SELECT FROM engine_partition WHERE partition = 3 FOR UPDATE NOWAIT")


async def test_a_judge_waits_for_a_database_that_is_away(private_postgres: EmbeddedPostgres) -> None:
    dead = a_process(private_postgres.url, ProcessKind.API, silent_ms=60_000)
    name = application_name(ProcessKind.API, dead)
    with beating(private_postgres.url) as beat:
        async with Database(private_postgres.url, beat.name) as database:
            judge = PostgresJudge(database, beat)
            private_postgres.kill()
            with pytest.raises(StoreUnavailable):
                await judge.judge()
            running = asyncio.create_task(judge.run())
            private_postgres.start()

            with psycopg.connect(private_postgres.url, **connection_arguments(name)) as left_behind:
                await wait_until_async(lambda: _is_broken(left_behind), 20)
            running.cancel()


def _is_broken(conn: psycopg.Connection[Any]) -> bool:
    try:
        conn.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


async def test_the_living_are_listed_with_what_they_say_of_themselves(database_url: str, database: Database) -> None:
    a_process(database_url, ProcessKind.WORKER, silent_ms=60_000)
    engine = a_process(database_url, ProcessKind.ENGINE, silent_ms=0, lease_ms=60_000)
    with beating(database_url) as beat:
        beat.set_info({"slots": 2, "queues": ["default"]})
        await wait_until_async(lambda: (row_of(database_url, beat.process_id) or [{}] * 4)[3])
        async with database.connection() as conn:
            assert [(beat.process_id, {"slots": 2, "queues": ["default"]})] == await processes.live_workers(conn)
            assert [(engine, {})] == await processes.live_engines(conn)


async def test_the_row_of_a_dead_process_goes_when_nothing_is_held_in_its_name(
    database_url: str, database: Database
) -> None:
    kept_ms = LEASE_MS + DEAD_ROW_KEPT_MS
    old = a_process(database_url, ProcessKind.API, silent_ms=kept_ms + 1_000)
    recent = a_process(database_url, ProcessKind.API, silent_ms=kept_ms - 10_000)
    owner = a_process(database_url, ProcessKind.ENGINE, silent_ms=kept_ms + 1_000)
    rows_of = "SELECT id FROM process ORDER BY id"
    async with database.connection() as conn:
        await conn.execute("UPDATE engine_partition SET owner = %s WHERE partition = 1", (owner,))

        await processes.forget_dead(conn, [old, recent, owner])
        assert [(recent,), (owner,)] == rows(database_url, rows_of)

        await conn.execute("UPDATE engine_partition SET owner = NULL")
        await processes.forget_dead(conn, [old, recent, owner])
        assert [(recent,)] == rows(database_url, rows_of)
