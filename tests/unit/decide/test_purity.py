"""Deciding knows no clock, no chance and no world: the same run and event come to the same, always."""

from __future__ import annotations

import ast
import copy
from pathlib import Path
from typing import Any

import pytest

from maestro_py.engine import decide as room
from maestro_py.engine.decide.state import ForeachState, Run, StepState
from maestro_py.model.events import AttemptReported, Event, RunOverdue, RunStarted, StopRequested
from maestro_py.model.statuses import FailureMode, InstanceStatus, Outcome
from maestro_py.testing.builders import NOON_MS, RUN_UID, a_foreach, a_retry_policy, a_step
from tests.unit.decide.story import Story
from tests.unit.decide.witness import WITNESS

FILES = sorted(Path(next(iter(room.__path__))).glob("*.py"))
#: Modules that bring in time, chance, the environment or I/O.
IMPURE = {
    *("asyncio", "builtins", "datetime", "io", "logging", "os", "pathlib", "random", "secrets", "socket"),
    *("structlog", "subprocess", "sys", "threading", "time", "uuid1", "uuid4"),
}
#: It writes the paper about the tables when it is run as a program, and decides nothing.
WRITES_A_FILE = {"diagram.py": {"pathlib", "sys"}}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_module_of_deciding_imports_what_is_not_pure(file: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {(node.module or "").split(".")[0], *(alias.name for alias in node.names)}

    assert set() == (imported & IMPURE) - WRITES_A_FILE.get(file.name, set())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_module_of_deciding_opens_or_prints_anything(file: Path) -> None:
    calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]

    assert set() == {func.id for func in calls if isinstance(func, ast.Name)} & {
        "open",
        "print",
        "input",
        "exec",
        "eval",
    }


def plain(value: Any) -> Any:
    """Return all of *value*, slots included, as values that can be compared."""
    if isinstance(value, Run | StepState | ForeachState):
        return {name: plain(getattr(value, name)) for name in value.__slots__ if name not in ("graph", "node")}
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def a_busy_run() -> Run:
    policy = a_retry_policy(error=1, platform=1, timeout=1)
    story = Story(
        a_step("a", then=["b", "loop"], params={"x": 1}, fails=FailureMode.FAIL_IMMEDIATELY, retries=policy),
        a_step("b", "Sleep", params={"sleep_seconds": "${a.output.x}"}),
        a_foreach("loop", a_step("body"), items="${a.output.items}", concurrency=2),
        a_step("c", retries=policy),
        a_step("d", retries=policy, fails=FailureMode.IGNORE_FAILURE),
    ).start()
    return story.report("c", Outcome.USER_ERROR).engine.load(RUN_UID)


@pytest.mark.parametrize(
    "event",
    [
        AttemptReported("a", 1, Outcome.DONE, outputs={"items": [1, 2, 3]}),
        AttemptReported("a", 1, Outcome.FATAL_ERROR),
        AttemptReported("d", 1, Outcome.USER_ERROR),
        StopRequested(InstanceStatus.FAILED),
        RunOverdue(),
    ],
    ids=lambda event: type(event).__name__,
)
def test_deciding_twice_from_equal_copies_comes_to_the_same(event: Event) -> None:
    first, second = a_busy_run(), a_busy_run()
    assert plain(first) == plain(second)

    effects = [WITNESS.decide(first, event, NOON_MS + 7), WITNESS.decide(second, event, NOON_MS + 7)]
    assert plain(first) == plain(second)
    assert [repr(plain_effect(e)) for e in effects[0]] == [repr(plain_effect(e)) for e in effects[1]]


def plain_effect(effect: Any) -> Any:
    return [
        [*value] if hasattr(value, "_arrays") else value
        for value in (getattr(effect, f) for f in effect.__struct_fields__)
    ]


def test_an_event_is_not_changed_by_deciding_upon_it() -> None:
    event = AttemptReported("a", 1, Outcome.DONE, outputs={"items": [{"n": 1}]})
    before = copy.deepcopy(event)
    WITNESS.decide(a_busy_run(), event, NOON_MS)

    assert before == event


def test_the_time_is_the_one_that_is_given() -> None:
    run = Story(a_step("a", "NoOp")).engine.load(RUN_UID)
    WITNESS.decide(run, RunStarted(), 4_711)

    assert {"CREATED": 4_711, "SUCCEEDED": 4_711} == run.steps["a"].times
    assert (4_711, 4_711) == (run.start_time_ms, run.end_time_ms)
