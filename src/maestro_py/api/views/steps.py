"""The public form of attempts of steps (specification 1.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maestro_py.api.responses import present
from maestro_py.api.views.params import step_params_document
from maestro_py.api.views.rendered import dag, prepare, step_definitions
from maestro_py.api.views.retries import announced, next_attempt_document, retries_document
from maestro_py.api.views.scopes import steps_of
from maestro_py.api.views.step_states import PublicState, public_state
from maestro_py.api.views.timelines import Event, became, in_order, logged
from maestro_py.model.definition import Step
from maestro_py.model.ids import inline_workflow_id
from maestro_py.model.statuses import Dispatch
from maestro_py.ports.api_records import AttemptDetail, AttemptRecord


async def prepare_steps(detail: AttemptDetail) -> None:
    """Have ready what `step_documents` shows of a large definition."""
    run = detail.run
    await prepare(run.definition_uid, detail.workflow, f"edges {run.scope}", "steps")


def step_documents(detail: AttemptDetail, *, enriched: bool) -> list[dict[str, Any]]:
    """Return the StepInstances of *detail*; *enriched* adds the changes of their status to their timelines."""
    run = detail.run
    steps = {step.id: step for step in steps_of(detail.workflow, run.scope)}
    edges = dag(run.definition_uid, detail.workflow, run.scope)
    definitions = step_definitions(run.definition_uid, detail.workflow)
    return [
        _step_document(detail, attempt, steps[attempt.step_id], edges[attempt.step_id], enriched)
        | {"definition": definitions[attempt.step_id]}
        for attempt in detail.attempts
    ]


def _step_document(
    detail: AttemptDetail, attempt: AttemptRecord, step: Step, node: Mapping[str, Any], enriched: bool
) -> dict[str, Any]:
    run = detail.run
    state = public_state(attempt.status, attempt.times, attempt.dispatch, attempt.claimed_at, attempt.reported_at)
    following = next_attempt_document(attempt, step, state.status, detail.wakes)
    return present(
        workflow_id=run.workflow_id,
        workflow_instance_id=run.instance_id,
        workflow_run_id=run.run_id,
        step_id=attempt.step_id,
        step_attempt_id=attempt.attempt,
        workflow_uuid=run.workflow_uuid,
        step_uuid=attempt.step_uuid,
        correlation_id=run.correlation_id,
        step_instance_id=attempt.step_seq,
        workflow_version_id=run.workflow_version,
        owner=((run.run_config or {}).get("run_properties") or {}).get("owner"),
        tags=step.tags or None,
        params=step_params_document(run, step, attempt, state),
        outputs=attempt.outputs,
        transition={"predecessors": node["predecessors"], "successors": _edges(attempt, node["successors"], state)},
        step_retry=retries_document(attempt, step),
        timeout_in_millis=attempt.timeout_ms,
        runtime_state={"status": state.status, **state.times},
        artifacts=_foreach_artifact(detail, attempt),
        timeline=_timeline(detail, attempt, state, following, enriched),
        next_attempt=following,
        dispatch=_dispatch(attempt),
    )


def _edges(attempt: AttemptRecord, successors: Mapping[str, str], state: PublicState) -> dict[str, Any]:
    """Return the condition of each outgoing edge, with its result once the step is complete."""
    edges: dict[str, Any] = {}
    for successor, condition in successors.items():
        edges[successor] = {"type": "BOOLEAN", "expression": condition}
        if state.status.is_complete:
            result = True if attempt.edges is None else attempt.edges.get(successor, True)
            edges[successor] |= {"evaluated_result": result, "evaluated_time": state.times.get("end_time", 0)}
    return edges


def _foreach_artifact(detail: AttemptDetail, attempt: AttemptRecord) -> dict[str, Any] | None:
    """Return how far a foreach is; its size does not depend on the number of iterations."""
    if attempt.runtime is None:
        return None
    run = detail.run
    progress = attempt.runtime
    inline_id = inline_workflow_id(str(detail.internal_id), run.instance_id, run.workflow_id, attempt.step_id)
    running = progress.get("running", 0)
    stats = {**progress.get("counts", {}), **({"IN_PROGRESS": running} if running else {})}
    return {
        "maestro_foreach": {
            "type": "FOREACH",
            "foreach_workflow_id": inline_id,
            "foreach_identity": f"{run.correlation_id}:{attempt.step_id}:{attempt.attempt}",
            "foreach_run_id": 1,
            "run_policy": "START_FRESH_NEW_RUN",
            "total_loop_count": progress.get("total", 0),
            "next_loop_index": progress.get("launched", 0),
            "foreach_overview": {"stats": stats, "running_stats": {"IN_PROGRESS": running} if running else {}},
        }
    }


def _timeline(
    detail: AttemptDetail,
    attempt: AttemptRecord,
    state: PublicState,
    following: Mapping[str, Any] | None,
    enriched: bool,
) -> list[Event]:
    events: list[Event] = list(attempt.timeline or ())
    if enriched:
        events += [became(ms, status) for status, ms in attempt.times.items()]
    if attempt.dispatch in (Dispatch.READY, Dispatch.QUEUED) and not state.status.is_terminal:
        events.append(logged(state.times.get("wait_permit_time", 0), _waiting_for(detail.served, attempt)))
    if attempt.message:
        level = "INFO" if state.status.is_complete else "ERROR"
        events.append(logged(state.times.get("end_time", state.times.get("modify_time", 0)), attempt.message, level))
    if following is not None:
        events.append(announced(following, state.times.get("end_time", 0)))
    return in_order(events)


def _waiting_for(served: Sequence[tuple[str, frozenset[str]]], attempt: AttemptRecord) -> str:
    wanted = set(attempt.backend_keys or ())
    if any(queue == attempt.queue and wanted & keys for queue, keys in served):
        return "waiting for a worker slot"
    return f"no live worker serves queue {attempt.queue!r} / type {attempt.step_type!r}"


def _dispatch(attempt: AttemptRecord) -> dict[str, Any] | None:
    """Return where the work of the attempt is (ours), None for a step that the engine itself runs."""
    if attempt.dispatch is None:
        return None
    return present(
        state=attempt.dispatch,
        queue=attempt.queue,
        worker=attempt.worker,
        worker_name=attempt.worker_name,
        token=attempt.token,
        cancel_requested=True if attempt.cancel_requested_at is not None else None,
    )
