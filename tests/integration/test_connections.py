"""A pool of connections whose server restarted."""

from __future__ import annotations

import pytest

from maestro_py.model.errors import StoreUnavailable
from maestro_py.storage.connections import Database
from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from maestro_py.testing.waiting import wait_until_async

SIZE = 4


async def test_a_server_that_restarted_costs_one_error_and_not_one_for_each_connection(
    private_postgres: EmbeddedPostgres,
) -> None:
    """Whoever meets the first broken connection has the others looked at."""
    async with Database(private_postgres.url, "maestro:api:test", size=SIZE, hot=True) as database:

        async def all_at_once(left: int = SIZE) -> None:
            if left:
                async with database.connection() as conn:
                    await conn.execute("SELECT 1")
                    await all_at_once(left - 1)

        await all_at_once()
        private_postgres.kill()
        private_postgres.start()
        with pytest.raises(StoreUnavailable):
            await all_at_once(1)

        async def all_are_well() -> bool:
            stats = database._pool.get_stats()
            return stats["pool_available"] == stats["pool_size"] and stats.get("connections_lost", 0) > 0

        await wait_until_async(all_are_well)
        for _ in range(2 * SIZE):
            await all_at_once(1)
        await all_at_once()
