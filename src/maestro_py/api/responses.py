"""Encode answers: JSON by msgspec, which is what everything behind the door speaks."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response

_ENCODER: Final = msgspec.json.Encoder()


class Json(Response):
    """A JSON response.  The content may hold msgspec values and ready-made JSON (`msgspec.Raw`)."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return *content* as JSON bytes."""
        return _ENCODER.encode(content)


def present(**fields: Any) -> dict[str, Any]:
    """Return *fields* without those that are None, as nearly every model of the specification is written."""
    return {name: value for name, value in fields.items() if value is not None}
