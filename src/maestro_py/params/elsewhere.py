"""
Evaluations as documents that any process can carry out: the definitions, and the values that they may need.

`answer` is the whole of the work.  It is pure, so it may be done twice, here or there, and comes to the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from maestro_py.expressions import DEFAULT_LIMITS, ExpressionError, Limits
from maestro_py.model.definition import ParamDefinition, Workflow
from maestro_py.model.errors import ParamError
from maestro_py.model.literals import infer_type
from maestro_py.params.computing import Budget, as_param_error, unknown_name
from maestro_py.params.evaluation import evaluate, evaluate_conditions
from maestro_py.params.facts import Facts, FactSources
from maestro_py.params.loop_results import ResultsKey, ResultsUnread
from maestro_py.params.parameter import Parameter, ParamSource
from maestro_py.params.references import expressions_of
from maestro_py.params.triggers import evaluate_trigger_expression
from maestro_py.params.workflow_params import evaluate_merged, merged_workflow_params
from maestro_py.params.world import WideScope, World, unread_results, world_of

#: What whoever tries an expression may use, as a share of what the language allows.
TRIAL_SHARE: Final = 10


class Work(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind"):
    """Base of everything that can be evaluated elsewhere."""

    def expressions(self) -> Iterable[str]:
        """Return the expressions that are to be evaluated."""
        return ()


class StepWork(Work, frozen=True, tag="step"):
    """The parameters of an attempt.  The answer's value is name to result."""

    step_id: str
    definitions: dict[str, ParamDefinition]
    world: World

    def expressions(self) -> Iterable[str]:
        """Return the expressions of the definitions."""
        return [source for definition in self.definitions.values() for source in expressions_of(definition)]


class EdgeWork(Work, frozen=True, tag="edges"):
    """The conditions of a step that has completed.  The answer's value is successor to boolean."""

    step_id: str
    conditions: dict[str, str]
    own: dict[str, Any]
    world: World

    def expressions(self) -> Iterable[str]:
        """Return the conditions."""
        return self.conditions.values()


class StartWork(Work, frozen=True, tag="start"):
    """The parameters of a run (`merged_workflow_params`).  The answer's value is name to `Parameter`."""

    definitions: dict[str, ParamDefinition]
    sources: dict[str, ParamSource]
    own: dict[str, Any]
    now_ms: int
    facts: Facts


class TrialWork(Work, frozen=True, tag="trial"):
    """One expression that somebody tries.  The answer's value is ``{"result", "type"}``."""

    expression: str
    params: dict[str, Any]
    limits: dict[str, int]
    facts: Facts


class TriggerWork(Work, frozen=True, tag="trigger"):
    """An expression of a signal trigger, see `evaluate_trigger_expression`.  The answer's value is what it gives."""

    expression: str
    path: str
    params: dict[str, Any]
    facts: Facts


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of an evaluation: a value, what is wrong and at which path, or what is to be read before it."""

    value: Any = None
    error: str | None = None
    path: str = ""
    unread: list[ResultsKey] = []  #: Put them into ``world.collected`` and ask again.

    def result(self) -> Any:
        """
        Return the value.

        Raises:
            ParamError: something is wrong.
        """
        if self.error is not None:
            raise ParamError(self.path, self.error)
        return self.value

    def values(self) -> dict[str, Any]:
        """Return the value of an evaluation that gives several by name; as `result`."""
        found: dict[str, Any] = self.result()
        return found


_ENCODER: Final = msgspec.json.Encoder()
_WORK: Final = msgspec.json.Decoder(StepWork | EdgeWork | StartWork | TrialWork | TriggerWork)
_ANSWER: Final = msgspec.json.Decoder(Answer)


def encode_work(work: Work) -> bytes:
    """Return *work* as a document."""
    return _ENCODER.encode(work)


def encode_answer(answer: Answer) -> bytes:
    """Return *answer* as a document."""
    return _ENCODER.encode(answer)


def decode_answer(document: bytes) -> Answer:
    """Return the answer that a document is."""
    return _ANSWER.decode(document)


def answer(document: bytes) -> bytes:
    """Carry out the work that *document* describes, and return the answer as a document."""
    try:
        work = _WORK.decode(document)
        if unread := _unread(work):
            return encode_answer(Answer(unread=unread))
        return encode_answer(Answer(_carry_out(work)))
    except ResultsUnread as exc:  # by a name that an expression computed
        return encode_answer(Answer(unread=[exc.key]))
    except ParamError as exc:
        return encode_answer(Answer(error=exc.message, path=exc.path))


def started_params(found: Answer) -> dict[str, Parameter]:
    """
    Return the parameters that a `StartWork` came to.

    Raises:
        ParamError: they cannot be evaluated.
    """
    return msgspec.convert(found.values(), dict[str, Parameter])


def step_work(definitions: Mapping[str, ParamDefinition], scope: WideScope, step_id: str) -> StepWork:
    """Return the evaluation of a step's parameters as a document; nothing is evaluated or parsed for it."""
    return StepWork(step_id, dict(definitions), world_of(definitions, (), scope))


def edge_work(conditions: Mapping[str, str], own: Mapping[str, Any], scope: WideScope, step_id: str) -> EdgeWork:
    """Return the evaluation of a step's conditions as a document."""
    return EdgeWork(step_id, dict(conditions), dict(own), world_of({}, conditions.values(), scope))


def trial_limits(given: Mapping[str, int]) -> dict[str, int]:
    """
    Return the limits of an expression that somebody tries: a tenth of what the language allows, or less.

    Raises:
        ParamError: there is no such limit, or one is not positive.
    """
    limits = {
        name: max(1, getattr(DEFAULT_LIMITS, name) // TRIAL_SHARE) for name in ("loop", "array", "visit", "memory")
    }
    for name, value in given.items():
        if not hasattr(DEFAULT_LIMITS, name):
            raise ParamError(f"limits.{name}", f"is none of {', '.join(Limits.__slots__)}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ParamError(f"limits.{name}", "must be a whole number above 0")
        limits[name] = min(value, limits.get(name, getattr(DEFAULT_LIMITS, name)))
    return limits


def start_work(
    workflow: Workflow, run_params: Mapping[str, ParamDefinition], *, system: Mapping[str, Any], facts: Facts
) -> StartWork:
    """
    Return the evaluation of a run's parameters as a document; *facts* tell the time.

    Raises:
        ParamError: a mode or a name forbids a change, or a value cannot be cast.
    """
    merged = merged_workflow_params(workflow, run_params, system=system, now_ms=facts.now_ms)
    return StartWork(*merged, facts.now_ms, facts)


def trigger_params_work(definitions: Mapping[str, ParamDefinition], facts: Facts) -> StartWork:
    """Return the evaluation of the parameters of a signal trigger: like those of a run that has no others."""
    sources = dict.fromkeys(definitions, ParamSource.SIGNAL)
    return StartWork(dict(definitions), sources, {}, facts.now_ms, facts)


def evaluate_trigger_work(work: TriggerWork, budget: Budget | None = None) -> Any:
    """
    Return what an expression of a trigger gives.

    Raises:
        ParamError: it fails.
        OverBudget: it needs more than *budget*.
    """
    return evaluate_trigger_expression(work.expression, work.path, work.params, work.facts, budget)


def evaluate_start(work: StartWork, budget: Budget | None = None) -> dict[str, Parameter]:
    """
    Return the parameters of a run.

    Raises:
        ParamError: they cannot be evaluated.
        OverBudget: the expressions need more than *budget*.
    """
    return evaluate_merged(
        work.definitions, work.sources, work.own, now_ms=work.now_ms, facts=work.facts, budget=budget
    )


def _unread(work: Work) -> list[ResultsKey]:
    match work:
        case StepWork():
            return unread_results(work.definitions, (), work.world)
        case EdgeWork():
            return unread_results({}, work.conditions.values(), work.world)
    return []


def _carry_out(work: Work) -> Any:
    match work:
        case StepWork():
            return evaluate(work.definitions, work.world, step_id=work.step_id)
        case EdgeWork():
            return evaluate_conditions(work.conditions, work.own, work.world, step_id=work.step_id)
        case StartWork():
            return evaluate_start(work)
        case TrialWork():
            return _tried(work)
        case TriggerWork():
            return evaluate_trigger_work(work)
    raise TypeError(f"{type(work).__name__} is no work that we know")


def _tried(work: TrialWork) -> dict[str, Any]:
    budget = Budget(limits=work.limits)
    world = World(work.facts, work.params)
    try:
        compiled = budget.compiled(work.expression)
        for name in sorted(compiled.variables):
            if name not in work.params:
                raise unknown_name(name, work.expression)
        result = budget.run(compiled, work.params, FactSources(world))
    except ExpressionError as exc:
        raise as_param_error(exc, "") from exc
    return {"result": result, "type": str(infer_type(result)) if result is not None else "NULL"}
