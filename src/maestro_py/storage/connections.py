"""
Open connections to PostgreSQL, named and bounded, and translate the driver's errors into ours.

Every connection carries ``application_name = maestro:<kind>:<process id>``, so that whoever sees a process whose beat
has expired can terminate exactly its backends (DESIGN section 4).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from maestro_py.model.errors import StoreUnavailable
from maestro_py.model.statuses import ProcessKind

#: A session that idles inside a transaction for this long is ended by the server, in ms.
IDLE_IN_TRANSACTION_MS: Final = 15_000
#: Unacknowledged data ends the connection after this long, in ms.
TCP_USER_TIMEOUT_MS: Final = 10_000
#: How long a statement waits for a row lock before it gives up with `psycopg.errors.LockNotAvailable`, in ms.
LOCK_TIMEOUT_MS: Final = 3_000

#: The same for the lanes of an engine, which go on with other runs instead: `ports.engine_store.EngineTransaction`.
LANE_LOCK_TIMEOUT_MS: Final = 500

#: Session settings of hot statements: they look rows up by key whatever the statistics say (DESIGN section 10).
HOT_OPTIONS: Final = (
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c enable_bitmapscan=off "
    # While a table is empty, walking all of it looks cheap; a plan made then is kept for as long as the session lives.
    "-c random_page_cost=0 -c plan_cache_mode=force_generic_plan -c jit=off"
)


def application_name(kind: ProcessKind, process_id: UUID) -> str:
    """Return the name that every connection of the process carries."""
    return f"maestro:{kind}:{process_id}"


def connection_arguments(name: str, *, hot: bool = False, lock_timeout_ms: int = LOCK_TIMEOUT_MS) -> dict[str, Any]:
    """Return the keyword arguments of every ``connect`` of ours; *hot* adds the settings of hot statements."""
    options = f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS} -c lock_timeout={lock_timeout_ms}"
    return {
        "application_name": name,
        "options": f"{options} {HOT_OPTIONS}" if hot else options,
        "connect_timeout": 5,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": TCP_USER_TIMEOUT_MS,
        "autocommit": True,
    }


def check_url(url: str) -> None:
    """
    Refuse an address of a database that cannot be read.

    Raises:
        ValueError: it is none; the text quotes nothing of it, unlike the driver's, for it holds a password.
    """
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ValueError(
            "is no address of a database, postgresql://user:password@host:port/name;"
            " special characters of the password have to be percent-encoded"
        ) from None


#: SQLSTATE classes and codes that say "the server is away", not "you are wrong".
_AWAY: Final = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.TooManyConnections,
)


def is_unavailable(exc: BaseException) -> bool:
    """Say whether *exc* means that the server is starting, stopping or unreachable, or that the link broke."""
    if isinstance(exc, (PoolTimeout, StoreUnavailable, *_AWAY)):
        return True
    # Without a SQLSTATE the error came from the link, not from the server.
    return isinstance(exc, psycopg.OperationalError) and exc.sqlstate is None


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise `StoreUnavailable` in place of the driver's errors that mean that the server is away."""
    try:
        yield
    except (psycopg.Error, OSError) as exc:
        if is_unavailable(exc) or isinstance(exc, OSError):
            raise StoreUnavailable(str(exc).strip() or type(exc).__name__) from exc
        raise


class Database:
    """
    A pool of autocommit connections of one process.

    Args:
        url: ``postgresql://…``
        name: `application_name` of the process.
        size: Connections at most; they are opened as needed.
        hot: Whether the connections run hot statements.
        lock_timeout_ms: How long a statement waits for a row lock.
    """

    def __init__(
        self, url: str, name: str, *, size: int = 4, hot: bool = False, lock_timeout_ms: int = LOCK_TIMEOUT_MS
    ) -> None:
        self.url = url
        self.name = name
        self._checking: asyncio.Task[None] | None = None
        self._pool: AsyncConnectionPool[AsyncConnection[TupleRow]] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=size,
            open=False,
            timeout=10.0,
            reconnect_timeout=5.0,
            check=AsyncConnectionPool.check_connection if not hot else None,
            kwargs=connection_arguments(name, hot=hot, lock_timeout_ms=lock_timeout_ms),
            name=name,
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        """
        Lend a connection in autocommit mode; each statement is a transaction of its own.

        Raises:
            StoreUnavailable: the server is away, or the link broke during a statement.
        """
        try:
            with translated_errors():
                async with self._pool.connection() as conn:
                    yield conn
        except StoreUnavailable:
            self._check_the_others()
            raise

    def _check_the_others(self) -> None:
        """Replace what else is broken in the pool: a server that restarted shall cost one error, not one for each."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())

    async def _check(self) -> None:
        with suppress(psycopg.Error, OSError):
            await self._pool.check()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        """
        Lend a connection inside a READ COMMITTED transaction that commits when the block ends well.

        Raises:
            StoreUnavailable: the server is away, or the link broke; whether a COMMIT took effect is then unknown.
        """
        async with self.connection() as conn, conn.transaction():
            yield conn
