"""Say what definitions refer to, without evaluating them and without reading their expressions' grammar."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from maestro_py.model.definition import ParamDefinition, ParamType
from maestro_py.model.templates import Mention, Reference, mention_of, mentions_in

__all__ = [
    "Reference",
    "asks_loops_by_computed_name",
    "asks_steps_by_computed_name",
    "definition_in_map",
    "expressions_of",
    "mentions_of",
    "references",
    "words_of",
]

_WORD: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ASKED_OF_STEP: Final = re.compile(r"getFromStep\s*\(\s*(['\"])([^'\"]+)\1\s*,\s*(['\"])([^'\"]+)\3\s*\)")
_ASKED_OF_LOOP: Final = re.compile(
    r"getFromForeach\s*\(\s*(['\"])([^'\"]+)\1\s*,\s*(['\"])([^'\"]+)\3\s*,\s*(['\"])([^'\"]+)\5\s*\)"
)


def references(definitions: Mapping[str, ParamDefinition], conditions: Iterable[str] = ()) -> frozenset[Reference]:
    """
    Return everything that *definitions*, and *conditions*, which are expressions, may refer to.

    ``${a.output.b}`` gives (a, b), and (None, a.output.b) because a parameter might have that name; ``${a__b}`` gives
    every way to split it.  A name may go on into a value: `Reference.readings` yields the ways to read it.  Of an
    expression every word counts, so that it need not be parsed: more than it needs, but never less, except where it
    computes the name of a step.
    """
    found: set[Reference] = set()
    for definition in definitions.values():
        for mention in mentions_of(definition):
            found.update(mention.alternatives)
        for source in expressions_of(definition):
            found |= _in_expression(source)
    for source in conditions:
        found |= _in_expression(source)
    return frozenset(found)


def words_of(source: str) -> frozenset[str]:
    """Return every word of an expression, those in its texts too: every parameter that it may need is among them."""
    return frozenset(_WORD.findall(source))


def asks_steps_by_computed_name(source: str) -> bool:
    """Say whether an expression asks for parameters of steps, or for its own facts, in a way that is not literal."""
    return len(_ASKED_OF_STEP.findall(source)) < source.count("getFromStep")


def asks_loops_by_computed_name(source: str) -> bool:
    """Say whether an expression asks for results of a foreach in a way that is not literal."""
    return len(_ASKED_OF_LOOP.findall(source)) < source.count("getFromForeach") or asks_steps_by_computed_name(source)


def _in_expression(source: str) -> set[Reference]:
    found = {reference for word in words_of(source) for reference in mention_of(word).alternatives}
    found.update(Reference(step_id, name) for _, step_id, _, name in _ASKED_OF_STEP.findall(source))
    found.update(Reference(f"{loop}.{inner}", name) for _, loop, _, inner, _, name in _ASKED_OF_LOOP.findall(source))
    return found


def mentions_of(definition: ParamDefinition) -> Iterator[Mention]:
    """Yield every reference in the literal of *definition*, those in the values of a MAP too."""
    if definition.type is not ParamType.MAP or not isinstance(definition.value, Mapping):
        for _, mention in mentions_in(definition.value):
            yield mention
        return
    for inner in definition.value.values():
        yield from mentions_of(definition_in_map(inner))


def expressions_of(definition: ParamDefinition) -> Iterator[str]:
    """Yield every expression of *definition*, those in the values of a MAP too."""
    if definition.expression is not None:
        yield definition.expression
    elif definition.type is ParamType.MAP and isinstance(definition.value, Mapping):
        for inner in definition.value.values():
            yield from expressions_of(definition_in_map(inner))


def definition_in_map(document: Any) -> ParamDefinition:
    """Return one value of a MAP, a plain dict since it was stored, as the definition it is."""
    if isinstance(document, ParamDefinition):
        return document
    return msgspec.convert(document, ParamDefinition)
