"""Build the documents that the tests of the forms push, and read what is wrong with them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maestro_py.model.definition import Step, Workflow
from maestro_py.model.errors import DefinitionInvalid
from maestro_py.model.forms import Push, read_push

MAX_STEPS = 100


def push(document: Any, *, user: str | None = None, max_steps: int = MAX_STEPS) -> Push:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_push(body, user=user, max_steps=max_steps)


def errors_of(document: Any, *, max_steps: int = MAX_STEPS) -> dict[str, str]:
    """Return the errors of a push that is refused: path to message."""
    with pytest.raises(DefinitionInvalid) as caught:
        push(document, max_steps=max_steps)
    return {error.path: error.message for error in caught.value.errors}


def simple(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"workflow_id": "wf", "steps": list(steps), **fields}


def simple_step(id: str, *dependencies: str, **fields: Any) -> dict[str, Any]:  # noqa: A002  # as the form spells it
    return {"id": id, "type": "NoOp", "dependencies": list(dependencies), **fields}


def simple_foreach(id: str, items: Any, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:  # noqa: A002
    return {"id": id, "items": items, "steps": list(steps), **fields}


def native(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a push in native form; *fields* are of its workflow."""
    return {"properties": {"owner": "ana"}, "workflow": {"id": "wf", "steps": list(steps), **fields}}


def native_step(id: str, *successors: str, **fields: Any) -> dict[str, Any]:  # noqa: A002  # as the form spells it
    transition = {"successors": dict.fromkeys(successors, "true")}
    return {"step": {"id": id, "type": "NoOp", "transition": transition, **fields}}


def native_foreach(id: str, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:  # noqa: A002
    loop = {"i": {"type": "LONG_ARRAY", "value": [1, 2]}}
    params = {"loop_params": {"type": "MAP", "value": loop}}
    return {"foreach": {"id": id, "params": params, "steps": list(steps), **fields}}


def step_named(workflow: Workflow, step_id: str) -> Step:
    return next(step for step in workflow.all_steps() if step.id == step_id)
