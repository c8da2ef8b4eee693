"""
Have expressions evaluated outside of the loop, and put each answer into the inbox of the run that waits for it.

Nothing here is durable, and need not be: with each parked step a timer was committed, upon which the owner of that
moment asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
import structlog

from maestro_py.engine.decide.finish import failed_condition
from maestro_py.engine.loop_results import with_results
from maestro_py.expressions import ExpressionError, compile_expression
from maestro_py.model.errors import BadRow, ParamError, StoreUnavailable
from maestro_py.model.events import EdgesEvaluated, Event, ParamsEvaluated
from maestro_py.params import Answer, EdgeWork, StepWork, Work, decode_answer, encode_work
from maestro_py.ports.engine_store import EngineStore
from maestro_py.ports.evaluator import EvaluationAborted, Evaluator, EvaluatorBusy

_log = structlog.get_logger(__name__)

#: Answers that the database could not take are tried again so often, and after so long, in seconds.
_TRIES: Final = 5
_PAUSE: Final = 0.5
#: An evaluation may ask so often for results of loops.  Those that its texts name are one asking.
_READINGS: Final = 20
#: Documents that lie ready at a time: until its turn comes, an evaluation shares its values with the run.
_PREPARED: Final = 4
#: What an evaluation may raise besides.  Not what the database raises: its troubles pass.
_OURS: Final = (BadRow, msgspec.MsgspecError, LookupError, TypeError, ValueError, AttributeError, AssertionError)


class Evaluation(NamedTuple):
    """What a parked step waits for."""

    partition: int
    run_uid: UUID
    step_id: str
    attempt: int
    work: Work

    @property
    def key(self) -> tuple[UUID, str, int, type[Work]]:
        """What names the evaluation: an attempt has one of its parameters and one of its edges."""
        return self.run_uid, self.step_id, self.attempt, type(self.work)


class Evaluations:
    """
    The evaluations of one engine that are under way.

    Args:
        store: Takes the answers.
        evaluator: Does the work.
        hint: Told of the partitions that have an answer.
    """

    def __init__(self, store: EngineStore, evaluator: Evaluator, hint: Callable[[Collection[int]], None]) -> None:
        self._store = store
        self._evaluator = evaluator
        self._hint = hint
        self._turn = asyncio.Semaphore(_PREPARED)
        self._under_way: dict[tuple[UUID, str, int, type[Work]], asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def begin(self, evaluation: Evaluation) -> None:
        """Have it evaluated, unless that is under way; called after the commit that parked the step."""
        key = evaluation.key
        if key not in self._under_way:
            task = asyncio.create_task(self._evaluate(evaluation))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))

    async def close(self) -> None:
        """Give up what is under way; its timers have it done again."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _evaluate(self, evaluation: Evaluation) -> None:
        try:
            async with self._turn:
                answer = await answered(evaluation.work, self._evaluator, self._store)
        except (EvaluatorBusy, StoreUnavailable) as exc:
            _log.warning("evaluation_postponed", run_uid=str(evaluation.run_uid), reason=str(exc))
            return
        except EvaluationAborted as exc:
            answer = Answer(error=f"the evaluation was given up: {exc}")
        except _OURS as exc:
            # Rows or documents that are not as we made them: asking again would come to the same for ever.
            _log.exception("evaluation_failed", run_uid=str(evaluation.run_uid), step_id=evaluation.step_id)
            answer = Answer(error=f"the evaluation failed: {type(exc).__name__}: {exc}")
        await self._tell(evaluation, answer)

    async def _tell(self, evaluation: Evaluation, answer: Answer) -> None:
        event = event_of(evaluation, answer)
        for _ in range(_TRIES):
            try:
                await self._store.send(evaluation.partition, evaluation.run_uid, event)
            except StoreUnavailable:
                await asyncio.sleep(_PAUSE)
            except BadRow as exc:
                event = event_of(evaluation, Answer(error=f"the result cannot be stored: {exc}"))
            else:
                self._hint([evaluation.partition])
                return
        _log.warning("evaluation_untold", run_uid=str(evaluation.run_uid), step_id=evaluation.step_id)


async def answered(work: Work, evaluator: Evaluator, store: EngineStore) -> Answer:
    """
    Have *work* evaluated; results of loops that it turns out to need are read from *store*, and it is evaluated again.

    Raises:
        EvaluatorBusy: too many wait already.
        EvaluationAborted: it took too long, or ended its process again and again.
        StoreUnavailable: PostgreSQL is away, and results cannot be read.
    """
    for _ in range(_READINGS + 1):
        # In a thread: a document may be as large as all parameters of an instance.
        document = await asyncio.to_thread(_prepared, work)
        answer = await asyncio.to_thread(decode_answer, await evaluator.evaluate(document))
        if not answer.unread:
            return answer
        assert isinstance(work, StepWork | EdgeWork), "no other sees loops"
        world = await with_results(work.world, answer.unread, store)
        work = msgspec.structs.replace(work, world=world)
    why = f"its expressions compute more than {_READINGS} names of results of loops, one after the other"
    return Answer(error=f"the evaluation was given up: {why}")


def _prepared(work: Work) -> bytes:
    """Return *work* as a document, and keep its expressions compiled: the next such step may stay in the loop then."""
    for source in work.expressions():
        try:
            compile_expression(source)
        except ExpressionError:
            continue  # the evaluation says so in its own words
    return encode_work(work)


def event_of(evaluation: Evaluation, answer: Answer) -> Event:
    """Return what the run is told of *answer*."""
    step_id, attempt = evaluation.step_id, evaluation.attempt
    values, error = None, ""
    if answer.error is None:
        values = answer.values()
    elif isinstance(evaluation.work, EdgeWork):
        error = failed_condition(ParamError(answer.path, answer.error))
    else:
        error = str(ParamError(answer.path, answer.error))
    if isinstance(evaluation.work, EdgeWork):
        return EdgesEvaluated(step_id, attempt, values, error)
    return ParamsEvaluated(step_id, attempt, values, error)
