"""The event log is kept by days: made ahead, dropped whole, and nothing is ever refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from maestro_py.storage.connections import Database
from maestro_py.storage.event_days import DAYS_AHEAD, keep_event_days

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
_INSERT = "INSERT INTO event_log (partition, create_time_ms, event) VALUES (1, %s, '{}')"
_COUNT = "SELECT count(*) FROM event_log"


def ms(day: datetime) -> int:
    """Return *day* in UTC epoch ms."""
    return int(day.timestamp() * 1000)


async def days(database: Database) -> list[str]:
    """Return the names of the partitions that are days."""
    async with database.connection() as conn:
        cursor = await conn.execute("SELECT relname FROM pg_class WHERE relname ~ '^event_log_d[0-9]+$' ORDER BY 1")
        return [row[0] for row in await cursor.fetchall()]


async def test_days_are_made_ahead_and_old_ones_dropped_whole(database_url: str) -> None:
    """After eight days of keeping seven, the first day and its events are gone and the rest stays."""
    async with Database(database_url, "maestro:test") as database:
        for number in range(9):
            now = NOON + timedelta(days=number)
            async with database.connection() as conn:
                await keep_event_days(conn, ms(now), 7)
                await conn.execute(_INSERT, (ms(now),))

        assert [f"event_log_d{NOON + timedelta(days=n):%Y%m%d}" for n in range(1, 9 + DAYS_AHEAD)] == await days(
            database
        )
        async with database.connection() as conn:
            assert (8,) == await (await conn.execute(_COUNT)).fetchone()


async def test_an_event_of_a_day_that_nobody_made_is_kept(database_url: str) -> None:
    """Events that lie in the default partition stay readable, and do not hinder the days around them."""
    async with Database(database_url, "maestro:test") as database, database.connection() as conn:
        await conn.execute(_INSERT, (ms(NOON),))

        await keep_event_days(conn, ms(NOON), 7)
        await keep_event_days(conn, ms(NOON + timedelta(days=1)), 7)

        assert (1,) == await (await conn.execute(_COUNT)).fetchone()
        assert [f"event_log_d{NOON + timedelta(days=n):%Y%m%d}" for n in (1, 2, 3)] == await days(database)


async def test_a_day_that_cannot_be_made_hinders_no_other_day_and_no_retention(database_url: str) -> None:
    """A system that woke on a day nobody had made goes back to days, and forgets what it then put aside."""
    async with Database(database_url, "maestro:test") as database, database.connection() as conn:
        for number in range(9):
            # Events come before the duty, as after every midnight.
            now = ms(NOON + timedelta(days=number))
            await conn.execute(_INSERT, (now,))
            await keep_event_days(conn, now, 7)

        cursor = await conn.execute("SELECT tableoid::regclass::text, count(*) FROM event_log GROUP BY 1 ORDER BY 1")
        assert [(f"event_log_d{NOON + timedelta(days=n):%Y%m%d}", 1) for n in range(1, 9)] == await cursor.fetchall()
