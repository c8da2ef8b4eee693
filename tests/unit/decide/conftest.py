"""Have every decision of these tests witnessed, and ask last whether all of the tables was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.unit.decide.story import Story
from tests.unit.decide.witness import WITNESS

HERE = Path(__file__).parent
LAST = "test_tables_were_taken.py"


@pytest.fixture(autouse=True)
def _witness() -> Iterator[None]:
    with WITNESS.watching():
        yield


@pytest.fixture(params=[False, True], ids=["kept in memory", "loaded for each batch"])
def a_story(request: pytest.FixtureRequest) -> Callable[..., Story]:
    """Make a `Story`; each is told twice, since what is in memory and what the rows say must come to the same."""
    return partial(Story, forgetful=request.param)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Ask about the whole folder after all else in it; not at all where only a part of it is run."""
    ours = [item for item in items if item.path.parent == HERE]
    last = [item for item in ours if item.path.name == LAST]
    rest = [item for item in ours if item.path.name != LAST]
    narrowed = config.option.keyword or config.option.markexpr or any("::" in arg for arg in config.args)
    if narrowed or {item.path for item in ours} != set(HERE.glob("test_*.py")):
        config.hook.pytest_deselected(items=last)
        last = []
    if ours:
        first = items.index(ours[0])
        others = [item for item in items if item.path.parent != HERE]
        items[:] = [*others[:first], *rest, *last, *others[first:]]
