"""A real engine inside a test, on a real database, with an API beside it that pushes and starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from maestro_py.bootstrap import serve_engine
from maestro_py.model.events import Event, encode_event
from maestro_py.settings import Settings
from maestro_py.testing.waiting import wait_until_async
from tests.api_scene import Scene, request_id

#: Runs of a workflow and all of their events, told in one commit so that they share a batch.
_TELL = """
INSERT INTO engine_inbox (partition, class, run_uid, payload)
SELECT i.partition, 0, i.run_uid, t.payload::json
FROM unnest(%s::bigint[], %s::text[]) WITH ORDINALITY AS t (instance_id, payload, number)
JOIN workflow_instance i ON i.workflow_id = %s AND i.instance_id = t.instance_id
ORDER BY t.number
"""


@asynccontextmanager
async def an_engine(database_url: str, **settings: object) -> AsyncIterator[None]:
    """Run an engine, with everything as in production, until the block ends."""
    stopping = asyncio.Event()
    chosen = Settings.from_environment(database_url=database_url, **settings)
    engine = asyncio.create_task(serve_engine(chosen, stopping))
    try:
        yield
    finally:
        stopping.set()
        await engine


async def tell(scene: Scene, workflow_id: str, *told: tuple[int, Event | str]) -> None:
    """Put events, or texts that are none, into the inboxes of instances of a workflow, all in one commit."""
    payloads = [event if isinstance(event, str) else encode_event(event).decode() for _, event in told]
    await scene.execute(_TELL, [instance for instance, _ in told], payloads, workflow_id)


async def start_many(scene: Scene, workflow_id: str, count: int) -> None:
    """Start that many instances."""
    for _ in range(count):
        await scene.start(workflow_id, request_id=request_id())


async def status(scene: Scene, workflow_id: str, instance_id: int = 1) -> str:
    """Return the status of an instance."""
    rows = await scene.rows(
        "SELECT status FROM workflow_instance WHERE workflow_id = %s AND instance_id = %s", workflow_id, instance_id
    )
    return str(rows[0][0])


async def wait_status(
    scene: Scene, workflow_id: str, wanted: str, instance_id: int = 1, within_seconds: float = 15
) -> None:
    """Wait until an instance has that status."""

    async def has_it() -> bool:
        return await status(scene, workflow_id, instance_id) == wanted

    await wait_until_async(has_it, within_seconds)


async def wait_rows(scene: Scene, statement: str, *wanted: tuple[object, ...]) -> None:
    """Wait until *statement* returns exactly these rows."""

    async def is_so() -> bool:
        return await scene.rows(statement) == list(wanted)

    await wait_until_async(is_so, 15)
