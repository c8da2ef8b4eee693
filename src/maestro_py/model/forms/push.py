"""Read the body of a push, in whichever form it is (DESIGN section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from pydantic import ValidationError

from maestro_py.model.definition import Workflow
from maestro_py.model.errors import DefinitionInvalid, FieldError
from maestro_py.model.forms.document import Document, collect
from maestro_py.model.forms.graph_checks import check_graph, check_size
from maestro_py.model.forms.jsonc import read_jsonc
from maestro_py.model.forms.native import GitInfoDocument, PushDocument
from maestro_py.model.forms.outline import Outline, outline_native, outline_simple
from maestro_py.model.forms.problems import Problems
from maestro_py.model.forms.properties import Properties
from maestro_py.model.forms.reference_checks import NamesOf, check_references, names_unread
from maestro_py.model.forms.simple import SimpleWorkflowDocument
from maestro_py.model.forms.trigger_checks import check_triggers
from maestro_py.model.literals import spell_kind
from maestro_py.model.templates import spell_location

#: Extra keys of a push that would hide what the service itself says.
_RESERVED_EXTRA: Final = ("workflow_id", "workflow_version_id", "version_author", "create_time")

_Document = TypeVar("_Document", bound=Document)


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """What a push says."""

    workflow: Workflow
    properties: Properties | None = None  #: None: keep those the workflow has.
    is_active: bool = True
    git_info: dict[str, Any] | None = None
    extra: dict[str, Any] = {}  #: Kept in the version's metadata.
    step_paths: dict[str, str] = {}  #: Step id to its place in the document, for later errors.
    trigger_paths: tuple[str, ...] = ()  #: The places of the signal triggers in the document.


def read_push(body: bytes, *, user: str | None, max_steps: int, names_of: NamesOf = names_unread) -> Push:
    """
    Return what *body* says: JSON, with comments and trailing commas, in native or in simple form.

    Args:
        body: As it came, UTF-8.
        user: Who pushes; the owner of a simple form that names none.
        max_steps: Steps of one definition, nested ones included.
        names_of: Reads an expression, so that wrong ones are found.

    Raises:
        DefinitionInvalid: with every wrong field.
    """
    document = read_jsonc(body)
    if not isinstance(document, dict):
        message = f"must be an object, not {spell_kind(document)}"
        raise DefinitionInvalid(f"The definition {message}", [FieldError("", message)])
    if "workflow" in document:
        return _read_native(document, max_steps, names_of)
    if "workflow_id" in document or "steps" in document:
        return _read_simple(document, user, max_steps, names_of)
    message = "has neither 'workflow' (the native form) nor 'workflow_id' (the simple form)"
    raise DefinitionInvalid(f"The definition {message}", [FieldError("", message)])


def _read_native(document: dict[str, Any], max_steps: int, names_of: NamesOf) -> Push:
    problems = Problems()
    fields = PushDocument.model_fields
    extra = {key: value for key, value in document.items() if key not in fields}
    for key in _RESERVED_EXTRA:
        if key in extra:
            problems.add((key,), "is a name that extra information may not have")
    outline = outline_native(document)
    known = {key: value for key, value in document.items() if key in fields}
    push = _read(PushDocument, known, outline, max_steps, problems, names_of)
    return Push(
        workflow=push.workflow.workflow(),
        properties=push.properties.properties() if push.properties else None,
        is_active=push.is_active,
        git_info=_git_info(push.git_info),
        extra={key: value for key, value in extra.items() if value is not None},
        step_paths=_step_paths(outline),
        trigger_paths=_trigger_paths(outline),
    )


def _read_simple(document: dict[str, Any], user: str | None, max_steps: int, names_of: NamesOf) -> Push:
    outline = outline_simple(document)
    push = _read(SimpleWorkflowDocument, document, outline, max_steps, Problems(), names_of)
    return Push(
        workflow=push.workflow(),
        properties=push.properties(user),
        is_active=push.is_active,
        git_info=_git_info(push.git_info),
        step_paths=_step_paths(outline),
        trigger_paths=_trigger_paths(outline),
    )


def _read(
    model: type[_Document],
    document: Mapping[str, Any],
    outline: Outline,
    max_steps: int,
    problems: Problems,
    names_of: NamesOf,
) -> _Document:
    # Size first: everything else costs time with every step.
    check_size(outline, max_steps, problems)
    problems.raise_if_any("The definition")
    result: _Document | None = None
    try:
        result = model.model_validate(document)
    except ValidationError as exc:
        collect(exc, problems)
    check_graph(outline, problems)
    check_references(outline, problems, names_of)
    check_triggers(outline, problems, names_of)
    problems.raise_if_any("The definition")
    assert result is not None, "a document that is no model has problems"
    return result


def _git_info(document: GitInfoDocument | None) -> dict[str, Any] | None:
    return document.model_dump(exclude_none=True) if document else None


def _trigger_paths(outline: Outline) -> tuple[str, ...]:
    return tuple(spell_location(trigger.at) for trigger in outline.triggers)


def _step_paths(outline: Outline) -> dict[str, str]:
    paths = {}
    levels = [outline.level]
    while levels:
        for node in levels.pop().nodes:
            paths[node.id] = spell_location(node.at)
            if node.level is not None:
                levels.append(node.level)
    return paths
