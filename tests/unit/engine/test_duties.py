"""The duties of an engine repeat what could not be done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from maestro_py.engine.dispatcher import Dispatcher
from maestro_py.engine.duties import Duties
from maestro_py.model.errors import StoreUnavailable
from maestro_py.ports.engine_store import AttemptKey, ReadyRow


class ForgetfulLane:
    """A lane that is to read its ready attempts again, from a database that is away at first."""

    index = 0
    reads = 0

    async def reload_ready(self) -> None:
        self.reads += 1
        if self.reads == 1:
            raise StoreUnavailable("away")


async def test_a_lane_whose_batch_was_undone_reads_again_also_when_the_database_is_away_at_first() -> None:
    """Else what it has forgotten would wait for ever behind what it has in memory and nobody serves."""
    lane, dispatcher = ForgetfulLane(), Dispatcher()
    dispatcher.add_ready(0, [ReadyRow(AttemptKey(0, UUID(int=1), "a", 1), "default", ("nobody",), "wf")])

    async def dispatched(partitions: object) -> list[object]:
        return []

    context: Any = SimpleNamespace(
        dispatcher=dispatcher, lanes=[lane], stale_lanes={0}, store=SimpleNamespace(dispatched=dispatched)
    )
    context.stale_dispatcher = context.stale_lanes.add
    duties = Duties(context, cast("Any", None), cast("Any", SimpleNamespace(owned={})), cast("Any", None))

    with pytest.raises(StoreUnavailable):
        await duties.recount()
    await duties.recount()
    await duties.recount()

    assert 2 == lane.reads
