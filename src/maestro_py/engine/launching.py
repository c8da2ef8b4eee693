"""Make the iterations of a foreach: the rows that create them, and the runs in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from maestro_py.engine.decide.state import CHUNK, OuterParams, ParentRef, Run
from maestro_py.engine.loading import Loader
from maestro_py.engine.rows import child_initiator
from maestro_py.model.ids import instance_key, new_uid, partition_of
from maestro_py.ports.engine_store import AttemptKey, EngineTransaction, Launch


class Launcher:
    """
    Makes iterations for one batch.

    Args:
        loader: Knows what iterations see of the outside, and loop values that were stored earlier.
        tx: The transaction of the batch.
        fresh: Loop values of a foreach that this batch itself begins.
        partitions: How many engine partitions the installation has.
        now_ms: UTC epoch ms.
    """

    def __init__(
        self,
        loader: Loader,
        tx: EngineTransaction,
        fresh: Mapping[AttemptKey, Sequence[dict[str, Any]]],
        partitions: int,
        now_ms: int,
    ) -> None:
        self._loader = loader
        self._tx = tx
        self._fresh = fresh
        self._partitions = partitions
        self._now_ms = now_ms
        self._begun: dict[AttemptKey, tuple[Launch, OuterParams]] = {}

    @property
    def launches(self) -> list[Launch]:
        """What was launched, one of each foreach however often it was: one statement makes all of its iterations."""
        return [launch for launch, _ in self._begun.values()]

    async def launch(self, run: Run, key: AttemptKey, first: int, count: int) -> list[tuple[Run, dict[str, Any]]]:
        """Return iterations *first* to *first* + *count* - 1 (1-based) as runs, each with the row that creates it."""
        values = await self._loop_values(key, first, count)
        if key not in self._begun:
            self._begun[key] = await self._begin(run, key)
        launch, outer = self._begun[key]
        children = list(self._children(run, launch, outer, first, values))
        rows = [{"p": c.partition, "u": c.run_uid, "i": c.instance_id, "l": c.loop_values} for c in children]
        launch.iterations += rows
        return list(zip(children, rows, strict=True))

    async def _begin(self, run: Run, key: AttemptKey) -> tuple[Launch, OuterParams]:
        step = run.steps[key.step_id]
        task = step.task
        outer = OuterParams(task["values"], task["outputs"]) if task else await self._loader.outer(self._tx, key)
        assert run.definition_uid is not None
        launch = Launch(
            workflow_id=run.iterations_id(key.step_id),
            workflow_version=run.workflow_version,
            definition_uid=run.definition_uid,
            scope=f"{run.scope}/{key.step_id}" if run.scope else key.step_id,
            correlation_id=run.correlation_id,
            depth=run.depth + 1,
            root_workflow_id=run.root_workflow_id,
            parent=key,
            initiator=orjson.dumps(child_initiator(run, step, orjson.loads(run.initiator))),
            now_ms=self._now_ms,
        )
        return launch, outer

    def _children(
        self, run: Run, launch: Launch, outer: OuterParams, first: int, values: Sequence[dict[str, Any]]
    ) -> Iterator[Run]:
        graph = run.graph.family[launch.scope]
        parent = ParentRef(*launch.parent)
        for iteration, loop_values in enumerate(values, first):
            child = Run(
                partition=partition_of(instance_key(launch.workflow_id, iteration), self._partitions),
                run_uid=new_uid(),
                workflow_id=launch.workflow_id,
                instance_id=iteration,
                run_id=1,
                graph=graph,
                workflow_version=launch.workflow_version,
                definition_uid=launch.definition_uid,
                internal_id=run.internal_id,
                correlation_id=launch.correlation_id,
                depth=launch.depth,
                root_workflow_id=launch.root_workflow_id,
                parent=parent,
                outer=outer,
                loop_values=loop_values,
            )
            child.initiator = launch.initiator
            yield child

    async def _loop_values(self, key: AttemptKey, first: int, count: int) -> Sequence[dict[str, Any]]:
        fresh = self._fresh.get(key)
        start = first - 1
        if fresh is not None:
            return fresh[start : start + count]
        wanted = range(start // CHUNK, (start + count - 1) // CHUNK + 1)
        chunks = await self._loader.loop_values(self._tx, key, wanted)
        joined = [values for chunk in chunks for values in chunk]
        offset = start - wanted.start * CHUNK
        return joined[offset : offset + count]
