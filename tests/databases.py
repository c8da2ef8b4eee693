"""
Databases of tests, used again: emptied they are as good as new ones, at a tenth of the price.

Whatever a test has changed but rows (a table, a constraint, statistics) makes its database unfit, and a database that
is used again has a new name: a process that outlived its test does not find it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import psycopg
from psycopg import sql

#: Everything but rows; a table that was vacuumed or analyzed is planned for in another way.
_SHAPE: Final = """
SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
    SELECT concat_ws(' ', 'table', oid, relname, CASE WHEN relkind = 'r' THEN reltuples END, reloptions) FROM pg_class c
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'column', attrelid, attname, atttypid, attnotnull, attisdropped) FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'constraint', oid, conname, convalidated) FROM pg_constraint
    UNION ALL
    SELECT concat_ws(' ', 'trigger', oid, tgname, tgenabled) FROM pg_trigger
    UNION ALL
    SELECT concat_ws(' ', 'function', oid, proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'schema', oid, nspname) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
    UNION ALL
    SELECT concat_ws(' ', 'statistics', schemaname, tablename, attname) FROM pg_stats WHERE schemaname = 'public'
    UNION ALL
    SELECT concat_ws(' ', 'setting', setconfig) FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS shape (line)
"""
_TABLES: Final = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname
"""
#: Days of the event log that an engine has made.
_DAYS: Final = r"SELECT relname FROM pg_class WHERE relname ~ '^event_log_d\d{8}$' AND relkind = 'r'"
_REWIND: Final = """
SELECT setval(format('%I.%I', schemaname, sequencename), start_value, false)
FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL
"""
_ALONE: Final = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Pristine(NamedTuple):
    """What a database is like before a test."""

    shape: str
    rows: dict[str, bytes]  #: Of the tables that are not empty, as COPY writes them.


def look_at(url: str) -> Pristine:
    """Return what the database at *url* is like."""
    with psycopg.connect(url, autocommit=True) as connection:
        rows = {name: _copied(connection, name) for name in _not_empty(connection)}
        return Pristine(_shape(connection), rows)


def empty(url: str, pristine: Pristine) -> bool:
    """
    Make the database at *url* what it was before a test.

    Returns:
        Whether that is so now; if not, more than rows was changed.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_ALONE)
        for (day,) in connection.execute(_DAYS).fetchall():
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(day)))
        known = [name for (name,) in connection.execute(_TABLES).fetchall()]
        filled = [name for name in known if name in pristine.rows or name in set(_not_empty(connection))]
        if not pristine.rows.keys() <= set(known):
            return False
        if filled:
            tables = sql.SQL(", ").join(map(sql.Identifier, filled))
            connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(tables))
        for name, rows in pristine.rows.items():
            statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(name))
            with connection.cursor().copy(statement) as copy:
                copy.write(rows)
        connection.execute(_REWIND)
        return _shape(connection) == pristine.shape


def _not_empty(connection: psycopg.Connection[tuple[object, ...]]) -> list[str]:
    names = [str(name) for (name,) in connection.execute(_TABLES).fetchall()]
    asked = [
        sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(sql.Literal(name), sql.Identifier(name))
        for name in names
    ]
    return [str(name) for (name,) in connection.execute(sql.SQL(" UNION ALL ").join(asked)).fetchall()] if asked else []


def _copied(connection: psycopg.Connection[tuple[object, ...]], table: str) -> bytes:
    with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as copy:
        return b"".join(bytes(piece) for piece in copy)


def _shape(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    row = connection.execute(_SHAPE).fetchone()
    assert row is not None
    return str(row[0])
