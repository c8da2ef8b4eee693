"""
Regular expressions, on an engine that is linear in the text (RE2) and with Java's rules for what a match yields.

Look-around, back-references, possessive quantifiers and ``&&`` in classes are refused.  One search costs visits for the
text it may read; where an expression can match many times, every search is charged for the rest of the text, because
deciding on one match may need a look at all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import re2

from maestro_py.expressions.errors import ExpressionError
from maestro_py.expressions.state import State
from maestro_py.expressions.text import java_text, python_text

_EXPRESSION_MEMORY = 1 << 19  # bytes; bounds a compiled expression with its states, of which the engine keeps 128
_INSTRUCTION_BYTES = 64
_LONGEST_PATTERN = 10_000
_SEARCH_VISITS = 12  # one search, however short
_SMALL_PROGRAM = 12  # so few instructions have so few states that the engine never falls back to its slow half
_SPECIAL: Final = re.compile(r"[\\\[\](){}.*+?^$|]")
_PLAIN_ESCAPE: Final = re.compile(r"\\([^a-zA-Z0-9])")
_UNBOUNDED: Final = re.compile(r"[*+{|?]")
_REFUSED: Final = re.compile(r"\[[^\]]*&&")

Span = tuple[int, int]


class _Program:
    """A compiled expression: matching, and what a search costs."""

    __slots__ = ("bounded", "groups", "names", "regexp", "size")

    def __init__(self, pattern: str) -> None:
        options = re2.Options()
        options.log_errors = False
        options.max_mem = _EXPRESSION_MEMORY
        if _REFUSED.search(pattern):
            raise ExpressionError("&& inside a character class is not supported")
        try:
            self.regexp = re2.compile(python_text(pattern), options)
        except re2.error as error:
            reason = error.args[0] if error.args else ""
            text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise ExpressionError(f"not a regular expression of the supported kind: {text}") from None
        self.size = int(self.regexp.programsize)
        self.groups = int(self.regexp.groups)
        self.names: dict[str, int] = dict(self.regexp.groupindex)
        self.bounded = not _UNBOUNDED.search(pattern)

    def charge(self, state: State, length: int) -> None:
        """Count one search that may read *length* bytes."""
        if self.size <= _SMALL_PROGRAM and not self.groups:
            state.work(_SEARCH_VISITS + length // 512)
        else:
            state.work(_SEARCH_VISITS + length * self.size // 64)

    def matches(self, state: State, text: bytes) -> Iterator[list[Span]]:
        """
        Find the matches one after the other, as Java's ``Matcher.find`` does; spans are in bytes.

        After an empty match the next search begins one character further.
        """
        start, once = 0, self.bounded
        if once:
            self.charge(state, len(text))
        while start <= len(text):
            if once:
                state.work(_SEARCH_VISITS)
            else:
                self.charge(state, len(text) - start)
            found = next(self.regexp.finditer(text, start), None)
            if found is None:
                return
            spans: list[Span] = [found.span(group) for group in range(self.groups + 1)]
            yield spans
            begin, end = spans[0]
            start = end if end > begin else _next_character(text, end)


@lru_cache(maxsize=64)
def _program(pattern: str) -> _Program:
    return _Program(pattern)


def _compiled(state: State, pattern: str) -> _Program:
    if len(pattern) > _LONGEST_PATTERN:
        raise ExpressionError(f"a regular expression of more than {_LONGEST_PATTERN} characters")
    state.work(20 + 20 * len(pattern))
    program = _program(pattern)
    # Charged whether it was in the cache or not: an evaluation is the same wherever and whenever it runs.
    state.work(2 * program.size)
    state.memory(_INSTRUCTION_BYTES * program.size)
    return program


def _next_character(text: bytes, position: int) -> int:
    position += 1
    while position < len(text) and text[position] & 0xC0 == 0x80:
        position += 1
    return position


def literal(pattern: str) -> str | None:
    """Return the text that *pattern* stands for if it is no more than that, else None."""
    plain = _PLAIN_ESCAPE.sub("", pattern)
    if _SPECIAL.search(plain):
        return None
    return _PLAIN_ESCAPE.sub(r"\1", pattern)


def split(state: State, text: str, pattern: str, limit: int) -> list[object]:
    """
    Split *text* around the matches of *pattern*, by the rules of Java's ``String.split``.

    Args:
        limit: Positive: at most so many parts.  0: empty parts at the end are dropped.  Negative: all parts.
    """
    fixed = literal(pattern)
    if fixed:
        state.work(len(text) // 64)
        most = min(limit - 1, len(text)) if limit > 0 else -1
        count = text.count(fixed) + 1
        count = min(count, limit) if limit > 0 else count
        state.items(count)
        state.text(len(text))
        parts: list[str] = text.split(fixed, most)
    else:
        parts = _split_by_search(state, text, pattern, limit)
    if len(parts) == 1:
        return [text]
    if limit == 0:
        while parts and not parts[-1]:
            parts.pop()
    return list(parts)


def _split_by_search(state: State, text: str, pattern: str, limit: int) -> list[str]:
    program = _compiled(state, pattern)
    state.text(2 * len(text))
    encoded = python_text(text).encode("utf-8")
    parts: list[str] = []
    position = 0
    for spans in program.matches(state, encoded):
        if limit > 0 and len(parts) == limit - 1:
            break
        begin, end = spans[0]
        if end == 0:  # no empty part at the beginning for a match of nothing
            continue
        _charge_part(state, len(parts), begin - position)
        parts.append(java_text(encoded[position:begin].decode("utf-8")))
        position = end
    _charge_part(state, len(parts), len(encoded) - position)
    parts.append(java_text(encoded[position:].decode("utf-8")))
    return parts


def _charge_part(state: State, before: int, length: int) -> None:
    if before >= state.limits.array:
        state.items(before + 1)
    state.memory(40)
    state.text(length)


def replace_all(state: State, text: str, pattern: str, replacement: str) -> str:
    """
    Replace every match of *pattern* in *text*, by the rules of Java's ``String.replaceAll``.

    In *replacement* ``$1`` and ``${name}`` stand for groups; a backslash makes the next character plain.
    """
    program = _compiled(state, pattern)
    pieces = _replacement(program, replacement)
    state.text(2 * len(text))
    encoded = python_text(text).encode("utf-8")
    parts: list[bytes] = []
    position = 0
    for spans in program.matches(state, encoded):
        begin, end = spans[0]
        parts.append(encoded[position:begin])
        for piece in pieces:
            if isinstance(piece, int):
                first, last = spans[piece]
                piece = encoded[first:last] if first >= 0 else b""
            state.memory(40 + len(piece))
            state.work(1 + len(piece) // 256)
            parts.append(piece)
        state.text(begin - position)
        position = end
    if not parts:
        return text
    parts.append(encoded[position:])
    state.text(2 * sum(map(len, parts)))
    return java_text(b"".join(parts).decode("utf-8"))


_REPLACEMENT_PIECE: Final = re.compile(
    r"\\(?P<plain>.)|\$(?P<number>[0-9])|\$\{(?P<name>[a-zA-Z][a-zA-Z0-9]*)\}|(?P<text>[^\\$]+)", re.DOTALL
)


def _replacement(program: _Program, replacement: str) -> list[bytes | int]:
    pieces: list[bytes | int] = []
    position = 0
    while position < len(replacement):
        found = _REPLACEMENT_PIECE.match(replacement, position)
        if found is None:
            raise ExpressionError(f"$ or \\ at {position} of the replacement stands for nothing; write \\$ or \\\\")
        position = found.end()
        if found["number"] is not None:
            group = int(found["number"])
            while position < len(replacement) and replacement[position] in "0123456789":
                larger = group * 10 + int(replacement[position])
                if larger > program.groups:
                    break
                group, position = larger, position + 1
            if group > program.groups:
                raise ExpressionError(f"the regular expression has no group {group}")
            pieces.append(group)
        elif found["name"] is not None:
            if found["name"] not in program.names:
                raise ExpressionError(f"the regular expression has no group {found['name']}")
            pieces.append(program.names[found["name"]])
        else:
            pieces.append(python_text(found["plain"] or found["text"]).encode("utf-8"))
    return pieces
