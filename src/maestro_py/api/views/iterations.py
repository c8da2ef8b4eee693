"""The public form of an iteration of loops that stand in one another (specification 9.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from maestro_py.api.responses import present
from maestro_py.api.views.step_states import public_state
from maestro_py.model.loops import iteration_id, iteration_rank
from maestro_py.ports.api_records import AttemptRecord, IterationDetail


def flattened_document(detail: IterationDetail, step_id: str, path: Sequence[int]) -> dict[str, Any]:
    """Return the iteration, and the step in it; of an iteration of the step itself, which is a loop, that alone."""
    run, innermost = detail.run, detail.passed[-1]
    address = {
        "workflow_id": innermost.workflow_id,
        "workflow_instance_id": innermost.instance_id,
        "workflow_run_id": innermost.run_id,
    }
    attempt = None if detail.step is None else detail.step.attempts[0]
    return present(
        workflow_id=run.workflow_id,
        workflow_instance_id=run.instance_id,
        workflow_run_id=run.run_id,
        step_id=step_id,
        iteration_id=iteration_id(path),
        iteration_rank=iteration_rank(path),
        loop_params={
            name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for passed in detail.passed
            for name, value in (passed.loop_values or {}).items()
        },
        iteration=present(
            **address,
            status=innermost.status,
            create_time=innermost.create_time_ms,
            start_time=innermost.start_time_ms,
            end_time=innermost.end_time_ms,
            quarantine=innermost.quarantine_reason,
        ),
        **({} if attempt is None else _leaf(attempt, address)),
    )


def _leaf(attempt: AttemptRecord, address: dict[str, Any]) -> dict[str, Any]:
    state = public_state(attempt.status, attempt.times, attempt.dispatch, attempt.claimed_at, attempt.reported_at)
    return {
        "step_attempt_seq": attempt.attempt,
        "leaf_step_instance_ref": {**address, "step_id": attempt.step_id, "step_attempt_id": attempt.attempt},
        "step_runtime_state": {"status": state.status, **state.times},
    }
