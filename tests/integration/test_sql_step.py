"""SQL steps on real databases: what they return, what their errors mean, and that cancellation reaches the database."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from maestro_py.model.events import AttemptReported
from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import StepTypeConfig
from maestro_py.testing.waiting import wait_until_async
from maestro_py.workers.steps.python import PythonStep
from maestro_py.workers.steps.sql import SqlStep
from tests.worker_rig import Rig, running_worker
from tests.worker_rows import AttemptRows, Key

ENDLESS_SQLITE = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def rows(database_url: str) -> AttemptRows:
    return AttemptRows(database_url)


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/warehouse.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, sqlite: str, rows: AttemptRows) -> str:
    return sqlite if request.param == "sqlite" else rows.url


def types(**connections: str) -> list[Any]:
    step = SqlStep()
    step.configure(StepTypeConfig(connections=connections))
    return [step, PythonStep()]


async def run_all(rows: AttemptRows, *own: dict[str, Any], **options: Any) -> list[AttemptReported]:
    """Run steps one after the other, and return their reports."""
    reports = []
    async with running_worker(rows.url, step_types=types(**options.pop("connections", {})), **options):
        for words in own:
            key = rows.queue_one("sql", words)
            await wait_until_async(_is_reported(rows, key))
            reports.append(rows.report(key))
    return reports


def _is_reported(rows: AttemptRows, key: Key) -> Callable[[], object]:
    return lambda: rows.reports(key)


async def run(rows: AttemptRows, own: dict[str, Any], **options: Any) -> AttemptReported:
    (report,) = await run_all(rows, own, **options)
    return report


def outputs(row_count: int, columns: list[str], rows: list[dict[str, Any]], truncated: bool = False) -> dict[str, Any]:
    return {"row_count": row_count, "columns": columns, "rows": rows, "truncated": truncated}


# --- what a step returns -----------------------------------------------------------------------------------


async def test_the_result_of_the_last_statement_is_the_outputs(rows: AttemptRows, url: str) -> None:
    made, asked = await run_all(
        rows,
        {"url": url, "sql": "create table days (day text, n int); insert into days values ('mon', 3), ('tue', 4)"},
        {"url": url, "sql": "select day, n from days order by n desc;"},
    )

    assert outputs(2, [], []) == made.outputs
    assert outputs(2, ["day", "n"], [{"day": "tue", "n": 4}, {"day": "mon", "n": 3}]) == asked.outputs


async def test_parameters_are_bound_and_never_spliced(rows: AttemptRows, url: str) -> None:
    """Whatever they hold: what would be SQL in a text is a value."""
    evil = "'); drop table people; --"
    own = {
        "url": url,
        "statements": [
            "create table people (name text, age int, score float, is_new boolean)",
            "insert into people values (:name, :age, :score, :new), ('100% :name', 1, 1, :new)",
            "select name, age, score from people where age = :age or name = '100% :name' order by age desc",
        ],
        "parameters": {"name": evil, "age": 41, "score": 1.5, "new": True},
    }
    report = await run(rows, own)

    assert [evil, "100% :name"] == [row["name"] for row in (report.outputs or {})["rows"]]


async def test_a_list_after_in_is_spread(rows: AttemptRows, url: str) -> None:
    own = {
        "url": url,
        "sql": "create table t (n int); insert into t values (1), (2), (3);"
        "select n from t where n in :some and n not in :none order by n",
        "parameters": {"some": [3, 1, 9], "none": []},
    }
    report = await run(rows, own)

    assert [{"n": 1}, {"n": 3}] == (report.outputs or {})["rows"]


async def test_values_of_postgresql(rows: AttemptRows) -> None:
    """Exact numbers and dates are texts; arrays and JSON are what they are; objects are bound as JSON."""
    sql = """
        select 12.50::numeric as amount, date '2013-01-02' as day, timestamptz '2013-01-02 03:04:05+00' as at,
            interval '90 seconds' as took, '\\xff00'::bytea as data, array[1, 2] as list, :doc::jsonb as doc,
            9223372036854775807 as big, 'nan'::float8 as nan, null as nothing, true as flag,
            '00000000-0000-0000-0000-000000000001'::uuid as id, :day::date + 1 as next_day, 5 = any(:list) as found
    """
    parameters = {"doc": {"a": [1]}, "day": "2013-12-31", "list": [4, 5]}
    report = await run(rows, {"url": rows.url, "sql": sql, "parameters": parameters})

    (row,) = (report.outputs or {"rows": [report.message]})["rows"]
    assert {
        "amount": "12.50",
        "day": "2013-01-02",
        "at": "2013-01-02T03:04:05+00:00",
        "took": 90.0,
        "data": "/wA=",
        "list": [1, 2],
        "doc": {"a": [1]},
        "big": 9223372036854775807,
        "nan": "NaN",
        "nothing": None,
        "flag": True,
        "id": "00000000-0000-0000-0000-000000000001",
        "next_day": "2014-01-01",
        "found": True,
    } == row


async def test_a_large_result_is_kept_within_bounds_and_counted(rows: AttemptRows) -> None:
    by_rows, by_bytes = await run_all(
        rows,
        {"url": rows.url, "sql": "select n from generate_series(1, 200000) as n"},
        {"url": rows.url, "sql": "select repeat('x', 300000) as text from generate_series(1, 10)"},
    )

    told = by_rows.outputs or {}
    assert (200_000, 1_000, True) == (told["row_count"], len(told["rows"]), told["truncated"])
    told = by_bytes.outputs or {}
    assert (10, 3, True) == (told["row_count"], len(told["rows"]), told["truncated"])


async def test_what_a_query_does_beside_reading_is_done_for_every_row(rows: AttemptRows) -> None:
    """Also for those that are not kept."""
    own = {
        "url": rows.url,
        "statements": [
            "create sequence s",
            "select nextval('s') from generate_series(1, 3000)",
            "select last_value from s",
        ],
    }
    report = await run(rows, own)

    assert [{"last_value": 3000}] == (report.outputs or {})["rows"]


async def test_rows_that_a_change_returns(rows: AttemptRows, url: str) -> None:
    own = {"url": url, "statements": ["create table t (n int)", "insert into t values (1), (2) returning n"]}

    assert outputs(2, ["n"], [{"n": 1}, {"n": 2}]) == (await run(rows, own)).outputs


async def test_a_script_is_a_file_of_the_users_code(rows: AttemptRows, url: str, tmp_path: Path) -> None:
    (tmp_path / "make.sql").write_text(
        "-- A script; with comments\ncreate table t (n int);\ninsert into t values (:n);\nselect n + 1 as n from t;\n"
    )
    report = await run(rows, {"url": url, "script": "make.sql", "parameters": {"n": 3}}, code=tmp_path)

    assert [{"n": 4}] == (report.outputs or {"rows": report.message})["rows"]


async def test_the_log_tells_what_each_statement_did(rows: AttemptRows, url: str) -> None:
    sql = "create table t (n int); insert into t values (:secret)"
    key = rows.queue_one("sql", {"url": url, "sql": sql, "parameters": {"secret": 424242}})
    async with running_worker(rows.url, step_types=types()):
        await wait_until_async(lambda: rows.reports(key))

    log = rows.log(key)
    assert "statement 1 of 2, create table t: 0 rows, " in log
    assert "statement 2 of 2, insert into t: 1 rows, " in log
    assert "424242" not in log


# --- transactions and errors -------------------------------------------------------------------------------


async def test_the_statements_of_a_step_are_one_transaction(rows: AttemptRows, url: str) -> None:
    """An error in the last one undoes all of them, the creation of a table too."""
    failed, after = await run_all(
        rows,
        {"url": url, "statements": ["create table t (n int)", "insert into t values (1)", "select nosuch from t"]},
        {"url": url, "sql": "select n from t"},
    )

    assert Outcome.USER_ERROR is failed.outcome
    assert failed.message.startswith("statement 3 of 3, select nosuch from: ")
    assert "nosuch" in failed.message.partition(": ")[2]
    assert (Outcome.USER_ERROR, True) == (after.outcome, " t" in after.message or '"t"' in after.message)


async def test_an_error_that_the_end_of_the_transaction_brings(rows: AttemptRows) -> None:
    sql = """
        create table parents (id int primary key);
        create table children (id int references parents deferrable initially deferred);
        insert into children values (1)
    """
    report = await run(rows, {"url": rows.url, "sql": sql})

    assert Outcome.USER_ERROR is report.outcome
    assert "violates foreign key constraint" in report.message


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"sql": "begin; select 1; commit"}, "all statements of a step are one transaction"),
        ({"sql": "select :a"}, "statement 1, select: binds :a, which parameters do not have"),
        ({"sql": "select 1", "parameters": {"a": 1}}, "no statement binds :a, which parameters have"),
        ({"sql": " -- nothing\n;"}, "there is no statement"),
        ({"script": "nosuch.sql"}, "the script nosuch.sql cannot be read"),
        ({"sql": "select 1", "url": "nosuch://u:geheim@h/d"}, "this worker has no driver for 'nosuch'"),
        ({"sql": "select 1", "url": "postgresql+asyncpg://u:geheim@h/d"}, "this worker has no driver for"),
        ({"sql": "select 1", "url": "geheim"}, "the url of the database cannot be used"),
    ],
)
async def test_what_need_not_be_tried_is_fatal(
    rows: AttemptRows, sqlite: str, tmp_path: Path, own: dict[str, Any], said: str
) -> None:
    report = await run(rows, {"url": sqlite, **own}, code=tmp_path)

    assert Outcome.FATAL_ERROR is report.outcome
    assert said in report.message
    assert "geheim" not in report.message


async def test_a_database_that_is_away_is_the_platforms_error(rows: AttemptRows) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gone = f"postgresql://u:geheim@127.0.0.1:{unused.getsockname()[1]}/d"
        away, nowhere = await run_all(
            rows, {"url": gone, "sql": "select 1"}, {"url": "sqlite:////nosuch/folder/d.db", "sql": "select 1"}
        )

    assert [Outcome.PLATFORM_ERROR] * 2 == [away.outcome, nowhere.outcome]
    assert "geheim" not in away.message


@pytest.mark.parametrize(
    ("sql", "outcome"),
    [
        ("select 1/0", Outcome.USER_ERROR),
        ("selct 1", Outcome.USER_ERROR),
        ("set local statement_timeout = 10; select pg_sleep(60)", Outcome.USER_ERROR),
        ("select pg_terminate_backend(pg_backend_pid())", Outcome.PLATFORM_ERROR),
        ("do $$ begin raise exception 'again' using errcode = '40001'; end $$", Outcome.PLATFORM_ERROR),
        ("do $$ begin raise exception 'locked' using errcode = '55P03'; end $$", Outcome.PLATFORM_ERROR),
    ],
)
async def test_whose_fault_an_error_is(rows: AttemptRows, sql: str, outcome: Outcome) -> None:
    """What another try may mend is the platform's, and retried as such."""
    assert outcome is (await run(rows, {"url": rows.url, "sql": sql})).outcome


async def test_a_locked_sqlite_is_the_platforms_error(rows: AttemptRows, sqlite: str) -> None:
    import sqlite3

    holder = sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        report = await run(rows, {"url": f"{sqlite}?timeout=0.1", "sql": "create table t (n int)"})
    finally:
        holder.close()

    assert Outcome.PLATFORM_ERROR is report.outcome
    assert "locked" in report.message


# --- secrets -----------------------------------------------------------------------------------------------


async def test_a_password_is_nowhere(rows: AttemptRows, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither in the log, nor in the report, whether the connection fails or not, in whatever spelling."""
    role = "etl"
    with psycopg.connect(rows.url, autocommit=True) as conn:
        conn.execute(f"drop role if exists {role}")
        conn.execute(f"create role {role} login password 'geh@im'")
    server = rows.url.rpartition("@")[2] if "@" in rows.url else rows.url.partition("://")[2]
    right = f"postgresql://{role}:geh%40im@{server}"
    own = [
        {"connection": "warehouse", "sql": "select 'geh@im' as echoed, nosuch"},
        {"connection": "warehouse", "sql": "select 1"},
        {"connection": "wrong", "sql": "select 1"},
        {"connection": "hidden", "sql": "select 1"},
    ]
    connections = {
        "warehouse": right,
        "wrong": right.replace("geh%40im", "geh%40im2"),
        "hidden": "postgresql://127.0.0.1:1/d?password=geheim",
    }
    try:
        reports = await run_all(rows, *own, connections=connections)
        with psycopg.connect(rows.url, autocommit=True) as conn:
            (logs,) = conn.execute("SELECT coalesce(string_agg(text, ''), '') FROM step_log").fetchone() or ("",)
    finally:
        with psycopg.connect(rows.url, autocommit=True) as conn:
            conn.execute(f"drop role {role}")

    seen = "".join([logs, *(f"{report}" for report in reports), *capfd.readouterr()])
    assert "statement" in seen
    for spelling in ("geh@im", "geh%40im", "geheim"):
        assert spelling not in seen


# --- cancellation ------------------------------------------------------------------------------------------


def sleepers(url: str) -> list[str]:
    """Return the names of the sessions of steps that sleep."""
    statement = """
        SELECT application_name FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event = 'PgSleep' AND state = 'active'
    """
    with psycopg.connect(url, autocommit=True) as conn:
        return [name for (name,) in conn.execute(statement)]


async def test_cancellation_reaches_postgresql(rows: AttemptRows) -> None:
    """The statement is broken off, what the step had done is undone, and its session is gone."""
    own = {"url": rows.url, "statements": ["create table t (n int)", "select pg_sleep(600)"]}
    key = rows.queue_one("sql", own)
    async with running_worker(rows.url, step_types=types()) as rig:
        await wait_until_async(lambda: sleepers(rows.url))
        names = sleepers(rows.url)
        await cancel(rig, rows, key)
        left = sleepers(rows.url)

    assert (["maestro-step tests/1/1/step/1"], []) == (names, left)
    assert Outcome.STOPPED is rows.report(key).outcome
    with psycopg.connect(rows.url) as conn:
        assert (None,) == conn.execute("select to_regclass('t')").fetchone()


async def test_cancellation_reaches_sqlite(rows: AttemptRows, sqlite: str, tmp_path: Path) -> None:
    key = rows.queue_one("sql", {"url": sqlite, "statements": ["create table t (n int)", ENDLESS_SQLITE]})
    async with running_worker(rows.url, step_types=types()) as rig:
        await wait_until_async(lambda: "statement 1 of 2" in rows.log(key))
        await cancel(rig, rows, key)

    assert Outcome.STOPPED is rows.report(key).outcome
    # Nothing is left to be undone by whoever opens the file next.
    assert ["warehouse.db"] == names_in(tmp_path)


async def test_a_driver_that_hangs_hangs_nobody(rows: AttemptRows) -> None:
    """Here it waits for a server that says nothing: its process is killed, and the slot is free."""
    silent = await asyncio.start_server(_say_nothing, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        key = rows.queue_one("sql", {"url": f"postgresql://u@127.0.0.1:{port}/d", "sql": "select 1"})
        async with running_worker(rows.url, step_types=types()) as rig:
            await wait_until_async(lambda: rig.process.executor.busy == 1)
            await cancel(rig, rows, key)
            other = rows.queue_one("sql", {"url": rows.url, "sql": "select 1"})
            await wait_until_async(lambda: rows.reports(other))

    assert Outcome.STOPPED is rows.report(key).outcome


async def test_postgresql_notices_that_the_process_was_killed(rows: AttemptRows) -> None:
    """As after the death of a worker: the statement ends soon, although nobody asked for it."""
    key = rows.queue_one("sql", {"url": rows.url, "sql": "select pg_sleep(600)"})
    async with running_worker(rows.url, step_types=types()) as rig:
        await wait_until_async(lambda: sleepers(rows.url))
        await rig.process._machine.processes.close()  # the guard kills what runs, as after the death of the worker
        await wait_until_async(lambda: not sleepers(rows.url), within_seconds=10)
        await wait_until_async(lambda: rows.reports(key))

    assert Outcome.PLATFORM_ERROR is rows.report(key).outcome


async def cancel(rig: Rig, rows: AttemptRows, key: Key) -> None:
    """Cancel an attempt, and wait until it is reported: within a second or two."""
    rows.cancel(key)
    rig.hint_cancel()
    await wait_until_async(lambda: rows.reports(key), within_seconds=5)


def names_in(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()
