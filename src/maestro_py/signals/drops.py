"""Keep in mind which signals started nothing, and why, without growing with their number.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from maestro_py.ports.signal_store import Drop, DropReason, Drops, Signal

#: Of each trigger so many are shown, with messages of so many characters at most.
KEPT: Final = 10
LONGEST_MESSAGE: Final = 600


def drop_of(signal: Signal, reason: DropReason, message: str, now_ms: int) -> Drop:
    """Return the trace of *signal*, which started nothing at *now_ms* (UTC epoch milliseconds)."""
    text = message if len(message) <= LONGEST_MESSAGE else f"{message[: LONGEST_MESSAGE - 1]}…"
    return Drop(signal_id=signal.seq_id, reason=reason, message=text, time=now_ms)


def with_drops(drops: Drops, added: Sequence[Drop]) -> Drops:
    """Return *drops* with *added*, which came one after the other; *drops* itself if there are none."""
    if not added:
        return drops
    counts = dict(drops.counts)
    for drop in added:
        counts[drop.reason] = counts.get(drop.reason, 0) + 1
    return Drops(counts=counts, latest=(*reversed(added), *drops.latest)[:KEPT])
