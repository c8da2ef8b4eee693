"""A scope for tests, and short ways to write definitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maestro_py.model.definition import ParamDefinition, ParamMode, ParamType
from maestro_py.params import Facts, Loop, evaluate_step_params

NOW_MS = 1_700_000_000_000


class Given:
    """A scope that knows what it is given: parameters by name, outputs by (step, name)."""

    def __init__(
        self,
        params: Mapping[str, Any] = {},
        outputs: Mapping[tuple[str, str], Any] = {},
        known: Facts = Facts(now_ms=NOW_MS, seed="test"),  # noqa: B008  # frozen
    ) -> None:
        self.known = known
        self.params = params
        self.outputs = outputs

    def param(self, name: str) -> Any:
        return self.params[name]

    def all_params(self) -> Mapping[str, Any]:
        return self.params

    def facts(self) -> Facts:
        return self.known

    def all_outputs(self) -> Mapping[str, Mapping[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for (step_id, name), value in self.outputs.items():
            found.setdefault(step_id, {})[name] = value
        return found

    def output(self, step_id: str, name: str) -> Any:
        return self.outputs[step_id, name]

    def results(self, foreach: str, step_id: str, name: str) -> list[Any]:
        raise KeyError(foreach, step_id, name)

    def loop(self, step_id: str) -> Loop | None:
        return None

    def all_loops(self) -> Mapping[str, Loop]:
        return {}


NOTHING = Given()


def a(kind: str, value: Any, mode: ParamMode = ParamMode.MUTABLE) -> ParamDefinition:
    return ParamDefinition(type=ParamType(kind), value=value, mode=mode)


def evaluated(scope: Given = NOTHING, /, **definitions: ParamDefinition) -> dict[str, Any]:
    """Return the results of a step's parameters by name."""
    params = evaluate_step_params(definitions, scope, NOW_MS)
    return {name: param.evaluated_result for name, param in params.items()}
