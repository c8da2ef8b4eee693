"""Read JSON as people write it: with ``//`` and ``/* */`` comments and trailing commas, and with useful errors."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from maestro_py.model.errors import DefinitionInvalid, FieldError
from maestro_py.model.forms.problems import Problems
from maestro_py.model.templates import Location

#: Objects and lists may stand in one another so deep; also what keeps our own recursion small.
MAX_DEPTH: Final = 100

_LONG_MIN: Final = -(2**63)
_LONG_MAX: Final = 2**63 - 1
_TOKEN: Final = re.compile(
    r"""
    (?P<string>"(?:[^"\\]|\\.)*+")
    | (?P<open_string>")
    | (?P<comment>//[^\n]*+ | /\*(?s:.)*?\*/)
    | (?P<open_comment>/\*)
    | (?P<comma>,)
    | (?P<close>[\]}])
    | (?P<other>[^\s"/,\]}]++)
    """,
    re.VERBOSE | re.DOTALL,
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_UNSTORABLE: Final = "holds a character that cannot be stored (U+0000, or half of a surrogate pair)"
_NOT_NEWLINE: Final = re.compile(r"[^\n]")


def read_jsonc(body: bytes) -> Any:
    """
    Return the value of *body*, UTF-8.

    Raises:
        DefinitionInvalid: it is no JSON (the error names line and column), or holds what we cannot store.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = body.count(b"\n", 0, exc.start) + 1
        _refuse(f"line {line}: the body is not UTF-8")
    try:
        value = _load(text)
    except json.JSONDecodeError:
        plain = _without_comments(text)
        try:
            value = _load(plain)
        except json.JSONDecodeError as exc:
            _refuse(f"line {exc.lineno}, column {exc.colno}: {_reason(plain, exc)}")
    problems = Problems()
    _check(value, problems)
    problems.raise_if_any("The document")
    return value


def _load(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_decimal)
    except RecursionError:
        _refuse(f"the document is nested deeper than {MAX_DEPTH} levels")
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python reads no number of more than a few thousand digits
        _refuse("a number is too long")


def _without_comments(text: str) -> str:
    """Return *text* with comments and trailing commas as spaces, so that every position stays what it was."""
    blanks: list[tuple[int, int]] = []
    comma: re.Match[str] | None = None
    after_value = False
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "open_comment":
            line, column = _position(text, match.start())
            _refuse(f"line {line}, column {column}: the comment that begins here is never closed")
        if kind == "open_string":
            break  # the parser will say so; looking on would try every quote in vain
        if kind == "comment":
            blanks.append(match.span())
            continue
        if kind == "close" and comma is not None:
            blanks.append(comma.span())
        comma = match if kind == "comma" and after_value else None
        after_value = kind in ("string", "close") or (kind == "other" and match.group()[-1] not in "[{:")
    parts: list[str] = []
    end = 0
    for start, stop in sorted(blanks):
        parts += text[end:start], _NOT_NEWLINE.sub(" ", text[start:stop])
        end = stop
    return "".join([*parts, text[end:]])


def _reason(text: str, exc: json.JSONDecodeError) -> str:
    if exc.pos >= len(text.rstrip()):
        return "the document ends too early" if text.strip() else "the document is empty"
    reason = exc.msg[0].lower() + exc.msg[1:]
    return reason.removesuffix(" at").removesuffix(" starting at")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                _refuse(f"the key '{key}' stands twice in one object")
            seen.add(key)
    return result


def _constant(name: str) -> NoReturn:
    _refuse(f"{name} is no JSON value")


def _decimal(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        _refuse(f"the number {text} is too large")
    return number


def _position(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _refuse(message: str) -> NoReturn:
    message = message.encode("utf-8", "replace").decode()  # what is refused may not be storable
    raise DefinitionInvalid(f"The body is not valid JSON: {message}", [FieldError("", message)])


def _check(value: Any, problems: Problems) -> None:
    """Refuse what JSON allows and nothing behind the door can hold.  Iterative: the depth is not yet known."""
    stack: list[tuple[Location, Any]] = [((), [value])]
    while stack:
        place, container = stack.pop()
        if len(place) > MAX_DEPTH:
            _refuse(f"the document is nested deeper than {MAX_DEPTH} levels")
        for key, inner in container.items() if type(container) is dict else enumerate(container):
            if type(key) is str and not _storable(key):
                problems.add(place[1:], f"a key {_UNSTORABLE}")
                continue
            kind = type(inner)
            if kind is dict or kind is list:
                stack.append(((*place, key), inner))
            elif kind is str and not _storable(inner):
                problems.add((*place, key)[1:], _UNSTORABLE)
            elif kind is int and not _LONG_MIN <= inner <= _LONG_MAX:
                problems.add((*place, key)[1:], "a whole number must fit in 64 bits")


def _storable(text: str) -> bool:
    if "\0" in text:
        return False
    return text.isascii() or _SURROGATE.search(text) is None
