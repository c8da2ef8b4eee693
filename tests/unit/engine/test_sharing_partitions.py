"""Partitions are shared fairly, whole, and with as little moving as may be."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from maestro_py.engine.ownership import ranges, share, surplus

engines_strategy = st.sets(st.uuids(), min_size=1, max_size=80).map(sorted)


@given(st.integers(1, 256), engines_strategy)
def test_shares_are_fair_and_sum_to_all_partitions(partitions: int, engines: list[UUID]) -> None:
    shares = [share(partitions, engines, engine) for engine in engines]

    assert partitions == sum(shares)
    assert max(shares) - min(shares) <= 1


@given(st.integers(1, 256), engines_strategy)
def test_who_sees_the_same_engines_in_another_order_shares_the_same(partitions: int, engines: list[UUID]) -> None:
    for engine in engines:
        assert share(partitions, engines, engine) == share(partitions, engines[::-1], engine)


@given(st.integers(1, 256), engines_strategy)
def test_an_engine_that_joins_takes_from_the_others_no_more_than_its_share(
    partitions: int, engines: list[UUID]
) -> None:
    """Ids grow with time, so the newest engine is the last."""
    *old, new = engines
    if not old:
        return
    moved = sum(max(0, share(partitions, old, e) - share(partitions, engines, e)) for e in old)

    assert share(partitions, engines, new) == moved


@given(st.sets(st.integers(0, 255)), st.integers(0, 256))
def test_the_surplus_leaves_the_share_and_takes_the_highest(owned: set[int], target: int) -> None:
    given_up = surplus(owned, target)
    kept = owned - given_up

    assert min(len(owned), target) == len(kept)
    assert not given_up or not kept or max(kept) < min(given_up)


def test_partitions_are_logged_as_ranges() -> None:
    assert ["", "0-63", "3", "0-1, 5, 7-9"] == [ranges(p) for p in ([], range(64), [3], [9, 5, 0, 1, 8, 7])]
