"""What is read of loops: a page at a time, no further than needed, and no more than an evaluation may hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
import pytest

from maestro_py.engine.loop_results import PAGE, with_results
from maestro_py.model.definition import ParamType
from maestro_py.params import RESULTS_LIMIT, Facts, Found, Loop, LoopResults, ResultsKey, World
from maestro_py.ports.engine_store import EngineStore, ResultsPage

KEY = ResultsKey("loop", "work", "x")


class Pages:
    """A store that has one value in all iterations, except where it is told otherwise."""

    def __init__(self, value: str = "1", kind: str = "whole", but: Sequence[Found] = ()) -> None:
        self.asked: list[tuple[int, int]] = []
        self._value = value
        self._kind = kind
        self._but = but

    async def results_page(self, loop: Loop, key: ResultsKey, first: int, last: int, most_bytes: int) -> ResultsPage:
        self.asked.append((first, last))
        size = (last - first + 1) * (len(self._value) + 1)
        found = [Found(self._kind, first, "SUCCEEDED"), *(one for one in self._but if first <= one.iteration <= last)]
        values = ",".join([self._value] * (last - first + 1)) if size <= most_bytes else None
        return ResultsPage(values, size, found)


async def read(total: int, pages: Pages, *asked: ResultsKey, world: World | None = None) -> World:
    known = world or World(Facts(), loops={"loop": Loop("inline", total, {"work": {}})})
    return await with_results(known, asked or [KEY], cast("EngineStore", pages))


def results_of(world: World, key: ResultsKey = KEY) -> LoopResults:
    """Return what whoever evaluates is handed."""
    return msgspec.json.decode(msgspec.json.encode(world), type=World).collected[key.text]


@pytest.mark.parametrize("total", [0, 1, PAGE, PAGE + 1, 100_000])
async def test_a_query_reads_a_page_of_iterations_and_together_they_read_all(total: int) -> None:
    pages = Pages()
    world = await read(total, pages)

    assert [1] * total == list(results_of(world).values)
    assert [(first, min(first + PAGE - 1, total)) for first in range(1, total + 1, PAGE)] == pages.asked


async def test_reading_ends_with_the_first_iteration_that_has_no_scalar() -> None:
    pages = Pages(but=[Found("absent", PAGE + 7, None), Found("null", PAGE + 9, "SUCCEEDED")])
    world = await read(100_000, pages)

    assert "step 'work' did not run in iteration 2007 of 'loop', so there is no 'x' of it" == results_of(world).error
    assert [(1, PAGE), (PAGE + 1, 2 * PAGE)] == pages.asked


async def test_types_are_judged_over_all_pages() -> None:
    mixed = await read(3 * PAGE, Pages(but=[Found("decimal", 2 * PAGE + 1, "SUCCEEDED")]))
    torn = await read(3 * PAGE, Pages(but=[Found("boolean", 2 * PAGE + 1, "SUCCEEDED")]))

    assert ParamType.DOUBLE is results_of(mixed).kind
    assert "'x' of step 'work' is LONG in iteration 1 of 'loop' and BOOLEAN in iteration 4001" in (
        results_of(torn).error or ""
    )


async def test_results_larger_than_an_instance_may_have_are_an_error_and_are_not_read_on() -> None:
    pages = Pages('"' + "x" * 10_000 + '"', "string")
    world = await read(1_000_000, pages)

    assert "are larger than 64 MB together" in (results_of(world).error or "")
    assert RESULTS_LIMIT // (PAGE * 10_000) + 1 == len(pages.asked)


async def test_the_limit_is_for_all_that_an_evaluation_reads() -> None:
    pages = Pages('"' + "x" * 10_000 + '"', "string")
    other = ResultsKey("loop", "work", "y")
    once = await read(2 * PAGE, pages)
    twice = await read(2 * PAGE, pages, other, world=once)

    assert results_of(once).error is None
    assert "'y' of step 'work' in the iterations of 'loop': the results" in (results_of(twice, other).error or "")
    assert results_of(twice).error is None
