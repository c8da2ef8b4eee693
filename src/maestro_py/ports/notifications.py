"""The port to the notification channels of the database, on which the transport ``postgres`` stands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple, Protocol

#: A payload is at most this many bytes of UTF-8 (the server's limit is 7,999).
PAYLOAD_LIMIT_BYTES: Final = 7_900


class Notification(NamedTuple):
    """What was said on a channel."""

    channel: str
    payload: str


class Notifications(Protocol):
    """Speaks and listens on channels; both keep a connection of their own."""

    async def notify(self, notifications: Sequence[Notification]) -> None:
        """
        Say all of *notifications*, in a statement and a transaction of their own.

        Raises:
            StoreUnavailable: the database is away; whether anything was said is unknown.
        """
        ...

    def listen(self, channels: Collection[str]) -> AbstractAsyncContextManager[AsyncIterator[Notification]]:
        """
        Return what is said on *channels* from the moment the block is entered.

        Raises:
            StoreUnavailable: the database is away, on entering or later.
        """
        ...

    async def close(self) -> None:
        """Close the connection of `notify`."""
        ...
