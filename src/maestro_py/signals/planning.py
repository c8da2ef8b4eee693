"""
Compute what signals start, before anything is locked: parameters, condition and request id of the trigger, and then the
parameters of the run (specification 8.3).

Users' expressions run here: quick ones in the loop, the others in the evaluator, whose processes they may well end.
Whatever happens, it comes to a start, to a run that is stored as FAILED, or to a signal that is dropped with a reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from maestro_py.admission import StartRequest, VersionName
from maestro_py.model.definition import Workflow
from maestro_py.model.errors import OverBudget, ParamError
from maestro_py.model.ids import new_uid
from maestro_py.params import (
    CONDITION,
    DECISION_VISITS,
    DEDUP,
    Budget,
    Facts,
    Parameter,
    SignalTrigger,
    TriggerWork,
    plain_values,
    request_id_from,
    run_params_of,
    shown,
    start_facts,
    start_work,
    trigger_facts,
    trigger_of,
    trigger_params_work,
)
from maestro_py.ports.evaluator import Evaluator, EvaluatorBusy, params_of_start, result_of_trigger
from maestro_py.ports.signal_store import ActiveVersion, Cursor, Drop, DropReason, Signal
from maestro_py.signals.drops import drop_of
from maestro_py.signals.triggers import Advance, initiator_of, request_id_of

#: What the expressions of one visit may cost in the loop, in visits of their nodes: about 100 ms.
VISIT_BUDGET: Final = 400_000
#: The loop is left to others after so many visits.
_BREATH: Final = 40_000

_Result = TypeVar("_Result")


class Match(NamedTuple):
    """A signal that a trigger has matched."""

    cursor: Cursor
    active: ActiveVersion
    signal: Signal


class Start(NamedTuple):
    """A run that a signal starts."""

    signal: Signal
    request: StartRequest


class Plan(NamedTuple):
    """What becomes of a cursor: it moves to *next_seq*, and the signals that it passes start runs or are dropped."""

    cursor: Cursor
    next_seq: int
    starts: tuple[Start, ...] = ()
    drops: tuple[Drop, ...] = ()
    is_heavy: bool = False  #: What the signal at *next_seq* starts takes longer than the loop has.


class Allowance:
    """
    How much the expressions of one visit may still cost in the loop.

    Args:
        visits: Of nodes.
    """

    def __init__(self, visits: int = VISIT_BUDGET) -> None:
        self._left = visits
        self._breath = _BREATH

    @property
    def is_spent(self) -> bool:
        """Say whether nothing more may be evaluated in the loop."""
        return self._left <= 0

    async def spend(self, visits: int) -> None:
        """Take note that the loop was busy, and leave it to others now and then."""
        self._left -= visits
        self._breath -= visits
        if self._breath <= 0:
            self._breath = _BREATH
            await asyncio.sleep(0)


async def plan(moved: Advance, active: ActiveVersion, workflow: Workflow, allowance: Allowance, now_ms: int) -> Plan:
    """
    Return what becomes of the cursor that *moved*; it stops before a signal that is too heavy for the loop.

    Args:
        moved: The signals that it passes, and those that match.
        active: The version that is started.
        workflow: The definition of that.
        allowance: Of this visit.
        now_ms: UTC epoch milliseconds.
    """
    starts: list[Start] = []
    drops: list[Drop] = []
    for signal in moved.matched:
        if allowance.is_spent:
            return Plan(moved.cursor, signal.seq_id, tuple(starts), tuple(drops))
        budget = Budget(DECISION_VISITS)
        try:
            found = await outcome(Match(moved.cursor, active, signal), workflow, now_ms, budget=budget)
        except OverBudget:
            return Plan(moved.cursor, signal.seq_id, tuple(starts), tuple(drops), is_heavy=True)
        finally:
            await allowance.spend(DECISION_VISITS - budget.visits_left)
        if isinstance(found, Drop):
            drops.append(found)
        else:
            starts.append(found)
    return Plan(moved.cursor, moved.next_seq, tuple(starts), tuple(drops))


async def plan_heavy(
    moved: Advance, active: ActiveVersion, workflow: Workflow, evaluator: Evaluator, now_ms: int
) -> Plan:
    """
    Return what becomes of the cursor that *moved*, whatever it takes; what it matches is evaluated side by side.

    Raises:
        EvaluatorBusy: *evaluator* has too much to do.
    """
    matches = [Match(moved.cursor, active, signal) for signal in moved.matched]
    found = await asyncio.gather(*(outcome(match, workflow, now_ms, evaluator=evaluator) for match in matches))
    return Plan(
        moved.cursor,
        moved.next_seq,
        tuple(start for start in found if isinstance(start, Start)),
        tuple(drop for drop in found if isinstance(drop, Drop)),
    )


async def outcome(
    match: Match,
    workflow: Workflow,
    now_ms: int,
    *,
    evaluator: Evaluator | None = None,
    budget: Budget | None = None,
) -> Start | Drop:
    """
    Return what *match* comes to.

    Args:
        match: A signal and the trigger that it matches.
        workflow: That is started.
        now_ms: UTC epoch milliseconds.
        evaluator: For what takes longer than *budget*.
        budget: Of all its expressions together; without, each has that of one decision.

    Raises:
        OverBudget: it takes longer, and there is no *evaluator*.
        EvaluatorBusy: *evaluator* has too much to do.
    """
    return await _Outcome(match, workflow, now_ms, evaluator, budget).found()


class _Outcome:
    """The evaluation of one match: one thing after the other, each of which may end it."""

    def __init__(
        self, match: Match, workflow: Workflow, now_ms: int, evaluator: Evaluator | None, budget: Budget | None
    ) -> None:
        self._cursor, self._active, self._signal = match
        self._workflow = workflow
        self._now_ms = now_ms
        self._evaluator = evaluator
        self._budget = budget
        self._trigger: SignalTrigger = trigger_of(self._cursor.trigger)
        #: The request id, unless the trigger makes another; also the seed of chance, the same whoever evaluates.
        self._derived = request_id_of(self._cursor, self._signal)
        self._params: Mapping[str, Parameter] = {}

    async def found(self) -> Start | Drop:
        request_id, run_params, failure = self._derived, {}, None
        try:
            self._params = await self._trigger_params()
            drop = await self._unmet()
            if drop is not None:
                return drop
            request_id = await self._request_id()
        except ParamError as exc:
            failure = f"signal trigger: {exc}"
        initiator = initiator_of(self._cursor, self._signal, plain_values(self._params))
        if failure is None:
            try:
                run_params = await self._run_params(initiator)
            except ParamError as exc:
                failure = str(exc)
        return Start(self._signal, self._request(request_id, initiator, run_params, failure))

    def _request(
        self, request_id: str, initiator: Mapping[str, Any], params: Mapping[str, Parameter], failure: str | None
    ) -> StartRequest:
        return StartRequest(
            workflow_id=self._cursor.workflow_id,
            run_uid=new_uid(),
            request_id=request_id,
            version_name=VersionName.ACTIVE,
            workflow_version=self._active.workflow_version,
            definition_uid=self._active.definition_uid,
            initiator=initiator,
            params=params,
            request_time_ms=self._now_ms,
            workflow_name=self._workflow.name,
            tags=self._workflow.tags,
            # Nobody waits for an answer to whom it could be told: the run is stored as FAILED (``persist_failed_run``).
            failure=failure,
        )

    async def _trigger_params(self) -> Mapping[str, Parameter]:
        if not self._trigger.params:
            return {}
        work = trigger_params_work(self._trigger.params, self._facts())
        return await _guarded(params_of_start(work, self._evaluator, self._budget), "params")

    async def _unmet(self) -> Drop | None:
        """Return why nothing is started, if the condition says so or says nothing."""
        condition = self._trigger.condition
        if condition is None:
            return None
        try:
            if await self._expression(condition, CONDITION):
                return None
        except ParamError as exc:
            return drop_of(self._signal, DropReason.CONDITION_FAILED, str(exc), self._now_ms)
        message = f"the condition is false: {shown(condition)}"
        return drop_of(self._signal, DropReason.CONDITION_FALSE, message, self._now_ms)

    async def _request_id(self) -> str:
        if self._trigger.dedup_expr is None:
            return self._derived
        return request_id_from(await self._expression(self._trigger.dedup_expr, DEDUP), self._derived)

    async def _expression(self, source: str, path: str) -> Any:
        work = TriggerWork(source, path, plain_values(self._params), self._facts())
        return await _guarded(result_of_trigger(work, self._evaluator, self._budget), path)

    async def _run_params(self, initiator: Mapping[str, Any]) -> dict[str, Parameter]:
        owner, workflow = self._active.owner, self._workflow
        facts = start_facts(workflow, initiator, owner=owner, seed=self._derived, now_ms=self._now_ms)
        given = run_params_of(self._trigger.params, self._params)
        work = start_work(workflow, given, system={"owner": owner}, facts=facts)
        return await _guarded(params_of_start(work, self._evaluator, self._budget), "params")

    def _facts(self) -> Facts:
        signals = {self._cursor.name: self._signal.params}
        return trigger_facts(
            self._cursor.workflow_id,
            signals,
            owner=self._active.owner,
            seed=self._derived,
            now_ms=self._now_ms,
        )


async def _guarded(evaluation: Awaitable[_Result], path: str) -> _Result:
    """
    Return what *evaluation* comes to, if it is something that can be stored.

    Raises:
        ParamError: it fails, in whatever way: it would fail again, so nothing may be raised that is tried again.
    """
    try:
        result = await evaluation
        # What an expression cuts out of a text may be no text any more.
        msgspec.json.encode(result)
        return result
    except (ParamError, OverBudget, EvaluatorBusy):
        raise
    except Exception as exc:
        raise ParamError(path, f"could not be evaluated: {type(exc).__name__}: {exc}") from exc
