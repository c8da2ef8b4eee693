"""Say what a name in a literal or an expression means where it stands (specification 4.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from maestro_py.model.errors import ParamError
from maestro_py.model.templates import Mention, Reference
from maestro_py.params.loop_results import NoResults
from maestro_py.params.scope import Scope

#: The value of a name that nothing has.
MISSING: Final[Any] = object()


class _Unfit(NamedTuple):
    """Takes the place of results of a foreach that make no array."""

    why: str


class Names:
    """
    What names mean to one evaluation.

    Args:
        definitions: The parameters that are being evaluated.
        results: What they have come to so far; whoever evaluates adds to it.
        scope: The world around them.
        step_id: Whose they are; "" if no step's.
    """

    __slots__ = ("_definitions", "_results", "_scope", "_step_id")

    def __init__(self, definitions: Mapping[str, Any], results: Mapping[str, Any], scope: Scope, step_id: str) -> None:
        self._definitions = definitions
        self._results = results
        self._scope = scope
        self._step_id = step_id

    def named(self, mention: Mention, path: str) -> Any:
        """
        Return what *mention* names; whatever it needs has been evaluated before.

        Raises:
            ParamError: it names nothing, or may mean several things.
        """
        value = self.value(mention, path)
        if value is MISSING:
            raise ParamError(path, _names_nothing(mention))
        return value

    def value(self, mention: Mention, path: str) -> Any:
        """
        Return what *mention* names, or MISSING.

        Raises:
            ParamError: it may mean several things, leads to nothing in a value, or to results that make no array.
        """
        *outputs, param = mention.alternatives
        if outputs and (value := self._output_named(mention, path)) is not MISSING:
            return value
        value = self._known_param(param.name)  # the first reading, and mostly the only one
        if value is not MISSING:
            return value
        for name, way in param.readings():
            value = self._known_param(name)
            if value is not MISSING:
                return _descend(value, way, mention, path) if way else value
        return MISSING

    def unevaluated(self, mention: Mention) -> str | None:
        """Return the parameter among the definitions that *mention* means and that has no result yet."""
        *outputs, param = mention.alternatives
        for reference in outputs:
            if self._is_own(reference) and reference.name in self._definitions:
                return None if reference.name in self._results else reference.name
        if outputs and any(self._outputs(mention)):
            return None
        for name, _ in param.readings():
            if name in self._results or self.scope_param(name) is not MISSING:
                return None
            if name in self._definitions:
                return name
        return None

    def _output_named(self, mention: Mention, path: str) -> Any:
        """Return the output that *mention* names, or MISSING."""
        found = list(self._outputs(mention))
        if not found:
            return MISSING
        if len(found) > 1:
            steps = " or ".join(f"step '{step_id}'" for step_id, _, _ in found)
            raise ParamError(path, f"'{mention.text}' may mean {steps}; write ${{step.output.name}}")
        _, value, way = found[0]
        if isinstance(value, _Unfit):
            raise ParamError(path, f"'{mention.text}': {value.why}")
        return _descend(value, way, mention, path)

    def _outputs(self, mention: Mention) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
        """Yield what each alternative of *mention* that is an output names: step, value, and the way into the value."""
        for reference in mention.alternatives[:-1]:
            assert reference.step_id is not None
            for name, way in reference.readings():
                value = self._output(reference, name)
                if value is not MISSING:
                    yield reference.step_id, value, way
                    break

    def _output(self, reference: Reference, name: str) -> Any:
        """Return an output of an upstream step, a parameter of the step itself, or one of a signal; or MISSING."""
        assert reference.step_id is not None
        is_own = self._is_own(reference)
        if is_own and name in self._results:
            return self._results[name]
        try:
            # Of the step itself, too: the edges of a foreach see its results.
            return self._scope.output(reference.step_id, name)
        except NoResults as exc:
            return _Unfit(str(exc))
        except KeyError:
            if is_own:
                return MISSING
        try:
            return self._scope.facts().signal(reference.step_id, name)
        except KeyError:
            return MISSING

    def _is_own(self, reference: Reference) -> bool:
        return bool(self._step_id) and reference.step_id == self._step_id

    def _known_param(self, name: str) -> Any:
        if name in self._results:
            return self._results[name]
        return self.scope_param(name)

    def scope_param(self, name: str) -> Any:
        """Return the parameter *name* of the scope, or MISSING."""
        try:
            return self._scope.param(name)
        except KeyError:
            return MISSING


def _descend(value: Any, way: Sequence[str], mention: Mention, path: str) -> Any:
    for key in way:
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            raise ParamError(path, f"'{mention.text}': there is no '{key}' in that value")
    return value


def _names_nothing(mention: Mention) -> str:
    reference = mention.alternatives[0]
    if reference.step_id is None:
        return f"'{mention.text}' names no parameter"
    return f"'{mention.text}' names nothing: no upstream step '{reference.step_id}' has an output '{reference.name}'"
