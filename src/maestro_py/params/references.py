"""Say what definitions refer to, without evaluating them."""

from __future__ import annotations

from collections.abc import Mapping

from maestro_py.model.definition import ParamDefinition
from maestro_py.model.templates import Reference
from maestro_py.params.evaluation import mentions_of

__all__ = ["Reference", "references"]


def references(definitions: Mapping[str, ParamDefinition]) -> frozenset[Reference]:
    """
    Return everything that *definitions* may refer to.

    ``${a.output.b}`` gives (a, b), and (None, a.output.b) because a parameter might have that name; ``${a__b}`` gives
    every way to split it.  A name may go on into a value: `Reference.readings` yields the ways to read it.
    """
    return frozenset(
        reference
        for definition in definitions.values()
        for mention in mentions_of(definition)
        for reference in mention.alternatives
    )
