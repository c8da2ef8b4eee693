"""The outputs that a type of step has by itself, so that no definition needs to declare them (specification 2.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from maestro_py.model.definition import ParamType

_ROWS: Final[Mapping[str, ParamType]] = {
    "row_count": ParamType.LONG,
    "columns": ParamType.STRING_ARRAY,
    "rows": ParamType.JSON,
    "truncated": ParamType.BOOLEAN,
}
_OF_TYPE: Final[Mapping[str, Mapping[str, ParamType]]] = {
    "http": {"status_code": ParamType.LONG, "response_body": ParamType.STRING},
    "sql": _ROWS,
    "trino": _ROWS,
    "python": {"result": ParamType.JSON},
}
_NONE: Final[Mapping[str, ParamType]] = {}


def outputs_of_type(step_type: str) -> Mapping[str, ParamType]:
    """Return name to type of what every step of *step_type*, spelled as `spelled_type` does, may report."""
    return _OF_TYPE.get(step_type, _NONE)
