"""
Keep the names that have signals to be matched, fairly, and the workflows that are left alone for a while.

In memory only and lost without harm: the rows of ``signal_pending`` say the same to the next sweep.  Time is an
argument, in milliseconds of any clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: A workflow whose row somebody holds is left alone for this long, in ms; a holder that is dead is ended by then or
#: soon after, and the promise that others go on within 15 s leaves no room for more.
CONTENDED_REST_MS: Final = 500
#: A workflow that could not be started is left alone for this long at first, then for twice as long each time, in ms.
FIRST_REST_MS: Final = 500
LONGEST_REST_MS: Final = 30_000


class Backlog:
    """Names in the order of their last visit: a name with many signals stands behind the others again and again."""

    def __init__(self) -> None:
        self._waiting: dict[str, None] = {}
        self._visited: set[str] = set()
        self._again: set[str] = set()
        self._resting: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, names: Iterable[str]) -> None:
        """Ask for a visit to *names*; to one that is being visited, for another one afterwards."""
        for name in names:
            if name in self._visited:
                self._again.add(name)
            else:
                self._waiting.setdefault(name)

    def take(self) -> str | None:
        """Return the name to visit now, or None; nobody else is sent to it until `done`."""
        if not self._waiting:
            return None
        name = next(iter(self._waiting))
        del self._waiting[name]
        self._visited.add(name)
        return name

    def done(self, name: str, *, more: bool) -> None:
        """End the visit to *name*; with *more*, or when somebody asked meanwhile, it is to be visited again."""
        self._visited.discard(name)
        asked = name in self._again
        self._again.discard(name)
        if more or asked:
            self.add([name])

    def rest_contended(self, workflow_id: str, now_ms: float) -> None:
        """Leave *workflow_id* alone for a moment: nothing is wrong with it."""
        _, pause = self._resting.get(workflow_id, (0.0, FIRST_REST_MS / 2))
        self._resting[workflow_id] = (now_ms + CONTENDED_REST_MS, pause)

    def rest(self, workflow_id: str, now_ms: float) -> None:
        """Leave *workflow_id* alone for a while, longer each time it comes here without having gone well."""
        _, last = self._resting.get(workflow_id, (0.0, FIRST_REST_MS / 2))
        pause = min(last * 2, LONGEST_REST_MS)
        self._resting[workflow_id] = (now_ms + pause, pause)

    def went_well(self, workflow_ids: Iterable[str]) -> None:
        """Forget that *workflow_ids* ever had to rest."""
        if self._resting:
            for workflow_id in workflow_ids:
                self._resting.pop(workflow_id, None)

    def resting(self, now_ms: float) -> list[str]:
        """Return the workflows to be left alone now; those long rested are forgotten."""
        for workflow_id, (until, _) in list(self._resting.items()):
            if now_ms > until + LONGEST_REST_MS:
                del self._resting[workflow_id]
        return [workflow_id for workflow_id, (until, _) in self._resting.items() if now_ms < until]
