"""Put the values that references name into literals (specification 4.4).  What a reference names is handed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from maestro_py.model.definition import ParamType
from maestro_py.model.errors import ParamError
from maestro_py.model.literals import coerce, text_of
from maestro_py.model.templates import Mention, lone_mention, parse_template

#: The results of one evaluation may not be larger, in bytes of JSON.
SIZE_LIMIT: Final = 64 << 20

_ENCODER: Final = msgspec.json.Encoder()
_TEXTUAL: Final = frozenset({ParamType.STRING, ParamType.STRING_ARRAY, ParamType.STRING_MAP})

Resolve = Callable[[Mention, str], Any]
"""Return what a mention names; the second argument is the path for the error, a ParamError."""


class Interpolation:
    """Renders the literals of one evaluation, and refuses results that grow beyond all bounds."""

    def __init__(self, resolve: Resolve, size_limit: int = SIZE_LIMIT) -> None:
        self._resolve = resolve
        self._limit = self._left = size_limit
        self._sizes: dict[tuple[str, int], int] = {}  # of lists and objects, by mention and identity

    def literal(self, type: ParamType, value: Any, path: str) -> Any:  # noqa: A002  # the word of the domain
        """
        Return the literal *value* of *type* (not MAP) with its references filled in.

        Raises:
            ParamError: a reference names nothing, a result does not fit the type, or all is too large.
        """
        if type is ParamType.JSON:
            return self.render(value, path)
        if type is ParamType.STRING and isinstance(value, str):
            return self.text(value, path)
        if type in _TEXTUAL and not isinstance(value, str):
            return coerce(type, self._texts(value, path), path, cast=True)
        if isinstance(value, str) or (isinstance(value, list) and any(isinstance(inner, str) for inner in value)):
            return coerce(type, self.render(value, path), path, cast=True)
        return value

    def _texts(self, value: Any, path: str) -> Any:
        """Return *value* with each text in it, and each key, filled in; references to other types become text."""
        if isinstance(value, str):
            return self.text(value, path)
        if isinstance(value, list):
            return [self._texts(inner, f"{path}[{index}]") for index, inner in enumerate(value)]
        if isinstance(value, dict):
            return {self.text(key, path): self._texts(inner, f"{path}.{key}") for key, inner in value.items()}
        return value

    def text(self, value: str, path: str) -> str:
        """Return *value* with each reference as text."""
        if "$" not in value:
            return value
        parts = []
        for part in parse_template(value):
            if isinstance(part, Mention):
                rendered = text_of(self._named(part, path))
                self._spend(len(rendered), path)
                parts.append(rendered)
            else:
                parts.append(part)
        return "".join(parts)

    def render(self, value: Any, path: str) -> Any:
        """Return a nested literal with its references filled in; a lone ``${...}`` keeps its native type."""
        if isinstance(value, str):
            if "$" not in value:
                return value
            mention = lone_mention(value)
            return self.text(value, path) if mention is None else self._named(mention, path)
        if isinstance(value, dict):
            return {self.text(key, path): self.render(inner, f"{path}.{key}") for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.render(inner, f"{path}[{index}]") for index, inner in enumerate(value)]
        return value

    def _named(self, mention: Mention, path: str) -> Any:
        value = self._resolve(mention, path)
        if isinstance(value, list | dict):
            # References share lists and objects: only the JSON that is written later has the copies.
            key = (mention.text, id(value))
            size = self._sizes.get(key)
            if size is None:
                size = self._sizes[key] = len(_ENCODER.encode(value))
            self._spend(size, path)
        elif isinstance(value, str):
            self._spend(len(value), path)
        return value

    def spend(self, value: Any, path: str) -> None:
        """
        Count a result that is no literal.

        Raises:
            ParamError: all together is too large.
        """
        if isinstance(value, str):
            self._spend(len(value), path)
        elif isinstance(value, list | dict):
            self._spend(len(_ENCODER.encode(value)), path)

    def _spend(self, size: int, path: str) -> None:
        self._left -= size
        if self._left < 0:
            raise ParamError(path, f"the parameters together are larger than {self._limit >> 20} MB")
