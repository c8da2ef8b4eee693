"""
The transport ``postgres``: hints as NOTIFY, one coalescer and one listener in each process.

The coalescer never lingers: it sends at once whatever gathered while its previous NOTIFY was on its way, each address
once.  A hint for an address that this very process listens to is delivered at once, without the database.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import structlog

from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.notifications import PAYLOAD_LIMIT_BYTES, Notification, Notifications
from maestro_py.ports.transport import Address, HintKind, OnHint
from maestro_py.transport.deliveries import Deliveries, LocalSubscription

_log = structlog.get_logger(__name__)

#: Different addresses that wait to be sent, at most.
QUEUE_LIMIT: Final = 10_000
#: Time that `PostgresTransport.close` gives to what is queued, in seconds.
CLOSE_SECONDS: Final = 1.0

_FIRST_RETRY_SECONDS: Final = 0.05
_LAST_RETRY_SECONDS: Final = 1.0

#: Kinds whose address has one receiver only: when that is this process, nobody else needs to hear.
_ONE_RECEIVER: Final = frozenset({HintKind.ENGINE, HintKind.WORKER})

_CHANNEL: Final = {kind: f"maestro_{kind}" for kind in HintKind}
_KIND: Final = {channel: kind for kind, channel in _CHANNEL.items()}


def encode(addresses: Iterable[Address]) -> Iterator[Notification]:
    """Yield the notifications that carry *addresses*: the keys of a kind, one a line, in as few as they fit into."""
    keys_of: defaultdict[HintKind, list[str]] = defaultdict(list)
    for kind, key in addresses:
        keys_of[kind].append(key)
    for kind, keys in keys_of.items():
        lines: list[str] = []
        size = 0
        for key in keys:
            key_size = len(key.encode()) + 1
            if lines and size + key_size > PAYLOAD_LIMIT_BYTES:
                yield Notification(_CHANNEL[kind], "\n".join(lines))
                lines, size = [], 0
            lines.append(key)
            size += key_size
        yield Notification(_CHANNEL[kind], "\n".join(lines))


def decode(notification: Notification) -> Iterator[Address]:
    """Yield the addresses that *notification* carries."""
    kind = _KIND.get(notification.channel)
    if kind is not None:
        yield from (Address(kind, key) for key in notification.payload.split("\n"))


class PostgresTransport:
    """
    Carries hints by NOTIFY (`ports.transport.Transport`).

    Args:
        notifications: The channels of the database.
        queue_limit: Different addresses that wait to be sent, at most; more are dropped.
    """

    def __init__(self, notifications: Notifications, *, queue_limit: int = QUEUE_LIMIT) -> None:
        self._notifications = notifications
        self._queue_limit = queue_limit
        self._queued: set[Address] = set()
        self._deliveries = Deliveries(self._on_change)
        self._kinds: frozenset[HintKind] = frozenset()
        self._wake = asyncio.Event()
        self._sent = asyncio.Event()
        self._sent.set()
        self._sender: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._dropped = 0

    @property
    def hints_dropped(self) -> int:
        """Hints dropped since the start."""
        return self._dropped

    async def open(self) -> None:
        """Start to send and to listen; returns at once even when the database is away."""
        self._sender = asyncio.create_task(self._send_for_ever(), name="hints-sender")
        self._listen_anew()

    async def close(self) -> None:
        """Send what is queued, for at most a second, and stop."""
        try:
            await asyncio.wait_for(self._sent.wait(), CLOSE_SECONDS)
        except TimeoutError:
            self._dropped += len(self._queued)
        tasks = [task for task in (self._sender, self._listener) if task is not None]
        self._sender = self._listener = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._notifications.close()

    def send(self, addresses: Collection[Address]) -> None:
        """Queue hints for sending, after the commit that justifies them; drop them when the queue is full."""
        for address in addresses:
            if address in self._deliveries.addresses:
                self._deliveries.arrive((address,))
                if address.kind in _ONE_RECEIVER:
                    continue
            if address in self._queued:
                continue
            if len(self._queued) >= self._queue_limit or not _fits(address):
                self._dropped += 1
                continue
            self._queued.add(address)
        if self._queued:
            self._sent.clear()
            self._wake.set()

    def pass_on(self, addresses: Collection[Address]) -> None:
        """Do nothing: every worker of a queue has heard of it."""

    def subscribe(self, addresses: Collection[Address], on_hint: OnHint) -> LocalSubscription:
        """Call *on_hint* for hints sent to *addresses*, and for all of them after any time they may have been lost."""
        return self._deliveries.subscribe(addresses, on_hint)

    def _on_change(self) -> None:
        """Listen to what the subscriptions say now."""
        kinds = frozenset(address.kind for address in self._deliveries.addresses)
        # A kind that nobody listens to any more costs a little and comes back often: an engine between partitions.
        if not kinds <= self._kinds:
            self._kinds |= kinds
            if self._listener is not None:
                self._listen_anew()

    # --- sending ---

    async def _send_for_ever(self) -> None:
        pause = _FIRST_RETRY_SECONDS
        while True:
            await self._wake.wait()
            self._wake.clear()
            taken, self._queued = self._queued, set()
            try:
                await self._notifications.notify(list(encode(taken)))
            except StoreUnavailable as exc:
                _log.info("hints_wait", reason=str(exc), addresses=len(taken))
                self._queued |= taken
                self._wake.set()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_RETRY_SECONDS)
                continue
            pause = _FIRST_RETRY_SECONDS
            if not self._queued:
                self._sent.set()

    # --- receiving ---

    def _listen_anew(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
        self._listener = asyncio.create_task(self._listen_for_ever(), name="hints-listener")

    async def _listen_for_ever(self) -> None:
        pause = _FIRST_RETRY_SECONDS
        while self._kinds:
            try:
                async with self._notifications.listen([_CHANNEL[kind] for kind in self._kinds]) as heard:
                    pause = _FIRST_RETRY_SECONDS
                    # Whatever was said until now went unheard.
                    self._deliveries.arrive(self._deliveries.addresses)
                    async for notification in heard:
                        self._deliveries.arrive(tuple(decode(notification)))
            except StoreUnavailable as exc:
                _log.info("hints_unheard", reason=str(exc))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_RETRY_SECONDS)


def _fits(address: Address) -> bool:
    try:
        size = len(address.key.encode())
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return size <= PAYLOAD_LIMIT_BYTES and "\n" not in address.key and "\0" not in address.key
