"""
The state of one evaluation: its variables, and the account of what it has used.

Whoever makes something charges it here *before* making it: `work` for time, `text` and `items` for memory with the time
it takes to fill it.  Memory that is no longer held is given back when a loop comes round (`settle`), where nothing
but the variables and the result so far can be held.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, cast

from maestro_py.expressions.edge import SystemSources
from maestro_py.expressions.errors import BudgetExceeded, ExpressionError, LimitExceeded
from maestro_py.expressions.limits import Limits
from maestro_py.expressions.sources import Sources
from maestro_py.expressions.text import java_text
from maestro_py.expressions.values import LONG_MAX, LONG_MIN, Array, MapValue, Opaque, kind_of

MISSING: Final = object()
_SYSTEM_SOURCES: Final = SystemSources()
_SCALARS_IN_PLACE: Final = frozenset({bool, float, type(None)})

_TEXT_BYTES = 64  # of a text besides its characters
_ARRAY_BYTES = 160  # of an array besides its items
_ITEM_BYTES = 40
_MAP_BYTES = 300  # of a map besides its entries
_ENTRY_BYTES = 160
_CHARS_PER_VISIT = 256
_ITEMS_PER_VISIT = 8
_SHOWN = 60  # characters of a value in an error


class ParamsView:
    """``params`` in an expression: the parameters as a read-only map, with functions of its own."""

    __slots__ = ("entries",)
    kind = "PARAMS"

    def __init__(self, entries: Mapping[str, object]) -> None:
        self.entries = entries


class State:
    """One evaluation under way."""

    __slots__ = (
        "_params",
        "_seen",
        "_settle_below",
        "copied",
        "kinds",
        "limits",
        "memory_left",
        "result",
        "sources",
        "variables",
        "visits_left",
    )

    def __init__(self, params: Mapping[str, object], limits: Limits, sources: Sources | None) -> None:
        self._params = params
        self._seen: dict[int, tuple[object, Array | MapValue]] | None = None
        self.limits = limits
        self.sources: Sources = sources if sources is not None else _SYSTEM_SOURCES
        self.visits_left = limits.visit
        self.memory_left = limits.memory
        self._settle_below = limits.memory >> 1
        self.variables: dict[str, object] = {}
        self.kinds: dict[str, tuple[str, bool]] | None = None  #: Kind of a variable, and whether it may be null.
        self.result: object = None
        self.copied = False  #: Whether anything of the caller's was copied in order to change it.

    # -- the account ------------------------------------------------------------------------------------------------

    def work(self, visits: int) -> None:
        """Count *visits* of work that is about to be done."""
        self.visits_left -= visits
        if self.visits_left < 0:
            raise BudgetExceeded(f"more than {self.limits.visit} visits", limit="visit")

    def memory(self, size: int) -> None:
        """Count *size* bytes that are about to be taken."""
        self.memory_left -= size
        if self.memory_left < 0:
            raise LimitExceeded(f"more than {self.limits.memory} bytes of memory", limit="memory")

    def text(self, length: int) -> None:
        """Count a text of *length* characters that is about to be made."""
        self.memory(_TEXT_BYTES + 2 * length)
        self.work(length // _CHARS_PER_VISIT)

    def items(self, count: int) -> None:
        """Count an array of *count* items that is about to be made."""
        if count > self.limits.array:
            raise LimitExceeded(f"an array of more than {self.limits.array} items", limit="array")
        self.memory(_ARRAY_BYTES + _ITEM_BYTES * count)
        self.work(count // _ITEMS_PER_VISIT)

    def new_map(self, count: int = 0) -> None:
        """Count a map with *count* entries that is about to be made."""
        self.memory(_MAP_BYTES)
        self.entries(count)

    def entries(self, count: int) -> None:
        """Count *count* map entries that are about to be made."""
        self.memory(_ENTRY_BYTES * count)
        self.work(count // _ITEMS_PER_VISIT)

    def settle(self) -> None:
        """Give back the memory of what is no longer held.  Only between two rounds of a loop."""
        if self.memory_left >= self._settle_below:
            return
        held, counted, seen = 0, 0, set[int]()
        waiting = [*self.variables.values(), self.result]
        while waiting:
            value = waiting.pop()
            counted += 1
            if isinstance(value, str):
                held += _TEXT_BYTES + 2 * len(value)
            elif id(value) in seen:
                continue
            elif isinstance(value, Array) and value.owned:
                held += _ARRAY_BYTES + _ITEM_BYTES * len(value.items)
                if value.item_kind == "STRING":
                    counted += len(value.items)
                    held += sum(_TEXT_BYTES + 2 * len(str(item)) for item in value.items)
            elif isinstance(value, MapValue) and value.owned:
                held += _MAP_BYTES + _ENTRY_BYTES * len(value.entries)
                waiting += value.entries.values()
            else:
                held += _TEXT_BYTES
            seen.add(id(value))
        self.work(counted // _ITEMS_PER_VISIT + 1)
        self.memory_left = self.limits.memory - held
        self.memory(0)
        self._settle_below = self.memory_left >> 1

    # -- variables --------------------------------------------------------------------------------------------------

    def load(self, name: str) -> object:
        """Return the parameter *name* as a value (null if there is none), and keep it as a variable."""
        value = MISSING if name == "params" else self._params.get(name, MISSING)
        if value is MISSING:
            return self.params_view() if name == "params" else None
        known = self.wrap(value)
        self.variables[name] = known
        return known

    def params_view(self) -> ParamsView:
        """Return what ``params`` means: the parameter of this name if the caller gave one, else all parameters."""
        view = self.variables.get("params")
        if not isinstance(view, ParamsView):
            entries = self._params.get("params")
            view = ParamsView(entries if isinstance(entries, Mapping) else self._params)
            self.variables["params"] = view
        return view

    def store(self, name: str, value: object) -> None:
        """
        Assign *value* to the variable *name*, which keeps the kind it has.

        Raises:
            ExpressionError: *value* is of another kind.
        """
        kinds = self.kinds
        if kinds is None:
            kinds = self.kinds = {}
        expected = kinds.get(name)
        if expected is None:
            before = self.variables.get(name, MISSING)
            if before is MISSING:
                before = self.load(name)
            if before is not None:
                kind = kind_of(before)
                expected = kinds[name] = (kind, kind not in _NEVER_NULL)
            elif value is not None:
                kind = kind_of(value)
                kinds[name] = (kind, kind not in _NEVER_NULL)
        if expected is not None:
            check_kind(name, expected, value)
        self.variables[name] = value

    def declare(self, name: str, kind: str, nullable: bool, value: object) -> None:
        """Make *name* a variable of *kind*, whatever it was before."""
        check_kind(name, (kind, nullable), value)
        if self.kinds is None:
            self.kinds = {}
        self.kinds[name] = (kind, nullable)
        self.variables[name] = value

    # -- what the caller gave -----------------------------------------------------------------------------------------

    def wrap(self, value: object) -> object:
        """
        Return a value of the caller's as a value of the language, in place.

        Raises:
            ExpressionError: The language has no such value.
        """
        kind = type(value)
        if kind is str:
            return java_text(cast("str", value))
        if kind is int:
            if LONG_MIN <= value <= LONG_MAX:  # type: ignore[operator]  # it is an int
                return value
            raise ExpressionError(f"{str(value)[:25]} does not fit a LONG")
        if kind in _SCALARS_IN_PLACE:
            return value
        if isinstance(value, (list, tuple, Mapping)):
            if self._seen is None:
                self._seen = {}
            found = self._seen.get(id(value))
            if found is None:
                made = MapValue(value, owned=False) if isinstance(value, Mapping) else Array(value, None, owned=False)
                found = self._seen[id(value)] = (value, made)  # holding the value keeps its id from being reused
            return found[1]
        return _unusual(value, self)

    def changeable(self, value: Array | MapValue) -> None:
        """Make *value* ready to be changed: copy what belongs to the caller."""
        if value.owned:
            return
        if isinstance(value, MapValue):
            self.new_map(len(value.entries))
            value.entries = dict(value.entries)
        else:
            self.items(len(value.items))
            _ = value.kind
            value.items = list(value.items)
        value.owned = True
        self.copied = True

    def values_seen(self) -> dict[str, str]:
        """Return the variables that were read or written, as short texts for a person."""
        return {name: short_text(value) for name, value in self.variables.items() if not isinstance(value, ParamsView)}


_NEVER_NULL: Final = frozenset({"LONG", "DOUBLE", "BOOLEAN"})


def check_kind(name: str, expected: tuple[str, bool], value: object) -> None:
    """Raise `ExpressionError` unless *value* may be assigned to *name*, of kind and nullability *expected*."""
    kind, nullable = expected
    given = kind_of(value)
    if given == kind or (given == "NULL" and nullable) or (given == "ARRAY" and kind.endswith("_ARRAY")):
        return
    if kind == "ARRAY" and given.endswith("_ARRAY"):
        return
    raise ExpressionError(f"{name} is of type {kind} and cannot become {given}")


def short_text(value: object) -> str:
    """Return *value* as a person would like to see it in an error, at most about 60 characters."""
    if isinstance(value, str):
        shown = repr(value[: _SHOWN + 1]) if len(value) <= _SHOWN else repr(value[:_SHOWN]) + "..."
        return shown.encode("utf-8", "replace").decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, Array):
        first = ", ".join(short_text(item) for item in value.items[:5])
        return f"[{first}{', ...' if len(value.items) > 5 else ''}] ({len(value.items)} items)"[: _SHOWN * 3]
    if isinstance(value, MapValue):
        return f"a map of {len(value.entries)} entries"
    if isinstance(value, int):
        return str(value) if LONG_MIN <= value <= LONG_MAX else "a number of more than 64 bits"
    return str(value)[: _SHOWN * 2] if isinstance(value, float) else f"a {kind_or_type(value)}"


def kind_or_type(value: object) -> str:
    """Return the kind of *value*, or the name of its class where it is nothing the language knows."""
    return value.kind if isinstance(value, (Opaque, ParamsView)) else type(value).__name__


def _unusual(value: object, state: State) -> object:
    if isinstance(value, Decimal):
        return float(value) if not value.is_snan() else float("nan")
    if isinstance(value, (Array, MapValue, ParamsView, Opaque)):
        return value
    if isinstance(value, bool):
        return bool(value)
    for plain in (str, int, float):
        if isinstance(value, plain):  # an enum or another subclass
            return state.wrap(plain.__str__(value) if plain is str else plain(value))
    raise ExpressionError(f"a parameter of type {type(value).__name__} cannot be used in an expression")
