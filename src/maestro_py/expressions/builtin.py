"""
What a built-in is: a function with the argument kinds it takes, checked before it runs.

A method gets the state, the value before the dot and the arguments; a static function and a constructor
get the state and the arguments.  Only what is listed in these tables can be reached from an expression;
nothing is looked up on Python objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from maestro_py.expressions.errors import ExpressionError
from maestro_py.expressions.state import State
from maestro_py.expressions.values import Array, kind_of

#: The kinds an argument may have; None takes anything.
Kinds = frozenset[str] | None
Signature = tuple[Kinds, ...]

TEXT: Final = frozenset({"STRING"})
LONG: Final = frozenset({"LONG"})
DOUBLE: Final = frozenset({"DOUBLE"})
NUMBER: Final = frozenset({"LONG", "DOUBLE"})
BOOLEAN: Final = frozenset({"BOOLEAN"})
LONG_OR_TEXT: Final = frozenset({"LONG", "STRING"})
DATETIME: Final = frozenset({"DATETIME"})
ZONE: Final = frozenset({"DATETIME_ZONE"})
ARRAY: Final = frozenset({"STRING_ARRAY", "LONG_ARRAY", "DOUBLE_ARRAY", "BOOLEAN_ARRAY", "ARRAY"})
ANY: Final = None


_CALL_VISITS: Final = 3  # checking the arguments costs about as much as three nodes


@dataclass(frozen=True, slots=True)
class Builtin:
    """A function of the language."""

    name: str
    function: Callable[..., object]
    signatures: tuple[Signature, ...]  #: The argument kinds it takes, one tuple per form.
    spread: bool = False  #: Whether any number of further arguments, or one array of them, may follow.

    def invoke(self, state: State, receiver: tuple[object, ...], arguments: list[object]) -> object:
        """
        Check *arguments* and run the function.

        Raises:
            ExpressionError: The arguments fit no form of the function, or the function fails.
        """
        state.work(_CALL_VISITS)
        if self.spread:
            fixed = len(self.signatures[0])
            if not _fits(self.signatures[0], arguments[:fixed]):
                raise self._misfit(arguments)
            further = arguments[fixed:]
            if len(further) == 1 and isinstance(further[0], Array):
                array = further[0]
                state.items(len(array.items))
                further = [state.wrap(item) for item in array.items]
            return self.function(state, *receiver, *arguments[:fixed], further)
        for signature in self.signatures:
            if len(signature) == len(arguments) and _fits(signature, arguments):
                return self.function(state, *receiver, *arguments)
        raise self._misfit(arguments)

    def _misfit(self, arguments: list[object]) -> ExpressionError:
        given = ", ".join(kind_of(argument) for argument in arguments)
        return ExpressionError(f"{self.name}({given}) does not exist; there is {self.forms()}")

    def forms(self) -> str:
        """Return the forms of the function for a person: ``substring(LONG) or substring(LONG, LONG)``."""
        more = ", ..." if self.spread else ""
        return " or ".join(f"{self.name}({', '.join(map(_kinds_text, form))}{more})" for form in self.signatures)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassTable:
    """What can be done with the name of a class: call, read, construct, declare a variable of it."""

    kind: str | None = None  #: The kind of a variable declared with this name; None if none can be.
    nullable: bool = True  #: Whether such a variable may be null.
    default: object = None  #: The first value of such a variable.
    statics: Mapping[str, Builtin] = field(default_factory=dict)
    constants: Mapping[str, object] = field(default_factory=dict)
    constructor: Builtin | None = None


def table(*builtins: Builtin) -> dict[str, Builtin]:
    """Return *builtins* by name."""
    return {builtin.name: builtin for builtin in builtins}


def _fits(signature: Signature, arguments: list[object]) -> bool:
    return len(signature) == len(arguments) and all(
        kinds is None or kind_of(argument) in kinds for kinds, argument in zip(signature, arguments, strict=True)
    )


def _kinds_text(kinds: Kinds) -> str:
    if kinds is None:
        return "any"
    return "ARRAY" if kinds == ARRAY else " | ".join(sorted(kinds))
