"""Find calls of functions that do not exist, as far as the text of an expression says, without running it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Final

from maestro_py.expressions import nodes
from maestro_py.expressions.builtin import Builtin
from maestro_py.expressions.classes import CLASSES, METHODS
from maestro_py.expressions.containers import PARAMS_METHODS
from maestro_py.expressions.errors import ExpressionError
from maestro_py.expressions.syntax import parse

_ANY_METHOD: Final = frozenset(name for methods in METHODS.values() for name in methods)


def check_calls(source: str) -> None:
    """
    Refuse a function that no value has; what a value is remains to be seen when the expression runs.

    Args:
        source: An expression of the language.

    Raises:
        ExpressionError: it calls or makes what does not exist, or gives a function of ``params`` or of a class more
            or fewer arguments than it takes.
    """
    for node in _walk(parse(source)):
        if isinstance(node, nodes.Chain):
            _check_chain(node, source)
        elif isinstance(node, nodes.NewObject) and node.type_name not in CLASSES:
            raise ExpressionError(f"there is no class {node.type_name}", source, node.at)


def _check_chain(chain: nodes.Chain, source: str) -> None:
    first, *others = chain.suffixes
    owner = chain.primary.name if isinstance(chain.primary, nodes.Name) else None
    if isinstance(first, nodes.Call) and owner == "params":
        _check_call(f"params.{first.method}", first, PARAMS_METHODS, source)
    elif isinstance(first, nodes.Call) and owner in CLASSES:
        _check_call(f"{owner}.{first.method}", first, CLASSES[owner].statics, source)  # type: ignore[index]  # a name
    else:
        others = [first, *others]
    for call in others:
        if isinstance(call, nodes.Call) and call.method not in _ANY_METHOD:
            raise ExpressionError(f"no value has a method {call.method}{_meant(call.method)}", source, call.at)


def _check_call(spelled: str, call: nodes.Call, known: Mapping[str, Builtin], source: str) -> None:
    builtin = known.get(call.method)
    if builtin is None:
        there = f"; there is {', '.join(sorted(known))}" if known else ""
        raise ExpressionError(f"there is no function {spelled}{there}", source, call.at)
    given = len(call.arguments)
    if not builtin.spread and all(len(form) != given for form in builtin.signatures):
        there = f"there is {builtin.forms()}"
        raise ExpressionError(f"{spelled} with {given} arguments does not exist; {there}", source, call.at)


def _meant(method: str) -> str:
    close = get_close_matches(method, _ANY_METHOD, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _walk(root: object) -> Iterator[object]:
    """Yield every node, with a list instead of recursion."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (tuple, list)):
            waiting.extend(reversed(node))
        elif is_dataclass(node):
            yield node
            waiting.extend(reversed([getattr(node, field.name) for field in fields(node)]))
