"""What an evaluation may need of the scope of a run, as a document: parameters, outputs, facts, results of loops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from maestro_py.expressions import ExpressionError, compile_expression
from maestro_py.model.definition import ParamDefinition
from maestro_py.model.given_names import STEP_PARAMS
from maestro_py.model.templates import Reference, mention_of, steps_inside
from maestro_py.params.facts import Facts
from maestro_py.params.loop_results import Loop, LoopResults, NoResults, ResultsKey, ResultsUnread, results_key
from maestro_py.params.references import (
    asks_loops_by_computed_name,
    asks_steps_by_computed_name,
    expressions_of,
    mentions_of,
    references,
    words_of,
)
from maestro_py.params.scope import Scope
from maestro_py.params.system_params import DERIVED_PARAMS, derived_param


class WideScope(Scope, Protocol):
    """A scope that can be copied whole."""

    def all_outputs(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the outputs of every completed step in sight, by step."""
        ...

    def loop(self, step_id: str) -> Loop | None:
        """Return the foreach *step_id* if it is complete, else None."""
        ...

    def all_loops(self) -> Mapping[str, Loop]:
        """Return every foreach that is complete, by its id."""
        ...


class World(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of a scope that an evaluation may need; a `Scope` itself."""

    known: Facts
    params: dict[str, Any] = {}
    outputs: dict[str, dict[str, Any]] = {}
    loops: dict[str, Loop] = {}  #: Complete ones, by their ids.
    collected: dict[str, LoopResults] = {}  #: What was read of them, by `ResultsKey.text`.

    def param(self, name: str) -> Any:
        """
        Return the evaluated parameter *name*.

        Raises:
            KeyError: there is none.
        """
        if name in self.params:
            return self.params[name]
        if name in DERIVED_PARAMS:
            return derived_param(name, self)
        if name in STEP_PARAMS:
            return self.known.step_param(name)
        raise KeyError(name)

    def all_params(self) -> Mapping[str, Any]:
        """Return every parameter."""
        return self.params

    def output(self, step_id: str, name: str) -> Any:
        """
        Return an output of a completed step, or results of a foreach.

        Raises:
            KeyError: there is none.
            NoResults: the iterations have none that make an array.
            ResultsUnread: they are not in `collected`.
        """
        try:
            return self.outputs[step_id][name]
        except KeyError:
            key = results_key(step_id, name, self.loops.get)
            if key is None:
                raise
        return self._read(key)

    def results(self, foreach: str, step_id: str, name: str) -> list[Any]:
        """
        Return the results of a completed foreach.

        Raises:
            KeyError: there is no such foreach, or no such step in it.
            NoResults: the iterations have none that make an array.
            ResultsUnread: they are not in `collected`.
        """
        if step_id not in self.loops[foreach].steps:
            raise KeyError(step_id)
        return self._read(ResultsKey(foreach, step_id, name))

    def _read(self, key: ResultsKey) -> list[Any]:
        found = self.collected.get(key.text)
        if found is None:
            raise ResultsUnread(key)
        if found.error is not None:
            raise NoResults(found.error)
        values: list[Any] = found.values
        return values

    def facts(self) -> Facts:
        """Return the facts."""
        return self.known


def world_of(definitions: Mapping[str, ParamDefinition], conditions: Iterable[str], scope: WideScope) -> World:
    """Return what evaluating *definitions* and *conditions*, which are expressions, may need of *scope*."""
    sources = [*conditions, *(source for inner in definitions.values() for source in expressions_of(inner))]
    words = set[str]().union(*map(words_of, sources))
    for definition in definitions.values():
        for mention in mentions_of(definition):
            words.update(name for name, _ in mention.alternatives[-1].readings())
    known = scope.all_params()
    if "params" in words:
        params = dict(known)
    else:
        if not words.isdisjoint(DERIVED_PARAMS):
            words |= {"RUN_TS", *DERIVED_PARAMS}
        params = {name: known[name] for name in words if name in known}
    mentioned = references(definitions, sources)
    if any(map(asks_steps_by_computed_name, sources)):
        outputs = {step_id: dict(values) for step_id, values in scope.all_outputs().items()}
    else:
        outputs = _outputs_of(mentioned, scope)
    if any(map(asks_loops_by_computed_name, sources)):
        loops = dict(scope.all_loops())
    else:
        ids = {step_id for reference in mentioned for step_id in _foreaches(reference)}
        loops = {step_id: loop for step_id in ids if (loop := scope.loop(step_id)) is not None}
    return World(scope.facts(), params, outputs, loops)


def unread_results(
    definitions: Mapping[str, ParamDefinition], conditions: Iterable[str], world: World
) -> list[ResultsKey]:
    """Return the results of loops that evaluating these will ask *world* for, and that it does not have yet."""
    if not world.loops:
        return []
    asked = set[ResultsKey]()
    mentions = [mention for definition in definitions.values() for mention in mentions_of(definition)]
    for source in [*conditions, *(source for inner in definitions.values() for source in expressions_of(inner))]:
        try:
            compiled = compile_expression(source)
        except ExpressionError:
            continue  # the evaluation says so in its own words
        mentions += map(mention_of, compiled.variables)
        for function, arguments in compiled.lookups:
            asked.update(_asked_by(function, arguments, world))
    for mention in mentions:
        for reference in mention.alternatives[:-1]:
            asked.update(_meant_by(reference, world))
    return sorted((key for key in asked if key.text not in world.collected), key=lambda key: key.text)


def _asked_by(function: str, arguments: tuple[str | None, ...], world: World) -> Iterator[ResultsKey]:
    match function, arguments:
        case "getFromForeach", (str(foreach), str(step_id), str(name)):
            if foreach in world.loops and step_id in world.loops[foreach].steps:
                yield ResultsKey(foreach, step_id, name)
        case "getFromStep", (str(step_id), str(name)):
            yield from _meant_by(Reference(step_id, name), world)


def _meant_by(reference: Reference, world: World) -> Iterator[ResultsKey]:
    """Yield the results that *reference* means, unless it means an output."""
    assert reference.step_id is not None
    for name, _ in reference.readings():
        try:
            world.output(reference.step_id, name)
        except KeyError:
            continue
        except NoResults:
            return
        except ResultsUnread as exc:
            yield exc.key
        return


def _foreaches(reference: Reference) -> Iterator[str]:
    """Yield each step that *reference* may mean as a foreach."""
    if reference.step_id is not None:
        yield reference.step_id
        yield from (foreach for foreach, _ in steps_inside(reference.step_id))


def _outputs_of(mentioned: Iterable[Reference], scope: Scope) -> dict[str, dict[str, Any]]:
    outputs: dict[str, dict[str, Any]] = {}
    for reference in mentioned:
        for name, _ in reference.readings() if reference.step_id else ():
            try:
                value = scope.output(reference.step_id or "", name)
            except KeyError:
                continue
            except ResultsUnread:
                break  # it is read before the evaluation
            outputs.setdefault(reference.step_id or "", {})[name] = value
            break
    return outputs
