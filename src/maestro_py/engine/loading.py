"""Load runs that are not in memory, and what never changes: definitions, outer parameters, loop values."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
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
#: Rows of loop values kept in memory, at most: of CHUNK iterations each, and one of each foreach.
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
        self._chunks: OrderedDict[AttemptKey, tuple[int, list[dict[str, Any]]]] = OrderedDict()

    async def load(self, tx: EngineTransaction, keys: Sequence[RunKey]) -> list[Run]:
        """
        Return the runs with these keys; one that does not exist is left out.

        Raises:
            Unreadable: one of them exists and cannot be read.
        """
        rows, attempts = await tx.load_runs(keys)
        # By names of our own: another lane may trim the caches while this one waits.
        definitions = {uid: await self._definition(row) for uid, row in {r.definition_uid: r for r in rows}.items()}
        parents = {row.run_uid: AttemptKey(*parent) for row in rows if (parent := parent_of(row))}
        outers = await self._load_outers(tx, set(parents.values()))
        by_run: dict[UUID, list[AttemptRow]] = {}
        for attempt in attempts:
            by_run.setdefault(attempt.run_uid, []).append(attempt)
        runs: list[Run] = []
        for row in rows:
            try:
                graphs, internal_id = definitions[row.definition_uid]
                outer = outers[parents[row.run_uid]] if row.run_uid in parents else None
                of_run = by_run.get(row.run_uid, ())
                runs.append(restore_run(row, of_run, graphs[row.scope], internal_id, outer))
            except _OURS as exc:
                raise Unreadable(row.run_uid, f"its rows cannot be read: {type(exc).__name__}: {exc}") from exc
        return runs

    async def outer(self, tx: EngineTransaction, key: AttemptKey) -> OuterParams:
        """
        Return what the iterations of the foreach *key* see of the outside.

        Raises:
            LookupError: there is no such foreach.
        """
        return (await self._load_outers(tx, {key}))[key]

    async def loop_values(
        self, tx: EngineTransaction, key: AttemptKey, chunks: Sequence[int]
    ) -> list[list[dict[str, Any]]]:
        """
        Return the loop values in these chunks of the foreach *key*.

        Raises:
            LookupError: there is no such chunk.
        """
        number, values = self._chunks.get(key, (-1, []))
        found = {number: values}
        missing = [chunk for chunk in chunks if chunk != number]
        if missing:
            found |= await tx.load_items(key, missing)
        # They are needed in order, and once: of what a loop has gone past nothing is kept, however large it is.
        self._chunks[key] = chunks[-1], found[chunks[-1]]
        self._chunks.move_to_end(key)
        _trim(self._chunks, CACHED_CHUNKS)
        return [found[chunk] for chunk in chunks]

    async def _load_outers(
        self, tx: EngineTransaction, keys: Collection[AttemptKey]
    ) -> Mapping[AttemptKey, OuterParams]:
        found = {key: self._outers[key] for key in keys if key in self._outers}
        unknown = [key for key in keys if key not in found]
        if unknown:
            loaded: dict[AttemptKey, OuterParams] = {}
            for key, document in (await tx.load_outer(unknown)).items():
                # What cannot be read is left out: whoever misses it is unreadable, and nobody else.
                with suppress(*_OURS):
                    loaded[key] = restore_outer(document)
            found |= loaded
            self._outers.update(loaded)
            _trim(self._outers, CACHED_OUTERS)
        return found

    async def _definition(self, row: RunRow) -> tuple[Mapping[str, Graph], str]:
        known = self._definitions.get(row.definition_uid)
        if known is not None:
            self._definitions.move_to_end(row.definition_uid)
            return known
        try:
            workflow, internal_id = await self._store.workflow(row.definition_uid)
            graphs = compile_graphs(workflow, default_window=self._default_window)
        except _OURS as exc:
            raise Unreadable(row.run_uid, f"its definition cannot be read: {type(exc).__name__}: {exc}") from exc
        self._definitions[row.definition_uid] = (graphs, internal_id)
        _trim(self._definitions, CACHED_DEFINITIONS)
        return graphs, internal_id


def _trim(cache: OrderedDict[Any, Any], most: int) -> None:
    while len(cache) > most:
        cache.popitem(last=False)
