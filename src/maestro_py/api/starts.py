"""
Start runs for many callers at once: what arrives for a workflow while a transaction commits is started by the next.

Starts of one workflow wait for each other anyway, at its row; gathered into one transaction they wait once.  Starts of
different workflows go on side by side, so a workflow whose row is held by somebody delays nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from maestro_py.admission import StartOutcome, StartRequest, StartResult, VersionName, trigger_uuid
from maestro_py.api.errors import TooBusy
from maestro_py.model.definition import ParamDefinition
from maestro_py.model.errors import Conflict, MaestroError, NotFound, ParamError, StoreUnavailable, Unprocessable
from maestro_py.model.ids import new_uid
from maestro_py.params import start_facts, start_work
from maestro_py.ports.api_records import VersionRecord, VersionRef
from maestro_py.ports.api_store import ApiStore
from maestro_py.ports.clock import Clock
from maestro_py.ports.evaluator import IN_THREAD, Evaluator, EvaluatorBusy, params_of_start
from maestro_py.ports.transport import Address, HintKind, Transport

T = TypeVar("T")

#: Runs started by one transaction at most.
BATCH_LIMIT: Final = 500
#: Callers that may wait for one process; more are told to come back.
WAITING_LIMIT: Final = 20_000
#: How often the version that a name means may change under our hands before we give up.
_VERSION_TRIES: Final = 20
#: How often the database is asked while it is away or links break, and the pause in between, in seconds.
_TRIES: Final = 3
_PAUSE: Final = 0.2

_REFUSALS: Final[Mapping[StartOutcome, tuple[type[MaestroError], str]]] = {
    StartOutcome.NOT_FOUND: (NotFound, "workflow {!r} does not exist"),
    StartOutcome.INACTIVE: (NotFound, "workflow {!r} has no active version"),
    StartOutcome.VERSION_CHANGED: (Conflict, "the versions of workflow {!r} change faster than it can be started"),
    StartOutcome.TRIGGER_DISABLED: (Unprocessable, "triggers of this kind are disabled for workflow {!r}"),
}


class StartAsk(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks for, before anything is looked up or evaluated."""

    workflow_id: str
    version: VersionRef
    request_id: str
    request_time_ms: int
    initiator: Mapping[str, Any]
    run_params: Mapping[str, ParamDefinition] = {}
    run_config: Mapping[str, Any] = {}
    persist_failed_run: bool = False


class Starter:
    """Starts runs; one for each API process."""

    def __init__(self, store: ApiStore, transport: Transport, clock: Clock, evaluator: Evaluator = IN_THREAD) -> None:
        self._store = store
        self._evaluator = evaluator
        self._transport = transport
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}
        self._waiting = 0
        self.batches = 0  #: Transactions so far, for the metrics.
        self.started = 0  #: Runs asked for so far, for the metrics.

    async def start(self, ask: StartAsk) -> StartResult:
        """
        Start one run and return what became of it, committed.

        Raises:
            NotFound: the workflow or version does not exist.
            ParamError: the parameters cannot be evaluated, and the caller does not want that stored.
            Conflict: the trigger that the initiator names is not one of the active version's.
            Unprocessable: the properties of the workflow disable the trigger.
            TooBusy: too many callers wait already.
            StoreUnavailable: the database is away; the same request id may be sent again.
        """
        self._check_room(1)
        return await self._enqueued(ask)

    async def start_all(self, asks: Sequence[StartAsk]) -> list[StartResult | BaseException]:
        """
        Start a run for each of *asks*; return, in their order, what became of them, committed, or why nothing did.

        They stand together in the queues of their workflows, so they share transactions.

        Raises:
            TooBusy: too many callers wait already; none was started.
        """
        self._check_room(len(asks))
        return await asyncio.gather(*map(self._enqueued, asks), return_exceptions=True)

    def _check_room(self, count: int) -> None:
        if self._waiting + count > WAITING_LIMIT:
            raise TooBusy(f"{self._waiting} callers wait already to start runs")

    def _enqueued(self, ask: StartAsk) -> asyncio.Future[StartResult]:
        lane = self._lanes.get(ask.workflow_id)
        if lane is None:
            lane = self._lanes[ask.workflow_id] = _Lane()
        answer: asyncio.Future[StartResult] = asyncio.get_running_loop().create_future()
        lane.waiting.append((ask, answer))
        if lane.task is None:
            lane.task = asyncio.create_task(self._run(ask.workflow_id, lane))
        self._waiting += 1
        answer.add_done_callback(self._answered)
        return answer

    def _answered(self, _: asyncio.Future[StartResult]) -> None:
        self._waiting -= 1

    async def close(self) -> None:
        """Wait for the transactions under way; whoever still waits gets an answer."""
        await asyncio.gather(*(lane.task for lane in self._lanes.values() if lane.task is not None))

    async def _run(self, workflow_id: str, lane: _Lane) -> None:
        while lane.waiting:
            batch, lane.waiting = lane.waiting[:BATCH_LIMIT], lane.waiting[BATCH_LIMIT:]
            # Whoever hung up before we began is not started.
            batch = [(ask, answer) for ask, answer in batch if not answer.done()]
            try:
                await self._start_batch(batch)
            except Exception as exc:  # told to everybody who waits
                _fail(batch, exc)
        del self._lanes[workflow_id]

    async def _start_batch(self, batch: Sequence[_Waiting]) -> None:
        run_uids = {id(ask): new_uid() for ask, _ in batch}
        for _ in range(_VERSION_TRIES):
            requests = await self._evaluated(batch, run_uids)
            if not requests:
                return
            self.batches += 1
            self.started += len(requests)
            batch = await self._settled(requests)
        _fail(batch, _refusal(StartOutcome.VERSION_CHANGED, batch[0][0].workflow_id) if batch else None)

    async def _settled(self, requests: Sequence[_Evaluated]) -> list[_Waiting]:
        """Store *requests*, tell their callers, and return those whose version changed meanwhile."""
        try:
            results = await self._stored([request for _, _, request in requests])
        except StoreUnavailable:
            raise
        except Exception:
            if len(requests) == 1:
                raise
            # One of them is what nobody foresaw; it must not fail its neighbours.
            return [left for request in requests for left in await self._settled_alone(request)]
        self._hint(results)
        return [
            (ask, answer)
            for (ask, answer, _), result in zip(requests, results, strict=True)
            if not _settle(answer, result)
        ]

    async def _settled_alone(self, request: _Evaluated) -> list[_Waiting]:
        try:
            return await self._settled([request])
        except Exception as exc:  # told to the one who asked
            _fail([request[:2]], exc)
            return []

    async def _evaluated(self, batch: Sequence[_Waiting], run_uids: Mapping[int, UUID]) -> list[_Evaluated]:
        """Return the requests to store; whoever asked for something impossible is told so at once."""
        versions: dict[VersionRef, VersionRecord | MaestroError] = {}
        requests = []
        for ask, answer in batch:
            if ask.version not in versions:
                versions[ask.version] = await self._version(ask)
            version = versions[ask.version]
            try:
                if isinstance(version, MaestroError):
                    raise version
                request = await start_request(
                    ask, version, run_uids[id(ask)], self._clock.now_ms(), evaluator=self._evaluator
                )
                requests.append((ask, answer, request))
            except EvaluatorBusy as exc:
                _fail([(ask, answer)], TooBusy(str(exc)))
            except MaestroError as exc:
                _fail([(ask, answer)], exc)
        return requests

    async def _version(self, ask: StartAsk) -> VersionRecord | MaestroError:
        try:
            return await _persistently(lambda: self._store.starts.version(ask.workflow_id, ask.version))
        except NotFound as exc:
            return exc

    async def _stored(self, requests: Sequence[StartRequest]) -> list[StartResult]:
        # After an unknown COMMIT the same ids are asked for again, so that nothing starts twice.
        return await _persistently(lambda: self._store.starts.start(requests, now_ms=self._clock.now_ms()))

    def _hint(self, results: Sequence[StartResult]) -> None:
        partitions = {partition for result in results for partition in result.partitions}
        if partitions:
            self._transport.send([Address(HintKind.ENGINE, str(partition)) for partition in sorted(partitions)])


_Waiting = tuple[StartAsk, "asyncio.Future[StartResult]"]
_Evaluated = tuple[StartAsk, "asyncio.Future[StartResult]", StartRequest]


class _Lane:
    """Who waits to start a run of one workflow."""

    __slots__ = ("task", "waiting")

    def __init__(self) -> None:
        self.waiting: list[_Waiting] = []
        self.task: asyncio.Task[None] | None = None


async def start_request(
    ask: StartAsk, version: VersionRecord, run_uid: UUID, now_ms: int, *, evaluator: Evaluator = IN_THREAD
) -> StartRequest:
    """
    Return *ask* with its parameters evaluated against *version*; what is heavy is left to *evaluator*.

    Raises:
        ParamError: they cannot be evaluated, and the caller does not want that stored.
        EvaluatorBusy: *evaluator* has too much to do.
        Conflict: the initiator names a trigger that the version does not have.
    """
    _check_trigger(ask, version)
    workflow = version.definition
    owner = version.owner.properties.get("owner")
    failure: str | None = None
    params: Mapping[str, Any] = {}
    try:
        facts = start_facts(workflow, ask.initiator, owner=owner, seed=str(run_uid), now_ms=now_ms)
        work = start_work(workflow, ask.run_params, system={"owner": owner}, facts=facts)
        params = await params_of_start(work, evaluator)
    except ParamError as exc:
        if not ask.persist_failed_run:
            raise
        failure = str(exc)
    return StartRequest(
        workflow_id=ask.workflow_id,
        run_uid=run_uid,
        request_id=ask.request_id,
        version_name=ask.version.name,
        workflow_version=version.workflow_version,
        definition_uid=version.definition_uid,
        initiator=ask.initiator,
        params=params,
        run_config={**ask.run_config, "run_properties": run_properties(version)},
        request_time_ms=ask.request_time_ms,
        workflow_name=workflow.name,
        tags=workflow.tags,
        failure=failure,
    )


def run_properties(version: VersionRecord) -> dict[str, Any]:
    """Return what a run remembers of the workflow's properties: later changes of them do not concern it."""
    kept = ("create_time", "owner", "alerting", "step_concurrency", "tags")
    return {name: version.owner.properties[name] for name in kept if name in version.owner.properties}


def _check_trigger(ask: StartAsk, version: VersionRecord) -> None:
    kind = ask.initiator.get("type")
    if kind not in ("SIGNAL", "TIME"):
        return
    if ask.version.name is not VersionName.ACTIVE:
        raise Conflict(f"a {kind} trigger starts the active version, not version {ask.version}")
    workflow = version.definition
    uuids = [trigger_uuid(trigger) for trigger in workflow.signal_triggers] if kind == "SIGNAL" else []
    if ask.initiator.get("trigger_uuid") not in uuids:
        raise Conflict(f"the active version of workflow {workflow.id!r} has no such {kind} trigger")


async def _persistently(ask: Callable[[], Awaitable[T]]) -> T:
    """Return what *ask* returns; a database that is away is asked a few times before we give up."""
    for _ in range(_TRIES - 1):
        try:
            return await ask()
        except StoreUnavailable:
            await asyncio.sleep(_PAUSE)
    return await ask()


def _refusal(outcome: StartOutcome, workflow_id: str) -> MaestroError:
    kind, text = _REFUSALS[outcome]
    return kind(text.format(workflow_id))


def _settle(answer: asyncio.Future[StartResult], result: StartResult) -> bool:
    """Tell the caller what became of the run; return False if it has to be evaluated again."""
    if result.outcome is StartOutcome.VERSION_CHANGED:
        return False
    if not answer.done():
        if result.outcome in _REFUSALS:
            answer.set_exception(_refusal(result.outcome, result.workflow_id))
        else:
            answer.set_result(result)
    return True


def _fail(batch: Sequence[_Waiting], error: Exception | None) -> None:
    for _, answer in batch:
        if error is not None and not answer.done():
            answer.set_exception(error)
