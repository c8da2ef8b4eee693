"""
Expressions as nested functions.

Each node becomes one Python function of the state; evaluating an expression is calling the outermost.  What can
be known from the text - operators, names of classes, constants - is settled here, once.  A function that may fail
adds its place in the text to the error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from maestro_py.expressions import nodes
from maestro_py.expressions.classes import (
    CLASSES,
    TYPES,
    call_method,
    call_static,
    construct,
    static_field,
)
from maestro_py.expressions.containers import new_array, read_index, write_index
from maestro_py.expressions.errors import ExpressionError, ExpressionSyntaxError
from maestro_py.expressions.nodes import Node
from maestro_py.expressions.operators import BINARY, UNARY, BinaryOperator, truth
from maestro_py.expressions.state import MISSING, State, check_kind
from maestro_py.expressions.values import Array, kind_of

Run = Callable[[State], object]
Step = Callable[[State, object], object]


def compile_value(node: Node) -> Run:
    """Return the function that evaluates an expression."""
    make = _MAKERS.get(type(node))
    assert make is not None, f"{type(node).__name__} is a statement"
    return make(node)


def _literal(node: nodes.Literal) -> Run:
    value = node.value
    if isinstance(value, int) and type(value) not in (int, bool):
        raise ExpressionSyntaxError("this number does not fit a LONG", offset=node.at)
    return lambda _state: value


def _name(node: nodes.Name) -> Run:
    name, at = node.name, node.at
    if name == "params":
        return State.params_view

    def read(state: State) -> object:
        value = state.variables.get(name, MISSING)
        if value is not MISSING:
            return value
        try:
            return state.load(name)
        except ExpressionError as error:
            raise error.at(at) from error.__cause__

    return read


def _unary(node: nodes.Unary) -> Run:
    operate, operand, at = UNARY[node.operator], compile_value(node.operand), node.at

    def run(state: State) -> object:
        try:
            return operate(operand(state))
        except ExpressionError as error:
            raise error.at(at) from error.__cause__

    return run


def _binary(node: nodes.Binary) -> Run:
    first = compile_value(node.first)
    rest = [(BINARY[more.operator], compile_value(more.operand), more.at) for more in node.rest]
    if len(rest) > 1:
        return _many_operators(first, rest)
    if isinstance(constant := node.rest[0].operand, nodes.Literal):
        return _operator_with_constant(first, rest[0][0], constant.value, node.rest[0].at)
    return _one_operator(first, *rest[0])


def _operator_with_constant(first: Run, operate: BinaryOperator, constant: object, at: int) -> Run:
    """Return what most comparisons are; one call less is a tenth of their time."""

    def run(state: State) -> object:
        try:
            return operate(state, first(state), constant)
        except ExpressionError as error:
            raise error.at(at) from error.__cause__

    return run


def _one_operator(first: Run, operate: BinaryOperator, second: Run, at: int) -> Run:
    def run(state: State) -> object:
        try:
            return operate(state, first(state), second(state))
        except ExpressionError as error:
            raise error.at(at) from error.__cause__

    return run


def _many_operators(first: Run, rest: list[tuple[BinaryOperator, Run, int]]) -> Run:
    def run(state: State) -> object:
        value = first(state)
        for operate, operand, at in rest:
            try:
                value = operate(state, value, operand(state))
            except ExpressionError as error:
                raise error.at(at) from error.__cause__
        return value

    return run


def _conditional(node: Node) -> Run:
    arms: list[tuple[Run, Run]] = []
    while isinstance(node, nodes.Conditional):
        arms.append((compile_condition(node.condition, node.at), compile_value(node.chosen)))
        node = node.otherwise
    otherwise = compile_value(node)

    def run(state: State) -> object:
        for condition, chosen in arms:
            if condition(state):
                return chosen(state)
        return otherwise(state)

    return run


def compile_condition(node: Node, at: int) -> Callable[[State], bool]:
    """Return the function that evaluates an expression which must be true or false."""
    value = compile_value(node)

    def run(state: State) -> bool:
        try:
            return truth(value(state))
        except ExpressionError as error:
            raise error.at(at) from error.__cause__

    return run


def _assign(node: nodes.Assign) -> Run:
    value, at = compile_value(node.value), node.at
    operate = BINARY[node.operator] if node.operator else None
    if isinstance(node.target, nodes.Name):
        return _assign_name(node.target, operate, value, at)
    assert isinstance(node.target, nodes.Chain)
    *before, last = node.target.suffixes
    assert isinstance(last, nodes.Index)
    array = _chain(nodes.Chain(node.target.primary, tuple(before))) if before else compile_value(node.target.primary)
    index = compile_value(last.index)

    def run(state: State) -> object:
        try:
            receiver, position = array(state), index(state)
            if operate is None:
                result = value(state)
            else:
                result = operate(state, read_index(state, receiver, position), value(state))
            write_index(state, receiver, position, result)
        except ExpressionError as error:
            raise error.at(at) from error.__cause__
        return result

    return run


def _assign_name(target: nodes.Name, operate: BinaryOperator | None, value: Run, at: int) -> Run:
    name, current = target.name, _name(target)

    def run(state: State) -> object:
        try:
            result = value(state) if operate is None else operate(state, current(state), value(state))
            state.store(name, result)
        except ExpressionError as error:
            raise error.at(at) from error.__cause__
        return result

    return run


def _chain(node: nodes.Chain) -> Run:
    primary, suffixes = node.primary, node.suffixes
    first = suffixes[0]
    rest = suffixes
    if isinstance(primary, nodes.Name) and primary.name in CLASSES:
        value, rest = _static(primary, first), suffixes[1:]
    else:
        value = compile_value(primary)
    steps = [_suffix(suffix) for suffix in rest]
    if not steps:
        return value
    if len(steps) == 1:
        step = steps[0]
        return lambda state: step(state, value(state))

    def run(state: State) -> object:
        result = value(state)
        for step in steps:
            result = step(state, result)
        return result

    return run


def _static(primary: nodes.Name, first: nodes.Call | nodes.Field | nodes.Index) -> Run:
    class_name, at = primary.name, first.at
    if isinstance(first, nodes.Call):
        method, arguments = first.method, [compile_value(argument) for argument in first.arguments]

        def call(state: State) -> object:
            try:
                return call_static(state, class_name, method, [argument(state) for argument in arguments])
            except ExpressionError as error:
                raise error.at(at) from error.__cause__

        return call
    if isinstance(first, nodes.Index):
        return compile_value(primary) if class_name not in TYPES else _reader_of_index(primary, first)
    field = first.name

    def read(_state: State) -> object:
        try:
            return static_field(class_name, field)
        except ExpressionError as error:
            raise error.at(at) from error.__cause__

    return read


def _reader_of_index(primary: nodes.Name, first: nodes.Index) -> Run:
    value, step = compile_value(primary), _suffix(first)
    return lambda state: step(state, value(state))


def _suffix(node: nodes.Call | nodes.Field | nodes.Index) -> Step:
    at = node.at
    if isinstance(node, nodes.Call):
        return _method_call(node)
    if isinstance(node, nodes.Index):
        index = compile_value(node.index)

        def read(state: State, receiver: object) -> object:
            try:
                return read_index(state, receiver, index(state))
            except ExpressionError as error:
                raise error.at(at) from error.__cause__

        return read
    name = node.name

    def field(_state: State, receiver: object) -> object:
        if name == "length" and isinstance(receiver, Array):
            return len(receiver.items)
        raise ExpressionError(f"{kind_of(receiver)} has no field {name}", offset=at)

    return field


def _method_call(node: nodes.Call) -> Step:
    method, at = node.method, node.at
    arguments = [compile_value(argument) for argument in node.arguments]

    def call(state: State, receiver: object) -> object:
        try:
            return call_method(state, receiver, method, [argument(state) for argument in arguments])
        except ExpressionError as error:
            raise error.at(at) from error.__cause__

    return call


def _new_object(node: nodes.NewObject) -> Run:
    class_name, at = node.type_name, node.at
    arguments = [compile_value(argument) for argument in node.arguments]

    def run(state: State) -> object:
        try:
            return construct(state, class_name, [argument(state) for argument in arguments])
        except ExpressionError as error:
            raise error.at(at) from error.__cause__

    return run


def _item_type(type_name: str, at: int) -> tuple[str, bool, object]:
    if f"{type_name}[]" not in TYPES:
        raise ExpressionSyntaxError(f"there are no arrays of {type_name}", offset=at)
    return TYPES[type_name]


def _new_array(node: nodes.NewArray) -> Run:
    kind, _, default = _item_type(node.type_name, node.at)
    size, at = compile_value(node.size), node.at

    def run(state: State) -> object:
        try:
            return new_array(state, kind, default, size(state))
        except ExpressionError as error:
            raise error.at(at) from error.__cause__

    return run


def _filled_array(node: nodes.FilledArray) -> Run:
    items, at = [compile_value(item) for item in node.items], node.at
    expected = _item_type(node.type_name, at) if node.type_name is not None else None

    def run(state: State) -> object:
        try:
            state.items(len(items))
            values = [item(state) for item in items]
            kind = expected[0] if expected is not None else next((kind_of(value) for value in values), "STRING")
            for value in values:
                check_kind("an item", (kind, kind == "STRING"), value)
                if isinstance(value, str):
                    state.text(len(value))
            if f"{kind}_ARRAY" not in _ARRAY_KINDS:
                raise ExpressionError(f"there are no arrays of {kind}")
        except ExpressionError as error:
            raise error.at(at) from error.__cause__
        return Array(values, kind)

    return run


_ARRAY_KINDS: Final = frozenset(kind for kind, _, _ in TYPES.values() if kind.endswith("_ARRAY"))

_MAKERS: Final[dict[type, Callable[..., Run]]] = {
    nodes.Literal: _literal,
    nodes.Name: _name,
    nodes.Unary: _unary,
    nodes.Binary: _binary,
    nodes.Conditional: _conditional,
    nodes.Assign: _assign,
    nodes.Chain: _chain,
    nodes.NewObject: _new_object,
    nodes.NewArray: _new_array,
    nodes.FilledArray: _filled_array,
}
