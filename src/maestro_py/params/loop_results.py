"""
Say which results of a foreach an output may mean, and judge and hold those that were read (specification 4.8).

The values lie with the iterations, in rows that deciding never reads.  An evaluation that comes upon them raises
`ResultsUnread`; whoever carries it out reads them and evaluates again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from maestro_py.model.definition import ParamType, Step
from maestro_py.model.errors import OverBudget
from maestro_py.model.given_names import outputs_of_type
from maestro_py.model.literals import convert
from maestro_py.model.templates import steps_inside

#: The results that one evaluation reads may not be larger together, in bytes of JSON.
RESULTS_LIMIT: Final = 64 << 20

#: What `Found.kind` says of a value that cannot be an item of an array.
ABSENT: Final = "absent"
WHOLE: Final = "whole"
DECIMAL: Final = "decimal"
_SCALARS: Final[Mapping[str, ParamType]] = {
    "string": ParamType.STRING,
    "boolean": ParamType.BOOLEAN,
    WHOLE: ParamType.LONG,
    DECIMAL: ParamType.DOUBLE,
}
_NUMBERS: Final = frozenset({ParamType.LONG, ParamType.DOUBLE})
_WORDS: Final = {"null": "null", "object": "an object", "array": "a list"}


class ResultsKey(msgspec.Struct, frozen=True):
    """What *name* is in the step *step_id* of each iteration of *foreach*."""

    foreach: str
    step_id: str
    name: str

    @property
    def text(self) -> str:
        """The key as one text: ids have no slash."""
        return f"{self.foreach}/{self.step_id}/{self.name}"


class ResultsUnread(OverBudget):
    """Results of a foreach are needed and have not been read.  Read them, and evaluate again."""

    def __init__(self, key: ResultsKey) -> None:
        super().__init__(f"{key.name} of step {key.step_id} in the iterations of {key.foreach}")
        self.key = key


class NoResults(LookupError):
    """The iterations of a foreach have no results that make an array; the text says why."""


class Loop(msgspec.Struct, frozen=True, omit_defaults=True):
    """A foreach that is complete, as far as its results are concerned."""

    iterations: str  #: The workflow id of its iterations.
    total: int  #: How many there are; they are numbered from 1.
    steps: dict[str, dict[str, ParamType]]  #: What each step of its body declares: parameters and outputs by name.


class LoopResults(msgspec.Struct, frozen=True, omit_defaults=True):
    """The values of one `ResultsKey` in the order of the iterations, or why there are none."""

    kind: ParamType = ParamType.LONG  #: Of the items.
    values: Any = ()  #: A list; on its way to whoever evaluates, the JSON of one.
    casts: bool = False  #: Whether some are not of *kind* yet, as they were reported.
    error: str | None = None

    def __post_init__(self) -> None:
        """Make the items what they are to be, once they are a list."""
        if not isinstance(self.values, list):
            return
        if self.casts:
            self.values[:] = [convert(self.kind, value, cast=True) for value in self.values]
        if self.kind is ParamType.DOUBLE:
            self.values[:] = map(float, self.values)


class Judgement(NamedTuple):
    """What an array of results is to be made of."""

    kind: ParamType
    casts: bool


class Found(NamedTuple):
    """The first iteration of some whose value is of one kind."""

    kind: str  #: string, boolean, whole, decimal, null, object, array; absent: there is no such value.
    iteration: int
    status: str | None  #: Of the inner step; None: it never began.


def loop_of(step: Step, iterations: str, total: int) -> Loop:
    """Return the foreach *step* of the definition as a `Loop` of *total* iterations."""
    return Loop(iterations, total, {inner.id: _declared(inner) for inner in step.steps})


def results_key(step_id: str, name: str, loop: Callable[[str], Loop | None]) -> ResultsKey | None:
    """
    Return which results the output *name* of *step_id* means; None if it means none.

    ``loop.inner`` is the step *inner* of the foreach *loop*; *loop* alone means its only step.

    Args:
        step_id: As it stands in a reference.
        name: Of the output.
        loop: Returns the foreach of an id if it is complete, else None.
    """
    only = loop(step_id)
    if only is not None and len(only.steps) == 1:
        return _key(only, step_id, next(iter(only.steps)), name)
    for foreach, inner in steps_inside(step_id):
        around = loop(foreach)
        if around is not None and inner in around.steps:
            return _key(around, foreach, inner, name)
    return None


def judged(key: ResultsKey, loop: Loop, found: Iterable[Found]) -> Judgement:
    """
    Return the type of the items of an array of these results: the declared one, or what the values are.

    Args:
        key: Whose results.
        loop: Its foreach.
        found: Of each kind of value, the first iteration that has it.

    Raises:
        NoResults: an iteration has no scalar, or they are of types that do not go together.
    """
    first: dict[str, Found] = {}
    for one in sorted(found, key=lambda one: one.iteration):
        first.setdefault(one.kind, one)
    if lacking := [one for one in first.values() if one.kind not in _SCALARS]:
        raise NoResults(_lacking(key, lacking[0]))
    types = {_SCALARS[kind] for kind in first}
    declared = loop.steps[key.step_id].get(key.name)
    if declared is not None and declared in _SCALARS.values():
        # A report is cast when it is laid over the parameters, and stored as it came.
        return Judgement(declared, casts=not types <= {declared})
    if types <= _NUMBERS:
        return Judgement(ParamType.DOUBLE if ParamType.DOUBLE in types else ParamType.LONG, casts=False)
    if len(types) == 1:
        return Judgement(types.pop(), casts=False)
    one, *others = first.values()
    other = next(other for other in others if not {_SCALARS[one.kind], _SCALARS[other.kind]} <= _NUMBERS)
    raise NoResults(
        f"'{key.name}' of step '{key.step_id}' is {_SCALARS[one.kind]} in iteration {one.iteration} of"
        f" '{key.foreach}' and {_SCALARS[other.kind]} in iteration {other.iteration}: no array holds both"
    )


def too_large(key: ResultsKey) -> str:
    """Return what is wrong when the results of *key* pass `RESULTS_LIMIT`."""
    what = f"'{key.name}' of step '{key.step_id}' in the iterations of '{key.foreach}'"
    return f"{what}: the results that are read for one evaluation are larger than {RESULTS_LIMIT >> 20} MB together"


def _lacking(key: ResultsKey, one: Found) -> str:
    place = f"iteration {one.iteration} of '{key.foreach}'"
    if one.kind in _WORDS:
        return f"'{key.name}' of step '{key.step_id}' is {_WORDS[one.kind]} in {place}: only scalars are collected"
    if one.status is None:
        return f"step '{key.step_id}' did not run in {place}, so there is no '{key.name}' of it"
    return f"step '{key.step_id}' has no '{key.name}' in {place}, where it ended {one.status}"


def _key(loop: Loop, foreach: str, inner: str, name: str) -> ResultsKey | None:
    # `x.0` goes on into the array, unless the step declares an output of that name.
    if "." in name and name not in loop.steps[inner]:
        return None
    return ResultsKey(foreach, inner, name)


def _declared(step: Step) -> dict[str, ParamType]:
    params = {name: definition.type for name, definition in step.params.items()}
    return {**outputs_of_type(step.type), **step.outputs, **params}
