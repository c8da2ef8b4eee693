"""The public form of evaluated parameters (specification 4.1, 4.5 and 4.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from maestro_py.api.views.step_states import PublicState
from maestro_py.model.definition import ParamMode, Step
from maestro_py.model.errors import ParamError
from maestro_py.model.given_names import STEP_PARAMS, outputs_of_type
from maestro_py.model.literals import infer_type
from maestro_py.model.statuses import StepStatus
from maestro_py.params import Parameter, ParamSource, derived_params, merge_outputs
from maestro_py.ports.api_records import AttemptRecord, RunRecord

#: Statuses of an attempt whose outputs are, or are about to be, parameters.  Of one that is INTERNALLY_FAILED they are
#: if it failed later, by a condition: then the rule accepts them.
_MERGED: Final = frozenset({StepStatus.FINISHING, StepStatus.SUCCEEDED, StepStatus.INTERNALLY_FAILED})


def params_document(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as they are stored, as documents: the extra keys of a definition beside the others."""
    return {name: _param_document(param) for name, param in stored.items()}


def run_params_document(run: RunRecord) -> dict[str, Any] | None:
    """
    Return all parameters of a run: those it holds, and the service's that follow from them (specification 4.5).

    An iteration holds only its own; the others are those of its parent, and are not repeated: None.
    """
    if run.params is None:
        return None
    derived = derived_params(msgspec.convert(run.params, dict[str, Parameter]))
    return params_document(msgspec.to_builtins(derived)) | params_document(run.params)


def step_params_document(run: RunRecord, step: Step, attempt: AttemptRecord, state: PublicState) -> dict[str, Any]:
    """Return the service's parameters of an attempt, its own, and its outputs as parameters of their own."""
    params = _service_params(run, attempt, state) | params_document(attempt.params or {})
    for name, value in _merged_outputs(step, attempt, state).items():
        declared = step.outputs.get(name) or outputs_of_type(step.type).get(name)
        base = params.get(name) or {"type": declared or infer_type(value), "mode": ParamMode.MUTABLE}
        params[name] = {
            **{key: inner for key, inner in base.items() if key != "expression"},
            "value": value,
            "evaluated_result": value,
            "evaluated_time": state.times.get("finish_time", 0),
            "source": ParamSource.OUTPUT_PARAMETER,
        }
    return params


def _param_document(param: Mapping[str, Any]) -> dict[str, Any]:
    meta = param.get("meta") or {}
    if param.get("source") == ParamSource.SYSTEM_DEFAULT and param.get("mode") == ParamMode.CONSTANT:
        meta = {**meta, "internal_mode": "RESERVED"}
    return {"mode": ParamMode.MUTABLE, **meta, **{key: value for key, value in param.items() if key != "meta"}}


def _service_params(run: RunRecord, attempt: AttemptRecord, state: PublicState) -> dict[str, Any]:
    """Return what the service gives to every step (specification 4.5)."""
    values = {
        "workflow_instance_id": run.instance_id,
        "step_instance_uuid": str(attempt.step_uuid),
        "step_attempt_id": attempt.attempt,
        "step_id": attempt.step_id,
        "maestro_step_satisfied": state.status is not StepStatus.UNSATISFIED,
    }
    return {
        name: {
            "type": kind,
            "value": values[name],
            "evaluated_result": values[name],
            "evaluated_time": state.times.get("create_time", 0),
            "mode": ParamMode.CONSTANT,
            "internal_mode": "RESERVED",
            "source": ParamSource.SYSTEM_DEFAULT,
        }
        for name, kind in STEP_PARAMS.items()
    }


def _merged_outputs(step: Step, attempt: AttemptRecord, state: PublicState) -> Mapping[str, Any]:
    if not attempt.outputs or state.status not in _MERGED:
        return {}
    try:
        return merge_outputs(step, msgspec.convert(attempt.params or {}, dict[str, Parameter]), attempt.outputs)
    except ParamError:
        return {}  # refused: the message of the attempt says why, and its parameters are as they were
