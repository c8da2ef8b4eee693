"""Render a definition in native form, as it is answered to a GET (specification section 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from maestro_py.model.definition import Backoff, ParamDefinition, RetryPolicy, Step, Tag, Workflow
from maestro_py.model.forms.step_words import native_type
from maestro_py.model.statuses import FailureMode

_FIXED_FIELDS = ("error_retry_backoff_in_secs", "platform_retry_backoff_in_secs", "timeout_retry_backoff_in_secs")


def to_document(workflow: Workflow) -> dict[str, Any]:
    """Return the native ``workflow`` object: snake_case, absent values left out.  Read again it gives *workflow*."""
    return _present(
        {
            "id": workflow.id,
            "name": workflow.name,
            "description": workflow.description,
            "tags": [_tag(tag) for tag in workflow.tags],
            "timeout": workflow.timeout,
            "criticality": workflow.criticality,
            "signal_triggers": [trigger_document(trigger) for trigger in workflow.signal_triggers],
            "time_triggers": [dict(trigger) for trigger in workflow.time_triggers],
            "params": params_document(workflow.params),
            "steps": _steps(workflow.steps),
        }
    )


def params_document(params: Mapping[str, ParamDefinition]) -> dict[str, Any]:
    """Return definitions by name as documents."""
    return {name: _param(definition) for name, definition in params.items()}


def trigger_document(trigger: Mapping[str, Any]) -> dict[str, Any]:
    """Return a canonical signal trigger as a document."""
    params = {name: msgspec.convert(param, ParamDefinition) for name, param in trigger.get("params", {}).items()}
    return {**trigger, "params": params_document(params)} if params else dict(trigger)


def _steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    predecessors: dict[str, list[str]] = {step.id: [] for step in steps}
    for step in steps:
        for successor in step.successors:
            predecessors[successor].append(step.id)
    return [_step(step, predecessors[step.id]) for step in steps]


def _step(step: Step, predecessors: list[str]) -> dict[str, Any]:
    common = {
        "id": step.id,
        "name": step.name,
        "description": step.description,
        "transition": _present({"predecessors": predecessors, "successors": dict(step.successors)}),
        "failure_mode": None if step.failure_mode is FailureMode.FAIL_AFTER_RUNNING else str(step.failure_mode),
        "tags": [_tag(tag) for tag in step.tags],
        "timeout": step.timeout,
        "params": params_document(step.params),
    }
    if step.is_foreach:
        return {
            "foreach": _present(
                common
                | {
                    "concurrency": step.concurrency,
                    "strict_ordering": step.strict_ordering or None,
                    "spread_items": step.spread_items or None,
                    "steps": _steps(step.steps),
                }
            )
        }
    return {
        "step": _present(
            common
            | {
                "type": native_type(step.type),
                "retry_policy": _retry_policy(step.retry_policy) if step.retry_policy else None,
                "queue": None if step.queue == "default" else step.queue,
                "outputs": {name: str(kind) for name, kind in step.outputs.items()},
                "undeclared_outputs": step.undeclared_outputs or None,
            }
        )
    }


def _param(definition: ParamDefinition) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(definition)
    document.pop("meta", None)
    return document | definition.meta


def _retry_policy(policy: RetryPolicy) -> dict[str, Any]:
    return {
        "error_retry_limit": policy.error_retry_limit,
        "platform_retry_limit": policy.platform_retry_limit,
        "timeout_retry_limit": policy.timeout_retry_limit,
        "backoff": _backoff(policy.backoff),
    }


def _backoff(backoff: Backoff) -> dict[str, Any]:
    fields = msgspec.structs.asdict(backoff)
    if backoff.type == "FIXED_BACKOFF":
        return {"type": backoff.type} | {name: fields[name] for name in _FIXED_FIELDS}
    return fields


def _tag(tag: Tag) -> str | dict[str, Any]:
    if tag.namespace is None and not tag.attributes:
        return tag.name
    return _present({"name": tag.name, "namespace": tag.namespace}) | tag.attributes


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None and value not in ([], {})}
