"""
The methods of texts and of the class ``String``, as Java documents them.

Each charges for the text it is about to make, which it can tell beforehand from the lengths.
"""

from __future__ import annotations

from typing import Final

from maestro_py.expressions.builtin import ANY, LONG, LONG_OR_TEXT, TEXT, Builtin, ClassTable, table
from maestro_py.expressions.errors import ExpressionError
from maestro_py.expressions.java_format import java_format
from maestro_py.expressions.regexes import replace_all, split
from maestro_py.expressions.render import text_of
from maestro_py.expressions.state import State
from maestro_py.expressions.text import java_text, python_text
from maestro_py.expressions.values import Array

_BLANKS: Final = "".join(map(chr, range(0x21)))  # what Java's trim takes away
_ESCAPED: Final = str.maketrans(
    {"\\": "\\\\", "\t": "\\t", "\b": "\\b", "\n": "\\n", "\r": "\\r", "\f": "\\f", '"': '\\"'}
)
_LARGEST_CASE_GROWTH = 3  # a character becomes at most three when its case changes


def _upper(state: State, text: str) -> str:
    return _with_case(state, text, upper=True)


def _lower(state: State, text: str) -> str:
    return _with_case(state, text, upper=False)


def _with_case(state: State, text: str, *, upper: bool) -> str:
    state.text(len(text) if text.isascii() else _LARGEST_CASE_GROWTH * len(text))
    if text.isascii():
        return text.upper() if upper else text.lower()
    whole = python_text(text)
    return java_text(whole.upper() if upper else whole.lower())


def _replace(state: State, text: str, old: str, new: str) -> str:
    state.work(len(text) // 64)
    found = text.count(old)
    if not found:
        return text
    state.text(len(text) + found * (len(new) - len(old)))
    state.work(found // 8)
    return text.replace(old, new)


def _split(state: State, text: str, expression: str, limit: int = 0) -> Array:
    return Array(split(state, text, expression, limit), "STRING")


def _substring(state: State, text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise ExpressionError(f"substring from {start} to {stop} of a text of {len(text)} characters")
    state.text(stop - start)
    return text[start:stop]


def _last_index_of(state: State, text: str, part: str) -> int:
    # Both reversed: Python's search forwards is linear in the worst case, the one backwards is not.
    state.text(len(text))
    state.text(len(part))
    found = text[::-1].find(part[::-1])
    return found if found < 0 else len(text) - len(part) - found


def _compare_to(state: State, text: str, other: str) -> int:
    state.work((len(text) + len(other)) // 64)
    shorter = min(len(text), len(other))
    same, differing = 0, shorter  # the first difference lies in [same, differing]
    while same < differing:
        middle = (same + differing) // 2
        if text[same : middle + 1] == other[same : middle + 1]:
            same = middle + 1
        else:
            differing = middle
    return len(text) - len(other) if same == shorter else ord(text[same]) - ord(other[same])


def _escape(state: State, text: str) -> str:
    state.text(2 * len(text))
    return text.translate(_ESCAPED)


def _trim(state: State, text: str) -> str:
    state.text(len(text))
    return text.strip(_BLANKS)


def _starts_with(state: State, text: str, start: str) -> bool:
    state.work(len(start) // 256)
    return text.startswith(start)


def _ends_with(state: State, text: str, end: str) -> bool:
    state.work(len(end) // 256)
    return text.endswith(end)


def _contains(state: State, text: str, part: str) -> bool:
    state.work(len(text) // 64)
    return part in text


def _format(state: State, pattern: str, arguments: list[object]) -> str:
    return java_format(state, pattern, arguments)


def _join(state: State, separator: str, arguments: list[object]) -> str:
    parts = []
    for argument in arguments:
        state.work(3)
        parts.append(text_of(state, argument))
    state.text(sum(map(len, parts)) + len(separator) * max(0, len(parts) - 1))
    return separator.join(parts)


def _value_of(state: State, value: object) -> str:
    return text_of(state, value)


def _new(state: State, value: object = "") -> str:
    return text_of(state, value)


METHODS: Final = table(
    Builtin("split", _split, ((TEXT,), (TEXT, LONG))),
    Builtin("toUpperCase", _upper, ((),)),
    Builtin("toLowerCase", _lower, ((),)),
    Builtin("replaceAll", replace_all, ((TEXT, TEXT),)),
    Builtin("replace", _replace, ((TEXT, TEXT),)),
    Builtin("startsWith", _starts_with, ((TEXT,),)),
    Builtin("endsWith", _ends_with, ((TEXT,),)),
    Builtin("contains", _contains, ((TEXT,),)),
    Builtin("substring", _substring, ((LONG,), (LONG, LONG))),
    Builtin("lastIndexOf", _last_index_of, ((TEXT,),)),
    Builtin("length", lambda _state, text: len(text), ((),)),
    Builtin("isEmpty", lambda _state, text: not text, ((),)),
    Builtin("equals", lambda _state, text, other: text == other, ((ANY,),)),
    Builtin("compareTo", _compare_to, ((TEXT,),)),
    Builtin("trim", _trim, ((),)),
    Builtin("escape", _escape, ((),)),
)

CLASS: Final = ClassTable(
    kind="STRING",
    statics=table(
        Builtin("valueOf", _value_of, ((ANY,),)),
        Builtin("format", _format, ((TEXT,),), spread=True),
        Builtin("join", _join, ((TEXT,),), spread=True),
        Builtin("escape", _escape, ((TEXT,),)),
    ),
    constructor=Builtin("String", _new, ((), (LONG_OR_TEXT,))),
)
