"""
Read results of loops for evaluations that ask for them.

They come page by page, as JSON that only whoever evaluates takes apart: the loop of the engine handles a text a page.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from maestro_py.model.errors import BadRow
from maestro_py.params import RESULTS_LIMIT, Found, Loop, LoopResults, NoResults, ResultsKey, World, judged, too_large
from maestro_py.ports.engine_store import EngineStore

#: Iterations that one query reads; short enough that an engine that has to stop does not wait for it.
PAGE: Final = 2_000


async def with_results(world: World, asked: Iterable[ResultsKey], store: EngineStore) -> World:
    """
    Return *world* with the results that were *asked* for, or why there are none.

    Raises:
        StoreUnavailable: PostgreSQL is away.
    """
    collected = dict(world.collected)
    for key in asked:
        left = RESULTS_LIMIT - sum(map(_size, collected.values()))
        collected[key.text] = await _read(key, world.loops[key.foreach], left, store)
    return msgspec.structs.replace(world, collected=collected)


async def _read(key: ResultsKey, loop: Loop, left: int, store: EngineStore) -> LoopResults:
    found: list[Found] = []
    pages: list[str] = []
    try:
        for first in range(1, loop.total + 1, PAGE):
            page = await store.results_page(loop, key, first, min(first + PAGE - 1, loop.total), left)
            found += page.found
            judged(key, loop, found)
            left -= page.bytes
            if page.values is None or left < 0:
                return LoopResults(error=too_large(key))
            pages.append(page.values)
        kind, casts = judged(key, loop, found)
    except NoResults as exc:
        return LoopResults(error=str(exc))
    except BadRow as exc:
        return LoopResults(error=f"results of '{key.foreach}' cannot be read by this name: {exc}")
    return LoopResults(kind, msgspec.Raw(f"[{','.join(pages)}]".encode()), casts)


def _size(results: LoopResults) -> int:
    return memoryview(results.values).nbytes if isinstance(results.values, msgspec.Raw) else 0
