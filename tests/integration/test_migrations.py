"""The migrations lead to exactly the tables that the code speaks of, and back to nothing."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from maestro_py.model.errors import MaestroError, StoreUnavailable
from maestro_py.storage import migrate
from maestro_py.storage.tables import metadata


def _differences(url: str) -> list[object]:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": migrate.is_of_the_metadata})
        return list(compare_metadata(context, metadata))


def _tables(url: str) -> set[str]:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        return set(sa.inspect(connection).get_table_names())


def test_up_down_up_and_equal_to_the_tables(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    migrate.downgrade(empty_database_url, "base")

    assert {"alembic_version"} == _tables(empty_database_url)

    migrate.upgrade(empty_database_url)

    assert [] == _differences(empty_database_url)
    assert migrate.head() == migrate.current(empty_database_url)


def test_a_second_upgrade_changes_nothing(database_url: str) -> None:
    migrate.upgrade(database_url)

    assert migrate.head() == migrate.current(database_url)


def test_concurrent_upgrades_are_one(empty_database_url: str) -> None:
    """Processes that start together may each call upgrade: one does it, none fails."""
    failures: list[BaseException] = []

    def upgrade() -> None:
        try:
            migrate.upgrade(empty_database_url)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == failures
    assert migrate.head() == migrate.current(empty_database_url)


def test_a_missing_server_is_said_without_the_password() -> None:
    with pytest.raises(StoreUnavailable, match=r"cannot reach postgresql://ana:\*\*\*@127.0.0.1:9/db: ") as raised:
        migrate.upgrade("postgresql://ana:secret@127.0.0.1:9/db")

    assert "secret" not in str(raised.value)


def test_the_address_must_be_one() -> None:
    with pytest.raises(MaestroError, match="no URL"):
        migrate.upgrade("somewhere")


_CATALOG = """
SELECT c.relname, 'options', coalesce(c.reloptions::text, '') FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
UNION ALL
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod) || attnotnull::text || attidentity::text
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0
"""


def test_the_migrations_make_the_very_constraints_and_indexes_of_the_tables(
    database_url: str, empty_database_url: str
) -> None:
    """What autogenerate does not compare (checks, partial indexes, storage options) is the same, too."""
    engine = sa.create_engine(
        sa.make_url(empty_database_url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool
    )
    with engine.begin() as connection:
        metadata.create_all(connection)

    assert _catalog(empty_database_url) == _catalog(database_url)


def _catalog(url: str) -> list[tuple[str, ...]]:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        rows = connection.execute(sa.text(_CATALOG))
        return sorted(tuple(row) for row in rows if not row[0].startswith(("alembic", "event_log_")))
