"""What the lanes of an engine keep in memory for good: one may drop what another has just found there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast
from uuid import UUID

import pytest

from maestro_py.engine import loading
from maestro_py.engine.loading import Loader
from maestro_py.model.definition import Workflow
from maestro_py.model.ids import new_uid
from maestro_py.ports.engine_store import AttemptKey, EngineStore, EngineTransaction, RunKey, RunRow
from maestro_py.testing.builders import a_run_row, a_step, a_workflow

LOOP, OTHER = (AttemptKey(1, new_uid(), "loop", 1) for _ in range(2))


class Rows:
    """Plays the store and a transaction; *meanwhile* is what another lane does while this one waits for rows."""

    def __init__(self, *rows: RunRow) -> None:
        self.rows = rows
        self.asked: list[list[int]] = []
        self.meanwhile: Callable[[], Awaitable[Any]] | None = None

    async def load_runs(self, keys: Sequence[RunKey]) -> tuple[list[RunRow], list[Any]]:
        return [row for row in self.rows if row.run_uid in {key.run_uid for key in keys}], []

    async def workflow(self, definition_uid: UUID) -> tuple[Workflow, str]:
        await self._wait()
        return a_workflow(a_step()), "root"

    async def load_items(self, key: AttemptKey, chunks: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
        self.asked.append([*chunks])
        await self._wait()
        return {chunk: [{"item": chunk}] for chunk in chunks}

    async def _wait(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()


async def test_loop_values_that_another_lane_drops_meanwhile_are_there_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "CACHED_CHUNKS", 1)
    rows = Rows()
    loader, tx = Loader(cast("EngineStore", rows), 500), cast("EngineTransaction", rows)
    await loader.loop_values(tx, LOOP, [0])
    rows.meanwhile = lambda: loader.loop_values(tx, OTHER, [7])

    assert [[{"item": 0}], [{"item": 1}]] == await loader.loop_values(tx, LOOP, [0, 1])


async def test_a_definition_that_another_lane_drops_meanwhile_makes_no_run_unreadable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "CACHED_DEFINITIONS", 1)
    runs = [a_run_row(run_uid=new_uid())._replace(definition_uid=new_uid()) for _ in range(3)]
    first, second, third = (RunKey(1, run.run_uid) for run in runs)
    rows = Rows(*runs)
    loader, tx = Loader(cast("EngineStore", rows), 500), cast("EngineTransaction", rows)
    await loader.load(tx, [first])
    rows.meanwhile = lambda: loader.load(tx, [third])

    assert [first.run_uid, second.run_uid] == [run.run_uid for run in await loader.load(tx, [first, second])]


async def test_of_each_loop_only_the_values_are_kept_that_it_has_come_to() -> None:
    """They may be large, and are needed once: in order, as iterations are launched."""
    rows = Rows()
    loader, tx = Loader(cast("EngineStore", rows), 500), cast("EngineTransaction", rows)
    for chunks in ([0], [0, 1], [1], [1], [2], [0]):
        await loader.loop_values(tx, LOOP, chunks)

    assert [[0], [1], [2], [0]] == rows.asked
