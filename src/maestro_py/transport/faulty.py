"""
A transport that loses, doubles, delays and reorders hints, by a seed: the worst that any real one may do.

Put between a process and its transport by MAESTRO_TRANSPORT_FAULTS, it shows that no promise hangs on a hint.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Self

from maestro_py.model.errors import MaestroError
from maestro_py.ports.transport import Address, OnHint, Subscription, Transport


class FaultsInvalid(MaestroError):
    """The description of the faults cannot be read; the text says what is wrong and shows a right one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How bad the transport is."""

    seed: int = 0  #: Of all chances.
    drop: float = 0.0  #: Probability that a hint is lost.
    double: float = 0.0  #: Probability that a hint arrives twice.
    delay_ms: int = 0  #: Each hint is late by anything up to this; so they overtake one another.

    def __post_init__(self) -> None:
        if not (0 <= self.drop <= 1 and 0 <= self.double <= 1 and self.delay_ms >= 0):
            raise FaultsInvalid(f"drop and double are probabilities, delay_ms is not negative: {self}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Return the faults that *text* describes, such as ``seed=1,drop=0.3,double=0.2,delay_ms=50``.

        Raises:
            FaultsInvalid: a name is not known or a value is no number in range.
        """
        numbers = {field.name: float if field.type == "float" else int for field in fields(cls)}
        given: dict[str, int | float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = part.partition("=")
            try:
                given[name] = numbers[name](value)
            except (KeyError, ValueError):
                raise FaultsInvalid(
                    f"cannot read {part!r}; write for example seed=1,drop=0.3,double=0.2,delay_ms=50"
                ) from None
        return cls(**given)  # type: ignore[arg-type]  # each value has its field's type, by `numbers`


class FaultyTransport:
    """
    Does to hints what *faults* says before *inner* carries them (`ports.transport.Transport`).

    Args:
        inner: The real transport.
        faults: How bad it shall be.
    """

    def __init__(self, inner: Transport, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults
        self._chance = random.Random(faults.seed)  # noqa: S311  # repeatable on purpose
        self._late: set[asyncio.TimerHandle] = set()
        self._lost = 0

    @property
    def hints_dropped(self) -> int:
        """Hints dropped since the start, on purpose or not."""
        return self._lost + self._inner.hints_dropped

    async def open(self) -> None:
        """Open the real transport."""
        await self._inner.open()

    async def close(self) -> None:
        """Close the real transport; hints that are still late are lost."""
        self._lost += len(self._late)
        for timer in self._late:
            timer.cancel()
        self._late.clear()
        await self._inner.close()

    def send(self, addresses: Collection[Address]) -> None:
        """Queue what is left of the hints, in any order, at any time."""
        left = [address for address in sorted(addresses) for _ in range(self._copies())]
        self._chance.shuffle(left)
        for address in left:
            self._send_late(address)

    def pass_on(self, addresses: Collection[Address]) -> None:
        """Pass on what is left of the hints."""
        self._inner.pass_on([address for address in sorted(addresses) for _ in range(self._copies())])

    def subscribe(self, addresses: Collection[Address], on_hint: OnHint) -> Subscription:
        """Subscribe to the real transport."""
        return self._inner.subscribe(addresses, on_hint)

    def _copies(self) -> int:
        if self._chance.random() < self._faults.drop:
            self._lost += 1
            return 0
        return 2 if self._chance.random() < self._faults.double else 1

    def _send_late(self, address: Address) -> None:
        if not self._faults.delay_ms:
            self._inner.send((address,))
            return

        def send_now() -> None:
            self._late.discard(timer)
            self._inner.send((address,))

        timer = asyncio.get_running_loop().call_later(self._chance.random() * self._faults.delay_ms / 1000, send_now)
        self._late.add(timer)
