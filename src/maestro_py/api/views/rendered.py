"""Keep what is worked out from definitions: a version never changes, and clients poll its runs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import msgspec

from maestro_py.api.views.scopes import dag_of, steps_of
from maestro_py.model.definition import Workflow
from maestro_py.model.forms import to_document

T = TypeVar("T")

_KEPT_AT_MOST: Final = 256
_kept: OrderedDict[tuple[UUID, str], Any] = OrderedDict()


def workflow_json(definition_uid: UUID, workflow: Workflow) -> msgspec.Raw:
    """Return the native form of *workflow* as JSON."""
    return _once(definition_uid, "workflow", lambda: _json(to_document(workflow)))


def dag_json(definition_uid: UUID, workflow: Workflow, scope: str) -> msgspec.Raw:
    """Return the runtime DAG of one scope of *workflow* as JSON."""
    return _once(definition_uid, f"dag {scope}", lambda: _json(dag_of(steps_of(workflow, scope))))


def dag(definition_uid: UUID, workflow: Workflow, scope: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the runtime DAG of one scope of *workflow*."""
    return _once(definition_uid, f"edges {scope}", lambda: dag_of(steps_of(workflow, scope)))


def step_definitions(definition_uid: UUID, workflow: Workflow) -> Mapping[str, msgspec.Raw]:
    """Return the native form of each step of *workflow*, nested ones too, as JSON by its id."""
    return _once(definition_uid, "steps", lambda: _step_definitions(to_document(workflow)["steps"]))


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


def _once(definition_uid: UUID, part: str, make: Callable[[], T]) -> T:
    key = (definition_uid, part)
    if key not in _kept:
        _kept[key] = make()
        if len(_kept) > _KEPT_AT_MOST:
            _kept.popitem(last=False)
    else:
        _kept.move_to_end(key)
    return cast("T", _kept[key])
