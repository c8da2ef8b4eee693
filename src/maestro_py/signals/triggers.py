"""
Decide how far a cursor moves over the signals after it, and what each signal that matches starts.

Pure.  A signal that does not match is passed all the same: it is never looked at again by this trigger.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from maestro_py.model.ids import name_based_uuid
from maestro_py.ports.signal_store import Cursor, Signal
from maestro_py.signals.match import conditions_of, satisfies


class Advance(NamedTuple):
    """How one cursor moves: to *next_seq*, starting one run for each of *matched*, in their order."""

    cursor: Cursor
    next_seq: int
    matched: tuple[Signal, ...]


def advance(cursor: Cursor, signals: Sequence[Signal], limit: int) -> Advance:
    """
    Return how *cursor* moves over *signals*.

    Args:
        cursor: Where the trigger stands.
        signals: Signals of its name in their order, without gaps; those that it has passed are ignored.
        limit: Of starts; the cursor stops behind the last one that it allows.

    Raises:
        Unprocessable: the trigger is none that we can match.
    """
    conditions = conditions_of(cursor.trigger, cursor.name)
    next_seq = cursor.next_seq
    matched: list[Signal] = []
    for signal in signals[bisect_left(signals, next_seq, key=lambda signal: signal.seq_id) :]:
        if satisfies(conditions, signal.params):
            if len(matched) >= limit:
                break
            matched.append(signal)
        next_seq = signal.seq_id + 1
    return Advance(cursor, next_seq, tuple(matched))


def advance_all(cursors: Sequence[Cursor], signals: Sequence[Signal], limit: int) -> list[Advance]:
    """Return how each of *cursors* moves when together they may start *limit* runs; those left out stay."""
    advances: list[Advance] = []
    for cursor in cursors:
        moved = advance(cursor, signals, limit)
        limit -= len(moved.matched)
        if moved.next_seq > cursor.next_seq:
            advances.append(moved)
    return advances


def request_id_of(cursor: Cursor, signal: Signal) -> str:
    """Return the request id of the start that *signal* causes; the same whenever and whoever computes it."""
    execution = {
        "workflow_id": cursor.workflow_id,
        "trigger_uuid": cursor.trigger_uuid,
        "signal_ids": {cursor.name: signal.seq_id},
    }
    return name_based_uuid(msgspec.json.encode(execution, order="sorted").decode())


def initiator_of(cursor: Cursor, signal: Signal, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    Return who starts the run (specification 3.5).

    The parameters of a signal stand under its name, beside them *params*, what those of the trigger came to.
    """
    return {
        "type": "SIGNAL",
        "trigger_uuid": cursor.trigger_uuid,
        "signal_id_map": {cursor.name: signal.seq_id},
        "params": {**params, cursor.name: dict(signal.params)},
    }
