"""
Keep what is worked out from definitions: a version never changes, and clients poll its runs.

What is asked for is worked out at once; whoever may meet a large definition calls `prepare` first.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast
from uuid import UUID

import msgspec

from maestro_py.api.views.scopes import dag_of, steps_of
from maestro_py.model.definition import Workflow
from maestro_py.model.forms import to_document

_KEPT_AT_MOST: Final = 256
#: Definitions of more steps than this are worked out in a thread, so that the loop stays free for everybody else.
_ASIDE: Final = 300
_kept: OrderedDict[tuple[UUID, str], Any] = OrderedDict()


async def prepare(definition_uid: UUID, workflow: Workflow, *parts: str) -> None:
    """
    Work out *parts* of a large definition in a thread; of a small one nothing needs to be prepared.

    Args:
        definition_uid: Of the version.
        workflow: Its definition.
        parts: ``workflow`` (`workflow_json`), ``steps`` (`step_definitions`), or a scope with ``dag `` (`dag_json`) or
            ``edges `` (`dag`) before it.
    """
    missing = [part for part in parts if (definition_uid, part) not in _kept]
    if missing and any(number == _ASIDE for number, _ in enumerate(workflow.all_steps())):
        for part in missing:
            _keep((definition_uid, part), await asyncio.to_thread(_work_out, workflow, part))


def workflow_json(definition_uid: UUID, workflow: Workflow) -> msgspec.Raw:
    """Return the native form of *workflow* as JSON."""
    return cast("msgspec.Raw", _part(definition_uid, workflow, "workflow"))


def dag_json(definition_uid: UUID, workflow: Workflow, scope: str) -> msgspec.Raw:
    """Return the runtime DAG of one scope of *workflow* as JSON."""
    return cast("msgspec.Raw", _part(definition_uid, workflow, f"dag {scope}"))


def dag(definition_uid: UUID, workflow: Workflow, scope: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the runtime DAG of one scope of *workflow*."""
    return cast("Mapping[str, Mapping[str, Any]]", _part(definition_uid, workflow, f"edges {scope}"))


def step_definitions(definition_uid: UUID, workflow: Workflow) -> Mapping[str, msgspec.Raw]:
    """Return the native form of each step of *workflow*, nested ones too, as JSON by its id."""
    return cast("Mapping[str, msgspec.Raw]", _part(definition_uid, workflow, "steps"))


def _work_out(workflow: Workflow, part: str) -> Any:
    kind, _, scope = part.partition(" ")
    match kind:
        case "workflow":
            return _json(to_document(workflow))
        case "steps":
            return _step_definitions(to_document(workflow)["steps"])
        case "dag":
            return _json(dag_of(steps_of(workflow, scope)))
        case _:
            return dag_of(steps_of(workflow, scope))


def _step_definitions(steps: Sequence[dict[str, Any]]) -> dict[str, msgspec.Raw]:
    definitions: dict[str, msgspec.Raw] = {}
    pending = list(steps)
    while pending:
        wrapped = pending.pop()
        [step] = wrapped.values()
        definitions[step["id"]] = _json(wrapped)
        pending.extend(step.get("steps", ()))
    return definitions


def _json(document: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(document))


def _part(definition_uid: UUID, workflow: Workflow, part: str) -> Any:
    key = (definition_uid, part)
    if key not in _kept:
        _keep(key, _work_out(workflow, part))
    _kept.move_to_end(key)
    return _kept[key]


def _keep(key: tuple[UUID, str], value: Any) -> None:
    _kept[key] = value
    if len(_kept) > _KEPT_AT_MOST:
        _kept.popitem(last=False)
