"""
Bring the schema of a database to a revision.  The scripts are in ``alembic/``: of the checkout, or in the wheel.

Several processes may upgrade the same database at once: one does it, the others wait and find it done.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from maestro_py.model.errors import MaestroError, StoreUnavailable

#: The advisory lock that one migration at a time holds: any constant that nobody else uses.
_LOCK: Final = 6_737_013_371
#: Between two looks whether somebody else still migrates.
_LOCK_PAUSE_SECONDS: Final = 0.1


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at *url* up to *revision*; nothing happens where it is there already."""
    with _config_on(url) as config:
        command.upgrade(config, revision)


def downgrade(url: str, revision: str) -> None:
    """Bring the database at *url* down to *revision* (``base``: nothing of ours is left)."""
    with _config_on(url) as config:
        command.downgrade(config, revision)


def current(url: str) -> str | None:
    """Return the revision of the database at *url*, None if it has none."""
    with _connection(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """Return the newest revision that this version of maestro-py knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def new_revision(url: str, serial: str, subject: str) -> None:
    """Write ``alembic/versions/<serial>_<subject>.py`` with what `storage.tables` has and the database lacks."""
    with _config_on(url) as config:
        command.revision(config, message=subject, rev_id=serial, autogenerate=True)


def is_of_the_metadata(name: str | None, kind: str, _: object) -> bool:
    """Say whether alembic compares this name: the partitions of ``event_log`` come and go by themselves."""
    return kind != "table" or not (name or "").startswith("event_log_")


def scripts_folder() -> Path:
    """Return the folder of the migration scripts."""
    here = Path(__file__).resolve().parent
    for folder in (here / "alembic", here.parents[2] / "alembic"):
        if (folder / "env.py").exists():
            return folder
    raise MaestroError(f"the migration scripts are missing: neither in {here} nor in a checkout around it")


def _config() -> Config:
    config = Config()
    # A percent sign begins an interpolation in the configuration.
    config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _connection(url: str) -> Iterator[sa.Connection]:
    """Yield a connection; raise `StoreUnavailable` if there is none to be had."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise MaestroError(
            "the address of the database is no URL: postgresql://user:password@host:port/name"
        ) from error
    engine = sa.create_engine(parsed.set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    try:
        connection = engine.connect()
    except sa.exc.OperationalError as error:
        raise StoreUnavailable(f"cannot reach {parsed}: {error.orig}") from error  # its text hides the password
    with connection:
        yield connection


@contextmanager
def _config_on(url: str) -> Iterator[Config]:
    """Yield a configuration with a connection; the lock is held, so nobody else migrates meanwhile."""
    with _connection(url) as connection:
        # Of the session, so that it outlasts the transactions of the migrations; closing releases it.
        # Asked for, not waited for: who waits inside a statement is waited for by an index that is made CONCURRENTLY.
        while not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_LOCK))):
            connection.commit()
            time.sleep(_LOCK_PAUSE_SECONDS)
        connection.commit()
        config = _config()
        config.attributes["connection"] = connection
        yield config
        connection.commit()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Write a new migration: python -m maestro_py.storage.migrate")
    arguments.add_argument("serial", help="for example 0007")
    arguments.add_argument("subject", help='for example "add step deadline"')
    given = arguments.parse_args()
    new_revision(os.environ["MAESTRO_DATABASE_URL"], given.serial, given.subject)
