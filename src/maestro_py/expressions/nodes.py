"""The words of a parsed expression: immutable nodes, each with the offset at which it stands in the text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: text, number, truth value or null."""

    value: object
    at: int


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, or - before a dot - the name of a class."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Unary:
    """A sign or a negation before an operand."""

    operator: str
    operand: Node
    at: int


@dataclass(frozen=True, slots=True)
class Operand:
    """One more operand of a chain of operators of one precedence, with the operator before it."""

    operator: str
    operand: Node
    at: int


@dataclass(frozen=True, slots=True)
class Binary:
    """Operands joined by operators of one precedence, from left to right (a list, for it grows while parsing)."""

    first: Node
    rest: list[Operand]


@dataclass(frozen=True, slots=True)
class Conditional:
    """``condition ? chosen : otherwise``."""

    condition: Node
    chosen: Node
    otherwise: Node
    at: int


@dataclass(frozen=True, slots=True)
class Assign:
    """``target = value``, or with an operator before the equals sign."""

    target: Node
    operator: str
    value: Node
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """``.method(arguments)`` after a value."""

    method: str
    arguments: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Field:
    """``.name`` after a value."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Index:
    """``[index]`` after a value."""

    index: Node
    at: int


@dataclass(frozen=True, slots=True)
class Chain:
    """A value followed by calls, fields and indexes."""

    primary: Node
    suffixes: tuple[Call | Field | Index, ...]


@dataclass(frozen=True, slots=True)
class NewObject:
    """``new Type(arguments)``."""

    type_name: str
    arguments: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class NewArray:
    """``new Type[size]``."""

    type_name: str
    size: Node
    at: int


@dataclass(frozen=True, slots=True)
class FilledArray:
    """``new Type[]{items}``; no type name when the items tell it."""

    type_name: str | None
    items: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Evaluate:
    """An expression as a statement; its value is the result so far."""

    expression: Node
    at: int


@dataclass(frozen=True, slots=True)
class Variable:
    """One name of a declaration with its first value, if it has one."""

    name: str
    value: Node | None
    at: int


@dataclass(frozen=True, slots=True)
class Declare:
    """``Type a = 1, b;``."""

    type_name: str
    variables: tuple[Variable, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Block:
    """Statements in braces (which open no scope of their own)."""

    statements: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class If:
    """``if (condition) chosen else otherwise``."""

    condition: Node
    chosen: Node
    otherwise: Node | None
    at: int


@dataclass(frozen=True, slots=True)
class Loop:
    """``while`` and ``for``: as long as *condition* holds, do *body* and then *update*."""

    initial: Node | None
    condition: Node | None
    update: Node | None
    body: Node
    at: int


@dataclass(frozen=True, slots=True)
class Jump:
    """``break`` or ``continue``."""

    word: str
    at: int


@dataclass(frozen=True, slots=True)
class Return:
    """``return value;``."""

    value: Node
    at: int


@dataclass(frozen=True, slots=True)
class Throw:
    """``throw message;``."""

    message: Node
    at: int


Expression = Literal | Name | Unary | Binary | Conditional | Assign | Chain | NewObject | NewArray | FilledArray
Statement = Evaluate | Declare | Block | If | Loop | Jump | Return | Throw
Node = Expression | Statement
