"""What the tests of the expression language share: a world that stands still, and how many examples to try."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from maestro_py.expressions import ExpressionError, evaluate

NOON_MS: Final = 1_709_208_000_000  # 2024-02-29T12:00:00Z

#: Fifty times as many examples in the nightly run.
_TIMES: Final = 50 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 1
#: Fifty times as many need longer than one test may take by day, in seconds.
PATIENCE: Final = pytest.mark.timeout(300 if _TIMES == 1 else 7200)


def examples(count: int) -> settings:
    """Return the settings of a test that tries *count* examples, many more at night."""
    quiet = [
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ]
    return settings(max_examples=count * _TIMES, deadline=None, suppress_health_check=quiet)


class FixedSources:
    """A clock that stands at noon of 29 February 2024, chance that is always the same, and a few look-ups."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[object, ...]]] = []

    def now_ms(self) -> int:
        return NOON_MS

    def random(self) -> float:
        return 0.25

    def uuid(self) -> str:
        return "00000000-0000-4000-8000-000000000001"

    def lookup(self, function: str, arguments: tuple[str, ...]) -> object:
        self.asked.append((function, arguments))
        if arguments and arguments[0] == "nowhere":
            raise LookupError("no step nowhere")
        answers: dict[str, object] = {"nextUniqueId": 7, "getFromForeach": [1, 2], "getExecutionEnvironment": "test"}
        return answers.get(function, "/".join(arguments))

    def call_util(self, function: str, arguments: tuple[object, ...]) -> object:
        if function != "double":
            raise LookupError(function)
        assert isinstance(arguments[0], int)
        return 2 * arguments[0]


def value_of(source: str, params: Mapping[str, object] | None = None) -> object:
    """Return the value of *source* in the world that stands still."""
    return evaluate(source, params or {}, sources=FixedSources())


def failure_of(call: Callable[[], object]) -> ExpressionError:
    """Return the error that *call* raises; fail if it raises none."""
    with pytest.raises(ExpressionError) as caught:
        call()
    return caught.value


def failure(source: str, params: Mapping[str, object] | None = None) -> ExpressionError:
    """Return the error of *source* in the world that stands still."""
    return failure_of(lambda: value_of(source, params))
