"""
Statements as functions of the state.

A statement returns None to go on, or a signal: `BREAK`, `CONTINUE` or `RETURN`.  It counts its visits before it
runs: as many as its expression has nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from maestro_py.expressions import nodes
from maestro_py.expressions.classes import TYPES
from maestro_py.expressions.compiler import Run, compile_condition, compile_value
from maestro_py.expressions.errors import ExpressionError, ExpressionSyntaxError, ExpressionThrown, LimitExceeded
from maestro_py.expressions.nodes import Node
from maestro_py.expressions.state import State
from maestro_py.expressions.survey import survey
from maestro_py.expressions.text import python_text
from maestro_py.expressions.values import kind_of

BREAK: Final = "break"
CONTINUE: Final = "continue"
RETURN: Final = "return"

Execute = Callable[[State], str | None]


def compile_statement(node: Node) -> Execute:
    """Return the function that runs a statement."""
    make = _MAKERS.get(type(node))
    assert make is not None, f"{type(node).__name__} is not a statement"
    return make(node)


def _counted(node: Node, at: int) -> Run:
    """Return the function that evaluates an expression of a statement after counting its visits."""
    value, visits = compile_value(node), survey(node).size

    def run(state: State) -> object:
        state.visits_left -= visits
        if state.visits_left < 0:
            _out_of_visits(state, at)
        return value(state)

    return run


def _counted_condition(node: Node, at: int) -> Callable[[State], bool]:
    condition, visits = compile_condition(node, at), survey(node).size

    def run(state: State) -> bool:
        state.visits_left -= visits
        if state.visits_left < 0:
            _out_of_visits(state, at)
        return condition(state)

    return run


def _out_of_visits(state: State, at: int) -> None:
    try:
        state.work(0)
    except ExpressionError as error:
        raise error.at(at) from error.__cause__


def _evaluate(node: nodes.Evaluate) -> Execute:
    value = _counted(node.expression, node.at)

    def run(state: State) -> None:
        state.result = value(state)

    return run


def _declare(node: nodes.Declare) -> Execute:
    if node.type_name not in TYPES:
        raise ExpressionSyntaxError(f"there is no type {node.type_name}", offset=node.at)
    kind, nullable, default = TYPES[node.type_name]
    variables = [
        (item.name, _counted(item.value, item.at) if item.value is not None else None, item.at)
        for item in node.variables
    ]
    for name, _, at in variables:
        if name == "params":
            raise ExpressionSyntaxError("params cannot be declared", offset=at)

    def run(state: State) -> None:
        for name, value, at in variables:
            try:
                first = default if value is None else value(state)
                if value is None:
                    state.work(1)
                    state.variables[name] = first
                    state.declare(name, kind, nullable or first is None, first)
                else:
                    state.declare(name, kind, nullable, first)
            except ExpressionError as error:
                raise error.at(at) from error.__cause__

    return run


def _block(node: nodes.Block) -> Execute:
    statements = [compile_statement(statement) for statement in node.statements]
    if len(statements) == 1:
        return statements[0]

    def run(state: State) -> str | None:
        for statement in statements:
            signal = statement(state)
            if signal is not None:
                return signal
        return None

    return run


def _if(node: Node) -> Execute:
    arms: list[tuple[Callable[[State], bool], Execute]] = []
    rest: Node | None = node
    while isinstance(rest, nodes.If):
        arms.append((_counted_condition(rest.condition, rest.at), compile_statement(rest.chosen)))
        rest = rest.otherwise
    otherwise = compile_statement(rest) if rest is not None else None

    def run(state: State) -> str | None:
        for condition, chosen in arms:
            if condition(state):
                return chosen(state)
        return otherwise(state) if otherwise is not None else None

    return run


def _loop(node: nodes.Loop) -> Execute:
    initial = compile_statement(node.initial) if node.initial is not None else None
    condition = _counted_condition(node.condition, node.at) if node.condition is not None else None
    update = _counted(node.update, node.at) if node.update is not None else None
    body, at = compile_statement(node.body), node.at

    def run(state: State) -> str | None:
        if initial is not None:
            initial(state)
        rounds_left = state.limits.loop
        while condition is None or condition(state):
            rounds_left -= 1
            if rounds_left < 0:
                raise LimitExceeded(f"a loop of more than {state.limits.loop} rounds", offset=at, limit="loop")
            _round_begins(state, at)
            signal = body(state)
            if signal is not None:
                if signal is BREAK:
                    return None
                if signal is RETURN:
                    return signal
            if update is not None:
                update(state)
        return None

    return run


def _round_begins(state: State, at: int) -> None:
    try:
        state.work(1)
        state.settle()
    except ExpressionError as error:
        raise error.at(at) from error.__cause__


def _jump(node: nodes.Jump) -> Execute:
    word = BREAK if node.word == "break" else CONTINUE

    def run(state: State) -> str:
        state.visits_left -= 1
        return word

    return run


def _return(node: nodes.Return) -> Execute:
    value = _counted(node.value, node.at)

    def run(state: State) -> str:
        state.result = value(state)
        return RETURN

    return run


def _throw(node: nodes.Throw) -> Execute:
    value, at = _counted(node.message, node.at), node.at

    def run(state: State) -> str | None:
        message = value(state)
        if not isinstance(message, str):
            raise ExpressionError(f"throw takes a STRING, not {kind_of(message)}", offset=at)
        raise ExpressionThrown(python_text(message[:10_000]), offset=at)

    return run


_MAKERS: Final[dict[type, Callable[..., Execute]]] = {
    nodes.Evaluate: _evaluate,
    nodes.Declare: _declare,
    nodes.Block: _block,
    nodes.If: _if,
    nodes.Loop: _loop,
    nodes.Jump: _jump,
    nodes.Return: _return,
    nodes.Throw: _throw,
}
