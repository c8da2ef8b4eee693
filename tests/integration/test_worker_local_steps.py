"""Programs as steps: what they are told, what their end means, and that nothing of them stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from maestro_py.model.events import AttemptReported
from maestro_py.model.statuses import Outcome
from maestro_py.testing.waiting import wait_until_async
from maestro_py.workers.backends import parse_config
from tests.processes import is_alive
from tests.worker_rig import running_worker
from tests.worker_rows import AttemptRows, Key


@pytest.fixture
def rows(database_url: str) -> AttemptRows:
    return AttemptRows(database_url)


async def run_shell(rows: AttemptRows, command: str, **more: object) -> tuple[Key, AttemptReported]:
    key = rows.queue_one("shell", {"command": command}, **more)
    async with running_worker(rows.url):
        await wait_until_async(lambda: rows.reports(key))
    return key, rows.report(key)


async def test_a_program_is_told_its_attempt_and_its_parameters(rows: AttemptRows) -> None:
    """The ids are in the environment, scalar parameters too, and all parameters in a JSON file."""
    command = """
        echo "$MAESTRO_WORKFLOW_ID/$MAESTRO_INSTANCE_ID/$MAESTRO_RUN_ID/$MAESTRO_STEP_ID/$MAESTRO_ATTEMPT"
        echo "$MAESTRO_IDEMPOTENCY_KEY"
        echo "$MAESTRO_PARAM_DAY $MAESTRO_PARAM_RATIO $MAESTRO_PARAM_FULL ${MAESTRO_PARAM_MANY-absent}"
        cat "$MAESTRO_PARAMS_FILE"
    """
    key, _ = await run_shell(rows, command, params={"day": 20, "ratio": 0.5, "full": True, "many": [1, 2]})

    assert (
        "tests/1/1/step/1\ntests/1/1/step/1\n20 0.5 true absent\n"
        '{"day":20,"ratio":0.5,"full":true,"many":[1,2]}' == rows.log(key)
    )


async def test_our_own_settings_stay_with_us(rows: AttemptRows, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a step holds no password of the worker."""
    monkeypatch.setenv("MAESTRO_DATABASE_URL", "postgresql://maestro:secret@db/maestro")
    key, _ = await run_shell(rows, "env")

    assert "secret" not in rows.log(key)


async def test_a_failing_program_is_the_users_error(rows: AttemptRows) -> None:
    """The message has the status and the last lines."""
    _, report = await run_shell(rows, "for n in $(seq 100); do echo line $n; done; echo no such table >&2; exit 3")

    assert Outcome.USER_ERROR is report.outcome
    assert report.message.startswith("exit status 3; the last it said:\nline 92\n")
    assert report.message.endswith("\nno such table")


@pytest.mark.parametrize(
    ("signal", "outcome", "said"),
    [
        ("SEGV", Outcome.USER_ERROR, "ended by SIGSEGV"),
        ("TERM", Outcome.USER_ERROR, "ended by SIGTERM"),
        ("KILL", Outcome.PLATFORM_ERROR, "killed by SIGKILL, perhaps out of memory"),
    ],
)
async def test_a_program_ended_by_a_signal(rows: AttemptRows, signal: str, outcome: Outcome, said: str) -> None:
    """A crash is the user's; SIGKILL is how the kernel takes memory back, which is worth another machine."""
    _, report = await run_shell(rows, f"kill -{signal} $$")

    assert outcome is report.outcome
    assert said == report.message


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ("echo hello", "the output file holds no JSON"),
        ("echo '[1, 2]'", "the output file must hold one JSON object"),
    ],
)
async def test_outputs_that_are_no_object_are_the_users_error(rows: AttemptRows, left: str, said: str) -> None:
    """They are said, not dropped."""
    _, report = await run_shell(rows, f'{left} > "$MAESTRO_OUTPUT_FILE"')

    assert Outcome.USER_ERROR is report.outcome
    assert said in report.message


async def test_a_step_that_names_no_command_is_fatal(rows: AttemptRows) -> None:
    """No retry would help."""
    key = rows.queue_one("shell", {"comand": "true"})
    async with running_worker(rows.url):
        await wait_until_async(lambda: rows.reports(key))

    assert Outcome.FATAL_ERROR is rows.report(key).outcome


async def test_a_command_may_be_longer_than_the_kernel_allows(rows: AttemptRows) -> None:
    """It then goes through a file."""
    command = "# " + "x" * 200_000 + "\necho done"
    key, report = await run_shell(rows, command)

    assert Outcome.DONE is report.outcome
    assert "done\n" == rows.log(key)


async def test_a_large_parameter_is_in_the_file_only(rows: AttemptRows) -> None:
    """A variable of that size would keep the program from starting."""
    key, report = await run_shell(
        rows, 'wc -c < "$MAESTRO_PARAMS_FILE"; echo "${MAESTRO_PARAM_TEXT-absent}"', params={"text": "x" * 300_000}
    )

    assert Outcome.DONE is report.outcome
    size = len('{"text":""}') + 300_000
    assert f"{size}\nabsent\n" == rows.log(key)


async def test_what_a_program_leaves_running_ends_with_it(rows: AttemptRows) -> None:
    """A child in the background is of the step's group, and the step is over."""
    key, report = await run_shell(rows, "sleep 600 & echo $!")

    assert Outcome.DONE is report.outcome
    await wait_until_async(lambda: not is_alive(int(rows.log(key))))


async def test_a_cancelled_program_ends_with_its_grandchildren(rows: AttemptRows) -> None:
    """Also one that ignores SIGTERM: the whole group gets SIGKILL after the grace."""
    command = "sh -c 'trap \"\" TERM; sleep 600 & echo $! $$; while :; do sleep 1; done' & wait"
    key = rows.queue_one("shell", {"command": command})
    async with running_worker(rows.url, cancel_grace_ms=100) as rig:
        await wait_until_async(lambda: rows.log(key).count(" ") == 1)
        rows.cancel(key)
        rig.hint_cancel()
        await wait_until_async(lambda: rows.reports(key))

    assert Outcome.STOPPED is rows.report(key).outcome
    for pid in rows.log(key).split():
        assert not is_alive(int(pid))


async def test_a_program_may_use_the_grace_to_clean_up(rows: AttemptRows) -> None:
    """SIGTERM comes first, and what it prints then is in the log."""
    command = "trap 'echo cleaning; exit 1' TERM; echo ready; while :; do sleep 0.05; done"
    key = rows.queue_one("shell", {"command": command})
    async with running_worker(rows.url, cancel_grace_ms=5_000) as rig:
        await wait_until_async(lambda: "ready" in rows.log(key))
        rows.cancel(key)
        rig.hint_cancel()
        await wait_until_async(lambda: rows.reports(key))

    assert rows.log(key).endswith("cleaning\n")


async def test_the_log_can_be_read_while_the_step_runs(rows: AttemptRows, tmp_path: Path) -> None:
    """Within about half a second of being printed."""
    go = tmp_path / "go"
    key = rows.queue_one("shell", {"command": f"echo begun; while ! [ -e {go} ]; do sleep 0.05; done; echo ended"})
    async with running_worker(rows.url):
        await wait_until_async(lambda: "begun\n" == rows.log(key))
        go.touch()
        await wait_until_async(lambda: rows.reports(key))

    assert "begun\nended\n" == rows.log(key)


async def test_a_long_log_keeps_its_head_and_its_tail(rows: AttemptRows) -> None:
    """The cut is said, and the row count stays bounded."""
    key = rows.queue_one("shell", {"command": "seq 1000000"})
    async with running_worker(rows.url, log_limit_bytes=100_000):
        await wait_until_async(lambda: rows.reports(key), within_seconds=30)

    log = rows.log(key)
    assert log.startswith("1\n2\n3\n")
    assert log.endswith("\n999999\n1000000\n")
    assert "bytes cut ...]\n" in log
    assert len(log) < 100_100


async def test_a_python_step_may_be_a_script_or_a_source(rows: AttemptRows, tmp_path: Path) -> None:
    """Each in a process of its own, with the user's code on its path."""
    (tmp_path / "shared.py").write_text("WORD = 'shared'\n")
    (tmp_path / "run.py").write_text("import sys, shared\nprint(shared.WORD, *sys.argv[1:])\n")
    script = rows.queue_one("python", {"script": "run.py", "args": ["a", 1]})
    source = rows.queue_one("python", {"source": "import shared\nprint('inline', shared.WORD)\n"})
    async with running_worker(rows.url, code=tmp_path):
        await wait_until_async(lambda: len(rows.reports()) == 2)

    assert "shared a 1\n" == rows.log(script)
    assert "inline shared\n" == rows.log(source)


async def test_the_python_of_a_command_is_the_workers(rows: AttemptRows) -> None:
    """A laptop has no other interpreter with the user's libraries."""
    import sys

    key, _ = await run_shell(rows, "python -c 'import sys; print(sys.prefix)'")

    assert f"{sys.prefix}\n" == rows.log(key)


async def test_cluster_types_run_on_this_machine_by_configuration(rows: AttemptRows, tmp_path: Path) -> None:
    """A definition that says spark or kubernetes runs unmodified."""
    (tmp_path / "pipeline.py").write_text("def prepare(day):\n    return {'rows': day * 2}\n")
    config = parse_config(
        {
            "backend": [
                {"type": "spark", "image": "etl:v2", "function": "pipeline:prepare"},
                {"type": "kubernetes", "command": 'echo "training $MAESTRO_PARAM_DAY"'},
            ]
        }
    )
    spark = rows.queue_one(
        "spark", {"image": "etl:v2"}, params={"day": 4}, backend_keys=["spark", "spark:image=etl:v2"]
    )
    kubernetes = rows.queue_one("kubernetes", {"image": "trainer"}, params={"day": 4})
    async with running_worker(rows.url, config=config, code=tmp_path):
        await wait_until_async(lambda: len(rows.reports()) == 2)

    assert {"rows": 8} == rows.report(spark).outputs
    assert "training 4\n" == rows.log(kubernetes)


async def test_nothing_of_a_worker_is_left_when_it_ends(rows: AttemptRows) -> None:
    """Neither the guard nor the directory in which its steps worked."""
    key = rows.queue_one("shell", {"command": 'echo $PPID $(dirname "$MAESTRO_WORK_DIRECTORY")'})
    async with running_worker(rows.url):
        await wait_until_async(lambda: rows.reports(key))
    guard, scratch = rows.log(key).split()

    assert not is_alive(int(guard))
    assert not is_there(scratch)


def is_there(path: str) -> bool:
    return Path(path).exists()
