"""Turn rows into runs and runs into rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from maestro_py.engine.decide.graph import Graph
from maestro_py.engine.decide.state import ForeachState, OuterParams, ParentRef, Run, StepState, step_uuid
from maestro_py.model.statuses import InstanceStatus, StepStatus
from maestro_py.params import decode_params, encode_params, merge_outputs
from maestro_py.ports.engine_store import AttemptRow, RunRow


def restore_run(
    row: RunRow, attempts: Iterable[AttemptRow], graph: Graph, internal_id: str, outer: OuterParams | None
) -> Run:
    """Return the run that the store holds, ready to be decided upon."""
    run = Run(
        partition=row.partition,
        run_uid=row.run_uid,
        workflow_id=row.workflow_id,
        instance_id=row.instance_id,
        run_id=row.run_id,
        graph=graph,
        workflow_version=row.workflow_version,
        definition_uid=row.definition_uid,
        internal_id=internal_id,
        correlation_id=row.correlation_id,
        depth=row.depth,
        root_workflow_id=row.root_workflow_id,
        parent=parent_of(row),
        outer=outer,
        loop_values=orjson.loads(row.loop_values) if row.loop_values else None,
        params=decode_params(row.params) if row.params else None,
        status=InstanceStatus(row.status),
        row_version=row.row_version,
    )
    run.initiator = row.initiator.encode()
    run.start_time_ms = row.start_time_ms
    run.end_time_ms = row.end_time_ms
    run.deadline_ms = row.deadline_ms
    run.stop_target = InstanceStatus(row.stop_target) if row.stop_target else None
    run.quarantine_reason = row.quarantine_reason
    run.timeline = orjson.loads(row.timeline) if row.timeline else []
    run.restore([_restore_step(attempt, graph) for attempt in attempts])
    return run


def parent_of(row: RunRow) -> ParentRef | None:
    """Return whose iteration the run is, if it is one."""
    if row.parent_run_uid is None:
        return None
    assert row.parent_partition is not None
    assert row.parent_step_id is not None
    assert row.parent_attempt is not None
    return ParentRef(row.parent_partition, row.parent_run_uid, row.parent_step_id, row.parent_attempt)


def restore_outer(document: str) -> OuterParams:
    """Return what the iterations of a foreach see of the outside."""
    task = orjson.loads(document)
    return OuterParams(task["values"], task["outputs"])


def _restore_step(row: AttemptRow, graph: Graph) -> StepState:
    step = StepState(graph.nodes[row.step_id], row.attempt, row.step_seq)
    step.status = StepStatus(row.status)
    step.times = orjson.loads(row.times)
    step.error_retries = row.error_retries
    step.platform_retries = row.platform_retries
    step.timeout_retries = row.timeout_retries
    step.params = decode_params(row.params) if row.params else {}
    step.edges = orjson.loads(row.edges) if row.edges else None
    step.foreach = ForeachState.from_document(orjson.loads(row.runtime)) if row.runtime else None
    step.intent = StepStatus(row.intent) if row.intent else None
    step.message = row.message
    step.outputs = merge_outputs(step.node.step, step.params, orjson.loads(row.outputs)) if row.outputs else None
    step.dispatched = row.dispatched
    return step


def run_row(run: Run, now_ms: int) -> dict[str, Any]:
    """Return the changed columns of a run (`ports.engine_store.Writes.runs`)."""
    return {
        "p": run.partition,
        "u": run.run_uid,
        "v": run.row_version,
        "s": run.status,
        "b": run.start_time_ms,
        "e": run.end_time_ms,
        "d": run.deadline_ms,
        "g": run.stop_target,
        "q": run.quarantine_reason,
        "t": run.timeline or None,
        "m": now_ms,
    }


def changed_attempt_row(run: Run, step: StepState) -> dict[str, Any]:
    """Return the changed columns of an attempt (`ports.engine_store.Writes.attempts`)."""
    return {
        "p": run.partition,
        "u": run.run_uid,
        "i": step.step_id,
        "n": step.attempt,
        "s": step.status,
        "t": step.times,
        "e": step.edges,
        "r": step.foreach.document() if step.foreach else None,
        "w": step.intent,
        "m": step.message,
    }


def new_attempt_row(run: Run, step: StepState, dispatch: str | None) -> dict[str, Any]:
    """Return all columns of a new attempt (`ports.engine_store.Writes.new_attempts`)."""
    definition = step.node.step
    row = changed_attempt_row(run, step)
    row |= {
        "o": step.seq,
        "x": step_uuid(run.run_uid, step.step_id, step.attempt),
        "y": definition.type,
        "re": step.error_retries,
        "rp": step.platform_retries,
        "rt": step.timeout_retries,
        "a": encode_params(step.params) if step.params else None,
        "j": step.task,
        "l": step.timeout_ms,
    }
    if dispatch is not None:
        row |= {"d": dispatch, "q": definition.queue, "k": step.node.backend_keys}
    return row


def attempt_key(run: Run, step_id: str, attempt: int) -> dict[str, Any]:
    """Return the key of an attempt as the statements name its columns."""
    return {"p": run.partition, "u": run.run_uid, "i": step_id, "n": attempt}


def event_row(run: Run, now_ms: int) -> dict[str, Any]:
    """Return what the batch changed of the run, for ``event_log``: ``records`` is (step, attempt, old, new, ms)."""
    return {
        "p": run.partition,
        "m": now_ms,
        "e": {
            "type": "STATUS_CHANGED",
            "run_uid": run.run_uid,
            "workflow_id": run.workflow_id,
            "workflow_instance_id": run.instance_id,
            "workflow_run_id": run.run_id,
            "correlation_id": run.correlation_id,
            "records": run.records,
        },
    }


def child_initiator(run: Run, step: StepState, initiator: Mapping[str, Any]) -> dict[str, Any]:
    """Return the initiator of the iterations of *step*: the ancestors, root first (specification 3.5)."""
    ancestor = {
        "workflow_id": run.workflow_id,
        "instance_id": run.instance_id,
        "run_id": run.run_id,
        "step_id": step.step_id,
        "step_attempt_id": step.attempt,
        "sync": True,
    }
    return {"type": "FOREACH", "ancestors": [*initiator.get("ancestors", ()), ancestor]}
