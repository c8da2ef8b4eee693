"""The public form of runs of instances (specification 1.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from maestro_py.api.responses import present
from maestro_py.api.views.params import params_document, run_params_document
from maestro_py.api.views.rendered import dag_json, prepare, workflow_json
from maestro_py.api.views.scopes import steps_of
from maestro_py.api.views.step_states import PublicState, public_state
from maestro_py.api.views.timelines import Event, became, in_order, logged
from maestro_py.model.definition import Step
from maestro_py.model.durations import parse_duration
from maestro_py.model.statuses import InstanceStatus, StepStatus
from maestro_py.ports.api_records import IterationRecord, RunDetail, RunRecord

#: A workflow that states no timeout has this one, in ms (specification 2.2).
DEFAULT_TIMEOUT_MS: Final = 10 * 24 * 3600 * 1000


async def prepare_run(detail: RunDetail) -> None:
    """Have ready what `run_document` shows of a large definition."""
    run = detail.run
    await prepare(run.definition_uid, detail.workflow, "workflow", f"dag {run.scope}")


def run_document(detail: RunDetail, *, enriched: bool) -> dict[str, Any]:
    """Return a WorkflowInstance; *enriched* adds the changes of its status to its timeline."""
    run = detail.run
    steps = steps_of(detail.workflow, run.scope)
    states = {
        step.step_id: public_state(step.status, step.times, step.dispatch, step.claimed_at, step.reported_at)
        for step in detail.steps
    }
    return {
        **run_fields(run),
        **present(
            params=run_params_document(run),
            internal_id=detail.internal_id,
            runtime_workflow=workflow_json(run.definition_uid, detail.workflow),
            runtime_dag=dag_json(run.definition_uid, detail.workflow, run.scope),
            timeout_in_millis=_timeout_ms(detail),
            runtime_overview=_overview(steps, states),
            timeline=run_timeline(run, enriched=enriched),
            aggregated_info=_aggregate(run, steps, states),
        ),
    }


def run_fields(run: RunRecord) -> dict[str, Any]:
    """Return the fields of a WorkflowInstance that its row holds; all that a list shows."""
    config = run.run_config or {}
    return present(
        workflow_id=run.workflow_id,
        workflow_instance_id=run.instance_id,
        workflow_run_id=run.run_id,
        workflow_uuid=run.workflow_uuid,
        correlation_id=run.correlation_id,
        workflow_version_id=run.workflow_version,
        execution_id=run.execution_id,
        run_config=present(policy=config.get("policy"), runtime_tags=config.get("runtime_tags")) or None,
        run_params=config.get("run_params"),
        run_properties=config.get("run_properties"),
        # An iteration's other parameters are those of its parent, which it does not copy.
        params=params_document(run.params) if run.params is not None else None,
        loop_values=run.loop_values,
        initiator=run.initiator,
        status=run.status,
        request_time=run.request_time_ms,
        create_time=run.create_time_ms,
        start_time=run.start_time_ms,
        end_time=run.end_time_ms,
        modify_time=run.modify_time_ms,
        artifacts=config.get("artifacts"),
        quarantine=run.quarantine_reason,
    )


def run_timeline(run: RunRecord, *, enriched: bool) -> list[Event]:
    """Return what happened to the run, in order."""
    events: list[Event] = list(run.timeline or ())
    if run.quarantine_reason is not None and not any(
        run.quarantine_reason in event.get("message", "") for event in events
    ):
        message = f"quarantined, an event could not be applied: {run.quarantine_reason}"
        events.append(logged(run.modify_time_ms, message, "ERROR"))
    if enriched:
        events.insert(0, became(run.create_time_ms, InstanceStatus.CREATED))
        if run.start_time_ms is not None:
            events.append(became(run.start_time_ms, InstanceStatus.IN_PROGRESS))
        if run.end_time_ms is not None:
            events.append(became(run.end_time_ms, run.status))
    return in_order(events)


def iteration_document(iteration: IterationRecord) -> dict[str, Any]:
    """Return one iteration of a foreach (ours)."""
    return present(
        workflow_id=iteration.workflow_id,
        workflow_instance_id=iteration.instance_id,
        workflow_run_id=iteration.run_id,
        status=iteration.status,
        loop_values=iteration.loop_values,
        create_time=iteration.create_time_ms,
        start_time=iteration.start_time_ms,
        end_time=iteration.end_time_ms,
        quarantine=iteration.quarantine_reason,
    )


def _timeout_ms(detail: RunDetail) -> int | None:
    stated = detail.workflow.timeout
    if detail.run.scope:
        return None  # an iteration has no timeout of its own
    if stated is None:
        return DEFAULT_TIMEOUT_MS
    try:
        return parse_duration(stated)
    except ValueError:
        return None  # it refers to a parameter; the engine works it out when the run begins


def _overview(steps: Sequence[Step], states: dict[str, PublicState]) -> dict[str, Any]:
    """Return how many steps are in which status; those not created are left out (specification 5.3)."""
    overview: dict[str, dict[str, Any]] = {}
    for ordinal, step in enumerate(steps, 1):
        state = states.get(step.id)
        if state is None:
            continue
        entry = overview.setdefault(state.status, {"cnt": 0, "steps": []})
        entry["cnt"] += 1
        entry["steps"].append([ordinal, state.times.get("start_time"), state.times.get("end_time")])
    return {"total_step_count": len(steps), "step_overview": overview}


def _aggregate(run: RunRecord, steps: Sequence[Step], states: dict[str, PublicState]) -> dict[str, Any]:
    """Return the state of each step over all runs of the instance (specification 5.4)."""
    views: dict[str, Any] = {}
    for step in steps:
        state = states.get(step.id)
        views[step.id] = present(
            workflow_run_id=run.run_id,
            status=StepStatus.NOT_CREATED if state is None else state.status,
            start_time=None if state is None else state.times.get("start_time"),
            end_time=None if state is None else state.times.get("end_time"),
        )
    return {"workflow_instance_status": run.status, "step_aggregated_views": views}
