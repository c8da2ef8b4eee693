"""Run a transaction again when PostgreSQL says that trying again is the answer."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow

from maestro_py.model.errors import StoreUnavailable
from maestro_py.storage.connections import Database

T = TypeVar("T")
Connection = AsyncConnection[TupleRow]

#: The transaction did nothing; the same transaction may do well the next time (DESIGN section 4).
_RETRIED: Final = (errors.DeadlockDetected, errors.SerializationFailure)
_ATTEMPTS: Final = 8


async def in_transaction(
    database: Database,
    work: Callable[[Connection], Awaitable[T]],
    *,
    lock_patience_ms: int = 20_000,
    pipelined: bool = False,
) -> T:
    """
    Return what *work* returns, run inside one committed transaction; deadlocks and serialization failures repeat it.

    With *pipelined*, statements whose results *work* does not look at travel together, BEGIN and COMMIT with them.

    A row lock that somebody holds is waited for *lock_patience_ms* in all: its holder may be a stopped process, whose
    sessions are ended once its beat has expired.

    Raises:
        StoreUnavailable: the server is away, or the lock or the conflict outlasted our patience.
    """
    give_up_at = time.monotonic() + lock_patience_ms / 1000
    attempt = 0
    while True:
        attempt += 1
        try:
            async with database.connection() as conn, _transaction(conn, pipelined=pipelined):
                return await work(conn)
        except _RETRIED as exc:
            if attempt >= _ATTEMPTS:
                raise StoreUnavailable(f"the transaction met conflicts {attempt} times: {exc}") from exc
            # Rivals that met once and come back in step would meet again.
            await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311  # jitter, not a secret
        except errors.LockNotAvailable as exc:
            if time.monotonic() >= give_up_at:
                raise StoreUnavailable(f"a row stayed locked for {lock_patience_ms} ms: {exc}") from exc


@asynccontextmanager
async def _transaction(conn: Connection, *, pipelined: bool) -> AsyncIterator[None]:
    if not pipelined:
        async with conn.transaction():
            yield
    else:
        async with conn.pipeline(), conn.transaction():
            yield


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[Connection]:
    """
    Lend a connection whose statements all read the same state of the database, for answers made of several reads.

    Raises:
        StoreUnavailable: the server is away, or the link broke.
    """
    async with database.transaction() as conn:
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield conn
