"""The words of shell and python steps beside their work: where it runs, with what arguments and variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maestro_py.model.events import AttemptReported
from maestro_py.model.statuses import Outcome
from maestro_py.testing.waiting import wait_until_async
from tests.worker_rig import running_worker
from tests.worker_rows import AttemptRows, Key

CODE = """
import os
def named(a, b=2, *, c=3): return {"a": a, "b": b, "c": c}
def many(*values, **named): return {"values": values, "named": named}
def variable(name): return {"value": os.environ.get(name)}
def asks(params, context): return {"params": params, "key": context.idempotency_key}
"""


@pytest.fixture
def rows(database_url: str) -> AttemptRows:
    return AttemptRows(database_url)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    (folder / "inner").mkdir(parents=True)
    (folder / "mine.py").write_text(CODE)
    (folder / "inner" / "where.sh").write_text('echo "$(basename "$PWD")" "$@"\n')
    return folder


async def run(
    rows: AttemptRows, code: Path, kind: str, own: dict[str, Any], **params: object
) -> tuple[Key, AttemptReported]:
    key = rows.queue_one(kind, own, params=params)
    async with running_worker(rows.url, code=code):
        await wait_until_async(lambda: rows.reports(key))
    return key, rows.report(key)


async def test_a_command_runs_with_its_arguments_in_its_folder_and_environment(rows: AttemptRows, code: Path) -> None:
    """The folder is relative to that of the user's code."""
    own = {
        "command": 'echo "$1 $2 $(basename "$PWD") $GREETING $COUNT $FLAG"',
        "args": ["a", "b c"],
        "cwd": "inner",
        "env": {"GREETING": "hello world", "COUNT": 3, "FLAG": True},
    }
    key, report = await run(rows, code, "shell", own)

    assert Outcome.DONE is report.outcome
    assert "a b c inner hello world 3 true\n" == rows.log(key)


async def test_a_long_command_has_its_arguments_too(rows: AttemptRows, code: Path) -> None:
    own = {"command": f"# {'x' * 200_000}\necho $1 $PLACE", "args": ["a"], "env": {"PLACE": "here"}}
    key, _ = await run(rows, code, "shell", own)

    assert "a here\n" == rows.log(key)


async def test_a_script_is_found_where_it_runs(rows: AttemptRows, code: Path) -> None:
    here, _ = await run(rows, code, "shell", {"script": "inner/where.sh", "args": ["one"]})
    there, _ = await run(rows, code, "shell", {"script": "where.sh", "args": [2], "cwd": str(code / "inner")})

    assert ("code one\n", "inner 2\n") == (rows.log(here), rows.log(there))


async def test_a_folder_that_is_not_there_is_said(rows: AttemptRows, code: Path) -> None:
    _, report = await run(rows, code, "shell", {"command": "true", "cwd": "nowhere"})

    assert Outcome.USER_ERROR is report.outcome
    assert "nowhere" in report.message


async def test_what_tells_a_program_its_attempt_cannot_be_replaced(rows: AttemptRows, code: Path) -> None:
    own = {"command": 'echo "$MAESTRO_STEP_ID $MAESTRO_URL"', "env": {"MAESTRO_STEP_ID": "x", "MAESTRO_URL": "there"}}
    key, _ = await run(rows, code, "shell", own)

    assert "step there\n" == rows.log(key)


async def test_a_python_program_has_an_environment(rows: AttemptRows, code: Path) -> None:
    own = {"source": "import os, sys\nprint(os.environ['PLACE'], *sys.argv[1:])", "env": {"PLACE": "here"}, "args": [1]}
    key, _ = await run(rows, code, "python", own)

    assert "here 1\n" == rows.log(key)


@pytest.mark.parametrize(
    ("own", "params", "expected"),
    [
        ({"kwargs": {"a": 1, "c": [2]}}, {}, {"a": 1, "b": 2, "c": [2]}),
        ({"kwargs": {"a": 1}}, {"a": 8, "b": 9}, {"a": 1, "b": 9, "c": 3}),
        ({"args": ["x", None]}, {"a": 8, "c": 7}, {"a": "x", "b": None, "c": 7}),
    ],
)
async def test_a_function_is_given_arguments(
    rows: AttemptRows, code: Path, own: dict[str, Any], params: dict[str, Any], expected: dict[str, Any]
) -> None:
    """In order and by name; what it also names of the step's parameters comes beside them."""
    _, report = await run(rows, code, "python", {"function": "mine:named", **own}, **params)

    assert expected == report.outputs


async def test_a_function_may_take_any_arguments(rows: AttemptRows, code: Path) -> None:
    own = {"function": "mine:many", "args": [1, 2], "kwargs": {"x": 3}}
    _, report = await run(rows, code, "python", own, x=8, y=9)

    assert {"values": [1, 2], "named": {"x": 3, "y": 9}} == report.outputs


async def test_arguments_may_take_the_place_of_the_parameters_and_the_context(rows: AttemptRows, code: Path) -> None:
    own = {"function": "mine:asks", "args": [{"own": 1}]}
    _, report = await run(rows, code, "python", own, day=1)

    assert {"params": {"own": 1}, "key": "tests/1/1/step/1"} == report.outputs


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"args": [1, 2, 3]}, "mine:named takes 2 arguments in order; args has 3"),
        ({"kwargs": {"a": 1, "d": 1}}, "mine:named takes no argument 'd', which kwargs has"),
        ({"args": [1], "kwargs": {"a": 1}}, "mine:named is given 'a' twice, by args and by kwargs"),
        ({"kwargs": {"b": 1}}, "mine:named wants a; the step's parameters are: none"),
    ],
)
async def test_arguments_that_do_not_fit_are_said(
    rows: AttemptRows, code: Path, own: dict[str, Any], said: str
) -> None:
    _, report = await run(rows, code, "python", {"function": "mine:named", **own})

    assert (Outcome.USER_ERROR, said) == (report.outcome, report.message)


async def test_the_environment_of_a_call_ends_with_it(rows: AttemptRows, code: Path) -> None:
    """The next call in the same process sees what was there before."""
    own = {"function": "mine:variable", "kwargs": {"name": "PLACE"}}
    async with running_worker(rows.url, code=code):
        first = rows.queue_one("python", {**own, "env": {"PLACE": "here"}})
        await wait_until_async(lambda: rows.reports(first))
        second = rows.queue_one("python", own)
        await wait_until_async(lambda: rows.reports(second))

    assert [{"value": "here"}, {"value": None}] == [rows.report(key).outputs for key in (first, second)]


@pytest.mark.parametrize(
    ("kind", "own", "said"),
    [
        ("shell", {"command": "true", "kwargs": {"a": 1}}, "shell steps have no 'kwargs'"),
        ("shell", {"command": "true", "env": {"A": [1]}}, "env.A: an environment cannot hold it"),
        ("shell", {"command": "true", "env": {"A=B": "1"}}, "env.A=B: an environment cannot hold it"),
        ("shell", {"command": "true", "args": "a"}, "args must be a list, not a text"),
        ("shell", {"command": ["true"]}, "command must be a text, not a list"),
        ("python", {"source": "pass", "kwargs": {"a": 1}}, "kwargs are for a function"),
        ("python", {"function": "mine:many", "kwargs": [1]}, "kwargs must be an object, not a list"),
        ("python", {"function": "mine:many", "cwd": "/"}, "python steps have no 'cwd'"),
        ("python", {"function": "mine:many", "source": "pass"}, "exactly one of: function, script, source"),
    ],
)
async def test_a_word_that_cannot_be_honoured_is_fatal(
    rows: AttemptRows, code: Path, kind: str, own: dict[str, Any], said: str
) -> None:
    """It is never ignored, and no retry helps."""
    _, report = await run(rows, code, kind, own)

    assert Outcome.FATAL_ERROR is report.outcome
    assert said in report.message
