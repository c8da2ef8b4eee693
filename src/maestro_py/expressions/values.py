"""
The values of the language and their kinds.

Text is ``str``, LONG ``int``, DOUBLE ``float``, BOOLEAN ``bool``, null ``None``.  Arrays and maps are wrapped, because
those of the caller are read in place and copied before the first write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

LONG_MIN: Final = -(2**63)
LONG_MAX: Final = 2**63 - 1


def wrapped_long(value: int) -> int:
    """Return *value* cut to 64 bits, as Java does on overflow."""
    return value if LONG_MIN <= value <= LONG_MAX else ((value + 2**63) & (2**64 - 1)) - 2**63


class Array:
    """
    A list of texts, numbers or truth values.

    Args:
        items: The items; the caller's own list as long as *owned* is false.
        kind: The kind of the items, such as ``LONG``; None as long as it is unknown.
        owned: Whether the items were made here and may be changed.
    """

    __slots__ = ("_kind", "items", "owned")

    def __init__(self, items: Sequence[object], kind: str | None, *, owned: bool = True) -> None:
        self.items = items
        self._kind = kind
        self.owned = owned

    @property
    def item_kind(self) -> str | None:
        """The kind of the items; for a list of the caller's it is read off the items (None when it has none)."""
        if self._kind is None:
            present = [type(item) for item in self.items if item is not None]
            kind = _KIND_OF_TYPE.get(present[0]) if present else None
            self._kind = "DOUBLE" if kind == "LONG" and float in present else kind
        return self._kind

    @property
    def kind(self) -> str:
        """The kind of the array, such as ``LONG_ARRAY``."""
        return f"{self.item_kind}_ARRAY" if self.item_kind else "ARRAY"


class MapValue:
    """
    A map from texts to values.

    Args:
        entries: The entries; the caller's own mapping as long as *owned* is false.
        owned: Whether the entries were made here and may be changed.
    """

    __slots__ = ("entries", "owned")
    kind: ClassVar = "MAP"

    def __init__(self, entries: Mapping[str, object], *, owned: bool = True) -> None:
        self.entries = entries
        self.owned = owned


class Opaque:
    """A value that lives only inside an expression: it has methods and a text, but cannot be a result."""

    __slots__ = ()
    kind: ClassVar[str] = "OBJECT"


_KIND_OF_TYPE: Final[dict[type, str]] = {
    str: "STRING",
    int: "LONG",
    float: "DOUBLE",
    bool: "BOOLEAN",
    type(None): "NULL",
}


def kind_of(value: Any) -> str:
    """Return the kind of *value*, in the words of the parameters: ``STRING``, ``LONG_ARRAY``, ``MAP`` ..."""
    kind = _KIND_OF_TYPE.get(type(value))
    return kind if kind is not None else str(value.kind)
