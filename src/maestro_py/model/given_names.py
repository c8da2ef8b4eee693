"""The parameters and outputs that runs and steps have without a definition saying so (specification 2.5 and 4.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from maestro_py.model.definition import ParamType

#: Parameters that every run has (specification 4.5, as far as they exist).
SYSTEM_PARAMS: Final = frozenset(
    {
        *("RUN_TS", "owner", "workflow_id", "DSL_DEFAULT_TZ", "WORKFLOW_CRON_TIMEZONE"),
        *("TARGET_RUN_DATE", "TARGET_RUN_HOUR", "DERIVED_RUN_TS"),
        *("DERIVED_RUN_DATE_US_PACIFIC", "DERIVED_RUN_DATE_US_PACIFIC_MINUS_ONE"),
        *("DERIVED_RUN_DATE_UTC", "DERIVED_RUN_DATE_UTC_MINUS_ONE", "DERIVED_RUN_DATE_UTC_PLUS_ONE"),
        *("DERIVED_RUN_DATE_UTC_MINUS_ONE_HOUR", "DERIVED_RUN_DATE_UTC_PLUS_ONE_HOUR"),
        *("DERIVED_RUN_HOUR_US_PACIFIC", "DERIVED_RUN_HOUR_UTC"),
        *("DERIVED_RUN_HOUR_UTC_MINUS_ONE_HOUR", "DERIVED_RUN_HOUR_UTC_PLUS_ONE_HOUR"),
        *("LOCAL_RUN_DATE", "RUN_DATE", "RUN_DATE_MINUS_1", "RUN_DATE_MINUS_7"),
    }
)
#: Given by the service to every step, RESERVED: name to type.
STEP_PARAMS: Final[Mapping[str, ParamType]] = {
    "workflow_instance_id": ParamType.LONG,
    "step_instance_uuid": ParamType.STRING,
    "step_attempt_id": ParamType.LONG,
    "step_id": ParamType.STRING,
    "maestro_step_satisfied": ParamType.BOOLEAN,
}
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
