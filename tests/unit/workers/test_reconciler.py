"""The table is right: what it holds for us and we do not know goes back, but never what is still on its way."""

from __future__ import annotations

from uuid import UUID, uuid4

from maestro_py.ports.worker_store import AttemptKey, Held
from maestro_py.workers.reconciler import Difference, compare

FAILED = uuid4()
OTHER = uuid4()
KEY = AttemptKey(1, "01900000-0000-7000-8000-000000000001", "s", 1)


def held(claim_id: UUID = OTHER, *, token: int = 1, cancel: bool = False) -> Held:
    return Held(KEY, token, claim_id, cancel)


def test_what_runs_and_is_held_is_left_alone() -> None:
    """The ordinary case."""
    assert Difference([], [], [], []) == compare([held()], {(KEY, 1)}, {FAILED}, None)


def test_an_unknown_attempt_of_a_failed_claim_goes_back() -> None:
    """Its answer will never come."""
    assert Difference([held(FAILED)], [], [], []) == compare([held(FAILED)], set(), {FAILED}, None)


def test_an_unknown_attempt_of_the_claim_in_flight_is_left_alone() -> None:
    """Its answer is on its way."""
    assert Difference([], [], [], []) == compare([held(OTHER)], set(), {FAILED}, OTHER)


def test_an_unknown_attempt_of_an_answered_claim_is_strange() -> None:
    """Either it has just ended, which the next look shows, or it was forgotten."""
    assert Difference([], [], [], [held(OTHER)]) == compare([held(OTHER)], set(), {FAILED}, None)


def test_what_we_run_goes_back_under_no_claim() -> None:
    """An attempt that runs is known, whatever became of the claim."""
    assert Difference([], [], [], []) == compare([held(FAILED)], {(KEY, 1)}, {FAILED}, None)


def test_what_the_table_wants_cancelled_is_cancelled() -> None:
    """Only what runs can be."""
    assert Difference([], [(KEY, 1)], [], []) == compare([held(cancel=True)], {(KEY, 1)}, set(), None)
    assert [] == compare([held(cancel=True)], set(), set(), None).cancel


def test_what_we_run_and_do_not_hold_is_killed() -> None:
    """It was judged lost, or somebody else has it."""
    assert Difference([], [], [(KEY, 1)], []) == compare([], {(KEY, 1)}, set(), None)


def test_an_attempt_under_a_higher_token_is_another_one() -> None:
    """The old run is killed although the table holds the same attempt for us again."""
    assert [(KEY, 1)] == compare([held(token=2)], {(KEY, 1)}, set(), None).kill
