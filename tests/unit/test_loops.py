"""Which loops a step is in, and where an iteration of theirs runs."""

from __future__ import annotations

from maestro_py.model.definition import Step
from maestro_py.model.ids import inline_workflow_id
from maestro_py.model.loops import addresses, iteration_rank, way_to

INNER = Step(id="inner", type="foreach", steps=(Step(id="leaf", type="NoOp"),))
STEPS = (Step(id="a", type="NoOp"), Step(id="outer", type="foreach", steps=(INNER,)))


def test_a_step_is_found_behind_the_loops_around_it() -> None:
    assert [["a"], ["outer"], ["outer", "inner", "leaf"], []] == [
        [step.id for step in way_to(STEPS, step_id)] for step_id in ("a", "outer", "leaf", "nobody")
    ]


def test_each_loop_runs_under_an_id_made_of_the_iteration_around_it() -> None:
    """What the engine gives an iteration when it launches it, so nothing has to be looked up."""
    outer = inline_workflow_id("root", 4, "wf", "outer")

    assert [(outer, 3), (inline_workflow_id("root", 3, outer, "inner"), 12)] == addresses(
        "root", "wf", 4, ["outer", "inner"], [3, 12]
    )


def test_ranks_stand_in_the_order_of_the_numbers() -> None:
    paths = [(2, 9), (2, 10), (10, 1), (344, 3)]

    assert "3344-13" == iteration_rank((344, 3))
    assert paths == sorted(paths, key=iteration_rank)
