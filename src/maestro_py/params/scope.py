"""Name what an evaluation may read of the world: parameters in scope and outputs of completed steps."""

from __future__ import annotations

from typing import Any, Protocol


class Scope(Protocol):
    """What a parameter may refer to, seen from where it stands.  The engine implements it."""

    def param(self, name: str) -> Any:
        """
        Return the evaluated parameter *name* of the run (loop values first, then those of enclosing runs).

        Raises:
            KeyError: there is none.
        """
        ...

    def output(self, step_id: str, name: str) -> Any:
        """
        Return the output *name* of the completed step, or its evaluated parameter of that name.

        Raises:
            KeyError: there is no such step upstream, or it reported no such output.
        """
        ...


class EmptyScope:
    """The scope of workflow parameters: nothing has run yet."""

    def param(self, name: str) -> Any:
        """Raise KeyError: there is nothing."""
        raise KeyError(name)

    def output(self, step_id: str, name: str) -> Any:
        """Raise KeyError: there is nothing."""
        raise KeyError(step_id, name)
