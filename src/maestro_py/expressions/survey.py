"""What can be said of an expression without running it: how deep it nests, how large it is, what it refers to."""

from __future__ import annotations

from typing import Final, NamedTuple

from maestro_py.expressions import nodes
from maestro_py.expressions.classes import CLASSES
from maestro_py.expressions.containers import LOOKUPS
from maestro_py.expressions.nodes import Node


class Lookup(NamedTuple):
    """A call of a function of ``params`` that looks something up."""

    function: str
    arguments: tuple[str | None, ...]  #: None: computed, so known only when it runs.


class Survey(NamedTuple):
    """The facts about an expression."""

    depth: int  #: How deep its nodes nest.
    size: int  #: How many nodes it has; the visits it takes when each runs once.
    loops: bool  #: Whether it can visit a node more than once.
    variables: frozenset[str]  #: Names it reads without having assigned them before.
    parameters: frozenset[str]  #: Names it reads by ``params.get('x')`` or ``params['x']``.
    lookups: frozenset[Lookup]  #: What it asks of ``params.getFrom...``.


class _Assigned(NamedTuple):
    """Put after the value of an assignment: from here on the name is the expression's own."""

    name: str


def survey(root: Node) -> Survey:
    """Walk over *root* in the order of the text, with a list instead of recursion."""
    depth, size, loops = 0, 0, False
    own: set[str] = set()
    variables: set[str] = set()
    parameters: set[str] = set()
    lookups: set[Lookup] = set()
    waiting: list[tuple[object, int]] = [(root, 0)]
    while waiting:
        node, level = waiting.pop()
        if isinstance(node, _Assigned):
            own.add(node.name)
            continue
        if isinstance(node, (tuple, list)):
            waiting.extend((part, level) for part in reversed(node))
            continue
        if node is None:
            continue
        size += 1
        level += 1
        depth = max(depth, level)
        if isinstance(node, nodes.Name):
            if node.name not in own and node.name != "params":
                variables.add(node.name)
        elif isinstance(node, nodes.Chain):
            _note_parameter(node, parameters, lookups)
            waiting.append((node.suffixes, level))
            if not (isinstance(node.primary, nodes.Name) and _is_class(node)):
                waiting.append((node.primary, level))
        else:
            loops = loops or isinstance(node, nodes.Loop)
            waiting.extend((part, level if nested else level - 1) for part, nested in reversed(_parts(node)))
    return Survey(depth, size, loops, frozenset(variables), frozenset(parameters), frozenset(lookups))


def _parts(node: object) -> list[tuple[object, bool]]:
    """Return the parts of *node* in the order in which they run, and whether each nests deeper than the node."""
    if isinstance(node, (nodes.Conditional, nodes.If)):
        deeper = not isinstance(node.otherwise, type(node))
        return [(node.condition, True), (node.chosen, True), (node.otherwise, deeper)]
    if isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name):
        read = [(node.target, True)] if node.operator else []
        return [*read, (node.value, True), (_Assigned(node.target.name), False)]
    if isinstance(node, nodes.Variable):
        return [(node.value, True), (_Assigned(node.name), False)]
    return [(getattr(node, name), True) for name in _PARTS.get(type(node), ())]


#: The fields of a node that hold nodes, in the order in which they run.
_PARTS: Final[dict[type, tuple[str, ...]]] = {
    nodes.Unary: ("operand",),
    nodes.Operand: ("operand",),
    nodes.Binary: ("first", "rest"),
    nodes.Assign: ("target", "value"),
    nodes.Call: ("arguments",),
    nodes.Index: ("index",),
    nodes.NewObject: ("arguments",),
    nodes.NewArray: ("size",),
    nodes.FilledArray: ("items",),
    nodes.Evaluate: ("expression",),
    nodes.Declare: ("variables",),
    nodes.Block: ("statements",),
    nodes.Loop: ("initial", "condition", "body", "update"),
    nodes.Return: ("value",),
    nodes.Throw: ("message",),
}


def _is_class(chain: nodes.Chain) -> bool:
    return (
        isinstance(chain.primary, nodes.Name)
        and chain.primary.name in CLASSES
        and not isinstance(chain.suffixes[0], nodes.Index)
    )


def _note_parameter(chain: nodes.Chain, parameters: set[str], lookups: set[Lookup]) -> None:
    if not (isinstance(chain.primary, nodes.Name) and chain.primary.name == "params"):
        return
    first = chain.suffixes[0]
    key: str | None = None
    if isinstance(first, nodes.Index):
        key = _constant(first.index)
    elif isinstance(first, nodes.Call) and first.method in LOOKUPS:
        lookups.add(Lookup(first.method, tuple(map(_constant, first.arguments))))
    elif isinstance(first, nodes.Call) and first.method == "get" and len(first.arguments) == 1:
        key = _constant(first.arguments[0])
    if key is not None:
        parameters.add(key)


def _constant(node: object) -> str | None:
    """Return the text that *node* always is, if it always is one."""
    return node.value if isinstance(node, nodes.Literal) and isinstance(node.value, str) else None
