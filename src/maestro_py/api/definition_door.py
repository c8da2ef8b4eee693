"""
Accept a pushed definition: read it, check that its step types are known, and try its parameters (specification 1.1).

Everything that is wrong is named by the path at which the author wrote it.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final, NamedTuple

from maestro_py.api.errors import TooBusy
from maestro_py.api.requests import named_caller
from maestro_py.model.errors import DefinitionInvalid, FieldError, ParamError
from maestro_py.model.forms import KNOWN_TYPES, STEP_TYPES, Push, read_push
from maestro_py.model.forms.jsonc import read_jsonc
from maestro_py.model.suggestions import suggestion
from maestro_py.params import DEDUP, check_trigger, expression_names, trial_start
from maestro_py.ports.api_store import DefinitionReads
from maestro_py.ports.evaluator import IN_THREAD, Evaluator, EvaluatorBusy, params_of_start

#: Who acts when a simple form is pushed by nobody in particular (DESIGN section 8).
ANONYMOUS: Final = "anonymous"

#: Bodies above this are read in a thread, so that the loop stays free for everybody else; in bytes.
_READ_ASIDE: Final = 64 << 10
#: What the simple form calls a trigger's ``dedup_expr``.
_SIMPLE_DEDUP: Final = "dedup"
_MAY_COMPUTE: Final = re.compile(rb'"(?:expression|when|successors|condition|dedup|dedup_expr)"')


class Accepted(NamedTuple):
    """A definition that may be stored."""

    push: Push
    author: str


async def accepted_push(
    body: bytes,
    user: str | None,
    *,
    definitions: DefinitionReads,
    max_steps: int,
    now_ms: int,
    evaluator: Evaluator = IN_THREAD,
) -> Accepted:
    """
    Return what *body* pushes, checked as far as it can be without storing it.

    Args:
        body: JSON, comments allowed, in native or simple form.
        user: The caller; None only with a simple form, which is then pushed by `ANONYMOUS`.
        definitions: Where step types are looked up.
        max_steps: Steps of one definition at most, nested ones included.
        now_ms: UTC epoch milliseconds.
        evaluator: Tries parameters that are heavy to evaluate.

    Raises:
        DefinitionInvalid: fields are wrong; each is named by its path.
        RequestInvalid: a native form without a caller.
        TooBusy: the evaluator has too much to do.
    """
    # Reading an expression takes a hundred times as long as the text around it.
    if len(body) > _READ_ASIDE or _MAY_COMPUTE.search(body):
        accepted = await asyncio.to_thread(read_checked, body, user, max_steps)
    else:
        accepted = read_checked(body, user, max_steps)
    await _try_params(accepted, body, now_ms, evaluator)
    _check_triggers(accepted.push, is_simple=_is_simple(body))
    await _check_step_types(accepted.push, definitions)
    return accepted


async def _try_params(accepted: Accepted, body: bytes, now_ms: int, evaluator: Evaluator) -> None:
    push = accepted.push
    owner = (push.properties.owner if push.properties is not None else None) or accepted.author
    try:
        await params_of_start(trial_start(push.workflow, owner=owner, now_ms=now_ms), evaluator)
    except ParamError as exc:
        path = exc.path if _is_simple(body) else f"workflow.{exc.path}"
        raise DefinitionInvalid(f"the parameters cannot be evaluated: {exc}", [FieldError(path, exc.message)]) from exc
    except EvaluatorBusy as exc:
        raise TooBusy(str(exc)) from exc


def _check_triggers(push: Push, *, is_simple: bool) -> None:
    errors = []
    for index, path in enumerate(push.trigger_paths):
        try:
            check_trigger(push.workflow, index)
        except ParamError as exc:
            word = _SIMPLE_DEDUP if is_simple and exc.path == DEDUP else exc.path
            errors.append(FieldError(f"{path}.{word}", exc.message))
    if errors:
        raise DefinitionInvalid(f"The definition has wrong triggers: {errors[0]}", errors)


def read_checked(body: bytes, user: str | None, max_steps: int) -> Accepted:
    """
    Return what *body* pushes, every field looked at; pure.

    Raises:
        DefinitionInvalid: fields are wrong; each is named by its path.
        RequestInvalid: a native form without a caller.
    """
    is_simple = _is_simple(body)
    author = ANONYMOUS if is_simple and not user else named_caller(user)
    push = read_push(body, user=user, max_steps=max_steps, names_of=expression_names)
    return Accepted(push, author)


def _is_simple(body: bytes) -> bool:
    value = read_jsonc(body)
    return isinstance(value, dict) and "workflow_id" in value and "workflow" not in value


async def _check_step_types(push: Push, definitions: DefinitionReads) -> None:
    leaves = [step for step in push.workflow.all_steps() if not step.is_foreach]
    asked = {step.type for step in leaves if step.type.lower() not in KNOWN_TYPES}
    unknown = await definitions.unknown_step_types(asked) if asked else set()
    errors = [
        FieldError(
            f"{push.step_paths[step.id]}.type",
            f"step type {step.type!r} is unknown, and no worker serves it{suggestion(step.type, STEP_TYPES)}",
        )
        for step in leaves
        if step.type in unknown
    ]
    if errors:
        raise DefinitionInvalid(f"The definition names unknown step types: {errors[0]}", errors)
