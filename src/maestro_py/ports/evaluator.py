"""What processes need of whoever evaluates heavy expressions for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from maestro_py.model.errors import MaestroError, OverBudget, ParamError
from maestro_py.params import (
    DECISION_VISITS,
    Answer,
    Budget,
    Parameter,
    StartWork,
    TriggerWork,
    Work,
    answer,
    decode_answer,
    encode_work,
    evaluate_start,
    evaluate_trigger_work,
    started_params,
)

_Work = TypeVar("_Work", bound=Work)
_Result = TypeVar("_Result")


class EvaluatorBusy(MaestroError):
    """More evaluations wait already than are worth waiting for.  Come back later."""


class EvaluationAborted(MaestroError):
    """The evaluation took too long, or ended the process it ran in, each time that it was tried."""


class Evaluator(Protocol):
    """Evaluates documents of `maestro_py.params.elsewhere` outside of the caller's loop."""

    async def evaluate(self, document: bytes) -> bytes:
        """
        Return the answer to *document*; a wrong expression is an answer, too.

        Raises:
            EvaluatorBusy: too many wait already.
            EvaluationAborted: it took too long, or ended its process again and again.
        """
        ...


class ThreadEvaluator:
    """
    Evaluates in threads of this process.

    For tests and tools: a heavy expression then shares the processor time of the loop, and nothing can end it early.
    """

    async def evaluate(self, document: bytes) -> bytes:
        """Return the answer to *document*."""
        return await asyncio.to_thread(answer, document)


IN_THREAD: Final = ThreadEvaluator()


async def params_of_start(
    work: StartWork, evaluator: Evaluator | None, budget: Budget | None = None
) -> dict[str, Parameter]:
    """
    Return the parameters of a run: evaluated here when that is quick, else by *evaluator*.

    Args:
        work: The evaluation.
        evaluator: None: whoever calls has no time to wait.
        budget: Of what may be done here; that of one decision if not given.

    Raises:
        ParamError: they cannot be evaluated.
        OverBudget: that takes longer, and there is no *evaluator*.
        EvaluatorBusy: *evaluator* has too much to do.
    """
    return await _here_or_there(work, evaluate_start, started_params, "params", evaluator, budget)


async def result_of_trigger(work: TriggerWork, evaluator: Evaluator | None, budget: Budget | None = None) -> Any:
    """
    Return what an expression of a signal trigger gives; as `params_of_start`.

    Raises:
        ParamError: it fails.
        OverBudget: it takes longer, and there is no *evaluator*.
        EvaluatorBusy: *evaluator* has too much to do.
    """
    return await _here_or_there(work, evaluate_trigger_work, Answer.result, work.path, evaluator, budget)


async def _here_or_there(
    work: _Work,
    here: Callable[[_Work, Budget], _Result],
    there: Callable[[Answer], _Result],
    path: str,
    evaluator: Evaluator | None,
    budget: Budget | None,
) -> _Result:
    try:
        return here(work, budget or Budget(DECISION_VISITS))
    except OverBudget:
        if evaluator is None:
            raise
    document = await asyncio.to_thread(encode_work, work)
    try:
        return there(await asyncio.to_thread(decode_answer, await evaluator.evaluate(document)))
    except EvaluationAborted as exc:
        raise ParamError(path, f"the evaluation was given up: {exc}") from exc
