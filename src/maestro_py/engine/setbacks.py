"""
What a lane remembers of the batches that were undone, so that the next one fares better.

A run whose event cannot be applied is poisoned, one whose rows cannot be read is unreadable: their events go to the
dead letters.  A batch that the database refuses is halved until the guilty run is found.  A run of which a row is
locked by somebody else is parked.  All of it is memory only: whoever owns the partition next finds out again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from typing import Final
from uuid import UUID

from maestro_py.ports.engine_store import RunKey

#: A run of which a row is locked by somebody else is left alone for this long, in seconds.
PARK_SECONDS: Final = 0.5
#: Batches in a row that found rows changed before the lane pauses between them, and before a run is blamed.
STALE_BEFORE_PAUSE: Final = 3
STALE_BEFORE_BLAME: Final = 20
#: Batches in a row that go on with no other run, at most.
MOST_WITHIN: Final = 256
#: The longest pause between batches that find rows changed, in seconds.
LONGEST_PAUSE_SECONDS: Final = 1.0


class Setbacks:
    """The memory of one lane for what went wrong."""

    def __init__(self) -> None:
        self.poisoned: dict[UUID, str] = {}  #: Runs to be quarantined, with the reason.
        self.hopeless: set[UUID] = set()  #: Those of them that cannot be stopped either.
        self.unreadable: dict[UUID, str] = {}  #: Runs whose rows make no run, with the reason.
        self.given_up: set[UUID] = set()  #: Runs whose events cannot even be buried: they stay in the inbox.
        self._parked: dict[UUID, tuple[float, RunKey]] = {}  # until when, in monotonic seconds
        self._suspects: list[list[UUID]] = []  # runs of a refused batch, in halves; the last is tried first
        self._stale = 0
        self._within = 0  # batches that are yet to go on with no other run
        self._caution = 0  # as many as that was the last time

    # --- what went wrong -----------------------------------------------------------------------------------

    def poison(self, run_uid: UUID, reason: str) -> None:
        """Note that an event of this run cannot be applied."""
        if run_uid in self.hopeless:
            self.given_up.add(run_uid)
        elif run_uid in self.poisoned:
            # Stopping it was tried, and failed too.
            self.hopeless.add(run_uid)
        self.poisoned.setdefault(run_uid, reason)

    def suspect(self, runs: Iterable[UUID], reason: str) -> None:
        """Halve the runs of a batch that the database refused; one alone is guilty."""
        if self._suspects:
            self._suspects.pop()
        ordered = sorted(runs, key=str)
        if len(ordered) == 1:
            self.poison(ordered[0], reason)
        elif ordered:
            half = len(ordered) // 2
            self._suspects += [ordered[half:], ordered[:half]]

    def park(self, keys: Iterable[RunKey]) -> None:
        """Leave these runs alone for a moment: somebody else has a row of theirs locked."""
        until = time.monotonic() + PARK_SECONDS
        self._parked.update((key.run_uid, (until, key)) for key in keys)

    def stay_within_events(self) -> None:
        """
        Have the next batch go on with no other run: this one was undone, and perhaps not for its own events.

        If those that go on are undone again and again, ever more batches in between: each is a part of the way to what
        undid them, which a long loop may be far from, and each attempt costs all the others a batch.
        """
        self._caution = min(2 * self._caution or 1, MOST_WITHIN)
        self._within = self._caution

    def stale(self) -> float:
        """Count a batch that found rows changed since they were read, and return how many seconds to pause."""
        self._stale += 1
        beyond = self._stale - STALE_BEFORE_PAUSE
        return min(0.01 * 2.0**beyond, LONGEST_PAUSE_SECONDS) if beyond > 0 else 0.0

    @property
    def is_stale_for_good(self) -> bool:
        """Say whether so many batches in a row found rows changed that nobody else can be the reason."""
        return self._stale >= STALE_BEFORE_BLAME

    # --- what follows --------------------------------------------------------------------------------------

    @property
    def excluded(self) -> list[UUID]:
        """The runs whose events stay in the inbox for now."""
        return [*self.given_up, *self._parked]

    @property
    def may_go_on(self) -> bool:
        """Say whether a batch may decide upon runs of which it has taken no event."""
        return not self._within and not self._suspects

    @property
    def on_trial(self) -> list[UUID] | None:
        """The part of a refused batch that is tried now, without anybody else's events; None: there is none."""
        return self._suspects[-1] if self._suspects else None

    def unpark(self) -> list[RunKey]:
        """Forget and return the runs that were left alone for long enough."""
        if not self._parked:
            return []
        now = time.monotonic()
        over = [key for until, key in self._parked.values() if until <= now]
        for key in over:
            del self._parked[key.run_uid]
        return over

    def next_unpark_seconds(self) -> float | None:
        """Return in how many seconds the next run has been left alone for long enough; None: none is left alone."""
        if not self._parked:
            return None
        return max(0.0, min(until for until, _ in self._parked.values()) - time.monotonic())

    def committed(self, runs: Collection[UUID], unread: Sequence[UUID]) -> None:
        """Note that a batch went well: *runs* were saved, the events of *unread* runs were buried."""
        for run_uid in runs:
            self.poisoned.pop(run_uid, None)
            self.hopeless.discard(run_uid)
        for run_uid in unread:
            self.unreadable.pop(run_uid, None)
        if self._suspects:
            self._suspects.pop()
        if not self._suspects:
            self._stale = 0
        if self._within:
            self._within -= 1
        else:
            self._caution //= 2

    def found_nothing(self) -> None:
        """Go on with the other half of a refused batch: this one has no events any more."""
        if self._suspects:
            self._suspects.pop()

    def forget(self) -> None:
        """Forget everything: partitions went to another engine."""
        self.poisoned.clear()
        self.hopeless.clear()
        self.unreadable.clear()
        self.given_up.clear()
        self._parked.clear()
        self._suspects.clear()
        self._stale = 0
        self._within = self._caution = 0
