"""
``String.format`` as Java documents it, for the kinds of the language.

Conversions: ``%s %S %b %B %d %x %X %o %e %E %f %g %G %n %%`` with Java's flags, width, precision and argument indexes.
``%c``, ``%h``, ``%a`` and ``%t`` are refused: they take Java types that the language has not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from maestro_py.expressions.errors import ExpressionError
from maestro_py.expressions.render import decimal_digits, text_of
from maestro_py.expressions.state import State
from maestro_py.expressions.values import kind_of

_SPECIFIER: Final = re.compile(
    r"%(?P<index>[0-9]+\$)?(?P<flags>[-#+ 0,(<]*)(?P<width>[1-9][0-9]*)?(?:\.(?P<precision>[0-9]+))?(?P<kind>[a-zA-Z%])"
)
_ALLOWED_FLAGS: Final = {
    "s": "-", "b": "-", "d": "-+ 0,(", "x": "-#0", "o": "-#0", "f": "-#+ 0,(", "e": "-#+ 0(", "g": "-+ 0,(",
    "n": "", "%": "-",
}  # fmt: skip
_UPPER: Final = frozenset("SBXEG")
_DOUBLE_DIGITS = 400  # no double has more digits on either side of the point; beyond are zeros


@dataclass(frozen=True, slots=True)
class _Specifier:
    """One ``%`` of a pattern."""

    text: str
    kind: str
    upper: bool
    flags: str
    width: int
    precision: int  #: -1 if none is given.


def java_format(state: State, pattern: str, arguments: list[object]) -> str:
    """
    Return *pattern* with its specifiers replaced by *arguments*.

    Raises:
        ExpressionError: A specifier is wrong, or has no argument, or one of a kind it does not take.
    """
    parts: list[str] = []
    position, ordinary, previous = 0, 0, -1
    state.text(len(pattern))
    while (percent := pattern.find("%", position)) >= 0:
        found = _SPECIFIER.match(pattern, percent)
        if found is None:
            raise ExpressionError(f"{pattern[percent : percent + 10]!r} is not a format specifier")
        parts.append(pattern[position:percent])
        position = found.end()
        specifier = _checked(found)
        state.text(max(specifier.width, specifier.precision, 0) + 1)
        if specifier.kind == "n":
            parts.append("\n")
        elif specifier.kind == "%":
            parts.append(_padded(specifier, "%"))
        else:
            if "<" in found["flags"]:
                index = previous
            elif found["index"]:
                index = int(found["index"][:9].rstrip("$")) - 1
            else:
                index, ordinary = ordinary, ordinary + 1
            if not 0 <= index < len(arguments):
                raise ExpressionError(f"the specifier {specifier.text} has no argument")
            previous = index
            state.work(20 + max(specifier.precision, 0) // 16)
            text = _converted(state, specifier, arguments[index])
            state.text(len(text))
            parts.append(text)
    parts.append(pattern[position:])
    return "".join(parts)


def _checked(found: re.Match[str]) -> _Specifier:
    text, letter, flags = found[0], found["kind"], found["flags"].replace("<", "")
    kind = letter.lower()
    if kind not in _ALLOWED_FLAGS or (letter.isupper() and letter not in _UPPER):
        raise ExpressionError(f"{text[:30]} is not a conversion of the language")
    wrong = [flag for flag in flags if flag not in _ALLOWED_FLAGS[kind]]
    if wrong or len(set(flags)) < len(flags):
        raise ExpressionError(f"the flags of {text[:30]} do not fit")
    if len(found["width"] or "") > 10 or len(found["precision"] or "") > 10:
        raise ExpressionError(f"the width of {text[:30]}... is too large")
    width = int(found["width"] or 0)
    if (("-" in flags or "0" in flags) and not width) or {"-", "0"} <= set(flags) or {"+", " "} <= set(flags):
        raise ExpressionError(f"the flags of {text[:30]} do not fit together, or want a width")
    precision = -1 if found["precision"] is None else int(found["precision"])
    if precision >= 0 and kind in "dxon%":
        raise ExpressionError(f"{text[:30]} takes no precision")
    return _Specifier(text, kind, letter.isupper(), flags, width, precision)


def _converted(state: State, specifier: _Specifier, value: object) -> str:
    kind = specifier.kind
    if kind == "s" or value is None or kind == "b":
        if kind == "b":
            text = "true" if value is True or (value is not None and value is not False) else "false"
        else:
            text = text_of(state, value)
        if specifier.precision >= 0 and kind in "sb":
            text = text[: specifier.precision]
        text = _padded(specifier, text)
    elif kind in "dxo" and type(value) is int:
        text = _whole(specifier, value)
    elif kind in "efg" and type(value) is float:
        text = _double(specifier, value)
    else:
        raise ExpressionError(f"{specifier.text} does not take a {kind_of(value)}")
    return text.upper() if specifier.upper else text


def _padded(specifier: _Specifier, text: str) -> str:
    return text.ljust(specifier.width) if "-" in specifier.flags else text.rjust(specifier.width)


def _whole(specifier: _Specifier, value: int) -> str:
    if specifier.kind == "d":
        return _signed(specifier, value < 0, str(abs(value)))
    unsigned = value & (2**64 - 1)
    text, lead = (f"{unsigned:x}", "0x") if specifier.kind == "x" else (f"{unsigned:o}", "0")
    lead = lead if "#" in specifier.flags else ""
    if "0" in specifier.flags:
        text = text.rjust(specifier.width - len(lead), "0")
    return _padded(specifier, lead + text)


def _signed(specifier: _Specifier, negative: bool, digits: str) -> str:
    flags = specifier.flags
    whole, point, fraction = digits.partition(".")
    if "," in flags:
        whole = f"{int(whole):,}" if whole.isdigit() else whole
    before = (
        "(" if negative and "(" in flags else "-" if negative else "+" if "+" in flags else " " if " " in flags else ""
    )
    after = ")" if before == "(" else ""
    text = whole + point + fraction
    if "0" in flags:
        text = text.rjust(specifier.width - len(before) - len(after), "0")
    return _padded(specifier, before + text + after)


def _double(specifier: _Specifier, value: float) -> str:
    if value != value:
        return _padded(specifier, "NaN")
    negative, digits, exponent = decimal_digits(value)
    if value in (float("inf"), float("-inf")):
        return _signed_infinity(specifier, negative)
    precision = 6 if specifier.precision < 0 else specifier.precision
    if specifier.kind == "g":
        precision = precision or 1
        digits, exponent = _rounded(digits, exponent, precision)
        if digits.strip("0") and not -4 <= exponent < precision:
            text = _scientific(digits, exponent, precision - 1)
        else:
            text = _fixed(digits, exponent, precision - 1 - (exponent if digits.strip("0") else 0))
    elif specifier.kind == "e":
        text = _scientific(digits, exponent, precision)
    else:
        text = _fixed(digits, exponent, precision)
    if "#" in specifier.flags and "." not in text:
        text += "."
    return _signed(specifier, negative, text)


def _signed_infinity(specifier: _Specifier, negative: bool) -> str:
    sign = "(" if negative and "(" in specifier.flags else "-" if negative else "+" if "+" in specifier.flags else ""
    return _padded(specifier, sign + "Infinity" + (")" if sign == "(" else ""))


def _rounded(digits: str, exponent: int, count: int) -> tuple[str, int]:
    """Round ``d.ddd`` to *count* significant digits, half up, as Java does on the shortest digits."""
    if len(digits) <= count:
        return digits.ljust(min(count, _DOUBLE_DIGITS), "0"), exponent
    number = int(digits[:count] or "0") + (digits[count] >= "5")
    text = str(number).rjust(count, "0")
    return (text[:count], exponent + 1) if len(text) > count else (text, exponent)


def _fixed(digits: str, exponent: int, places: int) -> str:
    kept = min(places, _DOUBLE_DIGITS)
    shift = exponent - (len(digits) - 1) + kept
    if shift >= 0:
        scaled = int(digits) * 10**shift
    else:
        scaled, rest = divmod(int(digits), 10**-shift) if -shift < _DOUBLE_DIGITS else (0, 0)
        scaled += 2 * rest >= 10**-shift if -shift < _DOUBLE_DIGITS else 0
    text = str(scaled).rjust(kept + 1, "0")
    whole, fraction = text[: len(text) - kept], text[len(text) - kept :]
    return f"{whole}.{fraction.ljust(places, '0')}" if places else whole


def _scientific(digits: str, exponent: int, places: int) -> str:
    if digits.strip("0"):
        digits, exponent = _rounded(digits, exponent, places + 1)
    fraction = digits[1:].ljust(places, "0")
    return f"{digits[0]}{'.' if places else ''}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
