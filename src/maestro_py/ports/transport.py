"""
The port to the message transport.

A message is only a hint that a row waits in PostgreSQL (DESIGN section 3): it carries an address and nothing else.
Any hint may be lost, doubled, late or out of order, and `Transport.send` never blocks nor raises: a transport that
is down costs the latency of the receiver's sweep and nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import NamedTuple, Protocol


class HintKind(StrEnum):
    """Who a hint is for."""

    ENGINE = "engine"  #: Key: an engine partition, decimal.
    STEPS = "steps"  #: Key: a queue.
    SIGNALS = "signals"  #: Key: empty.
    WORKER = "worker"  #: Key: a worker's process id; an attempt it holds is to be cancelled.


class Address(NamedTuple):
    """What a hint says: something waits for *key* of *kind*."""

    kind: HintKind
    key: str


#: Called in the event loop, with what arrived since the last call; must not block.
OnHint = Callable[[Collection[Address]], None]


class Subscription(Protocol):
    """A running subscription."""

    def update(self, addresses: Collection[Address]) -> None:
        """Listen to exactly *addresses* from now on (an engine gained or lost partitions)."""
        ...

    async def close(self) -> None:
        """Stop listening."""
        ...


class Transport(Protocol):
    """Carries hints between processes."""

    async def open(self) -> None:
        """Start the background tasks; returns at once even when the broker is away."""
        ...

    async def close(self) -> None:
        """Send what is queued, for at most a second, and stop."""
        ...

    def send(self, addresses: Collection[Address]) -> None:
        """Queue hints for sending, after the commit that justifies them; drop them when the queue is full."""
        ...

    def pass_on(self, addresses: Collection[Address]) -> None:
        """
        Have another subscriber hear of STEPS *addresses* that this process has heard of and has no room for.

        When each subscriber passes on what it heard, all of them have heard, and then it ends.  A transport of which
        every subscriber hears anyway does nothing.
        """
        ...

    def subscribe(self, addresses: Collection[Address], on_hint: OnHint) -> Subscription:
        """
        Call *on_hint* for hints sent to *addresses*, until the subscription is closed.

        For STEPS at least one of the subscribed processes hears of each hint; for the other kinds each does.
        """
        ...

    @property
    def hints_dropped(self) -> int:
        """Hints dropped since the start, for the metrics."""
        ...
