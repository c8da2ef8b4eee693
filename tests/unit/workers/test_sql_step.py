"""What an SQL step hands to its session, and what it makes of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import DONE, StepReport, StepTypeConfig
from maestro_py.workers.steps.sql import SqlStep
from tests.unit.workers.recording_context import RecordingContext, a_task


def a_step(**connections: str) -> SqlStep:
    step = SqlStep()
    step.configure(StepTypeConfig(connections=connections))
    return step


async def run(own: dict[str, Any], context: RecordingContext | None = None, **connections: str) -> StepReport:
    return await a_step(**connections).run(a_task("sql", own), context or RecordingContext())


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"sql": "select 1"}, "exactly one of: url, connection"),
        ({"sql": "select 1", "url": "u", "connection": "c"}, "exactly one of: url, connection"),
        ({"url": "u"}, "exactly one of: sql, statements, script"),
        ({"url": "u", "sql": "a", "script": "b"}, "exactly one of: sql, statements, script"),
        ({"url": "u", "sql": ["a"]}, "sql must be a text"),
        ({"url": "u", "statements": "a"}, "statements must be a list"),
        ({"url": "u", "statements": ["a", " "]}, "statements must be a list of texts"),
        ({"url": "u", "sql": "a", "parameters": [1]}, "parameters must be an object"),
        ({"url": "u", "sql": "a", "params": {}}, "sql steps have no 'params'"),
    ],
)
async def test_a_step_that_cannot_be_run_is_fatal(own: dict[str, Any], said: str) -> None:
    report = await run(own)

    assert Outcome.FATAL_ERROR is report.outcome
    assert said in report.message


async def test_a_connection_stands_for_its_url() -> None:
    context = RecordingContext()
    await run({"connection": "c", "statements": ["select :a"], "parameters": {"a": 1}}, context, c="sqlite:///x")

    ((function, args, kwargs),) = context.calls
    assert ("maestro_py.workers.steps.sql_session:run", ()) == (function, args)
    assert ("sqlite:///x", ["select :a"], {"a": 1}) == (kwargs["url"], kwargs["statements"], kwargs["parameters"])
    assert "maestro-step w/1/2/s/3" == kwargs["name"]


async def test_a_connection_that_this_worker_does_not_have_may_be_had_elsewhere() -> None:
    report = await run({"connection": "c", "sql": "select 1"}, d="sqlite:///x")

    assert (Outcome.PLATFORM_ERROR, "this worker has no connection 'c' configured") == (report.outcome, report.message)


@pytest.mark.parametrize("answer", [StepReport(Outcome.USER_ERROR, None, "killed"), DONE])
async def test_a_session_that_does_not_answer_is_the_platforms_error(answer: StepReport) -> None:
    report = await run({"url": "u", "sql": "select 1"}, RecordingContext(answer))

    assert Outcome.PLATFORM_ERROR is report.outcome


async def test_what_the_session_says_is_reported() -> None:
    told = {"outcome": "USER_ERROR", "message": "no such table", "outputs": None}
    report = await run({"url": "u", "sql": "select 1"}, RecordingContext(StepReport(Outcome.DONE, told)))

    assert StepReport(Outcome.USER_ERROR, None, "no such table") == report
