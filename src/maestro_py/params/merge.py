"""Lay one definition of a parameter over another: modes (specification 4.2), casts and merged maps (4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from maestro_py.model.definition import ParamDefinition, ParamMode, ParamType
from maestro_py.model.errors import ParamError
from maestro_py.model.literals import Mismatch, convert, infer_type
from maestro_py.model.templates import mentions_in
from maestro_py.params.parameter import ParamSource

_STRICTNESS: Final = list(ParamMode)
#: What whoever defines, starts or calls may change, and no other mode.
_AT_START: Final = frozenset({ParamMode.MUTABLE, ParamMode.MUTABLE_ON_START_RESTART, ParamMode.MUTABLE_ON_START})
#: The others change less (specification 4.2).
_CHANGEABLE_BY: Final = {
    ParamSource.RESTART: frozenset({ParamMode.MUTABLE, ParamMode.MUTABLE_ON_START_RESTART}),
    ParamSource.OUTPUT_PARAMETER: frozenset({ParamMode.MUTABLE}),
}
#: A parent hands its parameters to a child: the stricter mode of both is kept, and nobody complains.
_PARENTS: Final = frozenset({ParamSource.SUBWORKFLOW, ParamSource.FOREACH, ParamSource.WHILE})


def merge(
    base: ParamDefinition, over: ParamDefinition, path: str, by: ParamSource = ParamSource.LAUNCH
) -> ParamDefinition:
    """
    Return *base* with the value of *over*; the type is that of *base*, the mode the stricter of both.

    Literal MAPs and STRING_MAPs merge by key, everything else is replaced.

    Args:
        base: What is there.
        over: What is laid over it.
        path: Where *over* stands, for the error.
        by: Who changes it.

    Raises:
        ParamError: the mode of *base* forbids it, *over* is less strict, or its value cannot be cast.
    """
    if base.mode not in _CHANGEABLE_BY.get(by, _AT_START):
        raise ParamError(path, f"Cannot modify param with mode [{base.mode}]")
    # MUTABLE is what a definition says that says nothing.
    less_strict = _STRICTNESS.index(over.mode) < _STRICTNESS.index(base.mode)
    if less_strict and over.mode is not ParamMode.MUTABLE and by not in _PARENTS:
        raise ParamError(path, f"Cannot modify param mode to be less strict from [{base.mode}] to [{over.mode}]")
    return msgspec.structs.replace(
        over,
        type=base.type,
        value=_merged_value(base, over, path, by),
        mode=max(base.mode, over.mode, key=_STRICTNESS.index),
        validator=base.validator if over.validator is None else over.validator,
        tags=base.tags if over.tags is None else over.tags,
        meta=base.meta | over.meta,
    )


def _merged_value(base: ParamDefinition, over: ParamDefinition, path: str, by: ParamSource) -> Any:
    if over.value is msgspec.UNSET:
        return over.value
    value = _cast(base.type, over, path)
    if not (isinstance(base.value, Mapping) and isinstance(value, Mapping)):
        return value
    if base.type is ParamType.STRING_MAP:
        return {**base.value, **value}
    if base.type is ParamType.MAP:
        return _merged_map(base.value, value, path, by)
    return value


def _merged_map(base: Mapping[str, Any], over: Mapping[str, Any], path: str, by: ParamSource) -> dict[str, Any]:
    merged = dict(base)
    for name, document in over.items():
        if name in base:
            inner = merge(
                msgspec.convert(base[name], ParamDefinition),
                msgspec.convert(document, ParamDefinition),
                f"{path}.{name}",
                by,
            )
            merged[name] = msgspec.to_builtins(inner)
        else:
            merged[name] = document
    return merged


def _cast(type: ParamType, over: ParamDefinition, path: str) -> Any:  # noqa: A002  # the word of the domain
    if over.type is type:
        return over.value
    value = over.value
    if over.type is ParamType.MAP and isinstance(value, Mapping):
        value = _plain(value, path)
    if type is ParamType.MAP and isinstance(value, Mapping):
        return {
            name: msgspec.to_builtins(ParamDefinition(type=infer_type(inner), value=inner))
            for name, inner in value.items()
        }
    if next(mentions_in(value), None) is not None:
        return value  # fitted to the type when it is evaluated
    try:
        return convert(type, value, cast=True)
    except Mismatch as exc:
        raise ParamError(path, f"cannot be cast from {over.type} to {type}: {exc.message}") from exc


def _plain(value: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the values of a literal MAP without their types."""
    definitions = {name: msgspec.convert(document, ParamDefinition) for name, document in value.items()}
    if any(inner.value is msgspec.UNSET for inner in definitions.values()):
        raise ParamError(path, "a MAP with expressions cannot be cast to another type")
    return {
        name: _plain(inner.value, path)
        if inner.type is ParamType.MAP and isinstance(inner.value, Mapping)
        else inner.value
        for name, inner in definitions.items()
    }
