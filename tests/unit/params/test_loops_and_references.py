"""The iterations of a foreach, and what definitions refer to."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.model.errors import ParamError
from maestro_py.model.templates import lone_mention
from maestro_py.params import MAX_ITERATIONS, Reference, loop_iterations, references
from tests.unit.params.scopes import a


def test_each_item_is_an_iteration() -> None:
    assert [{"i": "a", "loop_index": 0}, {"i": "b", "loop_index": 1}] == list(loop_iterations({"i": ["a", "b"]}, False))


def test_the_first_named_parameter_varies_fastest() -> None:
    iterations = loop_iterations({"i": [1, 2, 3], "s": ["x", "y"]}, False)

    assert [(1, "x"), (2, "x"), (3, "x"), (1, "y"), (2, "y"), (3, "y")] == [(v["i"], v["s"]) for v in iterations]


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(), max_size=4), min_size=1))
def test_iterations_are_the_product_of_the_lists(arrays: dict[str, list[int]]) -> None:
    iterations = loop_iterations(arrays, False)
    product = [
        dict(zip(reversed(arrays), values, strict=True)) for values in itertools.product(*reversed(arrays.values()))
    ]

    assert len(product) == len(iterations)
    assert [values | {"loop_index": index} for index, values in enumerate(product)] == list(iterations)
    assert list(iterations)[1:3] == iterations[1:3]
    if product:
        assert iterations[len(product) - 1] == iterations[-1]


def test_an_empty_list_gives_no_iterations() -> None:
    assert 0 == len(loop_iterations({"i": [], "j": [1]}, False))
    assert [] == list(loop_iterations({"i": []}, True))
    with pytest.raises(IndexError):
        loop_iterations({"i": []}, False)[0]


def test_the_keys_of_an_object_item_are_loop_values_too() -> None:
    items = [{"month": 1, "airport": "JFK"}, {"month": 2, "airport": "LGA"}]

    assert {"item": items[1], "month": 2, "airport": "LGA", "loop_index": 1, "index": 1} == loop_iterations(
        {"item": items}, True
    )[1]
    assert {"item": items[1], "loop_index": 1} == loop_iterations({"item": items}, False)[1]


def test_what_has_a_name_of_its_own_wins_over_a_key_of_an_item() -> None:
    item = {"item": "x", "index": "x", "loop_index": "x", "other": "x", "mine": "x"}
    values = loop_iterations({"item": [item], "other": [7]}, True)[0]

    assert {"item": item, "other": 7, "loop_index": 0, "index": 0, "mine": "x"} == values


def test_a_million_iterations_cost_nothing_until_they_are_asked_for() -> None:
    thousand = list(range(1_000))
    iterations = loop_iterations({"i": thousand, "j": thousand}, False)

    assert MAX_ITERATIONS == len(iterations)
    assert {"i": 999, "j": 999, "loop_index": 999_999} == iterations[-1]
    assert [123_499, 123_500] == [values["loop_index"] for values in iterations[123_499:123_501]]


@pytest.mark.parametrize(
    ("arrays", "path", "message"),
    [
        ({"i": [1], "j": "abc"}, "params.loop_params.j", "must be a list to loop over, not a text"),
        ({"i": {"a": 1}}, "params.loop_params.i", "must be a list to loop over, not an object"),
        ({"i": None}, "params.loop_params.i", "must be a list to loop over, not null"),
        ({}, "params.loop_params", "a foreach needs at least one loop parameter"),
        ([1], "params.loop_params", "a foreach needs at least one loop parameter"),
        ({"i": [0] * 1_001, "j": [0] * 1_000}, "params.loop_params", "1,001,000 iterations are more than 1,000,000"),
    ],
)
def test_what_cannot_be_looped_over_names_its_path(arrays: Any, path: str, message: str) -> None:
    with pytest.raises(ParamError) as caught:
        loop_iterations(arrays, False)

    assert (path, message) == (caught.value.path, caught.value.message)


def test_references_are_found_in_every_literal() -> None:
    definitions = {
        "s": a("STRING", "$x and ${prep.output.rows}"),
        "j": a("JSON", {"${k}": ["${item.month}"], "n": 3}),
        "m": a("MAP", {"url": {"type": "STRING", "value": "${a__b}", "validator": "${no}"}}),
        "n": a("LONG", 3),
    }

    assert {
        Reference(None, "x"),
        Reference("prep", "rows"),
        Reference(None, "prep.output.rows"),
        Reference(None, "k"),
        Reference(None, "item.month"),
        Reference("a", "b"),
        Reference(None, "a__b"),
    } == references(definitions)


def test_a_reference_with_several_readings_gives_them_all() -> None:
    assert {Reference("a", "_b"), Reference("a_", "b"), Reference(None, "a___b")} == references(
        {"p": a("JSON", "${a___b}")}
    )
    assert [("x.y.0", ()), ("x.y", ("0",)), ("x", ("y", "0"))] == list(Reference("s", "x.y.0").readings())


def test_escaped_dollars_are_no_references() -> None:
    assert frozenset() == references({"p": a("STRING", "$${a.output.b} $$x costs $5")})


@pytest.mark.parametrize("value", ["${x}", "${a.output.b.0}", "${_a__b}"])
def test_a_lone_reference_is_told_from_a_text_with_one(value: str) -> None:
    assert lone_mention(value) is not None
    for other in (f" {value}", f"{value} ", f"{value}{value}", f"${value}", "$x", "x", "${}", 3, [value]):
        assert lone_mention(other) is None
