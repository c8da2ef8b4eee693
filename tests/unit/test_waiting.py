"""Tests wait for facts, and say what they saw when the facts did not come."""

from __future__ import annotations

import itertools

import pytest

from maestro_py.testing.waiting import NeverHappened, wait_until, wait_until_async


def test_the_first_true_value_is_returned() -> None:
    values = iter([0, None, "", "seven"])

    assert "seven" == wait_until(lambda: next(values))


def test_an_exception_is_not_yet() -> None:
    """What is being started refuses connections for a while."""
    numbers = itertools.count()

    assert 1 == wait_until(lambda: 1 / next(numbers))


def test_giving_up_tells_the_last_state() -> None:
    with pytest.raises(NeverHappened, match=r"did not come true within 0.05 s; last seen: 'RUNNING'"):
        wait_until(lambda: False, within_seconds=0.05, seen=lambda: "RUNNING")


def test_giving_up_keeps_the_last_exception() -> None:
    with pytest.raises(NeverHappened, match="ZeroDivisionError") as raised:
        wait_until(lambda: 1 / 0, within_seconds=0.05)

    assert isinstance(raised.value.__cause__, ZeroDivisionError)


async def test_coroutines_and_functions_can_be_awaited() -> None:
    async def fact() -> str:
        return "now"

    assert ["now", "here"] == [await wait_until_async(fact), await wait_until_async(lambda: "here")]
