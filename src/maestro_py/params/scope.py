"""Name what an evaluation may read of the world: parameters in scope, outputs of completed steps, facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from maestro_py.params.facts import Facts

#: What ``params.getFromStep`` tells of a completed step besides its parameters.
STEP_STATUS: Final = "MAESTRO_STEP_STATUS"
STEP_END_TIME: Final = "MAESTRO_STEP_END_TIME"


class Scope(Protocol):
    """What a parameter may refer to, seen from where it stands.  The engine implements it."""

    def param(self, name: str) -> Any:
        """
        Return the evaluated parameter *name* of the run (loop values first, then those of enclosing runs).

        Raises:
            KeyError: there is none.
        """
        ...

    def all_params(self) -> Mapping[str, Any]:
        """Return every parameter that `param` knows: what ``params`` means in an expression."""
        ...

    def output(self, step_id: str, name: str) -> Any:
        """
        Return the output *name* of the completed step, or its evaluated parameter of that name.

        Of a foreach: its parameter of that name; failing that, what its only step, or the step *inner* of
        ``loop.inner``, has of that name in each iteration.

        Raises:
            KeyError: there is no such step upstream, or it reported no such output.
            NoResults: the iterations of a foreach have no scalars of that name that make an array.
            ResultsUnread: the results of a foreach are meant, which are read elsewhere.
        """
        ...

    def results(self, foreach: str, step_id: str, name: str) -> list[Any]:
        """
        Return the output *name* of *step_id* in each iteration of the completed *foreach*.

        Raises:
            KeyError: there is no such foreach upstream, or no such step in it.
            NoResults: the iterations have no scalars of that name that make an array.
            ResultsUnread: they are read elsewhere.
        """
        ...

    def facts(self) -> Facts:
        """Return the time, and what is known of the instance, the step and the signal; asked for only when needed."""
        ...


class EmptyScope:
    """The scope of workflow parameters: nothing has run yet."""

    def __init__(self, facts: Facts = Facts()) -> None:  # noqa: B008  # frozen
        self._facts = facts

    def param(self, name: str) -> Any:
        """Raise KeyError: there is nothing."""
        raise KeyError(name)

    def all_params(self) -> Mapping[str, Any]:
        """Return nothing."""
        return {}

    def output(self, step_id: str, name: str) -> Any:
        """Raise KeyError: there is nothing."""
        raise KeyError(step_id, name)

    def results(self, foreach: str, step_id: str, name: str) -> list[Any]:
        """Raise KeyError: there is nothing."""
        raise KeyError(foreach, step_id, name)

    def facts(self) -> Facts:
        """Return what was handed in."""
        return self._facts
