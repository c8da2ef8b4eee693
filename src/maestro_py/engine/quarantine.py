"""Put aside what cannot be applied: events go to the dead letters, their runs are marked."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from maestro_py.engine.decide.state import Run
from maestro_py.model.events import StopRequested, decode_event
from maestro_py.ports.engine_store import Taken, Writes

#: A reason of a quarantine is cut to this many characters.
REASON_LIMIT: Final = 2_000


class Poisoned(Exception):  # a fact about an event, not an error of the caller
    """An event cannot be applied to its run; the batch is undone and the run quarantined."""

    def __init__(self, run_uid: UUID, reason: str) -> None:
        super().__init__(f"run {run_uid}: {reason}")
        self.run_uid = run_uid
        self.reason = reason


class Quarantine:
    """
    What one batch puts aside.

    Args:
        writes: Where its rows are gathered.
        now_ms: UTC epoch ms.
    """

    def __init__(self, writes: Writes, now_ms: int) -> None:
        self.unread: list[UUID] = []  #: Runs whose events were buried because they cannot be read.
        self._writes = writes
        self._now_ms = now_ms

    def mark(self, run: Run, reason: str) -> None:
        """Have the events of the run queue behind the one that cannot be applied, which is *reason*."""
        if run.quarantine_reason is None:
            run.quarantine_reason = _storable(reason)
            run.note(f"Quarantined: {run.quarantine_reason}", self._now_ms, "ERROR")

    def bury(self, run: Run, taken: Taken, reason: str) -> None:
        """Move an event to the dead letters and mark its run as quarantined."""
        self.mark(run, reason)
        # So that the version of its row is compared: an operator may have put the dead letters back meanwhile.
        run.is_dirty = True
        self._bury(taken, reason)

    def bury_unread(self, taken: Taken, reason: str) -> None:
        """Move an event of a run that cannot be read to the dead letters, and mark the row of the run."""
        assert taken.run_uid is not None
        self._bury(taken, reason)
        if taken.run_uid not in self.unread:
            self.unread.append(taken.run_uid)
            mark = {"p": taken.partition, "u": taken.run_uid, "q": _storable(reason), "m": self._now_ms}
            self._writes.quarantines.append(mark)

    def _bury(self, taken: Taken, reason: str) -> None:
        self._writes.dead_letters.append(
            {
                "p": taken.partition,
                "c": taken.event_class,
                "x": taken.id,
                "u": taken.run_uid,
                "w": None,
                "e": taken.payload.encode(),
                "r": _storable(reason),
                "m": self._now_ms,
            }
        )


def is_stop(taken: Taken) -> bool:
    """Say whether the event asks its run to stop, which also a poisoned run obeys."""
    try:
        return isinstance(decode_event(taken.payload), StopRequested)
    except Exception:  # it is what poisoned the run
        return False


def held_because(run: Run) -> str | None:
    """Return why the events of the run queue behind the one that quarantined it; once it has ended, none needs to."""
    return None if run.status.is_terminal else run.quarantine_reason


def _storable(reason: str) -> str:
    """Return *reason* as PostgreSQL can hold it: a reason that is refused would be found for ever."""
    return reason[:REASON_LIMIT].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
