"""
What expressions may ask of the world beside parameters: time, chance, and facts of the instance, step and signal.

Facts are plain values, so that an evaluation can be done by any process and comes to the same: chance is derived from
a seed, hence evaluating once more after a crash draws the same numbers.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec

from maestro_py.expressions import ExpressionError
from maestro_py.params.loop_results import NoResults

#: What ``params.getExecutionEnvironment()`` gives.
EXECUTION_ENVIRONMENT: Final = "prod"
#: What every parameter of every signal is while a definition is tried (specification 4.8).
VALIDATED_SIGNAL_VALUE: Final = 20220101
VALIDATION: Final = "VALIDATION"

_INSTANCE_FIELDS: Final = frozenset(
    {
        *("INITIATOR_TIMEZONE", "INITIATOR_TYPE", "INITIATOR_RUNNER_NAME", "RUN_POLICY"),
        *("owner", "FIRST_TIME_TRIGGER_TIMEZONE"),
        *("workflow_id", "workflow_instance_id", "workflow_run_id"),
    }
)
_STEP_FIELDS: Final = frozenset(
    {
        *("step_id", "step_instance_id", "step_instance_uuid", "step_attempt_id"),
        *("step_type_info", "MAESTRO_STEP_ERROR_RETRIES"),
    }
)
#: What a look-up asks of, where this version does not have it: no call of it can give anything.
UNSERVED: Final = {
    "getFromSubworkflow": "subworkflow steps are not supported yet",
    "getFromSignalDependency": "signal dependencies are not supported yet",
}


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known where an expression stands."""

    now_ms: int = 0  #: UTC epoch milliseconds.
    seed: str = ""  #: What chance is derived from.
    instance: dict[str, Any] = {}  #: Field of ``getFromInstance`` to value; a field left out is unknown yet.
    step: dict[str, Any] | None = None  #: Field of ``getFromStep`` to value; None outside a step.
    signals: dict[str, dict[str, Any]] = {}  #: Signals that started the run, with their parameters.
    trigger: dict[str, Any] = {}  #: What the parameters of the signal trigger came to.
    is_validation: bool = False  #: A definition is being tried: its signals have every parameter.

    def signal(self, name: str, param: str) -> Any:
        """
        Return the parameter *param* of the signal *name* that started the run.

        Raises:
            KeyError: no such signal did, or it had no such parameter.
        """
        params = self.signals[name]
        return VALIDATED_SIGNAL_VALUE if self.is_validation else params[param]

    def signals_with(self, param: str) -> list[str]:
        """Return the signals that started the run and have *param*."""
        return [name for name, params in self.signals.items() if self.is_validation or param in params]

    def step_param(self, name: str) -> Any:
        """
        Return a parameter that the service gives to every step (specification 4.5).

        Raises:
            KeyError: outside a step, or there is none of this name.
        """
        if self.step is None:
            raise KeyError(name)
        return self.instance[name] if name == "workflow_instance_id" else self.step[name]


class Outputs(Protocol):
    """Knows the outputs of completed steps, the results of completed loops, and facts."""

    def output(self, step_id: str, name: str) -> Any:
        """
        Return the output *name* of the step.

        Raises:
            KeyError: the step is not complete, or has none.
            NoResults: it means results of a foreach, and they make no array.
            ResultsUnread: it means results of a foreach, and they have not been read.
        """
        ...

    def results(self, foreach: str, step_id: str, name: str) -> list[Any]:
        """
        Return the output *name* of *step_id* in each iteration of *foreach*.

        Raises:
            KeyError: the foreach is not complete, or has no such step.
            NoResults: they make no array.
            ResultsUnread: they have not been read.
        """
        ...

    def facts(self) -> Facts:
        """Return what is known."""
        ...


class FactSources:
    """
    The world of the expressions of one evaluation (`maestro_py.expressions.Sources`).

    Args:
        outputs: Where ``getFromStep(step, param)`` and ``getFromForeach`` look, and who tells the facts; few
            expressions ask for any, so they are put together for the first that does.
    """

    __slots__ = ("_drawn", "_known", "_outputs")

    def __init__(self, outputs: Outputs) -> None:
        self._known: Facts | None = None
        self._outputs = outputs
        self._drawn = 0

    @property
    def _facts(self) -> Facts:
        if self._known is None:
            self._known = self._outputs.facts()
        return self._known

    def now_ms(self) -> int:
        """Return the time of the evaluation."""
        return self._facts.now_ms

    def random(self) -> float:
        """Return the next number from 0 to 1 that the seed gives."""
        return (int.from_bytes(self._draw()[:8], "big") >> 11) / (1 << 53)

    def uuid(self) -> str:
        """Return the next UUID that the seed gives."""
        return str(UUID(bytes=self._draw(), version=4))

    def lookup(self, function: str, arguments: tuple[str, ...]) -> object:
        """
        Answer ``params.<function>``.

        Raises:
            ExpressionError: there is no answer, and the text says why.
        """
        match function, arguments:
            case "nextUniqueId", _:
                return int.from_bytes(self._draw()[:8], "big") >> 1
            case "getExecutionEnvironment", _:
                return EXECUTION_ENVIRONMENT
            case "getFromInstance", (field,):
                return self._from_instance(field)
            case "getFromStep", (field,):
                return self._from_step(field)
            case "getFromStep", (step_id, name):
                return self._from_other_step(step_id, name)
            case "getFromSignal", (name,):
                return self._from_trigger(name)
            case "getFromSignal", (signal, name):
                return self._from_signal(signal, name)
            case "getFromSignalOrDefault", (signal, name, default):
                return self._from_signal_or_default(signal, name, default)
            case "getFromForeach", (foreach, step_id, name):
                return self._from_foreach(foreach, step_id, name)
        why = UNSERVED.get(function, f"with {len(arguments)} arguments it is not supported yet")
        raise ExpressionError(f"params.{function}: {why}")

    def call_util(self, function: str, arguments: tuple[object, ...]) -> object:
        """Raise ExpressionError: no function was registered."""
        raise ExpressionError(f"there is no function Util.{function}")

    def _from_instance(self, field: str) -> object:
        if field not in _INSTANCE_FIELDS:
            raise ExpressionError(f"params.getFromInstance: '{field}' is none of {', '.join(sorted(_INSTANCE_FIELDS))}")
        value = self._facts.instance.get(field)
        return "" if value is None else value

    def _from_step(self, field: str) -> object:
        if self._facts.step is None:
            raise ExpressionError("params.getFromStep is for parameters of steps")
        if field not in _STEP_FIELDS:
            raise ExpressionError(f"params.getFromStep: '{field}' is none of {', '.join(sorted(_STEP_FIELDS))}")
        return self._facts.step.get(field)

    def _from_other_step(self, step_id: str, name: str) -> object:
        try:
            return self._outputs.output(step_id, name)
        except KeyError:
            message = f"params.getFromStep: no completed step '{step_id}' upstream has a parameter '{name}'"
            raise ExpressionError(message) from None
        except NoResults as exc:
            raise ExpressionError(f"params.getFromStep: {exc}") from None

    def _from_foreach(self, foreach: str, step_id: str, name: str) -> object:
        try:
            return self._outputs.results(foreach, step_id, name)
        except KeyError:
            message = f"params.getFromForeach: no completed foreach '{foreach}' upstream has a step '{step_id}'"
            raise ExpressionError(message) from None
        except NoResults as exc:
            raise ExpressionError(f"params.getFromForeach: {exc}") from None

    def _from_trigger(self, name: str) -> object:
        """Return a parameter of the trigger, else that of the only signal which has it."""
        if name in self._facts.trigger:
            return self._facts.trigger[name]
        found = self._facts.signals_with(name)
        if len(found) > 1 and not self._facts.is_validation:
            message = f"the signals {', '.join(found)} all have a parameter '{name}'; say which one is meant"
            raise ExpressionError(f"params.getFromSignal: {message}")
        if not found:
            message = f"neither the trigger nor a signal that started this run has a parameter '{name}'"
            raise ExpressionError(f"params.getFromSignal: {message}")
        return self._facts.signal(found[0], name)

    def _from_signal(self, signal: str, name: str) -> object:
        try:
            return self._facts.signal(signal, name)
        except KeyError:
            message = f"params.getFromSignal: no signal '{signal}' with a parameter '{name}' started this run"
            raise ExpressionError(message) from None

    def _from_signal_or_default(self, signal: str, name: str, default: str) -> object:
        try:
            return self._facts.signal(signal, name)
        except KeyError:
            return default

    def _draw(self) -> bytes:
        self._drawn += 1
        return hashlib.md5(f"{self._facts.seed}#{self._drawn}".encode(), usedforsecurity=False).digest()
