"""Wait for facts, not for time: a test says what must become true, and by when at the latest."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, overload

T = TypeVar("T")

_POLL_SECONDS: Final = 0.02


class NeverHappened(AssertionError):
    """The fact did not come true in time; the text tells the last state that was seen."""


def wait_until(fact: Callable[[], T], within_seconds: float = 10.0, seen: Callable[[], object] | None = None) -> T:
    """
    Return the first truthy value of *fact*, asked every 20 ms.  An exception in it counts as "not yet".

    Args:
        fact: What must come true.
        within_seconds: Then `NeverHappened` is raised.
        seen: Describes the present state for that error; otherwise the last value or exception of *fact* does.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        failure: Exception | None = None
        try:
            value = fact()
        except Exception as error:  # noqa: BLE001, RUF100 - whatever it is, it may be over at the next look
            failure = error
        else:
            if value:
                return value
        if time.monotonic() > deadline:
            last: object = failure if failure is not None else value
            raise _never(fact, within_seconds, seen() if seen is not None else last) from failure
        time.sleep(_POLL_SECONDS)


@overload
async def wait_until_async(
    fact: Callable[[], Awaitable[T]], within_seconds: float = 10.0, seen: Callable[[], object] | None = None
) -> T: ...


@overload
async def wait_until_async(
    fact: Callable[[], T], within_seconds: float = 10.0, seen: Callable[[], object] | None = None
) -> T: ...


async def wait_until_async(
    fact: Callable[[], Any], within_seconds: float = 10.0, seen: Callable[[], object] | None = None
) -> Any:
    """Do as `wait_until` without blocking the event loop; *fact* may be a coroutine function."""
    deadline = time.monotonic() + within_seconds
    while True:
        failure: Exception | None = None
        try:
            asked = fact()
            value = await asked if inspect.isawaitable(asked) else asked
        except Exception as error:  # noqa: BLE001, RUF100 - as above
            failure = error
        else:
            if value:
                return value
        if time.monotonic() > deadline:
            last: object = failure if failure is not None else value
            raise _never(fact, within_seconds, seen() if seen is not None else last) from failure
        await asyncio.sleep(_POLL_SECONDS)


def _never(fact: Callable[[], object], within_seconds: float, last: object) -> NeverHappened:
    name = getattr(fact, "__qualname__", repr(fact))
    return NeverHappened(f"{name} did not come true within {within_seconds:g} s; last seen: {last!r}")
