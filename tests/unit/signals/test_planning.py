"""What a signal that matches comes to: a run, a run stored as FAILED, or nothing, and why (specification 8.3)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from maestro_py.model.definition import ParamDefinition, ParamMode, ParamType, Workflow
from maestro_py.model.errors import OverBudget
from maestro_py.model.ids import name_based_uuid
from maestro_py.params import Budget, ParamSource
from maestro_py.ports.evaluator import IN_THREAD, EvaluationAborted, Evaluator, EvaluatorBusy
from maestro_py.ports.signal_store import ActiveVersion, Cursor, Drop, DropReason, Drops, Signal
from maestro_py.signals.drops import KEPT, LONGEST_MESSAGE, drop_of, with_drops
from maestro_py.signals.planning import Allowance, Match, Start, outcome, plan, plan_heavy
from maestro_py.signals.triggers import Advance, request_id_of

NOW_MS = 1_800_000_000_000
ACTIVE = ActiveVersion(3, UUID(int=1), "ana")
SIGNAL = Signal(7, {"day": "20240229", "rows": 12, "price": "$5 ${x}"})
HEAVY = "long t = 0; for (int i = 0; i <= 100000; i += 1) { t += i; } t"


class Aborting:
    """An evaluator whose processes do not survive what they are given."""

    async def evaluate(self, document: bytes) -> bytes:
        raise EvaluationAborted("the processes that evaluated it ended 3 times before they could answer")


def e(expression: str, kind: str = "STRING") -> dict[str, Any]:
    return {"type": kind, "expression": expression}


def v(value: Any, kind: str = "STRING") -> dict[str, Any]:
    return {"type": kind, "value": value}


def a_cursor(name: str = "ready", **trigger: Any) -> Cursor:
    document = {"definitions": {name: {}}, **trigger}
    return Cursor(workflow_id="wf", trigger_uuid="t-1", name=name, trigger=document, next_seq=7, active=ACTIVE)


def a_workflow(**params: ParamDefinition) -> Workflow:
    return Workflow(id="wf", steps=(), params=params)


async def comes_to(
    cursor: Cursor, workflow: Workflow | None = None, *, signal: Signal = SIGNAL, evaluator: Evaluator | None = None
) -> Start | Drop:
    return await outcome(Match(cursor, ACTIVE, signal), workflow or a_workflow(), NOW_MS, evaluator=evaluator)


async def started(cursor: Cursor, workflow: Workflow | None = None, **more: Any) -> Any:
    """Return the request of the run that is started."""
    found = await comes_to(cursor, workflow, **more)
    assert isinstance(found, Start), found
    assert found.request.failure is None, found.request.failure
    return found.request


async def failure_of(cursor: Cursor, workflow: Workflow | None = None, **more: Any) -> str:
    found = await comes_to(cursor, workflow, **more)
    assert isinstance(found, Start), found
    assert found.request.failure is not None
    return found.request.failure


async def dropped(cursor: Cursor, **more: Any) -> Drop:
    found = await comes_to(cursor, **more)
    assert isinstance(found, Drop), found
    return found


# --- parameters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        pytest.param(e("params.getFromSignal('ready', 'day')"), "20240229", id="8.3-of-a-signal"),
        pytest.param(e("params.getFromSignal('day')"), "20240229", id="8.3-of-the-only-signal-that-has-it"),
        pytest.param(e("params.getFromSignalOrDefault('ready', 'zone', 'eu')"), "eu", id="8.3-or-a-default"),
        pytest.param(e("params.getFromSignalOrDefault('ready', 'day', 'eu')"), "20240229", id="8.3-no-default"),
        pytest.param(e("Util.incrementDateInt(ready__day, 1)"), "20240301", id="4.4-signal__param"),
        pytest.param(v("of ${ready__day}"), "of 20240229", id="4.4-interpolated"),
        pytest.param(e("params.getFromSignal('ready', 'rows') * 2", "LONG"), 24, id="4.1-a-number"),
        pytest.param(e("other + '!'"), "o!", id="4.4-another-parameter-of-the-trigger"),
        pytest.param(e("params.get('other')"), "o", id="4.8-params-are-those-of-the-trigger"),
        pytest.param(e("params.getFromInstance('INITIATOR_TYPE')"), "SIGNAL", id="4.8-the-initiator"),
        pytest.param(e("params.getFromInstance('workflow_id')"), "wf", id="4.8-the-workflow"),
        pytest.param(e("params.getFromSignal('ready', 'price')"), "$5 ${x}", id="4.4-no-template"),
        pytest.param(
            v({"d": {"type": "STRING", "value": "${ready__price}"}, "n": {"type": "LONG", "value": 1}}, "MAP"),
            {"d": "$5 ${x}", "n": 1},
            id="4.1-a-map",
        ),
        pytest.param(e("Map m = new Map(); m.put('k', '$a'); m", "MAP"), {"k": "$a"}, id="4.1-a-map-computed"),
        pytest.param(e("String[] a = {'$a', 'b'}; a", "STRING_ARRAY"), ["$a", "b"], id="4.1-texts"),
        pytest.param(v({"${ready__day}": "$$1"}, "STRING_MAP"), {"20240229": "$1"}, id="4.1-a-map-of-texts"),
    ],
)
async def test_a_parameter_of_the_trigger_becomes_one_of_the_run(definition: dict[str, Any], expected: Any) -> None:
    request = await started(a_cursor(params={"p": definition, "other": v("o")}))

    assert expected == request.params["p"].evaluated_result
    assert expected == request.initiator["params"]["p"]
    # 4.3, last line: like those that a start request gives.
    assert ParamSource.LAUNCH is request.params["p"].source


async def test_it_is_laid_over_the_workflows_own_and_fitted_to_its_type() -> None:
    workflow = a_workflow(
        day=ParamDefinition(type=ParamType.LONG, value=1),
        next=ParamDefinition(type=ParamType.LONG, expression="day + 1"),
    )
    request = await started(a_cursor(params={"day": e("params.getFromSignal('day')")}), workflow)

    assert 20240229 == request.params["day"].evaluated_result
    assert 20240230 == request.params["next"].evaluated_result


async def test_no_parameter_of_the_workflow_is_seen() -> None:
    """8.3: evaluated with no workflow params."""
    workflow = a_workflow(region=ParamDefinition(type=ParamType.STRING, value="eu"))

    assert "'region' names no parameter" in await failure_of(a_cursor(params={"p": e("region")}), workflow)
    assert "'RUN_TS' names no parameter" in await failure_of(a_cursor(params={"p": e("RUN_TS", "LONG")}), workflow)


async def test_the_initiator_names_the_signal_and_carries_all_parameters() -> None:
    """3.5: SIGNAL {trigger_uuid, signal_id_map{name:seq}, params}."""
    request = await started(a_cursor(params={"p": v("x")}))

    assert {
        "type": "SIGNAL",
        "trigger_uuid": "t-1",
        "signal_id_map": {"ready": 7},
        "params": {"p": "x", "ready": dict(SIGNAL.params)},
    } == request.initiator


async def test_the_run_reads_the_triggers_parameters_by_get_from_signal() -> None:
    """4.8: ``getFromSignal(param)`` (trigger-defined params); a map is not taken for a signal."""
    workflow = a_workflow(
        copy=ParamDefinition(type=ParamType.STRING, expression="params.getFromSignal('p')"),
        raw=ParamDefinition(type=ParamType.STRING, expression="params.getFromSignal('ready', 'day')"),
        inner=ParamDefinition(type=ParamType.LONG, expression="params.getFromSignal('m').get('k')"),
    )
    trigger = {"p": v("x"), "m": v({"k": {"type": "LONG", "value": 4}}, "MAP")}
    request = await started(a_cursor(params=trigger), workflow)

    assert ["x", "20240229", 4] == [request.params[name].evaluated_result for name in ("copy", "raw", "inner")]


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (e("params.getFromSignal('ready', 'zone')"), "no signal 'ready' with a parameter 'zone' started this run"),
        (e("params.getFromSignal('zone')"), "neither the trigger nor a signal"),
        (e("ready__day - 1", "LONG"), "signal trigger: params.p: "),
        (e("'a'.substring(5)"), "(line 1, column 5)\n  'a'.substring(5)\n      ^"),
    ],
)
async def test_a_parameter_that_cannot_be_evaluated_is_a_failed_run_with_the_reason(
    definition: dict[str, Any], message: str
) -> None:
    """8.3: persist_failed_run=true."""
    assert message in await failure_of(a_cursor(params={"p": definition}))


async def test_a_parameter_that_the_workflow_does_not_let_be_changed_is_a_failed_run() -> None:
    workflow = a_workflow(p=ParamDefinition(type=ParamType.STRING, value="x", mode=ParamMode.CONSTANT))

    assert "Cannot modify param with mode [CONSTANT]" in await failure_of(a_cursor(params={"p": v("y")}), workflow)


async def test_a_text_that_cannot_be_stored_is_a_failed_run_and_not_an_error_that_comes_back() -> None:
    half = Signal(7, {"day": "\ud83d"})

    assert "params: " in await failure_of(a_cursor(params={"p": v("${ready__day}")}), signal=half)


# --- the condition ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "condition",
    [
        pytest.param("true;", id="8.3-a-word"),
        pytest.param("p == 'x'", id="8.3-a-parameter-of-the-trigger"),
        pytest.param("params['p'] == 'x'", id="8.3-in-params"),
        pytest.param("params.getFromSignal('p') == 'x'", id="4.8-getFromSignal(param)"),
        pytest.param("params.getFromSignal('ready', 'rows') > 10", id="4.8-getFromSignal(signal,param)"),
        pytest.param("ready__rows > 10 && ready__day.startsWith('2024')", id="4.4-signal__param"),
    ],
)
async def test_a_condition_that_holds_lets_the_run_start(condition: str) -> None:
    await started(a_cursor(params={"p": v("x")}, condition=condition))


async def test_a_condition_that_is_false_drops_the_signal_with_the_reason() -> None:
    """8.3: false or error -> dropped."""
    expected = Drop(
        signal_id=7,
        reason=DropReason.CONDITION_FALSE,
        message="the condition is false: ready__rows > 100",
        time=NOW_MS,
    )

    assert expected == await dropped(a_cursor(condition="ready__rows > 100"))


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        pytest.param("ready__zone == 'eu'", "'ready__zone' names no parameter", id="8.3-names-nothing"),
        pytest.param("ready__rows", "gives true or false, not", id="8.3-no-boolean"),
        pytest.param("throw 'no'", "no", id="8.3-throws"),
        pytest.param("1 / 0 == 1", "(line 1, column 3)\n  1 / 0 == 1\n    ^", id="8.3-fails"),
    ],
)
async def test_a_condition_that_fails_drops_the_signal_with_the_error(condition: str, message: str) -> None:
    drop = await dropped(a_cursor(condition=condition))

    assert DropReason.CONDITION_FAILED is drop.reason
    assert message in drop.message


# --- the request id --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dedup_expr", "expected"),
    [
        pytest.param("'day-' + ready__day", name_based_uuid("day-20240229"), id="3.4-a-text"),
        pytest.param("ready__rows", name_based_uuid("12"), id="3.4-a-number"),
        pytest.param("'0C6E4C63-6B5F-4D1E-9B5E-6A1F6C0F1A2B'", "0c6e4c63-6b5f-4d1e-9b5e-6a1f6c0f1a2b", id="3.4-a-uuid"),
        pytest.param("params.getFromSignal('p')", name_based_uuid("x"), id="4.8-of-the-trigger"),
        pytest.param("null", request_id_of(a_cursor(), SIGNAL), id="3.4-null-derived"),
        pytest.param("''", request_id_of(a_cursor(), SIGNAL), id="3.4-empty-derived"),
        pytest.param(None, request_id_of(a_cursor(), SIGNAL), id="3.4-none-derived"),
    ],
)
async def test_the_request_id_is_what_dedup_expr_gives(dedup_expr: str | None, expected: str) -> None:
    trigger: dict[str, Any] = {"params": {"p": v("x")}} | ({} if dedup_expr is None else {"dedup_expr": dedup_expr})

    assert expected == (await started(a_cursor(**trigger))).request_id


@pytest.mark.parametrize("dedup_expr", ["true", "new long[]{1}", "nosuch"])
async def test_a_dedup_expr_that_gives_no_text_is_a_failed_run_under_the_derived_id(dedup_expr: str) -> None:
    found = await comes_to(a_cursor(dedup_expr=dedup_expr))

    assert isinstance(found, Start)
    assert request_id_of(a_cursor(), SIGNAL) == found.request.request_id
    assert "dedup_expr: " in str(found.request.failure)


async def test_the_condition_is_asked_before_the_request_id() -> None:
    """8.3: then condition, then dedup_expr."""
    drop = await dropped(a_cursor(condition="false", dedup_expr="nosuch"))

    assert DropReason.CONDITION_FALSE is drop.reason


# --- what takes long -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "params"),
    [
        ({"params": {"p": e(HEAVY, "LONG")}}, {}),
        ({"condition": f"{HEAVY} > 0"}, {}),
        ({"dedup_expr": HEAVY}, {}),
        ({}, {"p": ParamDefinition(type=ParamType.LONG, expression=HEAVY)}),
    ],
    ids=["params", "condition", "dedup_expr", "params of the run"],
)
async def test_what_is_heavy_is_not_done_in_the_loop(trigger: dict[str, Any], params: Any) -> None:
    with pytest.raises(OverBudget):
        await comes_to(a_cursor(**trigger), a_workflow(**params))

    here = await started(a_cursor(**trigger), a_workflow(**params), evaluator=IN_THREAD)
    assert {**params, **trigger.get("params", {})}.keys() <= here.params.keys()


async def test_everything_of_one_match_shares_the_budget_of_the_loop() -> None:
    middling = "long t = 0; for (int i = 0; i < 300; i += 1) { t += i; } t"
    cursor = a_cursor(params={f"p{n}": e(middling, "LONG") for n in range(9)}, condition=f"{middling} > 0")
    match = Match(cursor, ACTIVE, SIGNAL)

    await outcome(match, a_workflow(), NOW_MS, budget=Budget(200_000))
    with pytest.raises(OverBudget):
        await outcome(match, a_workflow(), NOW_MS, budget=Budget(4_000))


async def test_an_evaluation_that_ends_its_process_drops_or_fails_the_start() -> None:
    aborting = Aborting()

    assert "given up" in await failure_of(a_cursor(params={"p": e(HEAVY, "LONG")}), evaluator=aborting)
    assert "given up" in await failure_of(a_cursor(dedup_expr=HEAVY), evaluator=aborting)
    drop = await dropped(a_cursor(condition=f"{HEAVY} > 0"), evaluator=aborting)
    assert DropReason.CONDITION_FAILED is drop.reason
    assert "given up" in drop.message


async def test_an_evaluator_that_is_busy_decides_nothing() -> None:
    class Busy:
        async def evaluate(self, document: bytes) -> bytes:
            raise EvaluatorBusy("10000 evaluations wait already")

    with pytest.raises(EvaluatorBusy):
        await comes_to(a_cursor(condition=f"{HEAVY} > 0"), evaluator=Busy())


# --- what becomes of the cursor ----------------------------------------------------------------------------------


def signals(*numbers: int) -> tuple[Signal, ...]:
    return tuple(Signal(number, {"n": number}) for number in numbers)


async def test_a_cursor_stops_before_the_first_signal_that_is_too_heavy() -> None:
    cursor = a_cursor(condition=f"if (ready__n < 9) {{ return ready__n != 8; }} {HEAVY} > 0")
    found = await plan(Advance(cursor, 11, signals(7, 8, 9, 10)), ACTIVE, a_workflow(), Allowance(), NOW_MS)

    assert (9, True) == (found.next_seq, found.is_heavy)
    assert [7] == [start.signal.seq_id for start in found.starts]
    assert [8] == [drop.signal_id for drop in found.drops]


async def test_a_cursor_stops_where_a_visit_has_computed_enough() -> None:
    found = await plan(Advance(a_cursor(), 10, signals(7, 8, 9)), ACTIVE, a_workflow(), Allowance(0), NOW_MS)

    assert (7, False, ()) == (found.next_seq, found.is_heavy, found.starts)


async def test_heavy_matches_are_all_decided_and_stand_in_their_order() -> None:
    cursor = a_cursor(condition=f"{HEAVY} > 0 && ready__n != 8")
    found = await plan_heavy(Advance(cursor, 10, signals(7, 8, 9)), ACTIVE, a_workflow(), IN_THREAD, NOW_MS)

    assert [7, 9] == [start.signal.seq_id for start in found.starts]
    assert [8] == [drop.signal_id for drop in found.drops]
    assert (10, False) == (found.next_seq, found.is_heavy)


async def test_an_evaluation_that_is_repeated_draws_the_same_numbers() -> None:
    cursor = a_cursor(params={"p": e("UUID.randomUUID().toString()")})

    assert (await started(cursor)).params["p"] == (await started(cursor)).params["p"]


# --- the trace ---------------------------------------------------------------------------------------------------


def test_the_trace_counts_all_drops_and_shows_the_latest() -> None:
    drops = [drop_of(Signal(n, {}), DropReason.CONDITION_FALSE, f"no {n}", NOW_MS) for n in range(1, 1001)]
    found = with_drops(with_drops(Drops(), drops[:3]), drops[3:])

    assert {DropReason.CONDITION_FALSE: 1000} == found.counts
    assert list(range(1000, 1000 - KEPT, -1)) == [drop.signal_id for drop in found.latest]
    assert found is with_drops(found, [])


def test_a_long_reason_is_cut() -> None:
    assert LONGEST_MESSAGE == len(drop_of(SIGNAL, DropReason.CONDITION_FAILED, "x" * 10_000, NOW_MS).message)
