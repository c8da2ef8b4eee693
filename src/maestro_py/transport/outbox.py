"""
Hints that wait to be sent: each once, grouped by what one record can carry, and no more than a bound.  Pure.

A lane is *ready* when it has keys and no record of it is under way; what comes meanwhile gathers, and is the next
record.  So nothing lingers, and a slow partition holds up itself alone.
"""

from __future__ import annotations

from typing import Final

from maestro_py.transport.topics import Lane

#: Bytes of keys that one record carries at most, besides its first.
RECORD_LIMIT_BYTES: Final = 8_000


class Outbox:
    """
    The queue of one process.

    Args:
        limit: Keys that may wait or be under way at a time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: dict[Lane, dict[str, None]] = {}
        self._under_way: dict[Lane, list[str]] = {}
        self._ready: dict[Lane, None] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, lane: Lane, key: str) -> bool:
        """Queue *key* unless it waits already; return whether it waits now, which a full queue prevents."""
        keys = self._waiting.get(lane)
        if keys is not None and key in keys:
            return True
        if self._size >= self._limit:
            return False
        if keys is None:
            keys = self._waiting[lane] = {}
            if lane not in self._under_way:
                self._ready[lane] = None
        keys[key] = None
        self._size += 1
        return True

    def ready(self) -> list[Lane]:
        """Return the lanes of which a record may be sent, the one that waited longest first."""
        return list(self._ready)

    def take(self, lane: Lane) -> list[str]:
        """Return the keys of the next record of *lane*, which is now under way until `sent` or `failed`."""
        keys = self._waiting.pop(lane)
        del self._ready[lane]
        taken: list[str] = []
        size = 0
        for key in keys:
            size += len(key.encode()) + 1
            if taken and size > RECORD_LIMIT_BYTES:
                break
            taken.append(key)
        if len(taken) < len(keys):
            self._waiting[lane] = dict.fromkeys(list(keys)[len(taken) :])
        self._under_way[lane] = taken
        return taken

    def sent(self, lane: Lane) -> None:
        """Note that the record under way has arrived."""
        self._size -= len(self._under_way.pop(lane, ()))
        if lane in self._waiting:
            self._ready[lane] = None

    def failed(self, lane: Lane) -> None:
        """Queue the keys of the record under way again."""
        returned = self._under_way.pop(lane, None)
        if returned is None:
            return
        waiting = self._waiting.get(lane, {})
        merged = {**dict.fromkeys(returned), **waiting}
        self._size -= len(returned) + len(waiting) - len(merged)
        self._waiting[lane] = merged
        self._ready[lane] = None

    def all_failed(self) -> None:
        """Queue again whatever is under way."""
        for lane in list(self._under_way):
            self.failed(lane)

    def drop(self, lane: Lane) -> int:
        """Forget the keys that wait in *lane*; return how many they were."""
        dropped = len(self._waiting.pop(lane, ()))
        self._ready.pop(lane, None)
        self._size -= dropped
        return dropped
