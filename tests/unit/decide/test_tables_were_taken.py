"""
Asked last: what the tests of this folder have seen of the tables.

Left out where only a part of the folder is run, since then it would say nothing.
"""

from __future__ import annotations

from maestro_py.engine.decide import table
from maestro_py.engine.decide.diagram import run_arrows, step_arrows
from tests.unit.decide.witness import WITNESS


def test_every_row_that_is_not_impossible_was_taken_by_some_test() -> None:
    rows: set[object] = {key for key, rule in table.STEP_TRANSITIONS.items() if rule is not table.impossible_step}
    rows |= {key for key, rule in table.RUN_TRANSITIONS.items() if rule is not table.impossible}

    assert set() == rows - WITNESS.rows


def test_the_picture_shows_every_way_a_step_was_seen_to_go_and_no_other() -> None:
    assert set(step_arrows()) == WITNESS.step_arrows


def test_the_picture_shows_every_way_a_run_was_seen_to_go_and_no_other() -> None:
    assert set(run_arrows()) == WITNESS.run_arrows
