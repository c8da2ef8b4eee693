"""
Turn the rows of a result into JSON, within bounds.  Pure.

JSON has no dates and no exact decimals: these become texts, so that nothing is lost or rounded on the way
(docs/step_types.md has the table).
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

#: What is kept of a result.
ROWS_LIMIT: Final = 1_000
ROWS_LIMIT_BYTES: Final = 1 << 20
_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
_LONGEST_NUMBER: Final = 1_000  #: Digits; what is longer keeps its exponent.
_ENCODER: Final = msgspec.json.Encoder()


class KeptRows:
    """
    The rows of one result, of which the first ones are kept.

    Args:
        columns: Their names, as the database gives them.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns: Final = distinct(columns)
        self.rows: list[dict[str, Any]] = []
        self.count = 0  #: Of all rows, also of those that are not kept.
        self._bytes_left = ROWS_LIMIT_BYTES
        self._is_full = False

    @property
    def is_truncated(self) -> bool:
        """Say whether some rows are not kept."""
        return len(self.rows) < self.count

    def add(self, row: Iterable[Any]) -> None:
        """Take in the next row."""
        self.count += 1
        if not self._is_full:
            self._keep(row)

    def _keep(self, row: Iterable[Any]) -> None:
        if len(self.rows) == ROWS_LIMIT:
            self._is_full = True
            return
        values = dict(zip(self.columns, map(json_value, row), strict=True))
        self._bytes_left -= len(_ENCODER.encode(values))
        # No later row, were it ever so small: what is kept is the beginning, without gaps.
        self._is_full = self._bytes_left < 0
        if not self._is_full:
            self.rows.append(values)


def distinct(columns: Sequence[str]) -> list[str]:
    """Return *columns* with a number behind each name that stood before: ``id``, ``id_2``."""
    names: dict[str, None] = {}
    for column in columns:
        name, number = column, 1
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names[name] = None
    return list(names)


def json_value(value: Any) -> Any:
    """Return what stands in the outputs for a value that a database driver returns."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if _LONG_MIN <= value <= _LONG_MAX else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(decimal.Decimal(value))  # NaN, Infinity, -Infinity
    if isinstance(value, decimal.Decimal):
        return format(value, "f") if value.is_finite() and abs(value.adjusted()) < _LONGEST_NUMBER else str(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {str(key): json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_value(inner) for inner in value]
    return str(value)


def bound_value(value: Any, *, has_arrays: bool) -> Any:
    """
    Return what is bound for a JSON value of ``parameters``.

    Objects are bound as JSON texts; so are lists, unless the database has arrays and the list is one of plain values.
    """
    is_plain = isinstance(value, list) and not any(isinstance(inner, list | dict) for inner in value)
    if isinstance(value, dict) or (isinstance(value, list) and not (has_arrays and is_plain)):
        return _ENCODER.encode(value).decode()
    return value
