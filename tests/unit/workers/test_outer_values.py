"""Iterations see the parameters of their foreach, which a worker reads once."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.step_type import StepTask
from maestro_py.ports.worker_store import AttemptKey
from maestro_py.workers.outer_values import OuterValues

RUN = uuid.uuid4()


class CountingStore:
    """Answers with the same values and counts the questions; the first *failures* of them meet no database."""

    def __init__(self, failures: int = 0) -> None:
        self.asked = 0
        self._failures = failures

    async def outer_values(self, key: AttemptKey) -> dict[str, Any]:
        self.asked += 1
        if self.asked <= self._failures:
            raise StoreUnavailable("away")
        return {"day": "2026-11-24", "item": "outer", "of": key.step_id}


def a_task(**params: Any) -> StepTask:
    return StepTask("w", 1, 1, "inner", 1, "shell", params=params, outer=(3, RUN.hex, "each", 1))


async def test_the_own_values_of_an_iteration_win_over_those_of_its_foreach() -> None:
    task = a_task(item="own")

    await OuterValues(CountingStore()).complete(task)  # type: ignore[arg-type]  # only this method is used

    assert {"day": "2026-11-24", "item": "own", "of": "each"} == task.params


async def test_many_iterations_that_begin_together_read_once() -> None:
    store = CountingStore()
    outer = OuterValues(store)  # type: ignore[arg-type]  # only this method is used

    await asyncio.gather(*(outer.complete(a_task()) for _ in range(100)))

    assert 1 == store.asked


async def test_a_database_that_is_away_is_waited_for() -> None:
    store = CountingStore(failures=1)
    task = a_task()

    await OuterValues(store).complete(task)  # type: ignore[arg-type]  # only this method is used

    assert "2026-11-24" == task.params["day"]


async def test_a_step_of_no_foreach_asks_nothing() -> None:
    store = CountingStore()
    task = StepTask("w", 1, 1, "a", 1, "shell", params={"x": 1})

    await OuterValues(store).complete(task)  # type: ignore[arg-type]  # only this method is used

    assert (0, {"x": 1}) == (store.asked, task.params)
