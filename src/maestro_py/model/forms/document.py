"""
The base of the pydantic models at the door.

Three manners that pydantic has not by itself: null and empty values of known fields count as absent, an unknown
field is named together with what was probably meant, and a model reports everything that is wrong with it at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from maestro_py.model.forms.problems import MAX_ERRORS, Problems
from maestro_py.model.literals import spell_kind
from maestro_py.model.templates import Location

#: In an object with more unknown fields than this nothing is suggested: comparing takes time.
_MOST_COMPARED: Final = 5
_LONGEST_COMPARED: Final = 64


class _Screened(dict[str, Any]):
    """Fields that were screened: pydantic runs the validator of a model that holds itself twice."""


class Document(BaseModel):
    """An object of a pushed document."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    #: Fields whose empty value means something.
    keeps_empty: ClassVar[frozenset[str]] = frozenset()

    #: Fields that `screen` fills and no author may write.
    internal: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def screen(cls, known: dict[str, Any], unknown: dict[str, Any], problems: Problems) -> None:
        """Look at the raw fields before any is read: refuse those the model does not have.  Overrides add rules."""
        if unknown:
            refuse_unknown(unknown, cls.__pydantic_fields__.keys() - cls.internal, problems)

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, data: Any, handler: Callable[[Any], Any]) -> Any:
        if isinstance(data, _Screened):
            return handler(data)
        if not isinstance(data, dict):
            raise PydanticCustomError("object_type", "must be an object, not {kind}", {"kind": spell_kind(data)})
        known = _Screened()
        unknown: dict[str, Any] = {}
        fields = cls.__pydantic_fields__
        for name, value in data.items():
            if name not in fields or name in cls.internal:
                unknown[name] = value
            elif value is not None and ((value != [] and value != {}) or name in cls.keeps_empty):
                known[name] = value
        problems = Problems()
        cls.screen(known, unknown, problems)
        try:
            result = handler(known)
        except ValidationError as exc:
            collect(exc, problems)
            result = None
        if problems:
            raise_located(problems)
        return result


def refuse_unknown(unknown: Iterable[str], words: Iterable[str], problems: Problems) -> None:
    """Add each of *unknown* to *problems*, with that one of *words* that was probably meant."""
    names = list(unknown)
    known = frozenset(words) if len(names) <= _MOST_COMPARED else frozenset()
    for name in names[:MAX_ERRORS]:
        problems.add((name,), _unknown_field(name, known))


@lru_cache(maxsize=1_024)
def _unknown_field(name: str, words: frozenset[str]) -> str:
    close = difflib.get_close_matches(name.lower()[:_LONGEST_COMPARED], sorted(words), n=1)
    return f"unknown field; did you mean '{close[0]}'?" if close else "unknown field"


def collect(error: ValidationError, problems: Problems, at: Location = ()) -> None:
    """Add what pydantic found in the value at *at* to *problems*, in our words."""
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        problems.add((*at, *found["loc"]), _WORDING.get(found["type"], found["msg"]))


def raise_located(problems: Problems) -> None:
    """Raise *problems* as an error whose places pydantic puts below the field that is being read."""
    lines: list[InitErrorDetails] = [
        {"type": PydanticCustomError("wrong", "{message}", {"message": message}), "loc": at, "input": None}
        for at, message in problems
    ]
    raise ValidationError.from_exception_data("document", lines)


_WORDING: Mapping[str, str] = {
    "missing": "is required",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
}
