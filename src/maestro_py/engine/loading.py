"""Load runs that are not in memory, and what never changes: definitions, outer parameters, loop values."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from maestro_py.engine.decide.graph import Graph, compile_graphs
from maestro_py.engine.decide.state import OuterParams, Run
from maestro_py.engine.rows import parent_of, restore_outer, restore_run
from maestro_py.model.errors import NotFound
from maestro_py.ports.engine_store import AttemptKey, AttemptRow, EngineStore, EngineTransaction, RunKey, RunRow

#: Definitions and outer parameters kept in memory, at most.
CACHED_DEFINITIONS: Final = 500
CACHED_OUTERS: Final = 2_000
#: Rows of loop values kept in memory, at most: of CHUNK iterations each.
CACHED_CHUNKS: Final = 100


class Unreadable(Exception):  # a fact about rows, not an error of the caller
    """The rows of a run, or its definition, make no run that could be decided upon."""

    def __init__(self, run_uid: UUID, reason: str) -> None:
        super().__init__(f"run {run_uid}: {reason}")
        self.run_uid = run_uid
        self.reason = reason


#: What reading rows may raise.  Not what the database raises: its troubles are nobody's poison.
_OURS: Final = (NotFound, msgspec.MsgspecError, LookupError, TypeError, ValueError, AttributeError, AssertionError)


class Loader:
    """Loads runs for the lanes of one engine."""

    def __init__(self, store: EngineStore, default_window: int) -> None:
        self._store = store
        self._default_window = default_window
        self._definitions: OrderedDict[UUID, tuple[dict[str, Graph], str]] = OrderedDict()
        self._outers: OrderedDict[AttemptKey, OuterParams] = OrderedDict()
        self._chunks: OrderedDict[tuple[AttemptKey, int], list[dict[str, Any]]] = OrderedDict()

    async def load(self, tx: EngineTransaction, keys: Sequence[RunKey]) -> list[Run]:
        """
        Return the runs with these keys; one that does not exist is left out.

        Raises:
            Unreadable: one of them exists and cannot be read.
        """
        rows, attempts = await tx.load_runs(keys)
        for row in rows:
            await self._load_definition(row)
        parents = {row.run_uid: AttemptKey(*parent) for row in rows if (parent := parent_of(row))}
        await self._load_outers(tx, set(parents.values()))
        by_run: dict[UUID, list[AttemptRow]] = {}
        for attempt in attempts:
            by_run.setdefault(attempt.run_uid, []).append(attempt)
        runs = [self._restore(row, by_run.get(row.run_uid, ()), parents.get(row.run_uid)) for row in rows]
        # Only now: one batch may need more of them than are kept.
        _trim(self._definitions, CACHED_DEFINITIONS)
        _trim(self._outers, CACHED_OUTERS)
        return runs

    async def outer(self, tx: EngineTransaction, key: AttemptKey) -> OuterParams:
        """
        Return what the iterations of the foreach *key* see of the outside.

        Raises:
            LookupError: there is no such foreach.
        """
        await self._load_outers(tx, {key})
        outer = self._outers[key]
        _trim(self._outers, CACHED_OUTERS)
        return outer

    async def loop_values(
        self, tx: EngineTransaction, key: AttemptKey, chunks: Sequence[int]
    ) -> list[list[dict[str, Any]]]:
        """
        Return the loop values in these chunks of the foreach *key*.

        Raises:
            LookupError: there is no such chunk.
        """
        missing = [chunk for chunk in chunks if (key, chunk) not in self._chunks]
        if missing:
            for chunk, values in (await tx.load_items(key, missing)).items():
                self._chunks[key, chunk] = values
        found = [self._chunks[key, chunk] for chunk in chunks]
        for chunk in chunks:
            self._chunks.move_to_end((key, chunk))
        _trim(self._chunks, CACHED_CHUNKS)
        return found

    async def _load_outers(self, tx: EngineTransaction, keys: Collection[AttemptKey]) -> None:
        unknown = [key for key in keys if key not in self._outers]
        if unknown:
            for key, document in (await tx.load_outer(unknown)).items():
                self._outers[key] = restore_outer(document)

    def _restore(self, row: RunRow, attempts: Iterable[AttemptRow], parent: AttemptKey | None) -> Run:
        try:
            graphs, internal_id = self._definitions[row.definition_uid]
            outer = self._outers[parent] if parent else None
            return restore_run(row, attempts, graphs[row.scope], internal_id, outer)
        except _OURS as exc:
            raise Unreadable(row.run_uid, f"its rows cannot be read: {type(exc).__name__}: {exc}") from exc

    async def _load_definition(self, row: RunRow) -> None:
        if row.definition_uid in self._definitions:
            self._definitions.move_to_end(row.definition_uid)
            return
        try:
            workflow, internal_id = await self._store.workflow(row.definition_uid)
            graphs = compile_graphs(workflow, default_window=self._default_window)
        except _OURS as exc:
            raise Unreadable(row.run_uid, f"its definition cannot be read: {type(exc).__name__}: {exc}") from exc
        self._definitions[row.definition_uid] = (graphs, internal_id)


def _trim(cache: OrderedDict[Any, Any], most: int) -> None:
    while len(cache) > most:
        cache.popitem(last=False)
