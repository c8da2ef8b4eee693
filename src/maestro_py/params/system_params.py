"""
The parameters that every run has without anybody giving them (specification 4.5).

Those that follow from others are definitions in the expression language, evaluated when something refers to them: most
runs refer to few, and none pays for the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

from maestro_py.model.definition import ParamDefinition, ParamMode, ParamType
from maestro_py.model.errors import ParamError
from maestro_py.params.computing import Budget
from maestro_py.params.evaluation import evaluate
from maestro_py.params.parameter import Parameter, ParamSource, parameter_of
from maestro_py.params.references import expressions_of, mentions_of, words_of
from maestro_py.params.scope import EmptyScope, Scope

_PACIFIC: Final = "US/Pacific"
_DATE: Final = "yyyyMMdd"


def _literal(value: str) -> ParamDefinition:
    return ParamDefinition(type=ParamType.STRING, value=value, mode=ParamMode.MUTABLE_ON_START)


def _text(expression: str) -> ParamDefinition:
    return ParamDefinition(type=ParamType.STRING, expression=expression, mode=ParamMode.MUTABLE_ON_START)


def _of_start(pattern: str) -> ParamDefinition:
    """Return a definition of the moment of the run in the workflow's zone."""
    zone = "DateTimeZone.forID(WORKFLOW_CRON_TIMEZONE)"
    return _text(f"DateTimeFormat.forPattern('{pattern}').withZone({zone}).print(RUN_TS)")


def _derived(zone: str, pattern: str, shift: str = "") -> ParamDefinition:
    """Return a definition of the hour of the run in *zone*, *shift* being calls such as ``.minusDays(1)``."""
    return _text(f"new DateTime(DERIVED_RUN_TS, DateTimeZone.forID('{zone}')){shift}.toString('{pattern}')")


def _days_before(days: int) -> ParamDefinition:
    utc = "withZone(DateTimeZone.UTC)"
    return _text(
        f"DateTimeFormat.forPattern('{_DATE}').{utc}.parseDateTime(RUN_DATE).minusDays({days}).toString('{_DATE}')"
    )


#: Name to definition of what follows from ``RUN_TS`` and the zones; whoever starts may give each.
DERIVED_PARAMS: Final[Mapping[str, ParamDefinition]] = {
    "DSL_DEFAULT_TZ": _literal("UTC"),
    "WORKFLOW_CRON_TIMEZONE": _literal("${DSL_DEFAULT_TZ}"),
    "TARGET_RUN_DATE": _of_start(_DATE),
    "TARGET_RUN_HOUR": _of_start("HH"),
    "DERIVED_RUN_TS": ParamDefinition(
        type=ParamType.LONG,
        expression=(
            "DateTimeFormat.forPattern('yyyyMMddHH').withZone(DateTimeZone.forID(WORKFLOW_CRON_TIMEZONE))"
            ".parseMillis(TARGET_RUN_DATE + TARGET_RUN_HOUR)"
        ),
        mode=ParamMode.MUTABLE_ON_START,
    ),
    "DERIVED_RUN_DATE_US_PACIFIC": _derived(_PACIFIC, _DATE),
    "DERIVED_RUN_DATE_US_PACIFIC_MINUS_ONE": _derived(_PACIFIC, _DATE, ".minusDays(1)"),
    "DERIVED_RUN_DATE_UTC": _derived("UTC", _DATE),
    "DERIVED_RUN_DATE_UTC_MINUS_ONE": _derived("UTC", _DATE, ".minusDays(1)"),
    "DERIVED_RUN_DATE_UTC_PLUS_ONE": _derived("UTC", _DATE, ".plusDays(1)"),
    "DERIVED_RUN_DATE_UTC_MINUS_ONE_HOUR": _derived("UTC", _DATE, ".minusHours(1)"),
    "DERIVED_RUN_DATE_UTC_PLUS_ONE_HOUR": _derived("UTC", _DATE, ".plusHours(1)"),
    "DERIVED_RUN_HOUR_US_PACIFIC": _derived(_PACIFIC, "HH"),
    "DERIVED_RUN_HOUR_UTC": _derived("UTC", "HH"),
    "DERIVED_RUN_HOUR_UTC_MINUS_ONE_HOUR": _derived("UTC", "HH", ".minusHours(1)"),
    "DERIVED_RUN_HOUR_UTC_PLUS_ONE_HOUR": _derived("UTC", "HH", ".plusHours(1)"),
    "LOCAL_RUN_DATE": _text("new DateTime(DERIVED_RUN_TS, DateTimeZone.forID(DSL_DEFAULT_TZ)).toString('yyyyMMdd')"),
    "RUN_DATE": _literal("${TARGET_RUN_DATE}"),
    "RUN_DATE_MINUS_1": _days_before(1),
    "RUN_DATE_MINUS_7": _days_before(7),
}


#: What the derived ones are worked out from: texts, and one number.
_DERIVED_FROM: Final = ("RUN_TS", *DERIVED_PARAMS)


def derived_param(name: str, scope: Scope, budget: Budget | None = None) -> Any:
    """
    Return the value of a parameter of `DERIVED_PARAMS` that nobody gave.

    Args:
        name: Which.
        scope: Whose ``param`` knows what was given, and comes here for what was not.
        budget: Of the expressions.

    Raises:
        KeyError: there is none of this name.
    """
    return evaluate({name: DERIVED_PARAMS[name]}, scope, budget=budget)[name]


def derived_params(run: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """
    Return those of `DERIVED_PARAMS` that *run*, the parameters of a run, does not hold, evaluated as of its start.

    One that cannot be evaluated, because its zone is none, say, is left out.
    """
    given = tuple((name, run[name].evaluated_result) for name in _DERIVED_FROM if name in run)
    evaluated_ms = run["RUN_TS"].evaluated_time if "RUN_TS" in run else 0
    return {
        name: parameter_of(DERIVED_PARAMS[name], result, evaluated_ms, ParamSource.SYSTEM_DEFAULT)
        for name, result in _follow_from(given).items()
    }


@lru_cache(maxsize=1000)  # a run is looked at again and again while it is waited for
def _follow_from(given: tuple[tuple[str, Any], ...]) -> Mapping[str, Any]:
    scope = _Given(dict(given))
    found = {}
    for name in DERIVED_PARAMS.keys() - dict(given):
        with suppress(KeyError, ParamError):
            found[name] = scope.param(name)
    return {name: found[name] for name in DERIVED_PARAMS if name in found}


class _Given(EmptyScope):
    """What is given, and what follows from that, each worked out once."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__()
        self._values = values

    def param(self, name: str) -> Any:
        if name not in self._values:
            if name not in DERIVED_PARAMS:
                raise KeyError(name)
            self._values[name] = derived_param(name, self)
        return self._values[name]

    def all_params(self) -> Mapping[str, Any]:
        return self._values


def derived_needed(definitions: Mapping[str, ParamDefinition]) -> dict[str, ParamDefinition]:
    """Return those of `DERIVED_PARAMS` that *definitions* refer to, directly or by one another, and do not have."""
    found: dict[str, ParamDefinition] = {}
    waiting = list(definitions.values())
    while waiting:
        for name in _names_in(waiting.pop()):
            if name in DERIVED_PARAMS and name not in definitions and name not in found:
                found[name] = DERIVED_PARAMS[name]
                waiting.append(DERIVED_PARAMS[name])
    return found


def _names_in(definition: ParamDefinition) -> set[str]:
    names = {mention.text for mention in mentions_of(definition)}
    for source in expressions_of(definition):
        names |= words_of(source)
    return names
