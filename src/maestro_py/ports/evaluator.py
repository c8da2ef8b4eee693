"""What processes need of whoever evaluates heavy expressions for them."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from maestro_py.model.errors import MaestroError, OverBudget, ParamError
from maestro_py.params import (
    DECISION_VISITS,
    Budget,
    Parameter,
    StartWork,
    answer,
    decode_answer,
    encode_work,
    evaluate_start,
    started_params,
)


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


async def params_of_start(work: StartWork, evaluator: Evaluator) -> dict[str, Parameter]:
    """
    Return the parameters of a run: evaluated here when that is quick, else by *evaluator*.

    Raises:
        ParamError: they cannot be evaluated.
        EvaluatorBusy: *evaluator* has too much to do.
    """
    try:
        return evaluate_start(work, Budget(DECISION_VISITS))
    except OverBudget:
        pass
    document = await asyncio.to_thread(encode_work, work)
    try:
        return started_params(await asyncio.to_thread(decode_answer, await evaluator.evaluate(document)))
    except EvaluationAborted as exc:
        raise ParamError("params", f"the evaluation was given up: {exc}") from exc
