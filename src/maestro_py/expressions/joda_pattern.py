"""
Date patterns as Joda has them (``yyyy-MM-dd HH:mm``), read into a list of parts.

Letters: ``G C x w e E Y y D M d a K h H k m s S z Z``; text between single quotes stands for itself.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from maestro_py.expressions.errors import ExpressionError

#: Fields by letter: the name of the field and how many digits at most are read.  9 stands for years.
NUMBERS: Final = {
    "C": ("centuryOfEra", 9), "x": ("weekyear", 9), "Y": ("yearOfEra", 9), "y": ("year", 9), "w": ("weekOfWeekyear", 2),
    "e": ("dayOfWeek", 1), "D": ("dayOfYear", 3), "M": ("monthOfYear", 2), "d": ("dayOfMonth", 2),
    "K": ("hourOfHalfday", 2), "h": ("clockhourOfHalfday", 2), "H": ("hourOfDay", 2), "k": ("clockhourOfDay", 2),
    "m": ("minuteOfHour", 2), "s": ("secondOfMinute", 2),
}  # fmt: skip
_OTHERS: Final = "GEaSzZ"
_YEARS: Final = "xYyC"
_LONGEST = 200


class Part(NamedTuple):
    """One part of a pattern: a field by its letter and width, or a text that stands for itself."""

    letter: str  #: Empty for a text.
    width: int  #: How many times the letter stands there.
    text: str
    tight: bool = False  #: Whether digits of the next part follow at once, so that no more than *width* may be read.

    @property
    def is_number(self) -> bool:
        """Whether the part is written in digits."""
        return (self.letter in NUMBERS and not (self.letter == "M" and self.width > 2)) or self.letter == "S"


@lru_cache(maxsize=512)
def parse_pattern(pattern: str) -> tuple[Part, ...]:
    """
    Return the parts of *pattern*.

    Raises:
        ExpressionError: A letter means nothing, or there is no pattern.
    """
    if not 0 < len(pattern) <= _LONGEST:
        raise ExpressionError(f"a date pattern must have from 1 to {_LONGEST} characters")
    parts: list[Part] = []
    position = 0
    while position < len(pattern):
        letter = pattern[position]
        end = position + 1
        if letter.isascii() and letter.isalpha():
            while end < len(pattern) and pattern[end] == letter:
                end += 1
            if letter not in NUMBERS and letter not in _OTHERS:
                raise ExpressionError(f"{letter!r} means nothing in a date pattern")
            parts.append(Part(letter, end - position, ""))
        elif letter == "'":
            text, end = _quoted(pattern, end)
            parts.append(Part("", 0, text))
        else:
            parts.append(Part("", 0, letter))
        position = end
    return tuple(
        part._replace(tight=part.letter in _YEARS and index + 1 < len(parts) and parts[index + 1].is_number)
        for index, part in enumerate(parts)
    )


def _quoted(pattern: str, position: int) -> tuple[str, int]:
    """Return the text after an opening quote, and where it ends; two quotes stand for one."""
    if pattern[position : position + 1] == "'":
        return "'", position + 1
    text = ""
    while position < len(pattern):
        if pattern[position] != "'":
            text += pattern[position]
        elif pattern[position + 1 : position + 2] == "'":
            text += "'"
            position += 1
        else:
            return text, position + 1
        position += 1
    return text, position
