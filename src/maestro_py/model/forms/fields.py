"""The types of single fields: ids, names, durations, retry numbers, tags (specification 2.1-2.3, 2.7)."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from maestro_py.model.definition import Tag
from maestro_py.model.durations import parse_duration
from maestro_py.model.forms.document import raise_located
from maestro_py.model.forms.problems import Problems
from maestro_py.model.literals import spell_kind
from maestro_py.model.statuses import FailureMode
from maestro_py.model.templates import Mention, parse_template

MAX_ID: Final = 128
MAX_NAME: Final = 256
MAX_DESCRIPTION: Final = 16_384

_WORKFLOW_ID: Final = re.compile(r"[_a-zA-Z0-9][.\-_a-zA-Z0-9]*")
_STEP_ID: Final = re.compile(r"[_a-zA-Z][.\-_a-zA-Z0-9]*")
_TAG_NAME: Final = re.compile(r"[\w .,:@&='(){}$+\[\]\-/\\]+", re.ASCII)
_RESERVED: Final = "maestro"
_NAMESPACES: Final = (
    "SYSTEM",
    "RUNTIME",
    "JOB_TEMPLATE",
    "NOTEBOOK_TEMPLATE",
    "USER_DEFINED",
    "PLATFORM",
)

_Enum = TypeVar("_Enum", bound=StrEnum)


def refuse(message: str) -> PydanticCustomError:
    """Return the error to raise when a field is wrong; *message* is for the author."""
    return PydanticCustomError("wrong", "{message}", {"message": message})


def text(value: Any, longest: int, what: str = "must be a text") -> str:
    """Return *value* if it is a non-empty text of at most *longest* characters."""
    if not isinstance(value, str):
        raise refuse(f"{what}, not {spell_kind(value)}")
    if not value.strip():
        raise refuse("may not be empty")
    if len(value) > longest:
        raise refuse(f"is longer than {longest} characters")
    return value


def member_of(enum: type[_Enum]) -> Callable[[Any], _Enum]:
    """Return the reader of a word of *enum*, in any case."""

    def read(value: Any) -> _Enum:
        word = text(value, MAX_NAME).upper()
        if word not in enum.__members__:
            raise refuse(f"'{value}' is none of {', '.join(enum)}")
        return enum[word]

    return read


def whole_number(value: Any, least: int, most: int) -> int:
    """Return *value* if it is a whole number in the range."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse(f"must be a whole number, not {spell_kind(value)}")
    if not least <= value <= most:
        raise refuse(f"must be from {least} to {most}")
    return value


def has_reference(value: str) -> bool:
    """Say whether a text refers to a parameter, so that its value is known only in a run."""
    return any(isinstance(part, Mention) for part in parse_template(value))


def read_parsable_long(value: Any, least: int, most: int) -> int | str:
    """Return a number in the range, which may be written as text, or a text with ``${workflow_param}`` as it is."""
    if not isinstance(value, str):
        return whole_number(value, least, most)
    if has_reference(value):
        return value
    if re.fullmatch(r"\d{1,18}", value.strip(), re.ASCII):
        return whole_number(int(value), least, most)
    raise refuse(f"'{value}' is neither a number nor a reference such as ${{name}}")


def parsable_long(least: int, most: int) -> PlainValidator:
    """Return the reader of a parsable long (specification 2.7) in a range."""
    return PlainValidator(lambda value: read_parsable_long(value, least, most), json_schema_input_type=int | str)


def within(least: int, most: int) -> PlainValidator:
    """Return the reader of a whole number in a range."""
    return PlainValidator(lambda value: whole_number(value, least, most), json_schema_input_type=int)


def not_yet(what: str) -> PlainValidator:
    """Return the reader of a field that a later issue brings: it is refused by its name (*what*, a plural)."""

    def read(_: Any) -> Any:
        raise refuse(f"{what} are not supported yet")

    return PlainValidator(read, json_schema_input_type=Any)


def _workflow_id(value: Any) -> str:
    name = text(value, MAX_ID)
    if not _WORKFLOW_ID.fullmatch(name):
        raise refuse(f"'{name}' must begin with a letter, digit or _ and hold only letters, digits, '.', '-' and '_'")
    if name.lower().startswith(f"{_RESERVED}_") or name.lower().endswith(f"_{_RESERVED}"):
        raise refuse(f"'{name}' may neither begin with '{_RESERVED}_' nor end with '_{_RESERVED}'")
    return name


def _step_id(value: Any) -> str:
    name = text(value, MAX_ID)
    if not _STEP_ID.fullmatch(name):
        raise refuse(f"'{name}' must begin with a letter or _ and hold only letters, digits, '.', '-' and '_'")
    if "__" in name:
        raise refuse(f"'{name}' may not contain '__', which separates a step from its parameter")
    if name.lower().startswith(f"{_RESERVED}_"):
        raise refuse(f"'{name}' may not begin with '{_RESERVED}_'")
    return name


def signal_name(value: Any) -> str:
    """Return *value* if it may name a signal or a tag."""
    name = text(value, MAX_NAME)
    if not _TAG_NAME.fullmatch(name):
        raise refuse(f"'{name}' holds a character that a name may not have")
    if name.lower().startswith(f"{_RESERVED}_") or name.lower().endswith(f"_{_RESERVED}"):
        raise refuse(f"'{name}' may neither begin with '{_RESERVED}_' nor end with '_{_RESERVED}'")
    return name


def _timeout(value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise refuse(f"must be seconds or a duration such as '2 hours', not {spell_kind(value)}")
    if isinstance(value, str) and has_reference(value):
        return value
    try:
        parse_duration(value)
    except ValueError as exc:
        raise refuse(str(exc)) from exc
    return value


def _tags(value: Any) -> tuple[Tag, ...]:
    if not isinstance(value, list):
        raise refuse(f"must be a list, not {spell_kind(value)}")
    problems = Problems()
    tags: dict[str, Tag] = {}
    for index, document in enumerate(value):
        try:
            tag = _tag(document)
        except PydanticCustomError as exc:
            problems.add((index,), exc.message())
            continue
        if tag.name in tags:
            problems.add((index,), f"the tag '{tag.name}' stands twice")
        tags[tag.name] = tag
    if problems:
        raise_located(problems)
    return tuple(tags.values())


def _tag(document: Any) -> Tag:
    if not isinstance(document, dict):
        return Tag(name=signal_name(document))
    if "permit" in document:
        raise refuse("the permit of a tag is read-only and may not be given")
    attributes = {key: inner for key, inner in document.items() if key not in ("name", "namespace")}
    namespace = document.get("namespace")
    if namespace is not None and (not isinstance(namespace, str) or namespace.upper() not in _NAMESPACES):
        raise refuse(f"the namespace of a tag is one of {', '.join(_NAMESPACES)}")
    return Tag(
        name=signal_name(document.get("name")),
        namespace=namespace.upper() if namespace else None,
        attributes=attributes,
    )


def _description(value: Any) -> str:
    return text(value, MAX_DESCRIPTION) if value != "" else ""


def _queue(value: Any) -> str:
    name = text(value, MAX_ID)
    if not _WORKFLOW_ID.fullmatch(name):
        raise refuse(f"'{name}' must begin with a letter, digit or _ and hold only letters, digits, '.', '-' and '_'")
    return name


def _criticality(value: Any) -> str:
    word = text(value, MAX_NAME).upper()
    if word not in ("CRITICAL", "HIGH", "MEDIUM", "LOW"):
        raise refuse(f"'{value}' is none of CRITICAL, HIGH, MEDIUM, LOW")
    return word


WorkflowId = Annotated[str, PlainValidator(_workflow_id, json_schema_input_type=str)]
StepId = Annotated[str, PlainValidator(_step_id, json_schema_input_type=str)]
Name = Annotated[str, PlainValidator(lambda value: text(value, MAX_NAME), json_schema_input_type=str)]
Description = Annotated[str, PlainValidator(_description, json_schema_input_type=str)]
Queue = Annotated[str, PlainValidator(_queue, json_schema_input_type=str)]
Criticality = Annotated[str, PlainValidator(_criticality, json_schema_input_type=str)]
Timeout = Annotated[int | str, PlainValidator(_timeout, json_schema_input_type=int | str)]
Tags = Annotated[tuple[Tag, ...], PlainValidator(_tags, json_schema_input_type=list[str | dict[str, Any]])]
FailureModeWord = Annotated[FailureMode, PlainValidator(member_of(FailureMode), json_schema_input_type=str)]
SignalName = Annotated[str, PlainValidator(signal_name, json_schema_input_type=str)]
