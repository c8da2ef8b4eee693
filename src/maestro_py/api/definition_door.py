"""
Accept a pushed definition: read it, check that its step types are known, and try its parameters (specification 1.1).

Everything that is wrong is named by the path at which the author wrote it.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from maestro_py.api.requests import named_caller
from maestro_py.model.errors import DefinitionInvalid, FieldError, ParamError
from maestro_py.model.forms import KNOWN_TYPES, Push, read_push
from maestro_py.model.forms.jsonc import read_jsonc
from maestro_py.params import evaluate_workflow_params
from maestro_py.ports.api_store import DefinitionReads

#: Who acts when a simple form is pushed by nobody in particular (DESIGN section 8).
ANONYMOUS: Final = "anonymous"

#: Bodies above this are read in a thread, so that the loop stays free for everybody else; in bytes.
_READ_ASIDE: Final = 64 << 10


class Accepted(NamedTuple):
    """A definition that may be stored."""

    push: Push
    author: str


async def accepted_push(
    body: bytes, user: str | None, *, definitions: DefinitionReads, max_steps: int, now_ms: int
) -> Accepted:
    """
    Return what *body* pushes, checked as far as it can be without storing it.

    Args:
        body: JSON, comments allowed, in native or simple form.
        user: The caller; None only with a simple form, which is then pushed by `ANONYMOUS`.
        definitions: Where step types are looked up.
        max_steps: Steps of one definition at most, nested ones included.
        now_ms: UTC epoch milliseconds.

    Raises:
        DefinitionInvalid: fields are wrong; each is named by its path.
        RequestInvalid: a native form without a caller.
    """
    if len(body) > _READ_ASIDE:
        accepted = await asyncio.to_thread(read_checked, body, user, max_steps, now_ms)
    else:
        accepted = read_checked(body, user, max_steps, now_ms)
    await _check_step_types(accepted.push, definitions)
    return accepted


def read_checked(body: bytes, user: str | None, max_steps: int, now_ms: int) -> Accepted:
    """
    Return what *body* pushes, its parameters tried; pure.

    Raises:
        DefinitionInvalid: fields are wrong; each is named by its path.
        RequestInvalid: a native form without a caller.
    """
    is_simple = _is_simple(body)
    author = ANONYMOUS if is_simple and not user else named_caller(user)
    push = read_push(body, user=user, max_steps=max_steps)
    owner = (push.properties.owner if push.properties is not None else None) or author
    try:
        evaluate_workflow_params(push.workflow, {}, system={"owner": owner}, now_ms=now_ms)
    except ParamError as exc:
        path = exc.path if is_simple else f"workflow.{exc.path}"
        raise DefinitionInvalid(f"the parameters cannot be evaluated: {exc}", [FieldError(path, exc.message)]) from exc
    return Accepted(push, author)


def _is_simple(body: bytes) -> bool:
    value = read_jsonc(body)
    return isinstance(value, dict) and "workflow_id" in value and "workflow" not in value


async def _check_step_types(push: Push, definitions: DefinitionReads) -> None:
    leaves = [step for step in push.workflow.all_steps() if not step.is_foreach]
    asked = {step.type for step in leaves if step.type.lower() not in KNOWN_TYPES}
    unknown = await definitions.unknown_step_types(asked) if asked else set()
    errors = [
        FieldError(f"{push.step_paths[step.id]}.type", f"step type {step.type!r} is unknown, and no worker serves it")
        for step in leaves
        if step.type in unknown
    ]
    if errors:
        raise DefinitionInvalid(f"The definition names unknown step types: {errors[0]}", errors)
