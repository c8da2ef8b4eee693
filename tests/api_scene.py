"""An API in the test's own process over a real database, and the rows that an engine and workers would write."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import httpx2

from maestro_py.api.app import ApiOptions, create_app
from maestro_py.model.ids import new_uid
from maestro_py.ports.evaluator import IN_THREAD, Evaluator
from maestro_py.ports.transport import Address, OnHint, Subscription
from maestro_py.storage.api_store import PostgresApiStore
from maestro_py.storage.connections import Database

NOW_MS = 1_800_000_000_000
WORKFLOWS = "/api/v3/workflows"

Json = dict[str, Any]


class ManualClock:
    """Tells the time that a test says."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now = now_ms

    def now_ms(self) -> int:
        return self.now


class RecordingTransport:
    """Remembers the hints it was given."""

    hints_dropped = 0

    def __init__(self) -> None:
        self.sent: list[Address] = []
        self.on_send: Callable[[Collection[Address]], None] = lambda _: None

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def send(self, addresses: Collection[Address]) -> None:
        self.on_send(addresses)
        self.sent += addresses

    def pass_on(self, addresses: Collection[Address]) -> None:
        raise NotImplementedError("the API hears no hints")

    def subscribe(self, addresses: Collection[Address], on_hint: OnHint) -> Subscription:
        raise NotImplementedError("the API listens to no hints")


class Scene:
    """One API process without its port, and its database."""

    def __init__(self, database: Database, client: httpx2.AsyncClient, transport: RecordingTransport) -> None:
        self.database = database
        self.client = client
        self.transport = transport
        self.clock = ManualClock()

    async def call(self, method: str, path: str, expected: int = 200, **arguments: Any) -> Any:
        """Make a call as the user ana, and return the body of an answer that has the *expected* status."""
        answer = await self.client.request(method, path, headers={"user": "ana"}, **arguments)
        assert answer.status_code == expected, f"{answer.status_code}: {answer.text}"
        return answer.json()

    async def get(self, path: str, expected: int = 200) -> Any:
        """Return what a GET answers."""
        return await self.call("GET", path, expected)

    async def push(self, workflow_id: str = "wf", expected: int = 200, **fields: Any) -> Json:
        """Push a workflow in simple form, of one NoOp unless *fields* say otherwise."""
        document = {"workflow_id": workflow_id, "steps": [{"id": "a", "type": "NoOp"}], **fields}
        answer = await self.call("POST", WORKFLOWS, expected, json=document)
        return cast("Json", answer.get("workflow_definition", answer))

    async def start(self, workflow_id: str = "wf", expected: int = 200, version: str = "active", **fields: Any) -> Json:
        """Start a workflow by hand."""
        body = {"initiator": {"type": "MANUAL"}, **fields}
        path = f"{WORKFLOWS}/{workflow_id}/versions/{version}/actions/start"
        return cast("Json", await self.call("POST", path, expected, json=body))

    async def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return what *statement* reads."""
        async with self.database.connection() as conn:
            cursor = await conn.execute(statement.encode(), parameters)
            return await cursor.fetchall()

    async def execute(self, statement: str, *parameters: object) -> None:
        """Run *statement*."""
        async with self.database.connection() as conn:
            await conn.execute(statement.encode(), parameters)

    # --- what the engine and the workers would do ----------------------------------------------------------

    async def run_key(self, workflow_id: str = "wf", instance_id: int = 1) -> tuple[int, UUID]:
        """Return the partition and the uid of the run of an instance."""
        [(partition, run_uid)] = await self.rows(
            "SELECT partition, run_uid FROM workflow_instance WHERE workflow_id = %s AND instance_id = %s",
            workflow_id,
            instance_id,
        )
        return partition, run_uid

    async def end_run(self, workflow_id: str = "wf", instance_id: int = 1, status: str = "SUCCEEDED") -> None:
        """Bring a run to its end."""
        await self.execute(
            "UPDATE workflow_instance SET status = %s, start_time_ms = create_time_ms + 10,"
            " end_time_ms = create_time_ms + 20, row_version = row_version + 1"
            " WHERE workflow_id = %s AND instance_id = %s",
            status,
            workflow_id,
            instance_id,
        )

    async def attempt(self, step_id: str, workflow_id: str = "wf", instance_id: int = 1, **columns: Any) -> None:
        """Store one attempt of a step, as the engine does when it creates it."""
        partition, run_uid = await self.run_key(workflow_id, instance_id)
        row = {
            "partition": partition,
            "run_uid": run_uid,
            "step_id": step_id,
            "attempt": 1,
            "step_seq": 1,
            "step_uuid": new_uid(),
            "status": "CREATED",
            "times": {"CREATED": NOW_MS},
            "step_type": "shell",
            **columns,
        }
        names = ", ".join(row)
        values = [
            json.dumps(v) if isinstance(v, dict) or (isinstance(v, list) and n != "backend_keys") else v
            for n, v in row.items()
        ]
        await self.execute(f"INSERT INTO step_attempt ({names}) VALUES ({', '.join(['%s'] * len(row))})", *values)

    async def worker(self, queues: list[str], backend_keys: list[str], *, is_live: bool = True) -> UUID:
        """Store the row of a worker process."""
        process_id = new_uid()
        await self.execute(
            "INSERT INTO process (id, kind, host, pid, lease_ms, info, beat_at)"
            " VALUES (%s, 'worker', 'box', 42, 5000, %s, clock_timestamp() - make_interval(secs => %s))",
            process_id,
            json.dumps({"queues": queues, "step_types": backend_keys, "backend_keys": backend_keys}),
            0 if is_live else 60,
        )
        return process_id


def moment(ms: int) -> datetime:
    """Return the time of *ms* UTC epoch milliseconds."""
    return datetime.fromtimestamp(ms / 1000, tz=UTC)


def request_id() -> str:
    """Return a fresh request id."""
    return str(uuid4())


@asynccontextmanager
async def api_scene(database_url: str, evaluator: Evaluator = IN_THREAD, **options: Any) -> AsyncIterator[Scene]:
    """Yield an API over the database."""
    name = f"maestro:api:{new_uid()}"
    async with Database(database_url, name) as reads, Database(database_url, name, hot=True) as hot:
        transport = RecordingTransport()
        clock = ManualClock()
        app = create_app(PostgresApiStore(reads, hot), transport, clock, ApiOptions(**options), evaluator)
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app, raise_app_exceptions=False), base_url="http://localhost"
        ) as client:
            scene = Scene(reads, client, transport)
            scene.clock = clock
            yield scene
