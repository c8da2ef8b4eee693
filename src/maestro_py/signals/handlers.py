"""
Apply the signals of one name to the cursors that wait for them: take, load, decide, save, in one transaction.

The starts are stored in the transaction that moves the cursors, so whoever is killed, and whenever, each signal starts
each of its runs once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from maestro_py.admission import StartOutcome, StartRequest, StartResult, VersionName
from maestro_py.model.definition import Workflow
from maestro_py.model.errors import MaestroError, ParamError, StoreUnavailable, Unprocessable
from maestro_py.model.ids import new_uid
from maestro_py.params import Parameter, start_facts, start_work
from maestro_py.ports.evaluator import IN_THREAD, Evaluator, params_of_start
from maestro_py.ports.signal_store import Contended, Cursor, CursorTransaction, Signal, SignalStore
from maestro_py.signals.triggers import Advance, advance_all, initiator_of, request_id_of

#: Cursors that one transaction locks, signals that it reads, and runs that it starts at most.
CURSORS_AT_MOST: Final = 200
SIGNALS_AT_MOST: Final = 500
STARTS_AT_MOST: Final = 500
#: Definitions kept in memory.
DEFINITIONS_KEPT: Final = 1_000


class Visit(NamedTuple):
    """What a visit to a name did."""

    partitions: frozenset[int] = frozenset()  #: Engine partitions to hint.
    workflows: frozenset[str] = frozenset()  #: Whose cursors moved.
    started: int = 0  #: Runs.
    more: bool = False  #: Whether another visit has work to do at once.


class VisitFailed(MaestroError):
    """A visit did nothing because something about one of *workflows* is wrong; the cause says what."""

    def __init__(self, workflows: Collection[str]) -> None:
        super().__init__(f"signals could not be applied to {', '.join(sorted(workflows)) or 'any workflow'}")
        self.workflows = frozenset(workflows)


class Definitions:
    """The definitions that starts were made from lately; a definition never changes, so none grows stale."""

    def __init__(self) -> None:
        self._kept: dict[UUID, Workflow] = {}

    async def of(self, tx: CursorTransaction, uids: Collection[UUID]) -> dict[UUID, Workflow]:
        """Return the definitions of *uids*, reading by one query those that are not kept."""
        unknown = [uid for uid in uids if uid not in self._kept]
        read = await tx.definitions(unknown) if unknown else {}
        answer = {uid: read.get(uid) or self._kept[uid] for uid in uids}
        self._kept |= read
        while len(self._kept) > DEFINITIONS_KEPT:
            del self._kept[next(iter(self._kept))]
        return answer


async def visit(
    name: str,
    store: SignalStore,
    definitions: Definitions,
    *,
    now_ms: int,
    resting: Collection[str] = (),
    cursors_at_most: int = CURSORS_AT_MOST,
    evaluator: Evaluator = IN_THREAD,
) -> Visit:
    """
    Apply signals of *name* to some of the cursors that are behind, and return what to hint and whether work remains.

    Args:
        name: Of the signals.
        store: Where they are.
        definitions: Kept between visits.
        now_ms: UTC epoch ms.
        resting: Workflows to leave alone.
        cursors_at_most: 1 finds out which of several is to blame for `VisitFailed`.
        evaluator: Evaluates parameters that are too heavy for the loop.

    Raises:
        Contended: others hold what is left to do.
        StoreUnavailable: the database is away; what was committed, the cursors say.
        VisitFailed: nothing was done; with more than one workflow in it, try one at a time.
    """
    cursors: list[Cursor] = []
    try:
        async with store.transaction() as tx:
            cursors = await tx.take(name, cursors_at_most, resting)
            if not cursors and await tx.settle(name):
                cursors = await tx.take_contended(name, resting)
            if not cursors:
                return Visit()
            return await _apply(name, tx, cursors, _Starts(definitions, evaluator, now_ms))
    except (Contended, StoreUnavailable):
        raise
    except Exception as exc:
        # One bad definition or trigger must not stop the others: the caller finds it and lets it rest.
        raise VisitFailed({cursor.workflow_id for cursor in cursors}) from exc


class _Starts(NamedTuple):
    """What starting runs needs."""

    definitions: Definitions
    evaluator: Evaluator
    now_ms: int


async def _apply(name: str, tx: CursorTransaction, cursors: Sequence[Cursor], starts: _Starts) -> Visit:
    listening = [cursor for cursor in cursors if cursor.active is not None]
    deaf = [cursor for cursor in cursors if cursor.active is None]
    if deaf:
        await tx.unsubscribe(deaf)
    advances: list[Advance] = []
    if listening:
        first = min(cursor.next_seq for cursor in listening)
        signals = await tx.signals(name, first, SIGNALS_AT_MOST)
        advances = advance_all(listening, signals, STARTS_AT_MOST)
    results = await _start(tx, advances, starts)
    if advances:
        await tx.move([(moved.cursor, moved.next_seq) for moved in advances])
    return Visit(
        partitions=frozenset(partition for result in results for partition in result.partitions),
        workflows=frozenset(moved.cursor.workflow_id for moved in advances),
        started=sum(result.was_stored for result in results),
        more=await tx.settle(name),
    )


async def _start(tx: CursorTransaction, advances: Sequence[Advance], starts: _Starts) -> list[StartResult]:
    uids = {moved.cursor.active.definition_uid for moved in advances if moved.matched and moved.cursor.active}
    if not uids:
        return []
    workflows = await starts.definitions.of(tx, uids)
    requests = [request for moved in advances for request in await _requests(moved, workflows, starts)]
    results = await tx.start(requests, starts.now_ms)
    for result in results:
        # We hold the workflow's row since before we read its version, so no other outcome is possible.
        if not result.was_stored and result.outcome is not StartOutcome.DUPLICATED:
            raise Unprocessable(f"workflow {result.workflow_id!r} was not started: {result.outcome} {result.message}")
    return results


async def _requests(moved: Advance, workflows: dict[UUID, Workflow], starts: _Starts) -> list[StartRequest]:
    """Return one start for each signal that *moved* matched; what differs between them is the initiator."""
    active = moved.cursor.active
    if active is None:
        return []
    workflow = workflows[active.definition_uid] if moved.matched else None
    return [await _request(moved.cursor, signal, workflow, starts) for signal in moved.matched if workflow]


async def _request(cursor: Cursor, signal: Signal, workflow: Workflow, starts: _Starts) -> StartRequest:
    assert cursor.active is not None
    run_uid, initiator, owner = new_uid(), initiator_of(cursor, signal), cursor.active.owner
    params: dict[str, Parameter] = {}
    failure: str | None = None
    try:
        facts = start_facts(workflow, initiator, owner=owner, seed=str(run_uid), now_ms=starts.now_ms)
        work = start_work(workflow, {}, system={"owner": owner}, facts=facts)
        params = await params_of_start(work, starts.evaluator)
    except ParamError as exc:
        # Nobody waits for an answer to whom it could be told: the run is stored as FAILED (``persist_failed_run``).
        failure = str(exc)
    return StartRequest(
        workflow_id=cursor.workflow_id,
        run_uid=run_uid,
        request_id=request_id_of(cursor, signal),
        version_name=VersionName.ACTIVE,
        workflow_version=cursor.active.workflow_version,
        definition_uid=cursor.active.definition_uid,
        initiator=initiator,
        params=params,
        request_time_ms=starts.now_ms,
        workflow_name=workflow.name,
        tags=workflow.tags,
        failure=failure,
    )
