"""
Read the conditions of edges: expressions, the words true and false among them (specification 2.3).

The simple form's ``when`` may say ``${step.output.name}``; in the expression it becomes what the language has for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import PlainValidator

from maestro_py.model.forms.fields import refuse
from maestro_py.model.literals import spell_kind
from maestro_py.model.templates import Reference, mention_of, steps_inside

ALWAYS: Final = "true"
NEVER: Final = "false"
_WORDS: Final = {"true": ALWAYS, "true;": ALWAYS, "false": NEVER, "false;": NEVER}

#: A text of the language, or a reference outside of texts.
_PIECES: Final = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|\$\{([_a-zA-Z][-_./a-zA-Z0-9]*)\}""")
_WORD: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ASKED: Final = re.compile(r"getFrom(?:Step|Foreach)\(\s*['\"]([^'\"]+)['\"]")


class SeveralRead(ValueError):
    """A condition reads the outputs of several dependencies, and no edge knows them all."""


def read_condition(value: Any) -> str:
    """Return the condition; ``"true"`` and ``"false"`` in their canonical spelling."""
    if isinstance(value, bool):
        return ALWAYS if value else NEVER
    if not isinstance(value, str):
        raise refuse(f"must be an expression that gives true or false, not {spell_kind(value)}")
    if value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    if not value.strip():
        raise refuse("may not be empty; leave it out where the edge is always taken")
    return value


def is_word(condition: str) -> bool:
    """Say whether a condition is but true or false, in any spelling."""
    return condition.strip().lower() in _WORDS


def read_when(value: Any) -> str:
    """Return the condition of the simple form as an expression."""
    return as_expression(read_condition(value))


def as_expression(text: str) -> str:
    """Return *text* with each ``${...}`` outside of quotes as the language names it."""
    return _PIECES.sub(lambda match: match.group(1) or _spelled(match.group(2)), text)


def conditions_of(when: str, dependencies: Sequence[str]) -> dict[str, str]:
    """
    Return the condition of the edge from each of *dependencies*.

    An edge is judged when its own step completes, and knows the outputs of that step and of those before it.  So a
    condition that reads the outputs of one dependency is judged at that one's edge; the others leave the choice to it.

    Raises:
        SeveralRead: it reads the outputs of several.
    """
    if len(dependencies) == 1 or when in (ALWAYS, NEVER):
        return dict.fromkeys(dependencies, when)
    read = [name for name in dependencies if name in _steps_in(when)]
    if len(read) > 1:
        raise SeveralRead(
            f"reads the outputs of {' and '.join(read)}; put a step in between that depends on them and reads them"
        )
    if not read:
        return dict.fromkeys(dependencies, when)
    return {name: when if name == read[0] else NEVER for name in dependencies}


def _steps_in(expression: str) -> set[str]:
    asked = set(_ASKED.findall(expression))
    found = asked | {foreach for step_id in asked for foreach, _ in steps_inside(step_id)}
    for word in _WORD.findall(expression):
        found.update(reference.step_id for reference in mention_of(word).alternatives if reference.step_id)
    return found


def _spelled(reference: str) -> str:
    first: Reference = mention_of(reference).alternatives[0]
    if first.step_id is None:
        return reference if _WORD.fullmatch(reference) else f"params.get('{reference}')"
    output, *way = first.name.split(".")
    name = f"{first.step_id}__{output}"
    # `a___b` could be read in two ways.
    plain = _WORD.fullmatch(name) and not first.step_id.endswith("_") and not output.startswith("_")
    value = name if plain else f"params.getFromStep('{first.step_id}', '{output}')"
    return value + "".join(f"[{key}]" if key.isdigit() else f".get('{key}')" for key in way)


Condition = Annotated[str, PlainValidator(read_condition, json_schema_input_type=bool | str)]
When = Annotated[str, PlainValidator(read_when, json_schema_input_type=bool | str)]
