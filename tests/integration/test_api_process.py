"""The API as a process with a port of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx2
import pytest

from maestro_py.api.app import ApiOptions
from maestro_py.api.process import ApiProcess, CannotListen
from maestro_py.ports.process_beat import Judge, ProcessBeat
from maestro_py.storage.api_store import PostgresApiStore
from maestro_py.storage.connections import Database
from maestro_py.testing.waiting import wait_until_async
from tests.api_scene import WORKFLOWS, ManualClock, RecordingTransport


class Beat:
    """Remembers how the process described itself."""

    process_id = UUID(int=1)

    def __init__(self) -> None:
        self.info: dict[str, Any] = {}

    def set_info(self, info: Any) -> None:
        self.info = dict(info)

    def last_answered_ms_ago(self) -> int:
        return 0

    def server_away(self) -> bool:
        return False

    def beaten_without_gap_for_ms(self) -> int:
        return 0


class IdleJudge:
    """Says whether it is at work."""

    def __init__(self) -> None:
        self.is_at_work = False

    async def judge(self) -> list[UUID]:
        return []

    async def run(self) -> None:
        self.is_at_work = True
        try:
            await asyncio.Event().wait()
        finally:
            self.is_at_work = False


class Served:
    """A process that serves."""

    def __init__(self, process: ApiProcess, beat: Beat, judge: IdleJudge, running: asyncio.Task[None]) -> None:
        self.process = process
        self.beat = beat
        self.judge = judge
        self.running = running

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.beat.info['port']}"


@asynccontextmanager
async def served(database_url: str, **options: Any) -> AsyncIterator[Served]:
    """Yield an API process inside the test's own, on a free port."""
    name = "maestro:api:test"
    async with Database(database_url, name) as reads, Database(database_url, name, hot=True) as hot:
        beat: ProcessBeat = Beat()
        judge: Judge = IdleJudge()
        store = PostgresApiStore(reads, hot)
        process = ApiProcess(
            store, RecordingTransport(), beat, judge, ManualClock(), ApiOptions(**{"port": 0, **options})
        )
        assert isinstance(beat, Beat)
        assert isinstance(judge, IdleJudge)
        running = asyncio.create_task(process.run())
        await wait_until_async(lambda: running.done() or bool(beat.info))
        try:
            yield Served(process, beat, judge, running)
        finally:
            process.stop()
            await asyncio.gather(running, return_exceptions=True)


async def test_the_process_serves_on_the_port_it_tells_and_judges_the_others_meanwhile(database_url: str) -> None:
    async with served(database_url) as api, httpx2.AsyncClient() as client:
        assert 200 == (await client.get(f"{api.url}/readyz")).status_code
        assert "server" not in (await client.get(f"{api.url}/livez")).headers
        assert api.judge.is_at_work

        api.process.stop()
        await api.running

        assert not api.judge.is_at_work
        with pytest.raises(httpx2.TransportError):
            await client.get(f"{api.url}/livez")


async def test_a_request_that_is_under_way_is_answered_before_the_process_ends(database_url: str) -> None:
    async with served(database_url) as api, httpx2.AsyncClient(timeout=30) as client:
        async with Database(database_url, "test") as other, other.transaction() as conn:
            await conn.execute("LOCK TABLE workflow")
            body = {"workflow_id": "wf", "steps": [{"id": "a", "type": "NoOp"}]}
            pushing = asyncio.create_task(client.post(api.url + WORKFLOWS, json=body))
            await wait_until_async(lambda: is_waited_for(other))
            api.process.stop()

        assert 200 == (await pushing).status_code
        await api.running


async def is_waited_for(database: Database) -> bool:
    """Say whether somebody waits for a lock."""
    async with database.connection() as conn:
        cursor = await conn.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool((await cursor.fetchall())[0][0])


@pytest.mark.parametrize("states_length", [True, False])
async def test_a_client_that_sends_too_much_gets_to_see_why_it_was_refused(
    database_url: str, states_length: bool
) -> None:
    """Not only a broken connection."""
    body = b"x" * (3 << 20)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1 << 16):
            yield body[start : start + (1 << 16)]

    async with served(database_url, body_limit_bytes=1 << 20) as api, httpx2.AsyncClient() as client:
        content = body if states_length else pieces()
        answer = await client.post(api.url + WORKFLOWS, content=content)

    assert (413, "REQUEST_ENTITY_TOO_LARGE") == (answer.status_code, answer.json()["status"])


async def test_a_port_that_somebody_has_is_told_by_its_number(database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with served(database_url, port=port) as api:
            with pytest.raises(CannotListen, match=str(port)):
                await api.running
