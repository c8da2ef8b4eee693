"""
The days of ``event_log``: one PostgreSQL partition each, made ahead and dropped whole when its retention is over.

A default partition takes what no day takes, so that a system that slept for a month loses nothing when it wakes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg import AsyncConnection, errors, sql
from psycopg.rows import TupleRow

#: Days that are made ahead, today not counted.
DAYS_AHEAD: Final = 2

_PREFIX: Final = "event_log_d"
_DAY: Final = re.compile(r"event_log_d(\d{8})")

_EXISTING: Final = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'event_log'::regclass
"""

#: Deletes what no day took and is too old.
_FORGET_DEFAULT: Final = sql.SQL("DELETE FROM event_log_default WHERE create_time_ms < {}")


async def keep_event_days(conn: AsyncConnection[TupleRow], now_ms: int, retention_days: int) -> None:
    """
    Make the partitions of today and of the next days, and drop those whose every event is too old.

    A partition whose lock is not to be had within the session's ``lock_timeout`` is left for the next call.  The
    default partition is cleared of old events whenever a day was made.

    Args:
        conn: In autocommit mode; each partition is a transaction of its own.
        now_ms: UTC epoch ms.
        retention_days: Days that an event is kept, at least.
    """
    cursor = await conn.execute(_EXISTING)
    existing = {row[0] for row in await cursor.fetchall()}
    today = datetime.fromtimestamp(now_ms / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)]
    # Each by itself: a day that cannot be made must not keep the next one from being made in time.
    made = [await _tried(conn, _create(day)) for day in days if _name(day) not in existing]
    first_kept = today - timedelta(days=retention_days)
    for name in sorted(existing):
        if _DAY.fullmatch(name) and name < _name(first_kept):
            await _tried(conn, sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
    if any(made):
        # About once a day, as all of it is read.
        await _tried(conn, _FORGET_DEFAULT.format(sql.Literal(int(first_kept.timestamp() * 1000))))


async def _tried(conn: AsyncConnection[TupleRow], statement: sql.Composed) -> bool:
    """Say whether *statement* could be carried out."""
    try:
        await conn.execute(statement)
    except (errors.LockNotAvailable, errors.DuplicateTable, errors.CheckViolation):
        # Somebody writes, another engine was first, or events of that day lie in the default partition already.
        return False
    return True


def _name(day: datetime) -> str:
    return f"{_PREFIX}{day:%Y%m%d}"


def _create(day: datetime) -> sql.Composed:
    first_ms = int(day.timestamp() * 1000)
    last_ms = int((day + timedelta(days=1)).timestamp() * 1000)
    statement = sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF event_log FOR VALUES FROM ({}) TO ({})")
    return statement.format(sql.Identifier(_name(day)), sql.Literal(first_ms), sql.Literal(last_ms))
