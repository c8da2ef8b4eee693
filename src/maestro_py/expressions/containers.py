"""
The methods of arrays, of maps, and of ``params`` with its look-ups.

A parameter's array or map is read in place; the first write copies it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from maestro_py.expressions.builtin import ANY, ARRAY, TEXT, Builtin, ClassTable, table
from maestro_py.expressions.errors import ExpressionError
from maestro_py.expressions.state import MISSING, ParamsView, State, check_kind
from maestro_py.expressions.text import python_text
from maestro_py.expressions.values import Array, MapValue, kind_of


def read_index(state: State, receiver: object, index: object) -> object:
    """Return ``receiver[index]``: an item of an array, an entry of a map or of the parameters."""
    if isinstance(receiver, Array):
        return state.wrap(receiver.items[_position(receiver, index)])
    if isinstance(receiver, (MapValue, ParamsView)):
        if isinstance(index, str):
            return _get(state, receiver, index)
        raise ExpressionError(f"a map is indexed by STRING, not {kind_of(index)}")
    raise ExpressionError(f"{kind_of(receiver)} cannot be indexed")


def write_index(state: State, receiver: object, index: object, value: object) -> None:
    """Do ``receiver[index] = value``."""
    if isinstance(receiver, Array):
        position = _position(receiver, index)
        kind = receiver.item_kind
        check_kind("an item", (kind or "STRING", kind not in ("LONG", "DOUBLE", "BOOLEAN")), value)
        state.changeable(receiver)
        if isinstance(value, str):
            state.text(len(value))  # an array of texts counts them, shared or not
        receiver.items[position] = value  # type: ignore[index]  # changeable made it a list
    elif isinstance(receiver, MapValue) and isinstance(index, str):
        _put(state, receiver, index, value)
    else:
        raise ExpressionError(f"an element of {kind_of(receiver)} at {kind_of(index)} cannot be assigned to")


def new_array(state: State, kind: str, default: object, size: object) -> Array:
    """Return an array of *size* times *default*."""
    if not isinstance(size, int) or isinstance(size, bool):
        raise ExpressionError(f"the size of an array must be LONG, not {kind_of(size)}")
    if size < 0:
        raise ExpressionError(f"the size of an array cannot be {size}")
    state.items(size)
    return Array([default] * size, kind)


def _position(array: Array, index: object) -> int:
    if type(index) is not int:
        raise ExpressionError(f"an array is indexed by LONG, not {kind_of(index)}")
    if not 0 <= index < len(array.items):
        raise ExpressionError(f"index {index} of an array of {len(array.items)} items")
    return index


def _get(state: State, receiver: MapValue | ParamsView, key: str) -> object:
    return state.wrap(receiver.entries.get(python_text(key)))


def _get_or_default(state: State, receiver: MapValue, key: str, default: object) -> object:
    found = receiver.entries.get(python_text(key), MISSING)
    return default if found is MISSING else state.wrap(found)


def _put(state: State, receiver: MapValue, key: str, value: object) -> object:
    if isinstance(value, ParamsView):
        raise ExpressionError("params cannot be put into a map")
    state.changeable(receiver)
    name = python_text(key)
    before = receiver.entries.get(name)
    state.text(len(key))
    state.entries(1)
    receiver.entries[name] = value  # type: ignore[index]  # changeable made it a dict
    return state.wrap(before)


def _contains_key(_state: State, receiver: MapValue | ParamsView, key: str) -> bool:
    return python_text(key) in receiver.entries


MAP_METHODS: Final = table(
    Builtin("get", _get, ((TEXT,),)),
    Builtin("put", _put, ((TEXT, ANY),)),
    Builtin("containsKey", _contains_key, ((TEXT,),)),
    Builtin("getOrDefault", _get_or_default, ((TEXT, ANY),)),
    Builtin("size", lambda _state, receiver: len(receiver.entries), ((),)),
)


def _new_map(state: State) -> MapValue:
    state.new_map()
    return MapValue({})


MAP_CLASSES: Final = {
    name: ClassTable(kind="MAP", constructor=Builtin(name, _new_map, ((),)))
    for name in ("Map", "HashMap", "LinkedHashMap")
}

AS_LIST: Final = Builtin("asList", lambda _state, array: array, ((ARRAY,),))

CURRENT_TIME: Final = Builtin("currentTimeMillis", lambda state: state.sources.now_ms(), ((),))

#: The look-ups of ``params`` and how many texts each takes.
LOOKUPS: Final = {
    "nextUniqueId": (0,), "getExecutionEnvironment": (0,), "getFromInstance": (1,), "getFromStep": (1, 2),
    "getFromSignal": (1, 2), "getFromSignalOrDefault": (3,), "getFromSignalDependency": (2,),
    "getFromForeach": (3,), "getFromSubworkflow": (3,),
}  # fmt: skip


def _lookup(name: str) -> Callable[..., object]:
    def look_up(state: State, _receiver: ParamsView, *arguments: str) -> object:
        state.work(50)
        try:
            found = state.sources.lookup(name, tuple(map(python_text, arguments)))
        except LookupError as error:
            raise ExpressionError(f"params.{name} found nothing: {error}") from error
        return state.wrap(found)

    return look_up


PARAMS_METHODS: Final = table(
    Builtin("get", _get, ((TEXT,),)),
    Builtin("containsKey", _contains_key, ((TEXT,),)),
    *(Builtin(name, _lookup(name), tuple((TEXT,) * count for count in counts)) for name, counts in LOOKUPS.items()),
)
