"""
Turn the text of an expression into nodes.

The grammar (``grammar.lark``) is read once; lark's LALR parser never recurses, so no text can exhaust the stack here,
and `survey` walks the nodes with a list of its own.  How deep an expression nests is known before anything recurses.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn, cast

from lark import Lark, Token, Transformer
from lark.exceptions import LarkError, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from maestro_py.expressions import nodes
from maestro_py.expressions.errors import ExpressionSyntaxError
from maestro_py.expressions.nodes import Node
from maestro_py.expressions.text import java_text

_LONG_RANGE: Final = range(-(2**63), 2**63)

#: Operators and how tightly they bind.
_PRECEDENCE: Final = {
    "||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, ">": 4, "<=": 4, ">=": 4, "+": 5, "-": 5, "*": 6, "/": 6, "%": 6,
}  # fmt: skip

_ESCAPES: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "'": "'", "\\": "\\"}
_ESCAPE: Final = re.compile(r"\\(u+[0-9a-fA-F]{4}|[0-3]?[0-7]{1,2}|.)")


class _NodeBuilder(Transformer[Token, Node]):
    """Build the node for each rule as soon as the parser has read it."""

    def program(self, children: list[object]) -> Node:
        return nodes.Block(tuple(cast("Node", child) for child in children if not isinstance(child, Token)))

    # -- statements -------------------------------------------------------------------------------------------------

    def block(self, children: list[Node]) -> Node:
        return nodes.Block(tuple(children))

    def empty(self, _children: list[Node]) -> Node:
        return nodes.Block(())

    def expression_statement(self, children: list[Node]) -> Node:
        return nodes.Evaluate(children[0], place(children[0]))

    def bare_array(self, children: list[tuple[Node, ...]]) -> Node:
        at = place(children[0][0])
        return nodes.Evaluate(nodes.FilledArray(None, children[0], at), at)

    def type_name(self, children: list[Token]) -> Token:
        name = children[0]
        return name if children[1] is None else name.update(value=name.value + "[]")

    def declaration(self, children: list[object]) -> Node:
        type_name = cast("Token", children[0])
        variables = cast("list[nodes.Variable]", children[1:])
        declared = tuple(
            replace(variable, value=replace(variable.value, type_name=type_name.value.removesuffix("[]")))
            if isinstance(variable.value, nodes.FilledArray) and variable.value.type_name is None
            else variable
            for variable in variables
        )
        return nodes.Declare(str(type_name.value), declared, _start(type_name))

    def declarator(self, children: list[object]) -> object:
        name = cast("Token", children[0])
        value = children[1]
        if isinstance(value, tuple):  # items in braces, not yet a node
            value = nodes.FilledArray(None, value, _start(name))
        return nodes.Variable(str(name), cast("Node | None", value), _start(name))

    def array_items(self, children: list[tuple[Node, ...]]) -> tuple[Node, ...]:
        return children[0] or ()

    def if_statement(self, children: list[Node]) -> Node:
        return nodes.If(children[0], children[1], children[2], place(children[0]))

    def while_statement(self, children: list[Node]) -> Node:
        return nodes.Loop(None, children[0], None, children[1], place(children[0]))

    def for_statement(self, children: list[object]) -> Node:
        word, initial, condition, update, body = children
        start = cast("Node | None", initial)
        if start is not None and not isinstance(start, nodes.Declare):
            start = nodes.Evaluate(start, place(start))
        return nodes.Loop(
            start,
            cast("Node | None", condition),
            cast("Node | None", update),
            cast("Node", body),
            _start(cast("Token", word)),
        )

    def break_statement(self, children: list[Token]) -> Node:
        return nodes.Jump("break", _start(children[0]))

    def continue_statement(self, children: list[Token]) -> Node:
        return nodes.Jump("continue", _start(children[0]))

    def return_statement(self, children: list[object]) -> Node:
        return nodes.Return(cast("Node", children[1]), _start(cast("Token", children[0])))

    def throw_statement(self, children: list[object]) -> Node:
        return nodes.Throw(cast("Node", children[1]), _start(cast("Token", children[0])))

    # -- expressions ------------------------------------------------------------------------------------------------

    def assignment(self, children: list[object]) -> Node:
        target, sign, value = cast("tuple[Node, Token, Node]", tuple(children))
        return _assign(target, str(sign)[0], value)

    def plain_assignment(self, children: list[Node]) -> Node:
        return _assign(children[0], "", children[1])

    def ternary(self, children: list[Node]) -> Node:
        return nodes.Conditional(children[0], children[1], children[2], place(children[0]))

    def operators(self, children: list[object]) -> Node:
        return _by_precedence(children)

    def sign(self, children: list[object]) -> Node:
        sign, operand = cast("tuple[Token, Node]", tuple(children))
        if sign == "-" and isinstance(operand, nodes.Literal) and type(operand.value) in (int, float, _TooLong):
            return nodes.Literal(-cast("int", operand.value), _start(sign))
        return nodes.Unary(str(sign), operand, _start(sign))

    def chain(self, children: list[Node]) -> Node:
        first: object = children[1]
        if isinstance(children[0], nodes.NewArray) and isinstance(first, nodes.Index):
            _refuse("the language has no arrays of more than one dimension", first.at)
        return nodes.Chain(children[0], cast("tuple[nodes.Call, ...]", tuple(children[1:])))

    def call(self, children: list[object]) -> object:
        name = cast("Token", children[0])
        arguments = cast("tuple[Node, ...]", children[1] or ())
        return nodes.Call(str(name), arguments, _start(name))

    def field(self, children: list[Token]) -> object:
        return nodes.Field(str(children[0]), _start(children[0]))

    def index(self, children: list[object]) -> object:
        return nodes.Index(cast("Node", children[1]), _start(cast("Token", children[0])))

    def name(self, children: list[Token]) -> Node:
        return nodes.Name(str(children[0]), _start(children[0]))

    def string(self, children: list[Token]) -> Node:
        return nodes.Literal(_text_of(children[0]), _start(children[0]))

    def integer(self, children: list[Token]) -> Node:
        token = children[0]
        digits = token.rstrip("lL")
        if not digits.isdecimal():
            _refuse(f"{token} is not a decimal number; the language has no other", _start(token))
        value = int(digits.lstrip("0")[:20] or "0")
        return nodes.Literal(value if value in _LONG_RANGE else _TooLong(value), _start(token))

    def decimal(self, children: list[Token]) -> Node:
        return nodes.Literal(float(children[0].rstrip("fFdD")), _start(children[0]))

    def true(self, children: list[Token]) -> Node:
        return nodes.Literal(True, _start(children[0]))

    def false(self, children: list[Token]) -> Node:
        return nodes.Literal(False, _start(children[0]))

    def null(self, children: list[Token]) -> Node:
        return nodes.Literal(None, _start(children[0]))

    def new_object(self, children: list[object]) -> Node:
        name = cast("Token", children[0])
        arguments = cast("tuple[Node, ...]", children[1] or ())
        return nodes.NewObject(str(name), arguments, _start(name))

    def new_array(self, children: list[object]) -> Node:
        name = cast("Token", children[0])
        return nodes.NewArray(str(name), cast("Node", children[2]), _start(name))

    def new_filled_array(self, children: list[object]) -> Node:
        name = cast("Token", children[0])
        return nodes.FilledArray(str(name), cast("tuple[Node, ...]", children[2]), _start(name))

    def arguments(self, children: list[Node]) -> tuple[Node, ...]:
        return tuple(children)


class _TooLong(int):
    """A whole number of more than 64 bits; only a minus sign before 2**63 can still save it."""

    def __neg__(self) -> int:
        value = -int(self)
        return value if value in _LONG_RANGE else _TooLong(value)


def parse(source: str) -> nodes.Block:
    """
    Return the statements of *source*.

    A missing semicolon at the end is added, as the original does: not after a ``}``, unless the text starts
    with ``{"``.

    Raises:
        ExpressionSyntaxError: *source* is not of the language.
    """
    text = source.rstrip()
    if text and not text.endswith(";") and (not text.endswith("}") or text.startswith('{"')):
        text += "\n;"  # on a line of its own: the last line may end in a comment
    try:
        return cast("nodes.Block", _PARSER.parse(text))
    except VisitError as error:  # pragma: no cover - lark passes errors of ours through unchanged
        raise ExpressionSyntaxError(str(error.orig_exc)) from None
    except UnexpectedInput as error:
        raise _explained(error, source) from None
    except LarkError as error:
        raise ExpressionSyntaxError(str(error)) from None


def place(node: Node) -> int:
    """Return the offset at which *node* begins."""
    while True:
        if isinstance(node, nodes.Binary):
            node = node.first
        elif isinstance(node, nodes.Chain):
            node = node.primary
        elif isinstance(node, nodes.Block):
            return 0
        else:
            return node.at


def _start(token: Token) -> int:
    return token.start_pos or 0


def _refuse(message: str, at: int) -> NoReturn:
    raise ExpressionSyntaxError(message, offset=at)


def _assign(target: Node, operator: str, value: Node) -> Node:
    indexed = isinstance(target, nodes.Chain) and isinstance(target.suffixes[-1], nodes.Index)
    if not indexed and not isinstance(target, nodes.Name):
        _refuse("only a variable or an element of an array can be assigned to", place(target))
    if isinstance(target, nodes.Name) and target.name == "params":
        _refuse("params cannot be assigned to", target.at)
    return nodes.Assign(target, operator, value, place(target))


def _by_precedence(children: list[object]) -> Node:
    """Arrange ``operand operator operand ...`` by precedence; operators of one precedence become one node."""
    operands: list[Node] = [cast("Node", children[0])]
    waiting: list[Token] = []
    made: set[int] = set()  # nodes made here: only those may take more operands, one in parentheses is closed

    def join() -> None:
        right, left = operands.pop(), operands.pop()
        token = waiting.pop()
        more = nodes.Operand(str(token), right, _start(token))
        if (
            isinstance(left, nodes.Binary)
            and id(left) in made
            and _PRECEDENCE[left.rest[0].operator] == _PRECEDENCE[more.operator]
        ):
            left.rest.append(more)
            operands.append(left)
        else:
            made_node = nodes.Binary(left, [more])
            made.add(id(made_node))
            operands.append(made_node)

    for position in range(1, len(children), 2):
        token = cast("Token", children[position])
        while waiting and _PRECEDENCE[waiting[-1]] >= _PRECEDENCE[token]:
            join()
        waiting.append(token)
        operands.append(cast("Node", children[position + 1]))
    while waiting:
        join()
    return operands[0]


def _text_of(token: Token) -> str:
    raw = token[1:-1]
    if "\\" not in raw:
        return java_text(raw)

    def replaced(found: re.Match[str]) -> str:
        escape = found[1]
        if escape[0] == "u" and len(escape) > 1:
            return chr(int(escape.lstrip("u"), 16))
        if escape[0] in "01234567":
            return chr(int(escape, 8))
        if escape not in _ESCAPES:
            _refuse(f"\\{escape} is not an escape of the language", _start(token) + 1 + found.start())
        return _ESCAPES[escape]

    return _ESCAPE.sub(replaced, java_text(raw))


def _explained(error: UnexpectedInput, source: str) -> ExpressionSyntaxError:
    offset = error.pos_in_stream if error.pos_in_stream is not None and error.pos_in_stream >= 0 else len(source)
    if isinstance(error, UnexpectedToken):
        token = cast("Token", error.token)
        at_end = token.type == "$END" or offset >= len(source.rstrip())
        message = "the expression ends too early" if at_end else f"unexpected {str(token)[:40]!r}"
    elif isinstance(error, UnexpectedCharacters) and offset < len(source):
        message = f"unexpected character {source[offset]!r}"
        if source[offset : offset + 2] in ("++", "--"):
            message = f"the language has no operator {source[offset : offset + 2]}"
        elif source[offset] in "\"'":
            message = "this text is not closed"
        elif source.startswith("/*", offset):
            message = "this comment is not closed"
    else:
        message = "the expression ends too early"
    return ExpressionSyntaxError(message, offset=min(offset, len(source)))


_PARSER: Final = Lark(
    Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8"),
    parser="lalr",
    lexer="contextual",
    start="program",
    transformer=_NodeBuilder(),
    maybe_placeholders=True,
    propagate_positions=False,
)
