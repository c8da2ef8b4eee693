"""Count and compute the iterations of a foreach: the Cartesian product of its loop arrays (specification 2.6)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, overload

from maestro_py.model.errors import ParamError
from maestro_py.model.literals import spell_kind

#: A foreach with more iterations is refused.
MAX_ITERATIONS: Final = 1_000_000


class LoopIterations(Sequence[dict[str, Any]]):
    """The loop values of each iteration, computed when asked for.  Index 0 is iteration (instance id) 1."""

    def __init__(self, arrays: Mapping[str, Sequence[Any]], spread: bool) -> None:
        self._arrays = arrays
        self._spread = spread
        self._length = math.prod(map(len, arrays.values())) if arrays else 0

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self._values(i) for i in range(*index.indices(self._length))]
        if index < 0:
            index += self._length
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._values(index)

    def _values(self, index: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        rest = index
        for name, array in self._arrays.items():  # mixed radix, the first-named is the least significant digit
            rest, digit = divmod(rest, len(array))
            values[name] = array[digit]
        values["loop_index"] = index
        if self._spread:
            values.setdefault("index", index)
            for name in self._arrays:
                if isinstance(item := values[name], Mapping):
                    # What has a name of its own wins over a key of an item.
                    values.update((key, inner) for key, inner in item.items() if key not in values)
        return values


def loop_iterations(loop_params: Mapping[str, Any], spread: bool) -> LoopIterations:
    """
    Return the iterations over the evaluated *loop_params* (name to list); an empty list gives none.

    Args:
        loop_params: The result of the step's parameter ``loop_params``.
        spread: `Step.spread_items`: each key of an object item is a loop value too, and ``index`` is given.

    Raises:
        ParamError: a value is no list, there is no loop parameter, or there are more than 1,000,000 iterations.
    """
    if not isinstance(loop_params, Mapping) or not loop_params:
        raise ParamError("params.loop_params", "a foreach needs at least one loop parameter")
    for name, value in loop_params.items():
        if not isinstance(value, list | tuple):
            raise ParamError(f"params.loop_params.{name}", f"must be a list to loop over, not {spell_kind(value)}")
    iterations = math.prod(map(len, loop_params.values()))
    if iterations > MAX_ITERATIONS:
        raise ParamError("params.loop_params", f"{iterations:,} iterations are more than {MAX_ITERATIONS:,}")
    return LoopIterations(loop_params, spread)
