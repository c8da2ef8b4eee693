"""
The words of the simple form that are short for the parameters of a step type (DESIGN section 8).

A step ``{"type": "spark", "image": "x"}`` has the MAP parameter ``spark`` with the member ``image``, as the native
form writes ``http`` and ``kubernetes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from pydantic import PlainValidator

from maestro_py.model.definition import ParamDefinition, ParamType
from maestro_py.model.forms.fields import refuse, text
from maestro_py.model.forms.param_documents import typed_definition
from maestro_py.model.forms.problems import Problems
from maestro_py.model.literals import infer_type, text_of
from maestro_py.model.templates import Location, escape_program, lone_mention

#: The JSON names of the specification's types (2.5).
_NATIVE_NAMES: Final = ("NoOp", "Sleep", "Titus", "Notebook", "Kubernetes", "Http")
#: Types that the engine runs itself keep their name; those that workers run are lower case, as workers name them.
_SPELLING: Final = {
    "noop": "NoOp",
    "sleep": "Sleep",
    **{
        name: name
        for name in (
            *("titus", "notebook", "kubernetes", "http"),
            *("python", "shell", "sql", "docker", "spark", "trino", "bench_noop"),
        )
    },
}
_NATIVE: Final = {_SPELLING[name.lower()]: name for name in _NATIVE_NAMES}
#: The step types that are known without any worker (DESIGN section 6), in lower case: their case does not count.
KNOWN_TYPES: Final = frozenset(_SPELLING)
#: The same as they are spelled, for suggestions; the benchmarks' own is none to suggest.
STEP_TYPES: Final = frozenset(_SPELLING.values()) - {"bench_noop"}

_TEXT: Final = ParamType.STRING
_TEXTS: Final = ParamType.STRING_ARRAY
_TEXT_MAP: Final = ParamType.STRING_MAP
_ANY: Final = ParamType.JSON
#: A text, or a list of texts.
_TEXT_OR_LIST: Final = None

Words = Mapping[str, ParamType | None]

_CONTAINER: Final[Words] = {
    "image": _TEXT,
    "command": _TEXT_OR_LIST,
    "args": _TEXTS,
    "env": _TEXT_MAP,
    "entrypoint": _TEXT,
    "cpu": _TEXT,
    "memory": _TEXT,
    "gpu": _TEXT,
    "disk": _TEXT,
    "app_name": _TEXT,
}
_QUERY: Final[Words] = {"url": _TEXT, "sql": _TEXT, "statements": _TEXTS, "script": _TEXT, "parameters": _ANY}
_SQL: Final[Words] = {**_QUERY, "connection": _TEXT}
_OTHER: Final[Words] = {"image": _TEXT, "command": _TEXT_OR_LIST, "args": _TEXTS, "env": _TEXT_MAP}

_WORDS: Final[Mapping[str, Words]] = {
    "NoOp": {},
    "Sleep": {"seconds": ParamType.LONG},
    "bench_noop": {},
    "python": {"function": _TEXT, "script": _TEXT, "source": _TEXT, "args": _ANY, "kwargs": _ANY, "env": _TEXT_MAP},
    "shell": {"command": _TEXT, "script": _TEXT, "args": _TEXTS, "env": _TEXT_MAP, "cwd": _TEXT},
    "http": {"url": _TEXT, "method": _TEXT, "headers": _TEXT_MAP, "body": _ANY},
    "sql": _SQL,
    "trino": _QUERY,
    "kubernetes": _CONTAINER,
    "docker": _CONTAINER,
    "titus": _CONTAINER,
    "spark": {
        "image": _TEXT,
        "command": _TEXT_OR_LIST,
        "script": _TEXT,
        "args": _TEXTS,
        "main_class": _TEXT,
        "conf": _TEXT_MAP,
        "jars": _TEXTS,
        "env": _TEXT_MAP,
    },
    "notebook": {
        "image": _TEXT,
        "input_path": _TEXT,
        "output_path": _TEXT,
        "init_command": _TEXT,
        "git_repo": _TEXT,
        "git_branch": _TEXT,
        "git_commit": _TEXT,
        "papermill_arguments": _TEXTS,
        "env": _TEXT_MAP,
    },
}
#: By type, what later issues bring: the words of it, and what each is.
LATER_WORDS: Final[Mapping[str, Mapping[str, str]]] = {"http": {"state_expr": "state expressions (state_expr)"}}
#: Words that hold the text of a program, to which ``$name`` is its own variable.
_PROGRAMS: Final = frozenset({("shell", "command"), ("shell", "script"), ("python", "source")})
#: Words that the type of a leaf step may not be.
_NOT_LEAF: Final = frozenset({"join", "foreach"})
_LATER: Final = frozenset({"while", "subworkflow", "template"})

#: Every word of any type, for suggestions.
ALL_WORDS: Final = frozenset(word for words in _WORDS.values() for word in words)


def spelled_type(name: str) -> str:
    """Return the step type *name* as we spell it, in whatever case it came; an unknown type stays as written."""
    return _SPELLING.get(name.lower(), name)


def native_type(step_type: str) -> str:
    """Return the name that the native form has for a type as `spelled_type` spells it."""
    return _NATIVE.get(step_type, step_type)


def _leaf_type(value: Any) -> str:
    name = text(value, 128)
    if name.lower() in _LATER:
        raise refuse(f"{name.lower()} steps are not supported yet")
    if name.lower() in _NOT_LEAF:
        raise refuse(f"'{name}' is not a type that a leaf step may have")
    return spelled_type(name)


LeafType = Annotated[str, PlainValidator(_leaf_type, json_schema_input_type=str)]


def words_of(step_type: str) -> Words:
    """Return the words of a type, as `spelled_type` spells it, and what each must be."""
    return _WORDS.get(step_type, _OTHER)


def refuse_later_words(kind: Any, fields: Mapping[str, Any], problems: Problems) -> None:
    """Add what a step of type *kind* may not say yet to *problems*, wherever its *fields* say it."""
    words = LATER_WORDS.get(spelled_type(kind), {}) if isinstance(kind, str) else {}
    if not words:
        return
    params = fields.get("params")
    own = params.get(kind.lower()) if isinstance(params, dict) else None
    value = own.get("value") if isinstance(own, dict) else None
    places: dict[Location, Any] = {(): fields, ("params",): params, ("params", kind.lower(), "value"): value}
    for at, place in places.items():
        for word, what in words.items():
            if isinstance(place, dict) and word in place:
                problems.add((*at, word), f"{what} are not supported yet")


def is_program(step_type: str, word: str) -> bool:
    """Say whether *word* of a type, as `spelled_type` spells it, holds the text of a program."""
    return (step_type, word) in _PROGRAMS


def type_params(
    step_type: str, given: Mapping[str, Any], at: Location, problems: Problems
) -> dict[str, ParamDefinition]:
    """
    Return the parameters that the type's words in a step are short for.

    Args:
        step_type: As `spelled_type` spells it.
        given: The step's keys that are words of the type.
        at: Where the step stands.
        problems: What is wrong with a word is added here.
    """
    words = words_of(step_type)
    members = {}
    for word, value in given.items():
        if is_program(step_type, word) and isinstance(value, str):
            value = escape_program(value)
        definition = _word(word, words[word], value, (*at, word), problems)
        if definition is not None:
            members[word] = definition
    if not members:
        return {}
    if step_type == "Sleep":
        return {"sleep_seconds": members["seconds"]}
    value = {name: msgspec.to_builtins(member) for name, member in members.items()}
    return {step_type.lower(): ParamDefinition(type=ParamType.MAP, value=value)}


def _word(word: str, kind: ParamType | None, value: Any, at: Location, problems: Problems) -> ParamDefinition | None:
    if kind is _TEXT_OR_LIST:
        kind = _TEXTS if isinstance(value, list) else _TEXT
    if kind is _ANY:
        return typed_definition(infer_type(value), value, at, problems)
    if kind in (_TEXTS, _TEXT_MAP) and lone_mention(value) is None:
        value = _as_texts(value)
    elif kind is _TEXT:
        value = _as_text(value) if not isinstance(value, bool) else value
    return typed_definition(kind, value, at, problems)


def _as_texts(value: Any) -> Any:
    """Return numbers and booleans in a list or an object as text: ``{"DEBUG": true}`` is what a person writes."""
    if isinstance(value, list):
        return [_as_text(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _as_text(inner) for key, inner in value.items()}
    return value


def _as_text(value: Any) -> Any:
    return text_of(value) if isinstance(value, bool | int | float) else value
