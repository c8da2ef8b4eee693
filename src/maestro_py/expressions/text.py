"""
Texts as Java has them: sequences of 16-bit units.

Inside an evaluation a character beyond U+FFFF is two surrogates, so lengths and positions are Java's and no character
takes more than two bytes.  `java_text` converts on the way in, `python_text` on the way out; both leave the ordinary
text alone.
"""

from __future__ import annotations

import re
from typing import Final

_BEYOND: Final = re.compile("[\U00010000-\U0010ffff]")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def java_text(text: str) -> str:
    """Return *text* with every character beyond U+FFFF as two surrogates."""
    if text.isascii() or not _BEYOND.search(text):
        return text
    return _BEYOND.sub(_split, text)


def python_text(text: str) -> str:
    """Return *text* with surrogate pairs joined; a surrogate alone, which no encoding can carry, becomes U+FFFD."""
    if text.isascii() or not _SURROGATES.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _split(found: re.Match[str]) -> str:
    code = ord(found[0]) - 0x10000
    return chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF))
