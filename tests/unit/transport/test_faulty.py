"""The faulty transport is as bad as it was asked to be, and the same for the same seed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from maestro_py.ports.transport import Address, HintKind, OnHint, Subscription
from maestro_py.testing.waiting import wait_until_async
from maestro_py.transport.faulty import Faults, FaultsInvalid, FaultyTransport

ADDRESSES = [Address(HintKind.ENGINE, str(number)) for number in range(64)]


class Recorded:
    """A transport that remembers what it was given."""

    def __init__(self) -> None:
        self.sent: list[Address] = []
        self.passed_on: list[Address] = []
        self.is_open = False
        self.hints_dropped = 3

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    def send(self, addresses: Collection[Address]) -> None:
        self.sent.extend(addresses)

    def pass_on(self, addresses: Collection[Address]) -> None:
        self.passed_on.extend(addresses)

    def subscribe(self, addresses: Collection[Address], on_hint: OnHint) -> Subscription:
        raise NotImplementedError


def sent_through(**faults: Any) -> list[Address]:
    inner = Recorded()
    FaultyTransport(inner, Faults(**faults)).send(ADDRESSES)
    return inner.sent


def test_without_faults_only_the_order_changes() -> None:
    sent = sent_through(seed=1)

    assert sorted(ADDRESSES) == sorted(sent)
    assert sent != ADDRESSES


def test_drops_and_doubles_a_share_of_the_hints() -> None:
    sent = sent_through(seed=1, drop=0.3, double=0.2)

    kept = set(sent)
    assert 32 < len(kept) < 60
    assert 0 < len(sent) - len(kept) < 30


def test_one_seed_is_one_history() -> None:
    assert sent_through(seed=5, drop=0.5) == sent_through(seed=5, drop=0.5)
    assert sent_through(seed=5, drop=0.5) != sent_through(seed=6, drop=0.5)


def test_what_was_dropped_on_purpose_is_counted() -> None:
    inner = Recorded()
    transport = FaultyTransport(inner, Faults(drop=1.0))

    transport.send(ADDRESSES)

    assert [] == inner.sent
    assert 64 + 3 == transport.hints_dropped


def test_hints_that_are_passed_on_are_lost_and_doubled_alike() -> None:
    inner, others = Recorded(), Recorded()

    FaultyTransport(inner, Faults(drop=1.0)).pass_on(ADDRESSES)
    FaultyTransport(others, Faults(double=1.0)).pass_on(ADDRESSES)

    assert [] == inner.passed_on
    assert sorted(2 * ADDRESSES) == others.passed_on


async def test_late_hints_overtake_one_another_and_arrive() -> None:
    inner = Recorded()
    transport = FaultyTransport(inner, Faults(seed=2, delay_ms=20))

    for address in ADDRESSES:
        transport.send([address])

    assert [] == inner.sent
    await wait_until_async(lambda: len(inner.sent) == len(ADDRESSES))
    assert sorted(ADDRESSES) == sorted(inner.sent)
    assert inner.sent != ADDRESSES


async def test_hints_still_late_at_the_end_are_lost() -> None:
    inner = Recorded()
    transport = FaultyTransport(inner, Faults(delay_ms=60_000))
    await transport.open()
    transport.send(ADDRESSES)

    await transport.close()

    assert [] == inner.sent
    assert not inner.is_open
    assert 64 + 3 == transport.hints_dropped


def test_reads_its_description() -> None:
    expected = Faults(seed=1, drop=0.3, double=0.2, delay_ms=50)

    assert expected == Faults.parse("seed=1, drop=0.3,double=0.2,delay_ms=50")
    assert Faults() == Faults.parse("")


@pytest.mark.parametrize("text", ["drop", "drop=much", "dorp=0.1", "drop=1.5", "delay_ms=-1", "seed=0.5"])
def test_refuses_a_description_it_cannot_read(text: str) -> None:
    with pytest.raises(FaultsInvalid):
        Faults.parse(text)
