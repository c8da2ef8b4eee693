"""Resolve timeouts, which may refer to workflow parameters (specification 2.7)."""

from __future__ import annotations

from maestro_py.model.durations import MAX_DURATION_MS, parse_duration
from maestro_py.model.errors import ParamError
from maestro_py.params.evaluation import render
from maestro_py.params.scope import Scope

__all__ = ["MAX_DURATION_MS", "evaluate_timeout", "parse_duration"]


def evaluate_timeout(timeout: int | str | None, scope: Scope, path: str = "timeout") -> int | None:
    """
    Return the milliseconds of a definition's *timeout*, or None if it has none.

    Raises:
        ParamError: a reference names nothing, or the result is not a duration of at most 120 days.
    """
    if timeout is None:
        return None
    resolved = render(timeout, scope, path)
    try:
        return parse_duration(resolved)
    except ValueError as exc:
        raise ParamError(path, str(exc)) from exc
