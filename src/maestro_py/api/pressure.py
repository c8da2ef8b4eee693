"""
Refuse more work while the engines or the signal services are far behind (DESIGN section 11).

What waits is looked at once a second at most, whoever asks; what this process has taken on since is added.  Reads,
stops and kills never pass here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

import structlog

from maestro_py.api.errors import TooBusy
from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.api_store import Backlog, BacklogReads

#: Time between two looks, in seconds.
_LOOK_SECONDS: Final = 1.0
#: Who is refused comes back after so many seconds at least, and so many more at most: not all at the same moment.
_COME_BACK_SECONDS: Final = 2
_SPREAD_SECONDS: Final = 3

_log = structlog.get_logger()


class Pressure:
    """
    Says whether there is room for more work; one for each API process.

    Args:
        reads: Tells what waits.
        limit: Events that may wait for engines, and signals for signal services, before more is refused.
    """

    def __init__(self, reads: BacklogReads, limit: int) -> None:
        self._reads = reads
        self._limit = limit
        self._seen = Backlog(0, 0)
        self._taken = Backlog(0, 0)  #: Since the newest look.
        self._looked_at = -_LOOK_SECONDS
        self._looking: asyncio.Task[None] | None = None

    @property
    def seen(self) -> Backlog:
        """Return what was seen at the newest look, for the metrics."""
        return self._seen

    async def take_starts(self, count: int = 1) -> None:
        """
        Take *count* starts on.

        Raises:
            TooBusy: too many events wait for engines.
        """
        await self._check(lambda: self._seen.events + self._taken.events, "events wait for engines")
        self._taken = self._taken._replace(events=self._taken.events + count)

    async def take_signal(self) -> None:
        """
        Take a signal on.

        Raises:
            TooBusy: too many signals wait for signal services, or events for engines.
        """
        await self._check(lambda: self._seen.events, "events wait for engines")
        await self._check(lambda: self._seen.signals + self._taken.signals, "signals wait for signal services")
        self._taken = self._taken._replace(signals=self._taken.signals + 1)

    async def _check(self, waiting: Callable[[], int], what: str) -> None:
        if self._looking is None and time.monotonic() - self._looked_at >= _LOOK_SECONDS:
            is_first = self._looked_at < 0
            self._looking = asyncio.create_task(self._read())
            if is_first:
                await asyncio.shield(self._looking)
        if waiting() >= self._limit and self._looking is not None:
            # Nobody is refused because of what was so a second ago; whoever is not refused waits for no look.
            await asyncio.shield(self._looking)
        if waiting() >= self._limit:
            pause = random.randint(_COME_BACK_SECONDS, _COME_BACK_SECONDS + _SPREAD_SECONDS)  # noqa: S311  # no secret
            raise TooBusy(f"too many {what}: come back in {pause} seconds", retry_after_seconds=pause)

    async def _read(self) -> None:
        self._looked_at = time.monotonic()
        before, was_behind = self._taken, self._is_behind
        try:
            # Counting to the limit says enough, and costs as little when millions wait.
            self._seen = await self._reads.backlog(self._limit)
        except StoreUnavailable:
            return  # What is asked for will fail by itself, and say why.
        except Exception:
            # A bug of ours: better to take on too much than nothing.
            _log.exception("backlog_not_seen")
            return
        finally:
            self._looking = None
        self._taken = Backlog(self._taken.events - before.events, self._taken.signals - before.signals)
        if self._is_behind and not was_behind:
            _log.warning("backlog_too_long", events=self._seen.events, signals=self._seen.signals)
        elif was_behind and not self._is_behind:
            _log.info("backlog_short_enough")

    @property
    def _is_behind(self) -> bool:
        return max(self._seen) >= self._limit
