"""How cursors move over signals, and what each match starts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.model.errors import Unprocessable
from maestro_py.ports.signal_store import ActiveVersion, Cursor, Signal
from maestro_py.signals.triggers import advance, advance_all, initiator_of, request_id_of

UNLIMITED = 1_000_000


def a_cursor(next_seq: int = 1, workflow_id: str = "wf", **match_params: Any) -> Cursor:
    return Cursor(
        workflow_id=workflow_id,
        trigger_uuid="t-1",
        name="ready",
        trigger={"definitions": {"ready": {"match_params": match_params}}},
        next_seq=next_seq,
        active=ActiveVersion(1, UUID(int=1), "ana"),
    )


def signals(*numbers: int) -> list[Signal]:
    return [Signal(seq_id, {"n": seq_id}) for seq_id in numbers]


def test_each_signal_after_the_cursor_matches_once_in_its_order() -> None:
    moved = advance(a_cursor(next_seq=3), signals(1, 2, 3, 4, 5), UNLIMITED)

    assert signals(3, 4, 5) == list(moved.matched)
    assert 6 == moved.next_seq


def test_a_signal_that_does_not_match_is_passed_all_the_same() -> None:
    moved = advance(a_cursor(n={"value": 2, "operator": "="}), signals(1, 2, 3), UNLIMITED)

    assert signals(2) == list(moved.matched)
    assert 4 == moved.next_seq


def test_a_cursor_stops_where_the_limit_is_reached_and_passes_nothing_that_it_did_not_start() -> None:
    moved = advance(a_cursor(), signals(1, 2, 3), 2)

    assert signals(1, 2) == list(moved.matched)
    assert 3 == moved.next_seq


def test_without_a_signal_after_it_a_cursor_stays() -> None:
    moved = advance(a_cursor(next_seq=4), signals(1, 2, 3), UNLIMITED)

    assert () == moved.matched
    assert 4 == moved.next_seq


def test_the_limit_is_shared_by_the_cursors_in_their_order() -> None:
    moved = advance_all([a_cursor(workflow_id=w) for w in ("a", "b", "c")], signals(1, 2), 3)

    assert [("a", 3, 2), ("b", 2, 1)] == [(m.cursor.workflow_id, m.next_seq, len(m.matched)) for m in moved]


def test_a_cursor_may_pass_signals_that_start_nothing_when_the_limit_is_used_up() -> None:
    nothing = a_cursor(workflow_id="b", n={"value": 99, "operator": "="})
    moved = advance_all([a_cursor(workflow_id="a"), nothing], signals(1, 2), 2)

    assert [("a", 3), ("b", 3)] == [(m.cursor.workflow_id, m.next_seq) for m in moved]


def test_a_trigger_that_cannot_be_matched_is_said_to_be_so() -> None:
    with pytest.raises(Unprocessable):
        advance(a_cursor(n={"value": 1, "operator": "~"}), signals(1), UNLIMITED)


@given(steps=st.lists(st.integers(min_value=1, max_value=5), max_size=20), count=st.integers(0, 30))
def test_however_the_signals_are_cut_into_visits_each_starts_one_run(steps: list[int], count: int) -> None:
    cursor, all_signals = a_cursor(), signals(*range(1, count + 1))
    started: list[int] = []
    for limit in [*steps, UNLIMITED]:
        moved = advance(cursor, all_signals, limit)
        started += [signal.seq_id for signal in moved.matched]
        cursor = a_cursor(next_seq=moved.next_seq)

    assert list(range(1, count + 1)) == started


def test_the_request_id_of_a_start_is_the_same_whoever_computes_it() -> None:
    assert request_id_of(a_cursor(1), Signal(7, {"a": 1})) == request_id_of(a_cursor(5), Signal(7, {"b": 2}))


def test_the_request_id_tells_workflows_and_signals_apart() -> None:
    ids = {request_id_of(a_cursor(workflow_id=w), Signal(seq, {})) for w in ("a", "b") for seq in (1, 2)}

    assert 4 == len(ids)


def test_the_initiator_names_the_trigger_and_the_signal_with_its_parameters_and_those_of_the_trigger() -> None:
    assert {
        "type": "SIGNAL",
        "trigger_uuid": "t-1",
        "signal_id_map": {"ready": 7},
        "params": {"ready": {"region": "eu"}, "day": "20240229"},
    } == initiator_of(a_cursor(), Signal(7, {"region": "eu"}), {"day": "20240229"})
