"""Every evaluation that was given away is answered, unless asking again may help."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

import pytest

from maestro_py.engine.evaluations import Evaluations
from maestro_py.model.definition import ParamDefinition, ParamType
from maestro_py.model.events import Event, ParamsEvaluated, RunStarted
from maestro_py.ports.engine_store import EngineStore
from maestro_py.ports.evaluator import EvaluationAborted, EvaluatorBusy
from maestro_py.testing.builders import NOON_MS, RUN_UID, a_step
from maestro_py.testing.waiting import wait_until_async
from tests.unit.decide.story import Story

HEAVY = ParamDefinition(
    type=ParamType.LONG, expression="long t = 0; for (int i = 0; i <= 100000; i += 1) { t += i; } t"
)


class Inbox:
    """Takes what the run is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def send(self, partition: int, run_uid: UUID, event: Event) -> None:
        self.events.append(event)


class Answering:
    """Answers each document with the same, or raises it."""

    def __init__(self, answer: bytes | Exception) -> None:
        self._answer = answer

    async def evaluate(self, document: bytes) -> bytes:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


async def told(answer: bytes | Exception) -> list[Event]:
    """Return what the run is told when its evaluation is answered so."""
    story = Story(a_step("a", params={"p": HEAVY}))
    story.store.send(RUN_UID, RunStarted())
    (evaluation,) = story.engine.batch(list(story.store.inbox.values()), NOON_MS).evaluations
    inbox = Inbox()
    evaluations = Evaluations(cast("EngineStore", inbox), cast("Any", Answering(answer)), lambda _: None)
    evaluations.begin(evaluation)

    async def is_done() -> bool:
        return not len(evaluations)

    await wait_until_async(is_done, 10)
    return inbox.events


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"no answer at all", "the evaluation failed: DecodeError"),
        (KeyError("values"), "the evaluation failed: KeyError"),
        (EvaluationAborted("it took too long"), "the evaluation was given up: it took too long"),
    ],
)
async def test_what_would_go_wrong_again_is_an_error_of_the_step(answer: bytes | Exception, error: str) -> None:
    (event,) = await told(answer)

    assert isinstance(event, ParamsEvaluated)
    assert error in event.error


async def test_what_may_go_better_later_is_left_to_the_timer() -> None:
    assert [] == await told(EvaluatorBusy("too many wait"))
