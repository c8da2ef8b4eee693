"""Load runs that are not in memory, with the definitions and outer parameters they need; both are immutable."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from maestro_py.engine.decide.graph import Graph, compile_graphs
from maestro_py.engine.decide.state import OuterParams, Run
from maestro_py.engine.rows import parent_of, restore_outer, restore_run
from maestro_py.ports.engine_store import AttemptKey, AttemptRow, EngineStore, EngineTransaction, RunKey

#: Definitions and outer parameters kept in memory, at most.
CACHED_DEFINITIONS: Final = 500
CACHED_OUTERS: Final = 2_000


class Loader:
    """Loads runs for the lanes of one engine."""

    def __init__(self, store: EngineStore, default_window: int) -> None:
        self._store = store
        self._default_window = default_window
        self._definitions: OrderedDict[UUID, tuple[dict[str, Graph], str]] = OrderedDict()
        self._outers: OrderedDict[AttemptKey, OuterParams] = OrderedDict()

    async def load(self, tx: EngineTransaction, keys: Sequence[RunKey]) -> list[Run]:
        """Return the runs with these keys; one that does not exist is left out."""
        rows, attempts = await tx.load_runs(keys)
        for definition_uid in {row.definition_uid for row in rows} - self._definitions.keys():
            await self._load_definition(definition_uid)
        parents = {row.run_uid: AttemptKey(*parent) for row in rows if (parent := parent_of(row))}
        unknown = [key for key in set(parents.values()) if key not in self._outers]
        if unknown:
            for key, document in (await tx.load_outer(unknown)).items():
                self._outers[key] = restore_outer(document)
        by_run: dict[UUID, list[AttemptRow]] = {}
        for attempt in attempts:
            by_run.setdefault(attempt.run_uid, []).append(attempt)
        runs = []
        for row in rows:
            graphs, internal_id = self._definitions[row.definition_uid]
            parent_key = parents.get(row.run_uid)
            outer = self._outers[parent_key] if parent_key else None
            runs.append(restore_run(row, by_run.get(row.run_uid, ()), graphs[row.scope], internal_id, outer))
        while len(self._outers) > CACHED_OUTERS:
            self._outers.popitem(last=False)
        return runs

    async def _load_definition(self, definition_uid: UUID) -> None:
        workflow, internal_id = await self._store.workflow(definition_uid)
        graphs = compile_graphs(workflow, default_window=self._default_window)
        self._definitions[definition_uid] = (graphs, internal_id)
        while len(self._definitions) > CACHED_DEFINITIONS:
            self._definitions.popitem(last=False)
