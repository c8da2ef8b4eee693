"""The graph of the steps: ids, edges, cycles, sizes.  Every error has a place, and a cycle names its steps."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.model.forms.graph_checks import find_cycle
from tests.unit.forms.documents import (
    errors_of,
    native,
    native_foreach,
    native_step,
    push,
    simple,
    simple_foreach,
    simple_step,
    step_named,
)


def test_an_id_is_used_once_in_all_levels() -> None:
    document = simple(simple_step("a"), simple_foreach("f", [1], simple_step("a"), simple_step("f")))

    assert {
        "steps[1].steps[0].id": "'a' is also the id of steps[0]",
        "steps[1].steps[1].id": "'f' is also the id of steps[1]",
    } == errors_of(document)


def test_a_dependency_exists() -> None:
    document = simple(simple_step("prepare"), simple_step("b", "prepair", "z"))

    assert {
        "steps[1].dependencies[0]": "there is no step 'prepair'; did you mean 'prepare'?",
        "steps[1].dependencies[1]": "there is no step 'z'",
    } == errors_of(document)


def test_a_successor_exists() -> None:
    assert {"workflow.steps[0].step.transition.successors.z": "there is no step 'z'"} == errors_of(
        native(native_step("a", "z"))
    )


def test_an_edge_stays_at_its_level() -> None:
    document = simple(
        simple_step("a"), simple_foreach("f", [1], simple_step("b", "a")), simple_step("c", "b", "f", "a")
    )

    assert {
        "steps[1].steps[0].dependencies[0]": "step 'a' is not at the same level: it is steps[0]",
        "steps[2].dependencies[0]": "step 'b' is not at the same level: it is steps[1].steps[0]",
    } == errors_of(document)


def test_a_dependency_is_named_once() -> None:
    assert {"steps[1].dependencies[1]": "'a' stands twice"} == errors_of(
        simple(simple_step("a"), simple_step("b", "a", "a"))
    )


@pytest.mark.parametrize(
    ("steps", "cycle"),
    [
        ([("a", ["a"])], "a -> a"),
        ([("a", ["b"]), ("b", ["a"])], "a -> b -> a"),
        ([("s", []), ("a", ["s", "c"]), ("b", ["a"]), ("c", ["b"]), ("d", ["c"])], "a -> b -> c -> a"),
    ],
)
def test_a_cycle_names_its_steps_in_order(steps: list[tuple[str, list[str]]], cycle: str) -> None:
    document = simple(*(simple_step(name, *dependencies) for name, dependencies in steps))

    assert {"steps": f"the steps form a cycle: {cycle}"} == errors_of(document)


def test_a_cycle_inside_a_foreach_is_found_at_its_level() -> None:
    foreach = native_foreach("f", native_step("a", "b"), native_step("b", "a"))

    assert {"workflow.steps[0].foreach.steps": "the steps form a cycle: a -> b -> a"} == errors_of(native(foreach))


def test_a_long_cycle_is_shown_by_its_ends() -> None:
    steps = [simple_step(f"s{i}", f"s{(i - 1) % 50}") for i in range(50)]
    message = errors_of(simple(*steps))["steps"]

    assert message.startswith("the steps form a cycle: s0 -> s1 -> s2")
    assert message.endswith("s49 -> s0")
    assert "… 40 more …" in message


def test_predecessors_are_left_out_or_right() -> None:
    def document(*predecessors: str) -> dict[str, Any]:
        last = native_step("c", transition={"predecessors": list(predecessors)})
        return native(native_step("a", "c"), native_step("b", "c"), last)

    push(document("b", "a"))
    push(document())
    message = "must be left out, or name the steps whose successor this is: a, b"
    for wrong in (["a"], ["a", "b", "z"]):
        assert {"workflow.steps[2].step.transition.predecessors": message} == errors_of(document(*wrong))


def test_loop_parameters_of_nested_levels_have_different_names() -> None:
    document = native(native_foreach("f", native_foreach("g", native_step("a"))))

    assert ["workflow.steps[0].foreach.steps[0].foreach.params.loop_params.value.i"] == list(errors_of(document))


def test_all_steps_count_nested_ones_too() -> None:
    document = simple(simple_step("a"), simple_foreach("f", [1], simple_step("b"), simple_step("c")))
    push(document, max_steps=4)

    assert {"steps": "4 steps, nested ones included, are more than 3"} == errors_of(document, max_steps=3)


def test_foreach_steps_stand_in_one_another_less_than_ten_levels_deep() -> None:
    def nested(levels: int) -> dict[str, Any]:
        step = simple_step("leaf")
        for level in range(levels):
            step = simple_foreach(f"f{level}", [1], step)
        return simple(step)

    push(nested(9))
    assert ["steps may be nested at most 10 levels deep"] == list(errors_of(nested(10)).values())
    assert ["steps may be nested at most 10 levels deep"] == list(errors_of(nested(30)).values())


def test_a_chain_of_ten_thousand_steps_is_read() -> None:
    steps = [{"id": f"s{i}", "type": "NoOp", "dependencies": [f"s{i - 1}"] if i else []} for i in range(10_000)]
    workflow = push(simple(*steps), max_steps=10_000).workflow

    assert {"s1": "true"} == step_named(workflow, "s0").successors


_GRAPHS = st.integers(1, 7).flatmap(
    lambda size: st.dictionaries(
        st.sampled_from([f"n{i}" for i in range(size)]),
        st.lists(st.sampled_from([f"n{i}" for i in range(size)]), unique=True),
    )
)


@given(_GRAPHS)
def test_a_cycle_is_found_exactly_when_no_order_exists(successors: dict[str, list[str]]) -> None:
    def fits(order: tuple[str, ...]) -> bool:
        place = {name: index for index, name in enumerate(order)}
        return all(place[a] < place[b] for a in order for b in successors[a] if b in place)

    cycle = find_cycle(successors)

    assert (cycle is None) == any(fits(order) for order in itertools.permutations(successors))
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert all(after in successors[before] for before, after in itertools.pairwise(cycle))
