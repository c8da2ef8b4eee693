"""
Build definitions, tasks and rows for tests: everything has a default, a test states only what it is about.

Parameters are plain values, whose type is inferred as the simple form does.  What is built has not been through the
door: a definition may be wrong on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from maestro_py.model.definition import (
    Backoff,
    ParamDefinition,
    ParamType,
    RetryPolicy,
    Step,
    Workflow,
)
from maestro_py.model.literals import infer_type
from maestro_py.model.statuses import FailureMode, InstanceStatus
from maestro_py.params import Parameter, encode_params
from maestro_py.ports.engine_store import RunRow
from maestro_py.ports.step_type import StepTask

#: The time at which everything in a test begins, UTC epoch ms.
NOON_MS: Final = 1_800_000_000_000
#: The run of a test that does not care which.
RUN_UID: Final = UUID("01900000-0000-7000-8000-000000000001")
#: The definition of a test that does not care which.
DEFINITION_UID: Final = UUID("01900000-0000-7000-8000-0000000000d1")


def a_param(value: Any, type: ParamType | None = None) -> ParamDefinition:  # noqa: A002  # the word of the domain
    """Return the definition of a parameter with the literal *value*, of the type that fits it if none is given."""
    return ParamDefinition(type=type or infer_type(value), value=value)


def a_map(values: Mapping[str, Any]) -> ParamDefinition:
    """Return the definition of a MAP: each of *values* a parameter of its own."""
    documents = {name: msgspec.to_builtins(a_param(value)) for name, value in values.items()}
    return ParamDefinition(type=ParamType.MAP, value=documents)


def a_parameter(value: Any) -> Parameter:
    """Return an evaluated parameter, as a run holds it."""
    return Parameter(type=infer_type(value), evaluated_result=value, evaluated_time=NOON_MS, value=value)


def a_retry_policy(
    *, error: int | str = 0, platform: int | str = 0, timeout: int | str = 0, backoff: Backoff | None = None
) -> RetryPolicy:
    """Return a policy that retries nothing but what it is told to; the backoff is the default one if none is given."""
    return RetryPolicy(
        error_retry_limit=error,
        platform_retry_limit=platform,
        timeout_retry_limit=timeout,
        backoff=backoff or Backoff(),
    )


def a_step(
    id: str = "a",  # noqa: A002  # the word of the domain
    type: str = "python",  # noqa: A002  # the word of the domain
    *,
    then: str | Iterable[str] | Mapping[str, str] = (),
    params: Mapping[str, Any] | None = None,
    fails: FailureMode = FailureMode.FAIL_AFTER_RUNNING,
    retries: RetryPolicy | None = None,
    timeout: int | str | None = None,
    queue: str = "default",
    outputs: Mapping[str, ParamType] | None = None,
) -> Step:
    """
    Return a step that a worker runs, or one of *type* ``NoOp`` or ``Sleep``.

    Args:
        id: Its id.
        type: Its type.
        then: Its successors: an id, several, or id to condition.
        params: Name to plain value, or to a definition.
        fails: Its failure mode.
        retries: Its retry policy; None is the default of the specification.
        timeout: In seconds, or a template.
        queue: Whose workers run it.
        outputs: Name to type of what it may report beside its parameters; None: whatever it likes.
    """
    return Step(
        id=id,
        type=type,
        successors=_successors(then),
        params=_params(params),
        failure_mode=fails,
        retry_policy=retries,
        timeout=timeout,
        queue=queue,
        outputs=dict(outputs or {}),
        undeclared_outputs=outputs is None,
    )


def a_foreach(
    id: str = "loop",  # noqa: A002  # the word of the domain
    *steps: Step,
    items: Sequence[Any] | str = (),
    loop_params: ParamDefinition | None = None,
    concurrency: int | None = None,
    then: str | Iterable[str] | Mapping[str, str] = (),
    params: Mapping[str, Any] | None = None,
    fails: FailureMode = FailureMode.FAIL_AFTER_RUNNING,
    timeout: int | str | None = None,
) -> Step:
    """
    Return a foreach over *items*, each of which its *steps* see as ``item``.

    Args:
        id: Its id.
        steps: Its body; a single NoOp if none are given.
        items: A list, or a template that gives one.
        loop_params: The loop parameters themselves, instead of *items*.
        concurrency: Iterations running at a time, at most; None is the default window.
        then: Its successors: an id, several, or id to condition.
        params: Further parameters: name to plain value, or to a definition.
        fails: Its failure mode.
        timeout: In seconds, or a template.
    """
    return Step(
        id=id,
        type="foreach",
        successors=_successors(then),
        params={"loop_params": loop_params or a_map({"item": items}), **_params(params)},
        failure_mode=fails,
        timeout=timeout,
        concurrency=concurrency,
        steps=steps or (a_step("body", "NoOp"),),
        spread_items=loop_params is None,
    )


def a_workflow(
    *steps: Step,
    id: str = "w",  # noqa: A002  # the word of the domain
    params: Mapping[str, Any] | None = None,
    timeout: int | str | None = None,
) -> Workflow:
    """Return a workflow of *steps*, of a single NoOp if none are given; *timeout* is in seconds, or a template."""
    return Workflow(id=id, steps=steps or (a_step("a", "NoOp"),), params=_params(params), timeout=timeout)


def a_chain(length: int, type: str = "NoOp") -> Workflow:  # noqa: A002  # the word of the domain
    """Return a workflow of *length* steps of *type*, ``s1`` to ``s<length>``, one after the other."""
    steps = (a_step(f"s{i}", type, then=f"s{i + 1}" if i < length else ()) for i in range(1, length + 1))
    return a_workflow(*steps, id="chain")


def a_task(step: Step | None = None, *, attempt: int = 1, token: int = 1, **params: Any) -> StepTask:
    """Return what a worker hands to a step type that is to run *step*, with *params* as plain values."""
    step = step or a_step()
    return StepTask(
        workflow_id="w",
        instance_id=1,
        run_id=1,
        step_id=step.id,
        attempt=attempt,
        step_type=step.type,
        params=params,
        token=token,
    )


def a_run_row(
    *,
    partition: int = 1,
    run_uid: UUID = RUN_UID,
    workflow_id: str = "w",
    scope: str = "",
    status: InstanceStatus = InstanceStatus.CREATED,
    params: Mapping[str, Any] | None = None,
) -> RunRow:
    """Return the row of a run that was admitted and has not begun; *params* are plain values."""
    parameters = {name: a_parameter(value) for name, value in (params or {}).items()}
    return RunRow(
        partition=partition,
        run_uid=run_uid,
        row_version=1,
        workflow_id=workflow_id,
        instance_id=1,
        run_id=1,
        status=status.value,
        workflow_version=1,
        definition_uid=DEFINITION_UID,
        scope=scope,
        correlation_id="c",
        depth=0,
        root_workflow_id=workflow_id,
        parent_partition=None,
        parent_run_uid=None,
        parent_step_id=None,
        parent_attempt=None,
        loop_values=None,
        initiator='{"type":"MANUAL"}',
        params=encode_params(parameters).decode() if parameters else None,
        start_time_ms=None,
        end_time_ms=None,
        deadline_ms=None,
        stop_target=None,
        quarantine_reason=None,
        timeline=None,
    )


def _params(params: Mapping[str, Any] | None) -> dict[str, ParamDefinition]:
    return {
        name: value if isinstance(value, ParamDefinition) else a_param(value) for name, value in (params or {}).items()
    }


def _successors(then: str | Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    if isinstance(then, Mapping):
        return dict(then)
    return dict.fromkeys([then] if isinstance(then, str) else then, "true")
