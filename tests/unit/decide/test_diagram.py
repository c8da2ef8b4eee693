"""The paper about the state machines is the one that the tables give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from maestro_py.engine.decide import table
from maestro_py.engine.decide.diagram import document, run_arrows, step_arrows
from maestro_py.model.statuses import InstanceStatus, StepStatus

PAPER = Path(__file__).parents[3] / "docs" / "state_machines.md"


def test_the_committed_paper_is_up_to_date() -> None:
    assert document() == PAPER.read_text(), "run python -m maestro_py.engine.decide.diagram"


def test_the_module_run_as_a_program_writes_the_paper(tmp_path: Path) -> None:
    file = tmp_path / "machines.md"
    subprocess.run([sys.executable, "-m", "maestro_py.engine.decide.diagram", str(file)], check=True)

    assert document() == file.read_text()


def test_no_arrow_leaves_an_end() -> None:
    assert not [arrow for arrow in run_arrows() if InstanceStatus(arrow.old).is_terminal]
    ends = [s for s in StepStatus if s.is_terminal and not s.is_retried]
    assert not [arrow for arrow in step_arrows() if StepStatus(arrow.old) in ends]


def test_every_rule_of_the_tables_is_named_in_the_paper() -> None:
    rules = {*table.STEP_TRANSITIONS.values(), *table.RUN_TRANSITIONS.values()}
    rules -= {table.impossible, table.impossible_step}

    assert [] == [rule.__name__ for rule in rules if f"`{rule.__name__}`" not in document()]
