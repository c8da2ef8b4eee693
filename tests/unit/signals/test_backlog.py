"""Which name is visited next, and which workflows are left alone."""

from __future__ import annotations

from maestro_py.signals.backlog import CONTENDED_REST_MS, FIRST_REST_MS, LONGEST_REST_MS, Backlog


def test_names_are_visited_in_the_order_in_which_they_came() -> None:
    backlog = Backlog()
    backlog.add(["b", "a"])
    backlog.add(["a", "c"])

    assert ["b", "a", "c", None] == [backlog.take() for _ in range(4)]


def test_a_name_with_more_signals_stands_behind_the_others_again() -> None:
    backlog = Backlog()
    backlog.add(["busy", "calm"])
    first = backlog.take()
    assert first is not None
    backlog.done(first, more=True)

    assert ["calm", "busy"] == [backlog.take(), backlog.take()]


def test_a_name_is_visited_by_one_at_a_time() -> None:
    backlog = Backlog()
    backlog.add(["a"])
    backlog.take()
    backlog.add(["a"])

    assert backlog.take() is None


def test_who_asks_during_a_visit_gets_another_one() -> None:
    backlog = Backlog()
    backlog.add(["a"])
    backlog.take()
    backlog.add(["a"])
    backlog.done("a", more=False)

    assert "a" == backlog.take()
    backlog.done("a", more=False)
    assert backlog.take() is None


def test_a_workflow_rests_for_longer_each_time() -> None:
    backlog = Backlog()
    backlog.rest("wf", now_ms=0)
    assert ["wf"] == backlog.resting(FIRST_REST_MS - 1)
    assert [] == backlog.resting(FIRST_REST_MS)

    backlog.rest("wf", now_ms=1_000)
    assert ["wf"] == backlog.resting(1_000 + 2 * FIRST_REST_MS - 1)
    assert [] == backlog.resting(1_000 + 2 * FIRST_REST_MS)


def test_no_workflow_rests_for_longer_than_the_longest_rest() -> None:
    backlog = Backlog()
    for _ in range(50):
        backlog.rest("wf", now_ms=0)

    assert ["wf"] == backlog.resting(LONGEST_REST_MS - 1)
    assert [] == backlog.resting(LONGEST_REST_MS)


def test_a_workflow_that_went_well_begins_with_a_short_rest_again() -> None:
    backlog = Backlog()
    backlog.rest("wf", now_ms=0)
    backlog.rest("wf", now_ms=0)
    backlog.went_well(["wf", "other"])
    backlog.rest("wf", now_ms=0)

    assert [] == backlog.resting(FIRST_REST_MS)


def test_a_workflow_that_somebody_holds_never_rests_for_longer_than_a_moment() -> None:
    backlog = Backlog()
    for _ in range(50):
        backlog.rest_contended("wf", now_ms=0)

    assert ["wf"] == backlog.resting(CONTENDED_REST_MS - 1)
    assert [] == backlog.resting(CONTENDED_REST_MS)
