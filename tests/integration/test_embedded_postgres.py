"""The embedded PostgreSQL: it keeps its data, and it is never left behind."""

from __future__ import annotations

from pathlib import Path

import psycopg

from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres


def _execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def _is_alive(pid: int) -> bool:
    try:
        return b"\nState:\tZ" not in Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return False


def test_data_survives_a_stop(data_directory: Path) -> None:
    with EmbeddedPostgres(data_directory) as server:
        _execute(server.url, "CREATE TABLE kept AS SELECT 1 AS value")
    with EmbeddedPostgres(data_directory) as server:
        assert [(1,)] == _execute(server.url, "SELECT value FROM kept")
