"""Read the parameters that a start request gives (specification 4.1), at the door."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from maestro_py.model.definition import ParamDefinition
from maestro_py.model.forms.param_documents import read_params
from maestro_py.model.forms.problems import Problems

#: A request may give so many.
MAX_RUN_PARAMS: Final = 128

#: Names that a start request may not give (specification 4.1).
FORBIDDEN_NAMES: Final = frozenset(
    {
        *("maestro", "Maestro", "MAESTRO"),
        *("scheduler", "Scheduler", "SCHEDULER"),
        *("util", "Util", "UTIL"),
        *("params", "Params", "PARAMS"),
        *("AUTH_BLOB", "AUTH_DATA", "AUTHORIZED_MANAGERS"),
        *("AUTH_ACTING_ON_BEHALF_OF_BLOB", "AUTH_TRIGGERING_ON_BEHALF_OF_BLOB"),
    }
)


def parse_run_params(document: Any, path: str = "run_params") -> dict[str, ParamDefinition]:
    """
    Return the run parameters of a request: full definitions, or plain values whose type is inferred.

    Args:
        document: Name to definition or value; None is none.
        path: Where it stands in the request.

    Raises:
        DefinitionInvalid: with every wrong parameter.
    """
    problems = Problems()
    params = read_params(document, (path,), problems, plain=True)
    if isinstance(document, dict):
        for at, message in refused_names(document):
            problems.add((path, *at), message)
    problems.raise_if_any("The request")
    return params


def refused_names(names: Iterable[str]) -> list[tuple[tuple[str, ...], str]]:
    """Return what is wrong with the names of run parameters: the place below them, and why."""
    given = list(names)
    refused = [((name,), "is a reserved name") for name in given if name in FORBIDDEN_NAMES]
    if len(given) > MAX_RUN_PARAMS:
        return [((), f"{len(given)} parameters are more than {MAX_RUN_PARAMS}"), *refused]
    return list(refused)
