"""What tests of transports listen with."""

from __future__ import annotations

from collections.abc import Collection

from maestro_py.ports.transport import Address, HintKind, Subscription, Transport
from maestro_py.testing.waiting import wait_until_async


def partition(number: int) -> Address:
    """Return where hints for the runs of an engine partition go."""
    return Address(HintKind.ENGINE, str(number))


class Ear:
    """A subscription that remembers what it heard."""

    def __init__(self, transport: Transport, *addresses: Address) -> None:
        self.heard: set[Address] = set()
        self.calls = 0
        self.subscription: Subscription = transport.subscribe(addresses, self._on_hint)

    def _on_hint(self, addresses: Collection[Address]) -> None:
        self.heard.update(addresses)
        self.calls += 1

    async def hears(self, *addresses: Address) -> None:
        await wait_until_async(lambda: self.heard.issuperset(addresses), seen=lambda: self.heard)

    async def hears_from(self, sender: Transport, *addresses: Address) -> None:
        """
        Return once the subscription is known to work: hints sent before it listens may be lost.

        The first that is heard may be the word that something was missed, the second is a hint.
        """

        def told() -> bool:
            sender.send(addresses)
            return self.heard.issuperset(addresses)

        for _ in range(2):
            await wait_until_async(told, seen=lambda: self.heard)
            self.heard.clear()
