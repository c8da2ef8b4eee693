"""
The tables of the specification, whole: every operator between every two kinds (4.7), every function there is (4.8).

What each function gives is in the tables of the other files; here it is counted that none is missing there.
"""

from __future__ import annotations

import re
from typing import Final

import pytest

from maestro_py.expressions.classes import CLASSES, METHODS
from tests.unit.expressions import test_dates, test_language, test_numbers, test_strings
from tests.unit.expressions.world import failure, value_of

PARAMS: Final[dict[str, object]] = {"longs": [1], "m": {"k": 1}}
#: A value of each kind.
OPERANDS: Final = {
    "LONG": "3",
    "DOUBLE": "1.5",
    "STRING": "'a'",
    "BOOLEAN": "true",
    "NULL": "missing",
    "LONG_ARRAY": "longs",
    "MAP": "m",
    "DATETIME": "new DateTime(0)",
}
NUMBERS: Final = ("LONG", "DOUBLE")
OPERATORS: Final = ("+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||")


def kind_of_result(operator: str, left: str, right: str) -> str | None:
    """Return the kind that the specification gives to the result, None where the operator is not defined."""
    numbers = left in NUMBERS and right in NUMBERS
    match operator:
        case "&&" | "||":
            return "BOOLEAN" if left == right == "BOOLEAN" else None
        case "==" | "!=":
            scalar = left in (*NUMBERS, "STRING", "BOOLEAN")
            alike = numbers or (left == right and scalar) or (left in NUMBERS and right == "STRING")
            return "BOOLEAN" if alike or "NULL" in (left, right) else None
        case "<" | "<=" | ">" | ">=":
            return "BOOLEAN" if numbers else None
        case "+" if "STRING" in (left, right) or left == "NULL":
            return "STRING"
    if not numbers:
        return None
    return "LONG" if left == right == "LONG" else "DOUBLE"


@pytest.mark.parametrize("right", OPERANDS)
@pytest.mark.parametrize("left", OPERANDS)
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: f"4.7 {operator}")
def test_an_operator_between_two_kinds(operator: str, left: str, right: str) -> None:
    source = f"{OPERANDS[left]} {operator} {OPERANDS[right]}"
    kind = kind_of_result(operator, left, right)
    if kind is None:
        assert f"{left} {operator.replace('!=', '==')} {right} is not defined" == failure(source, PARAMS).message
    else:
        python = {"LONG": int, "DOUBLE": float, "STRING": str, "BOOLEAN": bool}[kind]
        assert python is type(value_of(source, PARAMS))


@pytest.mark.parametrize("kind", OPERANDS)
@pytest.mark.parametrize(
    ("operator", "kinds"),
    [
        pytest.param("-", NUMBERS, id="4.7 unary -"),
        pytest.param("+", NUMBERS, id="4.7 unary +"),
        pytest.param("!", ("BOOLEAN",), id="4.7 unary !"),
    ],
)
def test_an_operator_before_a_kind(operator: str, kinds: tuple[str, ...], kind: str) -> None:
    source = f"{operator}({OPERANDS[kind]})"
    if kind in kinds:
        value_of(source, PARAMS)
    else:
        assert f"{operator} is not defined for {kind}" == failure(source, PARAMS).message


#: Every source of the tables.
TABLES: Final = "\n".join(
    source
    for source, *_ in (
        *test_strings.METHODS,
        *test_strings.REFUSED,
        *test_dates.METHODS,
        *test_numbers.FUNCTIONS,
        *test_language.PROGRAMS,
    )
)
#: What the engine gives is asked of it in the tests of parameters.
_OF_THE_ENGINE: Final = re.compile(r"getFrom\w+|nextUniqueId|getExecutionEnvironment")


@pytest.mark.parametrize(
    "method",
    sorted({name for methods in METHODS.values() for name in methods if not _OF_THE_ENGINE.fullmatch(name)}),
    ids=lambda name: f"4.8 .{name}()",
)
def test_every_method_is_in_a_table(method: str) -> None:
    assert f".{method}(" in TABLES


@pytest.mark.parametrize(
    "call",
    sorted(f"{name}.{method}" for name, known in CLASSES.items() for method in known.statics),
    ids=lambda call: f"4.8 {call}()",
)
def test_every_function_of_a_class_is_in_a_table(call: str) -> None:
    """One object has several names (specification 4.8); its functions are in the table by one of them."""
    name, method = call.split(".")
    same = [other for other, known in CLASSES.items() if known.statics.get(method) is CLASSES[name].statics[method]]

    assert any(f"{other}.{method}(" in TABLES for other in same)


@pytest.mark.parametrize(
    "name", sorted(name for name, known in CLASSES.items() if known.constructor), ids=lambda name: f"4.8 new {name}()"
)
def test_every_constructor_is_in_a_table(name: str) -> None:
    same = [other for other, known in CLASSES.items() if known.constructor is CLASSES[name].constructor]

    assert any(f"new {other}(" in TABLES for other in same)


#: What specification 4.8 names, function by function.
SPECIFIED: Final = {
    "STRING": "split toUpperCase toLowerCase replaceAll replace startsWith endsWith contains substring lastIndexOf"
    " length isEmpty equals compareTo trim escape",
    "LONG": "toString intValue",
    "DOUBLE": "toString intValue longValue",
    "MAP": "get put containsKey getOrDefault size",
    "UUID": "toString",
    "DATETIME": "toString withZone toDateTime isAfter isBefore isEqual withTimeAtStartOfDay monthOfYear weekyear"
    " weekOfWeekyear dayOfYear dayOfMonth dayOfWeek hourOfDay minuteOfDay minuteOfHour secondOfDay secondOfMinute"
    " millisOfDay millisOfSecond withYear withWeekyear withMonthOfYear withWeekOfWeekyear withDayOfYear withDayOfMonth"
    " withDayOfWeek withHourOfDay withMinuteOfHour withSecondOfMinute withMillisOfSecond withMillisOfDay getMillis"
    " getYear getHourOfDay getWeekOfWeekyear getWeekyear getDayOfWeek getDayOfMonth getDayOfYear getMillisOfDay"
    " getMillisOfSecond getMinuteOfDay getMinuteOfHour getSecondOfMinute getMonthOfYear getSecondOfDay plusYears"
    " plusMonths plusWeeks plusDays plusHours plusMinutes plusSeconds plusMillis minusYears minusMonths minusWeeks"
    " minusDays minusHours minusMinutes minusSeconds minusMillis",
    "DATETIME_PROPERTY": "getAsText withMinimumValue withMaximumValue get",
    "DATETIME_FORMATTER": "withZone parseDateTime parseMillis print",
    "DATETIME_ZONE": "getOffset",
    "DATETIME_DAYS": "getDays",
    "PARAMS": "get containsKey nextUniqueId getExecutionEnvironment getFromInstance getFromStep getFromSignal"
    " getFromSignalOrDefault getFromSignalDependency getFromForeach getFromSubworkflow",
}
SPECIFIED_STATIC: Final = {
    "String": "valueOf format join escape",
    "Long": "toString valueOf parseLong",
    "Integer": "toString valueOf parseLong",
    "Double": "toString valueOf parseDouble",
    "Float": "toString valueOf parseDouble",
    "Arrays": "asList currentTimeMillis",
    "Math": "min max random pow",
    "UUID": "randomUUID",
    "System": "currentTimeMillis",
    "DateTime": "parse",
    "DateTimeFormat": "forPattern",
    "DateTimeZone": "forID",
    "Days": "daysBetween",
    "Util": "dateIntToTs tsToDateInt incrementDateInt dateIntHourToTs timeoutForDateTimeDeadline"
    " timeoutForDateIntDeadline dateIntsBetween intsBetween toJson",
}


@pytest.mark.parametrize("kind", SPECIFIED, ids=lambda kind: f"4.8 methods of {kind}")
def test_a_kind_has_the_methods_of_the_specification_and_no_others(kind: str) -> None:
    assert set(SPECIFIED[kind].split()) == set(METHODS.get(kind, {}))


@pytest.mark.parametrize("name", SPECIFIED_STATIC, ids=lambda name: f"4.8 functions of {name}")
def test_a_class_has_the_functions_of_the_specification(name: str) -> None:
    assert set(SPECIFIED_STATIC[name].split()) <= set(CLASSES[name].statics)
