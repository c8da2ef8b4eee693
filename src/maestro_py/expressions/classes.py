"""
All that an expression can reach: the classes by name, and the methods by kind of value.

The original keeps ``DateTimeConstants``, ``System`` and ``Arrays`` in one object, and so do we.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from maestro_py.expressions import containers, date_ints, datetimes, joda_format, numerics, strings
from maestro_py.expressions.builtin import Builtin, ClassTable, table
from maestro_py.expressions.errors import ExpressionError
from maestro_py.expressions.render import plain
from maestro_py.expressions.state import State
from maestro_py.expressions.values import Opaque, kind_of

_ONE_OBJECT: Final = ClassTable(statics=table(containers.AS_LIST, containers.CURRENT_TIME), constants={"SUNDAY": 7})


class Uuid(Opaque):
    """A random UUID."""

    __slots__ = ("text",)
    kind = "UUID"

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


CLASSES: Final[Mapping[str, ClassTable]] = {
    **numerics.CLASSES,
    **containers.MAP_CLASSES,
    "String": strings.CLASS,
    "DateTime": joda_format.DATETIME_CLASS,
    "DateTimeZone": datetimes.ZONE_CLASS,
    "DateTimeFormat": joda_format.FORMATTER_CLASS,
    "DateTimeFormatter": joda_format.FORMATTER_CLASS,
    "Property": ClassTable(kind="DATETIME_PROPERTY"),
    "Days": datetimes.DAYS_CLASS,
    "UUID": ClassTable(
        kind="UUID", statics=table(Builtin("randomUUID", lambda state: Uuid(state.sources.uuid()), ((),)))
    ),
    "Arrays": _ONE_OBJECT,
    "System": _ONE_OBJECT,
    "DateTimeConstants": _ONE_OBJECT,
    "Util": ClassTable(statics=date_ints.STATICS),
}

METHODS: Final[Mapping[str, Mapping[str, Builtin]]] = {
    "STRING": strings.METHODS,
    "LONG": numerics.LONG_METHODS,
    "DOUBLE": numerics.DOUBLE_METHODS,
    "BOOLEAN": {},
    "MAP": containers.MAP_METHODS,
    "PARAMS": containers.PARAMS_METHODS,
    "DATETIME": {**datetimes.DATETIME_METHODS, "toString": joda_format.DATE_TEXT},
    "DATETIME_ZONE": datetimes.ZONE_METHODS,
    "DATETIME_FORMATTER": joda_format.FORMATTER_METHODS,
    "DATETIME_PROPERTY": datetimes.PROPERTY_METHODS,
    "DATETIME_DAYS": datetimes.DAYS_METHODS,
    "UUID": table(Builtin("toString", lambda _state, uuid: uuid.text, ((),))),
}

#: What may be declared: the name of a type, its kind, whether it may be null, and its first value.
TYPES: Final[Mapping[str, tuple[str, bool, object]]] = {
    **{name: (known.kind, known.nullable, known.default) for name, known in CLASSES.items() if known.kind},
    **{
        f"{name}[]": (f"{known.kind}_ARRAY", True, None)
        for name, known in CLASSES.items()
        if known.kind in ("STRING", "LONG", "DOUBLE", "BOOLEAN")
    },
}


def call_method(state: State, receiver: object, method: str, arguments: list[object]) -> object:
    """
    Call *method* of a value.

    Raises:
        ExpressionError: Values of this kind have no such method, or it fails.
    """
    kind = kind_of(receiver)
    builtin = METHODS.get(kind, {}).get(method)
    if builtin is not None:
        return builtin.invoke(state, (receiver,), arguments)
    if receiver is None:
        raise ExpressionError(f"{method}() is called on null")
    raise ExpressionError(f"{kind} has no method {method}{_known(METHODS.get(kind, {}))}")


def call_static(state: State, class_name: str, method: str, arguments: list[object]) -> object:
    """Call a function of a class, or one registered under ``Util``; as `call_method`."""
    builtin = CLASSES[class_name].statics.get(method)
    if builtin is not None:
        return builtin.invoke(state, (), arguments)
    if class_name == "Util":
        state.work(50)
        return state.wrap(_registered(state, method, arguments))
    raise ExpressionError(f"{class_name} has no function {method}{_known(CLASSES[class_name].statics)}")


def construct(state: State, class_name: str, arguments: list[object]) -> object:
    """Do ``new class_name(arguments)``; as `call_method`."""
    known = CLASSES.get(class_name)
    if known is None or known.constructor is None:
        raise ExpressionError(f"there is no new {class_name}()")
    return known.constructor.invoke(state, (), arguments)


def static_field(class_name: str, name: str) -> object:
    """Return a constant of a class, such as ``DateTimeZone.UTC``."""
    constants = CLASSES[class_name].constants
    if name not in constants:
        raise ExpressionError(f"{class_name} has no field {name}")
    return constants[name]


def _registered(state: State, method: str, arguments: list[object]) -> object:
    try:
        return state.sources.call_util(method, tuple(plain(state, argument) for argument in arguments))
    except LookupError as error:
        raise ExpressionError(f"there is no function Util.{method}") from error


def _known(names: Mapping[str, Builtin]) -> str:
    return f"; it has {', '.join(sorted(names)[:20])}" if names else ""
