"""The subscriptions of one process: each is handed what arrives for it, soon, and all of a moment in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import structlog

from maestro_py.ports.transport import Address, OnHint

_log = structlog.get_logger(__name__)


class LocalSubscription:
    """A running subscription of this process (`ports.transport.Subscription`)."""

    def __init__(self, deliveries: Deliveries, on_hint: OnHint) -> None:
        self.on_hint = on_hint
        self.addresses: frozenset[Address] = frozenset()
        self._deliveries = deliveries

    def update(self, addresses: Collection[Address]) -> None:
        """Listen to exactly *addresses* from now on."""
        self.addresses = frozenset(addresses)
        self._deliveries.changed()

    async def close(self) -> None:
        """Stop listening."""
        self._deliveries.forget(self)


class Deliveries:
    """
    Who of this process listens to what.

    Args:
        on_change: Called when `addresses` is another than before.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.addresses: frozenset[Address] = frozenset()  #: Of all subscriptions together.
        self._on_change = on_change
        self._subscriptions: set[LocalSubscription] = set()
        self._arrived: set[Address] = set()

    def subscribe(self, addresses: Collection[Address], on_hint: OnHint) -> LocalSubscription:
        """Call *on_hint* for what arrives for *addresses*, until the subscription is closed."""
        subscription = LocalSubscription(self, on_hint)
        self._subscriptions.add(subscription)
        subscription.update(addresses)
        return subscription

    def forget(self, subscription: LocalSubscription) -> None:
        """Deliver nothing to *subscription* any more."""
        self._subscriptions.discard(subscription)
        self.changed()

    def changed(self) -> None:
        """Find out anew what the subscriptions listen to."""
        addresses: frozenset[Address] = frozenset().union(*(s.addresses for s in self._subscriptions))
        if addresses != self.addresses:
            self.addresses = addresses
            self._on_change()

    def arrive(self, addresses: Collection[Address]) -> None:
        """Deliver *addresses* soon, each once: what arrives until then is one call of each subscriber."""
        mine = self.addresses.intersection(addresses)
        if mine and not self._arrived:
            asyncio.get_running_loop().call_soon(self._deliver)
        self._arrived |= mine

    def _deliver(self) -> None:
        arrived, self._arrived = self._arrived, set()
        for subscription in tuple(self._subscriptions):
            mine = subscription.addresses & arrived
            if not mine:
                continue
            try:
                subscription.on_hint(mine)
            except Exception:
                # Its next hint may well be understood, and the others have done nothing wrong.
                _log.exception("hint_receiver_failed")
