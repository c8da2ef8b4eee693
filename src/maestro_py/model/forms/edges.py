"""Read the conditions of edges.  Until expressions are supported they are the words true and false."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainValidator

from maestro_py.model.forms.fields import refuse

_WORDS = {"true": "true", "true;": "true", "false": "false", "false;": "false"}


def read_condition(value: Any) -> str:
    """Return the condition in its canonical spelling: ``"true"`` or ``"false"``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    if not isinstance(value, str):
        raise refuse("must be true or false")
    raise refuse(f"conditions other than true and false are not supported yet: {value}")


Condition = Annotated[str, PlainValidator(read_condition, json_schema_input_type=bool | str)]
