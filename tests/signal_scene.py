"""A database with workflows that wait for signals, as the tests of the signal service need it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any, Self
from uuid import UUID

from maestro_py.model.definition import ParamDefinition, Step, Workflow, encode_workflow
from maestro_py.model.errors import DuplicateSignal
from maestro_py.model.ids import new_uid
from maestro_py.model.statuses import RunStrategyRule
from maestro_py.ports.evaluator import IN_THREAD, Evaluator
from maestro_py.ports.signal_store import SignalInstance, SignalValue
from maestro_py.ports.transport import Address, OnHint
from maestro_py.signals.process import SignalProcess
from maestro_py.storage.connections import Database
from maestro_py.storage.signal_cursors import PostgresSignalStore
from maestro_py.storage.signals import announce
from maestro_py.storage.subscriptions import subscribe
from maestro_py.testing.waiting import wait_until_async

NOW_MS = 1_800_000_000_000


def a_trigger(*names: str, **match_params: Any) -> dict[str, Any]:
    """A trigger of signals called *names* that asks for *match_params*."""
    return {"definitions": {name: {"match_params": match_params} if match_params else {} for name in names}}


class Scene:
    """Rows as the API writes them, and what became of them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = PostgresSignalStore(database)

    async def workflow(
        self,
        workflow_id: str,
        *triggers: dict[str, Any],
        strategy: RunStrategyRule = RunStrategyRule.PARALLEL,
        concurrency: int = 1000,
        properties: dict[str, Any] | None = None,
        params: dict[str, ParamDefinition] | None = None,
    ) -> None:
        """Store a workflow whose active version has *triggers*, and subscribe them."""
        definition = Workflow(
            id=workflow_id, steps=(Step(id="s", type="NoOp"),), params=params or {}, signal_triggers=tuple(triggers)
        )
        async with self.database.transaction() as conn:
            await conn.execute(
                "INSERT INTO workflow (workflow_id, internal_id, active_version, latest_version, run_strategy,"
                " workflow_concurrency, properties, create_time_ms, modify_time_ms) VALUES (%s,%s,1,1,%s,%s,%s,1,1)",
                (workflow_id, new_uid(), strategy, concurrency, json.dumps({"owner": "o", **(properties or {})})),
            )
            await conn.execute(
                "INSERT INTO workflow_version (definition_uid, workflow_id, workflow_version, definition, metadata)"
                " VALUES (%s, %s, 1, %s, '{}')",
                (new_uid(), workflow_id, encode_workflow(definition).decode()),
            )
            await subscribe(conn, workflow_id, triggers)

    async def announce(
        self, name: str, request_id: str | None = None, **params: SignalValue
    ) -> SignalInstance | DuplicateSignal:
        """Announce a signal and return its row, or the refusal."""
        async with self.database.connection() as conn:
            try:
                return await announce(conn, name, params, request_id, NOW_MS, {}, NOW_MS)
            except DuplicateSignal as refusal:
                return refusal

    async def announce_many(self, name: str, request_ids: Iterable[str]) -> None:
        """Announce signals one after the other."""
        for request_id in request_ids:
            await self.announce(name, request_id)

    async def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return what *query* finds."""
        async with self.database.connection() as conn:
            return list(await (await conn.execute(query.encode(), parameters)).fetchall())

    async def one(self, query: str, *parameters: Any) -> Any:
        """Return the one value that *query* finds."""
        [(value,)] = await self.rows(query, *parameters)
        return value

    async def started_by(self, workflow_id: str) -> list[int]:
        """Return the numbers of the signals that started the runs of the workflow, in the order of the instances."""
        initiators = await self.rows(
            "SELECT initiator FROM workflow_instance WHERE workflow_id = %s ORDER BY instance_id", workflow_id
        )
        return [next(iter(initiator["signal_id_map"].values())) for (initiator,) in initiators]

    async def is_settled(self) -> bool:
        """Say whether every signal has been matched by everybody."""
        return not await self.one("SELECT count(*) FROM signal_pending")

    async def cursors(self, name: str) -> dict[str, int]:
        """Return workflow id to next sequence number."""
        return dict(await self.rows("SELECT workflow_id, next_seq FROM signal_trigger WHERE name = %s", name))


@asynccontextmanager
async def a_scene(database_url: str, *, size: int = 8) -> AsyncIterator[Scene]:
    """Yield a scene on its own connections."""
    async with Database(database_url, "maestro:test", size=size, hot=True) as database:
        yield Scene(database)


async def eventually(
    fact: Callable[[], Awaitable[object] | object], within_seconds: float = 20, seen: Callable[[], object] | None = None
) -> None:
    """Wait until *fact*, often a coroutine function that asks the database, answers something true."""
    await wait_until_async(fact, within_seconds, seen)


class RecordingTransport:
    """A transport within one process that remembers what it was asked to send."""

    def __init__(self) -> None:
        self.sent: list[Address] = []
        self._receivers: list[tuple[frozenset[Address], OnHint]] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def send(self, addresses: Collection[Address]) -> None:
        self.sent += addresses
        for wanted, on_hint in self._receivers:
            heard = wanted.intersection(addresses)
            if heard:
                on_hint(heard)

    def pass_on(self, addresses: Collection[Address]) -> None:
        raise NotImplementedError("a signal service has room for every hint")

    def subscribe(self, addresses: Collection[Address], on_hint: OnHint) -> _RecordingSubscription:
        self._receivers.append((frozenset(addresses), on_hint))
        return _RecordingSubscription()

    @property
    def hints_dropped(self) -> int:
        return 0


class _RecordingSubscription:
    def update(self, addresses: Collection[Address]) -> None: ...

    async def close(self) -> None: ...


class FixedClock:
    """A clock that stands still."""

    def now_ms(self) -> int:
        return NOW_MS


class SilentBeat:
    """A beat that nobody judges by."""

    process_id = UUID(int=1)

    def set_info(self, info: Any) -> None: ...

    def last_answered_ms_ago(self) -> int:
        return 0

    def server_away(self) -> bool:
        return False

    def beaten_without_gap_for_ms(self) -> int:
        return 0


class IdleJudge:
    """A judge of nobody."""

    async def judge(self) -> Collection[UUID]:
        return ()

    async def run(self) -> None:
        await asyncio.Event().wait()


class Service:
    """A running signal service."""

    def __init__(self, process: SignalProcess, transport: RecordingTransport) -> None:
        self.process = process
        self.transport = transport
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.process.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self.process.stop()
        await asyncio.wait_for(self._task, 10)


def a_service(scene: Scene, *, sweep_interval_ms: int = 100, evaluator: Evaluator = IN_THREAD) -> Service:
    """Return a signal service over the scene's database, to be entered."""
    transport = RecordingTransport()
    process = SignalProcess(
        scene.store,
        transport,
        SilentBeat(),
        IdleJudge(),
        FixedClock(),
        sweep_interval_ms=sweep_interval_ms,
        evaluator=evaluator,
    )
    return Service(process, transport)
