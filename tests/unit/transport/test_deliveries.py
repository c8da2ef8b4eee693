"""Subscriptions of one process hear of what is theirs, together and soon."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from maestro_py.ports.transport import Address, HintKind
from maestro_py.transport.deliveries import Deliveries

ONE = Address(HintKind.ENGINE, "1")
TWO = Address(HintKind.ENGINE, "2")


async def test_what_arrives_in_one_moment_is_one_call() -> None:
    calls: list[Collection[Address]] = []
    deliveries = Deliveries(lambda: None)
    deliveries.subscribe([ONE, TWO], calls.append)

    for _ in range(3):
        deliveries.arrive([ONE])
    deliveries.arrive([TWO])
    await asyncio.sleep(0)

    assert [{ONE, TWO}] == calls


async def test_nobody_hears_of_what_is_not_theirs() -> None:
    calls: list[Collection[Address]] = []
    deliveries = Deliveries(lambda: None)
    deliveries.subscribe([ONE], calls.append)
    deliveries.subscribe([TWO], lambda _: None)

    deliveries.arrive([TWO])
    await asyncio.sleep(0)

    assert [] == calls


async def test_a_change_that_changes_nothing_is_not_told() -> None:
    """An engine updates its subscription whenever it looks at its partitions."""
    changes: list[frozenset[Address]] = []
    deliveries = Deliveries(lambda: changes.append(deliveries.addresses))
    subscription = deliveries.subscribe([ONE], lambda _: None)
    subscription.update([ONE])
    subscription.update([ONE, TWO])
    await subscription.close()

    assert [{ONE}, {ONE, TWO}, frozenset()] == changes
