"""
Apply the signals of one name to the cursors that wait for them: look, compute, then hold, check and save.

No row is held while users' expressions run.  The starts are stored in the transaction that moves the cursors, and only
where a cursor and its workflow's version are what they were at the look; so whoever is killed, and whenever, each
signal starts each of its runs once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from maestro_py.admission import StartOutcome, StartResult
from maestro_py.model.definition import Workflow
from maestro_py.model.errors import MaestroError, StoreUnavailable, Unprocessable
from maestro_py.ports.evaluator import Evaluator, EvaluatorBusy
from maestro_py.ports.signal_store import (
    Contended,
    Cursor,
    CursorTransaction,
    Drop,
    DropReason,
    Look,
    Move,
    SignalStore,
)
from maestro_py.signals.drops import drop_of, with_drops
from maestro_py.signals.planning import Allowance, Plan, plan, plan_heavy
from maestro_py.signals.triggers import Advance, advance

#: Cursors that one visit looks at, signals that it reads, and matches that it computes at most.
CURSORS_AT_MOST: Final = 200
SIGNALS_AT_MOST: Final = 500
MATCHES_AT_MOST: Final = 500
#: Heavy matches of one cursor that are evaluated side by side; each is stored with the others, so not many.
HEAVY_MATCHES_AT_MOST: Final = 4
#: A claim holds for so long and is renewed while somebody evaluates, in ms.
CLAIM_MS: Final = 10_000
#: Definitions kept in memory.
DEFINITIONS_KEPT: Final = 1_000


class Visit(NamedTuple):
    """What a visit to a name did."""

    partitions: frozenset[int] = frozenset()  #: Engine partitions to hint.
    workflows: frozenset[str] = frozenset()  #: Whose cursors moved.
    started: int = 0  #: Runs.
    drops: Mapping[tuple[str, DropReason], Sequence[Drop]] = {}  #: By workflow and reason.
    more: bool = False  #: Whether another visit has work to do at once.
    heavy: tuple[Cursor, ...] = ()  #: Claimed for us: what their next signals start is to be evaluated elsewhere.
    crowded: frozenset[str] = frozenset()  #: Workflows with such cursors that nobody has room for now.
    wrong: Mapping[str, Exception] = {}  #: Workflows that could not be started, and why.


class VisitFailed(MaestroError):
    """A visit did nothing because something about one of *workflows* is wrong; the cause says what."""

    def __init__(self, workflows: Collection[str]) -> None:
        super().__init__(f"signals could not be applied to {', '.join(sorted(workflows)) or 'any workflow'}")
        self.workflows = frozenset(workflows)


class Definitions:
    """The definitions that starts were made from lately; a definition never changes, so none grows stale."""

    def __init__(self) -> None:
        self._kept: dict[UUID, Workflow] = {}

    async def of(self, store: SignalStore, uids: Collection[UUID]) -> dict[UUID, Workflow]:
        """Return the definitions of *uids*, reading by one query those that are not kept."""
        unknown = [uid for uid in uids if uid not in self._kept]
        read = await store.definitions(unknown) if unknown else {}
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
    heavy_at_most: int = CURSORS_AT_MOST,
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
        heavy_at_most: Cursors that may be claimed to be evaluated elsewhere.

    Raises:
        Contended: others hold what is left to do.
        StoreUnavailable: the database is away; what was committed, the cursors say.
        VisitFailed: nothing was done; with more than one workflow in it, try one at a time.
    """
    look = Look([], [])
    try:
        look = await store.look(name, cursors_at_most, resting, SIGNALS_AT_MOST)
        if not look.cursors:
            async with store.transaction() as tx:
                if not await tx.settle(name):
                    return Visit()
            cursor = await store.await_contended(name, resting)
            if cursor is None:
                return Visit()
            look = Look([cursor], await store.signals(name, cursor.next_seq, SIGNALS_AT_MOST))
        planned = await _planned(look, store, definitions, now_ms)
        return await _apply(name, store, planned, now_ms, heavy_at_most)
    except (Contended, StoreUnavailable):
        raise
    except Exception as exc:
        # One bad definition or trigger must not stop the others: the caller finds it and lets it rest.
        raise VisitFailed({cursor.workflow_id for cursor in look.cursors}) from exc


async def visit_heavy(
    cursor: Cursor, store: SignalStore, definitions: Definitions, evaluator: Evaluator, *, now_ms: int
) -> Visit:
    """
    Apply the next signals to a cursor that a visit has claimed, however long their expressions take.

    Args:
        cursor: As the visit returned it.
        store: Where the signals are.
        definitions: Kept between visits.
        evaluator: Evaluates what is heavy.
        now_ms: UTC epoch ms.

    Raises:
        Contended: somebody holds the workflow's row; try again.
        EvaluatorBusy: *evaluator* has too much to do; nothing was done.
        StoreUnavailable: the database is away; what was committed, the cursor says.
        VisitFailed: nothing was done.
    """
    try:
        signals = await store.signals(cursor.name, cursor.next_seq, SIGNALS_AT_MOST)
        moved = advance(cursor, signals, HEAVY_MATCHES_AT_MOST)
        if cursor.active is None:
            return Visit()
        workflows = await definitions.of(store, [cursor.active.definition_uid])
        workflow = workflows[cursor.active.definition_uid]
        planned = _Planned([await plan_heavy(moved, cursor.active, workflow, evaluator, now_ms)], [], {})
        while True:
            try:
                return await _apply(cursor.name, store, planned, now_ms, 0, claimed=True)
            except Contended:
                # What it took long to compute is kept; the workflow's row is somebody's for a moment only.
                continue
    except (EvaluatorBusy, StoreUnavailable):
        raise
    except Exception as exc:
        raise VisitFailed({cursor.workflow_id}) from exc


class _Planned(NamedTuple):
    """What is to be done with the cursors of a look."""

    plans: Sequence[Plan]
    deaf: Sequence[Cursor]  #: Their workflows hear no signals any more.
    wrong: Mapping[str, Exception]


async def _planned(look: Look, store: SignalStore, definitions: Definitions, now_ms: int) -> _Planned:
    """Return what becomes of the cursors of *look*, as far as the loop has time for it."""
    plans: list[Plan] = []
    wrong: dict[str, Exception] = {}
    limit = MATCHES_AT_MOST
    advances: list[Advance] = []
    for cursor in look.cursors:
        if cursor.active is not None:
            try:
                moved = advance(cursor, look.signals, limit)
            except Unprocessable as exc:
                wrong[cursor.workflow_id] = exc
                continue
            limit -= len(moved.matched)
            advances.append(moved)
    uids = {moved.cursor.active.definition_uid for moved in advances if moved.matched and moved.cursor.active}
    workflows = await definitions.of(store, uids) if uids else {}
    allowance = Allowance()
    for moved in advances:
        active = moved.cursor.active
        assert active is not None
        if not moved.matched:
            found = Plan(moved.cursor, moved.next_seq)
        else:
            found = await plan(moved, active, workflows[active.definition_uid], allowance, now_ms)
        if found.is_heavy or found.next_seq > moved.cursor.next_seq:
            plans.append(found)
    return _Planned(plans, [cursor for cursor in look.cursors if cursor.active is None], wrong)


async def _apply(
    name: str, store: SignalStore, planned: _Planned, now_ms: int, heavy_at_most: int, *, claimed: bool = False
) -> Visit:
    """Store what was planned, where it still is as it was when it was planned."""
    cursors = [*(each.cursor for each in planned.plans), *planned.deaf]
    async with store.transaction() as tx:
        held = {cursor.key for cursor in await tx.hold(cursors, claimed=claimed)} if cursors else set()
        plans = [each for each in planned.plans if each.cursor.key in held]
        deaf = [cursor for cursor in planned.deaf if cursor.key in held]
        if deaf:
            await tx.unsubscribe(deaf)
        results, dropped = await _start(tx, plans, now_ms)
        heavy = [each for each in plans if each.is_heavy]
        ours = {each.cursor.key for each in heavy[:heavy_at_most]}
        moves = [
            Move(
                each.cursor,
                each.next_seq,
                with_drops(each.cursor.drops, dropped[each.cursor.key]),
                CLAIM_MS if each.cursor.key in ours else 0,
            )
            for each in plans
        ]
        if moves:
            await tx.move(moves)
        more = await tx.settle(name)
    return Visit(
        partitions=frozenset(partition for result in results for partition in result.partitions),
        workflows=frozenset(each.cursor.workflow_id for each in plans),
        started=sum(result.was_stored for result in results),
        drops=_by_reason(dropped),
        more=more,
        heavy=tuple(_moved(move) for move in moves if move.claim_ms),
        crowded=frozenset(each.cursor.workflow_id for each in heavy[heavy_at_most:]),
        wrong=planned.wrong,
    )


def _moved(move: Move) -> Cursor:
    return msgspec.structs.replace(move.cursor, next_seq=move.next_seq, drops=move.drops)


def _by_reason(dropped: Mapping[tuple[str, str], Sequence[Drop]]) -> dict[tuple[str, DropReason], list[Drop]]:
    found: dict[tuple[str, DropReason], list[Drop]] = {}
    for (workflow_id, _), drops in dropped.items():
        for drop in drops:
            found.setdefault((workflow_id, drop.reason), []).append(drop)
    return found


async def _start(
    tx: CursorTransaction, plans: Sequence[Plan], now_ms: int
) -> tuple[list[StartResult], dict[tuple[str, str], list[Drop]]]:
    """Start what *plans* start; return what became of it, and by cursor the signals that started nothing."""
    dropped = {each.cursor.key: list(each.drops) for each in plans}
    starts = [(each.cursor, start) for each in plans for start in each.starts]
    if not starts:
        return [], dropped
    results = await tx.start([start.request for _, start in starts], now_ms)
    for (cursor, start), result in zip(starts, results, strict=True):
        if result.outcome is StartOutcome.DUPLICATED:
            message = f"a run with the request id {result.request_id} was started before"
            dropped[cursor.key].append(drop_of(start.signal, DropReason.DUPLICATE, message, now_ms))
        elif not result.was_stored:
            # We hold the workflow's row since before we read its version, so no other outcome is possible.
            raise Unprocessable(f"workflow {result.workflow_id!r} was not started: {result.outcome} {result.message}")
    for drops in dropped.values():
        drops.sort(key=lambda drop: drop.signal_id)
    return results, dropped
