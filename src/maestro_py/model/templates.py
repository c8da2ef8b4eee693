"""
Read the references in a text: ``${name}``, ``$name``, ``${step.output.name}`` and ``${step__name}``.

``$$`` is an escaped ``$`` (specification 4.4).  A ``$`` that begins none of these is text.  What a reference means
is settled by whoever evaluates it; here is only what it may mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec

# Step ids may begin with `_`, so a braced name may, too.
_TOKEN: Final = re.compile(r"\$(?:(\$)|\{([_a-zA-Z][-_./a-zA-Z0-9]*)\}|([a-zA-Z][_a-zA-Z0-9]*))")
_LONE: Final = re.compile(r"\$\{([_a-zA-Z][-_./a-zA-Z0-9]*)\}")
_BRACED: Final = re.compile(r"(?<!\$)\$\{([^}$]*+)\}")
#: In the text of a program: an escape, two dollars that are text, or one that begins no reference.
_PROGRAM_DOLLAR: Final = re.compile(r"\$\$(?=[_a-zA-Z{])|(\$\$)|\$(?!\{[_a-zA-Z][-_./a-zA-Z0-9]*\})")
_OUTPUT: Final = ".output."
_SEPARATOR: Final = "__"
_LONGEST_NAME: Final = 1_024  #: Characters; what is longer names no step and leads into no value.
_LONGEST_CACHED: Final = 1_024  #: Characters; a cache of larger texts would hold too much memory.

Location = tuple[str | int, ...]
"""Where a value stands: keys and indexes from the outside in."""


class Reference(msgspec.Struct, frozen=True):
    """One thing a text may mean: an output of *step_id*, or (None) the parameter *name*."""

    step_id: str | None
    name: str  #: May go on into the value: ``segments.0.month``.

    def readings(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield each way to read *name* as a name and a way into its value, the longest name first."""
        yield self.name, ()
        if len(self.name) > _LONGEST_NAME:
            return
        cut = self.name.rfind(".")
        while cut > 0:
            yield self.name[:cut], tuple(self.name[cut + 1 :].split("."))
            cut = self.name.rfind(".", 0, cut)


class Mention(msgspec.Struct, frozen=True):
    """A reference as it stands in a text, and everything it may mean, in the order of preference."""

    text: str  #: Without ``$`` and braces.
    alternatives: tuple[Reference, ...]


def steps_inside(step_id: str) -> Iterator[tuple[str, str]]:
    """Yield each way to read *step_id* as a foreach and a step inside it: ``loop.inner``, though ids may have dots."""
    cut = step_id.find(".", 1)
    while 0 < cut < len(step_id) - 1:
        yield step_id[:cut], step_id[cut + 1 :]
        cut = step_id.find(".", cut + 1)


def parse_template(text: str) -> tuple[str | Mention, ...]:
    """Return *text* as literal parts and mentions, escapes resolved."""
    if "$" not in text:
        return (text,) if text else ()
    return _parse_cached(text) if len(text) <= _LONGEST_CACHED else _parse(text)


def lone_mention(value: object) -> Mention | None:
    """Return the mention if *value* is a text that is exactly one ``${...}``, else None."""
    if not isinstance(value, str) or not value.startswith("${") or not _LONE.fullmatch(value):
        return None
    part = parse_template(value)[0]
    assert isinstance(part, Mention)
    return part


def mentions_in(value: Any, at: Location = ()) -> Iterator[tuple[Location, Mention]]:
    """Yield every mention in the texts (and keys) of a nested literal, each with the place of its text."""
    if isinstance(value, str):
        for part in parse_template(value):
            if isinstance(part, Mention):
                yield at, part
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from mentions_in(key, (*at, key))
            yield from mentions_in(inner, (*at, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from mentions_in(inner, (*at, index))


def escape_program(text: str) -> str:
    """
    Return the literal for the text of a program, in which ``$name`` is its own and only ``${name}`` a reference.

    ``$$`` before a name or a brace is an escaped ``$``, as in any literal; elsewhere both are text (a shell's own
    process id).
    """
    return _PROGRAM_DOLLAR.sub(lambda found: "$$$$" if found.group(1) else "$$", text) if "$" in text else text


def malformed_reference(text: str) -> str | None:
    """Return the first ``${....output....}`` in *text* that would stay as it is because it is not well written."""
    for match in _BRACED.finditer(text):
        if _OUTPUT in match.group(1) and not _LONE.fullmatch(match.group()):
            return match.group(1)
    return None


def spell_location(at: Location, root: str = "") -> str:
    """Return *at* as a path that people read: ``steps[2].params.n``."""
    path = root
    for part in at:
        if isinstance(part, int):
            path += f"[{part}]"
        elif re.fullmatch(r"[-\w]+", part):
            path += f".{part}" if path else part
        else:
            path += f'["{part}"]'
    return path


def _parse(text: str) -> tuple[str | Mention, ...]:
    parts: list[str | Mention] = []
    literal: list[str] = []
    end = 0
    for match in _TOKEN.finditer(text):
        literal.append(text[end : match.start()])
        end = match.end()
        escaped, braced, plain = match.groups()
        if escaped:
            literal.append("$")
            continue
        if joined := "".join(literal):
            parts.append(joined)
        literal.clear()
        parts.append(mention_of(braced or plain))
    literal.append(text[end:])
    if joined := "".join(literal):
        parts.append(joined)
    return tuple(parts)


@lru_cache(maxsize=4_096)
def mention_of(name: str) -> Mention:
    """Return everything that *name* may mean, as it stands in ``${name}`` or in an expression."""
    return Mention(name, _alternatives(name))


_parse_cached: Final = lru_cache(maxsize=4_096)(_parse)


def _alternatives(name: str) -> tuple[Reference, ...]:
    found: list[Reference] = []
    if len(name) > _LONGEST_NAME:
        return (Reference(None, name),)
    if (cut := name.find(_OUTPUT, 1)) > 0 and cut + len(_OUTPUT) < len(name):
        found.append(Reference(name[:cut], name[cut + len(_OUTPUT) :]))
    else:
        # `a___b` is b of `a_` or _b of `a`: whoever knows the steps settles it.
        cut = name.find(_SEPARATOR, 1)
        while cut > 0 and cut + len(_SEPARATOR) < len(name):
            found.append(Reference(name[:cut], name[cut + len(_SEPARATOR) :]))
            cut = name.find(_SEPARATOR, cut + 1)
    found.append(Reference(None, name))
    return tuple(found)
