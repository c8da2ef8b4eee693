"""
Load the extracted files into the tables of ``tables.sql``, each in the bulk way of its database.

It may run twice: the tables are emptied in the transaction that fills them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import sqlalchemy

_BATCH: Final = 10_000


def load(database: str, files: Mapping[str, str]) -> dict[str, Any]:
    """Replace the rows of each table by those of its file; return how many there are."""
    engine = sqlalchemy.create_engine(_with_driver(database))
    rows = {}
    with engine.begin() as connection:
        for table, path in files.items():
            connection.exec_driver_sql(f"DELETE FROM {table}")
            copy = _copy_to_postgres if connection.dialect.name == "postgresql" else _insert
            rows[table] = copy(connection, table, Path(path))
            print(f"{table}: {rows[table]:,} rows", flush=True)
    engine.dispose()
    return {"rows": rows}


def _with_driver(database: str) -> sqlalchemy.URL:
    url = sqlalchemy.make_url(database)
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def _copy_to_postgres(connection: sqlalchemy.Connection, table: str, path: Path) -> int:
    cursor = connection.connection.cursor()
    with path.open(encoding="utf-8") as file, cursor.copy(f"COPY {table} FROM STDIN (FORMAT csv, HEADER)") as copy:
        while data := file.read(1 << 16):
            copy.write(data)
    return int(cursor.rowcount)


def _insert(connection: sqlalchemy.Connection, table: str, path: Path) -> int:
    count = 0
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        columns = next(rows)
        statement = sqlalchemy.text(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)})"
        )
        for batch in _batches(rows):
            values = [{name: value or None for name, value in zip(columns, row, strict=True)} for row in batch]
            connection.execute(statement, values)
            count += len(batch)
    return count


def _batches(rows: Iterator[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch
