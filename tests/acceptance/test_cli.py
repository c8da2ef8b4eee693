"""The client commands, as a process, against a server that remembers what it was asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_py.cli_render import moment
from tests.recording_server import RecordingServer, maestro

_NOW_MS = 1_795_000_000_000


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    recording = RecordingServer()
    yield recording
    recording.close()


def test_push_sends_the_file_as_it_stands(server: RecordingServer, tmp_path: Path) -> None:
    """Comments are the author's; the server understands them."""
    file = tmp_path / "hello.jsonc"
    file.write_text('{"workflow_id": "hello" /* a comment */}')
    pushed = {"metadata": {"workflow_id": "hello", "workflow_version_id": 3}, "is_active": True}
    server.answers["POST /workflows"] = (200, {"workflow_definition": pushed})

    ran = maestro(server.url, "push", str(file))

    assert ("hello version 3 (active)\n", 0) == (ran.stdout, ran.returncode)
    [(_, headers, body)] = server.requests
    assert file.read_bytes() == body
    assert ("ana", "application/json") == (headers["user"], headers["content-type"])


def test_push_shows_the_whole_answer_when_asked(server: RecordingServer, tmp_path: Path) -> None:
    file = tmp_path / "hello.jsonc"
    file.write_text("{}")
    answer = {"workflow_definition": {"metadata": {"workflow_id": "hello", "workflow_version_id": 3}}}
    server.answers["POST /workflows"] = (200, answer)

    ran = maestro(server.url, "push", str(file), "--json")

    assert answer == json.loads(ran.stdout)
    assert 1 < len(ran.stdout.splitlines())


def test_a_refusal_is_said_in_the_words_of_the_server(server: RecordingServer, tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    file.write_text("{}")
    refusal = {"status": "BAD_REQUEST", "message": "wrong definition", "errors": ["steps: missing"]}
    server.answers["POST /workflows"] = (400, refusal)

    ran = maestro(server.url, "push", str(file))

    assert ("maestro: wrong definition\n  steps: missing\n", 1) == (ran.stderr, ran.returncode)


def test_eval_sends_plain_values_and_shows_the_result(server: RecordingServer) -> None:
    server.answers["POST /expressions/evaluate"] = (200, {"result": [1, "ä"], "type": "JSON"})

    ran = maestro(server.url, "eval", "x + 1", "-p", "x=1", "-p", "day=today", "-p", 'text="1"')

    assert ('[1, "ä"]\n', 0) == (ran.stdout, ran.returncode)
    [(_, _, body)] = server.requests
    assert {"expression": "x + 1", "params": {"x": 1, "day": "today", "text": "1"}} == json.loads(body)


def test_eval_shows_the_place_of_an_error(server: RecordingServer) -> None:
    told = "'x' names no parameter (line 1, column 1)\n  x + 1\n  ^"
    server.answers["POST /expressions/evaluate"] = (400, {"status": "BAD_REQUEST", "message": told, "errors": [told]})

    ran = maestro(server.url, "eval", "x + 1")

    assert (f"maestro: {told}\n", 1) == (ran.stderr, ran.returncode)


def test_start_sends_params_of_the_declared_type_and_waits(server: RecordingServer) -> None:
    declared = {"day": {"type": "STRING", "value": ""}}
    server.answers["GET /workflows/hello/versions/default"] = (200, {"workflow": {"params": declared}})
    server.answers["POST /workflows/hello/versions/default/actions/start"] = (
        200,
        {"workflow_instance_id": 7, "workflow_run_id": 1, "status": "CREATED"},
    )
    seen = [(200, {"status": status}) for status in ("CREATED", "IN_PROGRESS", "FAILED")]
    server.answers["GET /workflows/hello/instances/7/runs/latest"] = list(seen)

    ran = maestro(server.url, "start", "hello", "-p", "day=20261124", "-p", "n=3", "--wait")

    assert ("hello instance 7: CREATED\nIN_PROGRESS\nFAILED\n", 1) == (ran.stdout, ran.returncode)
    assert "note: hello declares no parameter 'n'\n" == ran.stderr, "a start may give what it likes"
    sent = json.loads(server.requests[1][2])
    assert {"type": "MANUAL", "user": "ana"} == sent["initiator"]
    assert {"day": {"type": "STRING", "value": "20261124"}, "n": {"type": "LONG", "value": 3}} == sent["run_params"]
    assert sent["request_id"]


def test_each_announcement_has_an_id_of_its_own(server: RecordingServer) -> None:
    """Announcing the same again means it; only the same request id is a repetition."""
    server.answers["POST /signals"] = (200, {"name": "ready", "seq_id": 5})

    runs = [maestro(server.url, "announce", "ready", "day=20261124", "region=eu") for _ in range(2)]

    assert ["ready number 5\n"] * 2 == [ran.stdout for ran in runs]
    sent = [json.loads(body) for _, _, body in server.requests]
    assert {"day": 20261124, "region": "eu"} == sent[0]["params"]
    assert 2 == len({announcement["request_id"] for announcement in sent})


def test_status_says_why_there_is_no_instance_and_why_one_could_not_begin(server: RecordingServer) -> None:
    server.answers["GET /workflows/late/instances?first=20"] = (200, {"elements": []})
    latest = {"signal_id": 3, "reason": "CONDITION_FALSE", "message": "the condition is false: rows > 0"}
    trigger = {"signal": "ready", "dropped": {"CONDITION_FALSE": 3}, "latest_dropped": [latest]}
    server.answers["GET /workflows/late/signal-triggers"] = (200, {"signal_triggers": [trigger]})
    timeline = [{"message": "signal trigger: params.day: wrong"}]
    server.answers["GET /workflows/late/instances/1/runs/latest"] = (200, {"status": "FAILED", "timeline": timeline})
    server.answers["GET /workflows/late/instances/1/runs/latest/steps"] = (200, [])

    shown = [maestro(server.url, "status", "late", *which).stdout for which in ([], ["1"])]

    assert "late has no instances yet" == shown[0].splitlines()[0]
    assert shown[0].rstrip().endswith("3 CONDITION_FALSE; the latest, number 3: the condition is false: rows > 0")
    assert "signal trigger: params.day: wrong" == shown[1].splitlines()[-1]


def test_an_address_that_is_none_is_said() -> None:
    ran = maestro("127.0.0.1:8080", "status")

    assert "maestro: '127.0.0.1:8080' is no address of a server: write it as http://127.0.0.1:8080\n" == ran.stderr
    assert 1 == ran.returncode


def test_status_shows_workflows_then_instances_then_steps(server: RecordingServer) -> None:
    run = {"workflow_instance_id": 7, "workflow_run_id": 1, "status": "SUCCEEDED", "start_time": _NOW_MS}
    listed = {"elements": [{"workflow_id": "hello", "latest_version_id": 3, "latest_run": run}]}
    server.answers["GET /workflows"] = (200, listed)
    server.answers["GET /workflows/hello/instances?first=20"] = (200, {"elements": [run]})
    server.answers["GET /workflows/hello/instances/7/runs/latest"] = (200, run)
    step = {"step_id": "greet", "step_attempt_id": 2, "runtime_state": {"status": "RUNNING"}}
    server.answers["GET /workflows/hello/instances/7/runs/latest/steps"] = (200, [step])

    shown = [maestro(server.url, "status", *which).stdout for which in ([], ["hello"], ["hello", "7"])]

    assert all("SUCCEEDED" in text for text in shown)
    assert "hello" in shown[0]
    assert "greet" in shown[2]
    assert "RUNNING" in shown[2]


def test_logs_are_read_to_their_end(server: RecordingServer) -> None:
    steps = "/workflows/hello/instances/7/runs/latest/steps/greet/attempts"
    attempt = {"step_attempt_id": 2, "runtime_state": {"status": "SUCCEEDED", "end_time": _NOW_MS}}
    server.answers[f"GET {steps}/latest"] = (200, attempt)
    server.answers[f"GET {steps}/2"] = (200, attempt)
    chunks = [{"seq": 1, "text": "one\n"}, {"seq": 2, "text": "two\n"}]
    server.answers[f"GET {steps}/2/logs?after=0"] = (200, {"chunks": chunks})
    server.answers[f"GET {steps}/2/logs?after=2"] = (200, {"chunks": []})

    ran = maestro(server.url, "logs", "hello", "7", "greet", "--follow")

    assert ("one\ntwo\n", 0) == (ran.stdout, ran.returncode)


def test_the_log_of_an_attempt_that_is_tried_again_says_when_beside_it(server: RecordingServer) -> None:
    steps = "/workflows/hello/instances/7/runs/latest/steps/greet/attempts"
    coming = {"step_attempt_id": 3, "time": _NOW_MS, "retry": 2, "retry_limit": 4}
    state = {"status": "USER_FAILED", "end_time": _NOW_MS}
    attempt = {"step_attempt_id": 2, "runtime_state": state, "next_attempt": coming}
    server.answers |= {f"GET {steps}/latest": (200, attempt), f"GET {steps}/2": (200, attempt)}
    server.answers[f"GET {steps}/2/logs?after=0"] = (200, {"chunks": [{"seq": 1, "text": "one\n"}]})
    server.answers[f"GET {steps}/2/logs?after=1"] = (200, {"chunks": []})

    ran = maestro(server.url, "logs", "hello", "7", "greet")

    assert "one\n" == ran.stdout
    assert f"attempt 2 of 'greet' failed; it is tried again at {moment(_NOW_MS)} (retry 2 of 4)\n" == ran.stderr


LOOP = {"foreach": {"id": "each", "steps": [{"step": {"id": "count", "type": "shell"}}]}}
STEPS = "/workflows/orders/instances/1/runs/latest/steps"


def _in_iteration(server: RecordingServer, *, leaf: bool) -> None:
    """Have the server know iteration 2-7 under the id inner."""
    found: dict[str, object] = {"iteration": {"workflow_id": "inner", "workflow_instance_id": 7}}
    found |= {"leaf_step_instance_ref": {}} if leaf else {}
    step_id = "count" if leaf else "each"
    server.answers[f"GET /views/flatten{STEPS}/{step_id}/iterations/2-7"] = (200, found)


def test_the_log_of_a_step_in_an_iteration_is_found_by_its_numbers(server: RecordingServer) -> None:
    _in_iteration(server, leaf=True)
    attempts = "/workflows/inner/instances/7/runs/latest/steps/count/attempts"
    attempt = {"step_attempt_id": 1, "runtime_state": {"status": "SUCCEEDED", "end_time": _NOW_MS}}
    server.answers |= {f"GET {attempts}/latest": (200, attempt), f"GET {attempts}/1": (200, attempt)}
    server.answers[f"GET {attempts}/1/logs?after=0"] = (200, {"chunks": [{"seq": 1, "text": "one\n"}]})
    server.answers[f"GET {attempts}/1/logs?after=1"] = (200, {"chunks": []})

    ran = maestro(server.url, "logs", "orders", "1", "count", "--iteration", "2-7")

    assert ("one\n", "") == (ran.stdout, ran.stderr)


def test_the_log_of_a_loop_says_where_those_of_its_steps_are(server: RecordingServer) -> None:
    attempt = {"step_attempt_id": 1, "definition": LOOP}
    server.answers |= {f"GET {STEPS}/each/attempts/{n}": (200, attempt) for n in ("latest", "1")}
    server.answers[f"GET {STEPS}/each/attempts/1/logs?after=0"] = (200, {"chunks": []})

    ran = maestro(server.url, "logs", "orders", "1", "each")

    assert "maestro logs orders 1 count --iteration 1\n" in ran.stderr


def test_status_shows_the_iterations_of_a_loop_and_the_steps_of_an_iteration(server: RecordingServer) -> None:
    """Where the workflow has one loop only it need not be named."""
    loop = {"step_id": "each", "workflow_id": "orders", "workflow_instance_id": 1, "definition": LOOP}
    server.answers[f"GET {STEPS}/each/attempts/latest"] = (200, loop)
    failed = [{"workflow_instance_id": 7, "status": "FAILED", "loop_values": {"item": "mon"}}]
    server.answers[f"GET {STEPS}/each/iterations?first=20&status=FAILED"] = (200, {"elements": failed})
    _in_iteration(server, leaf=False)
    server.answers["GET /workflows/orders/instances/1/runs/latest"] = (200, {"workflow_version_id": 4})
    nested = {"foreach": {"id": "outer", "steps": [LOOP]}}
    server.answers["GET /workflows/orders/versions/4"] = (200, {"workflow": {"steps": [nested]}})
    server.answers["GET /workflows/inner/instances/7/runs/latest"] = (200, {"status": "FAILED"})
    state = {"step_id": "count", "runtime_state": {"status": "FATALLY_FAILED"}}
    server.answers["GET /workflows/inner/instances/7/runs/latest/steps"] = (200, [state])

    iterations = maestro(server.url, "status", "orders", "1", "each", "--only", "FAILED")
    inside = [maestro(server.url, "status", "orders", "1", *of, "--iteration", "2-7") for of in (["each"], [])]

    assert "item=mon" in iterations.stdout
    for ran in inside:
        assert "orders instance 1, iteration 2-7: FAILED" in ran.stdout, ran.stderr
        assert "FATALLY_FAILED" in ran.stdout


def test_status_shows_one_step_in_an_iteration(server: RecordingServer) -> None:
    _in_iteration(server, leaf=True)
    step = {"step_id": "count", "runtime_state": {"status": "RUNNING"}}
    server.answers["GET /workflows/inner/instances/7/runs/latest/steps/count/attempts/latest"] = (200, step)

    ran = maestro(server.url, "status", "orders", "1", "count", "--iteration", "2-7")

    assert ["count", "RUNNING"] == [word for word in ran.stdout.split() if word in ("count", "RUNNING")]


def test_of_several_loops_one_has_to_be_named(server: RecordingServer) -> None:
    server.answers["GET /workflows/orders/instances/1/runs/latest"] = (200, {"workflow_version_id": 4})
    loops = [LOOP, {"foreach": {"id": "other", "steps": []}}]
    server.answers["GET /workflows/orders/versions/4"] = (200, {"workflow": {"steps": loops}})

    ran = maestro(server.url, "status", "orders", "1", "--iteration", "2")

    assert 2 == ran.returncode
    assert "each, other" in ran.stderr


def test_dead_letters_are_listed_and_put_back(server: RecordingServer) -> None:
    letter = {"id": 9, "workflow_id": "hello", "workflow_instance_id": 7, "reason": "a bug"}
    server.answers["GET /dead-letters"] = (200, {"elements": [letter]})
    server.answers["POST /dead-letters/9/actions/retry"] = (200, {})

    listed, retried = (maestro(server.url, "dead-letter", verb) for verb in ("list", "retry"))

    assert "a bug" in listed.stdout
    assert "9 is put back\n" == retried.stdout


def test_nobody_at_the_address_is_said_with_the_next_move() -> None:
    ran = maestro("http://127.0.0.1:9", "status")

    assert 1 == ran.returncode
    assert ran.stderr.startswith("maestro: nobody answers at http://127.0.0.1:9")
    assert "maestro up" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_wrong_setting_names_its_variable_and_has_its_own_status() -> None:
    """The status tells `maestro up` that starting the process again would not help."""
    ran = subprocess.run(
        [sys.executable, "-m", "maestro_py", "engine"],
        env={**os.environ, "MAESTRO_LANES": "many"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 2 == ran.returncode
    assert ran.stderr.startswith("maestro: MAESTRO_LANES: ")


@pytest.mark.parametrize(
    ("text", "environ", "told"),
    [
        ("[[backend]]\ntype = 'spark'\n", {}, "map.toml: backend 1: give exactly one of: function, command"),
        ("[[backend\n", {}, "map.toml: this is no TOML"),
        ("", {"MAESTRO_LANES": "many"}, "MAESTRO_LANES: "),
        ("", {"MAESTRO_CODE": "/nowhere"}, "MAESTRO_CODE: /nowhere is no directory"),
        ("", {"MAESTRO_DATABASE_URL": "mysql://x/y"}, "MAESTRO_DATABASE_URL: "),
        ("", {"MAESTRO_TRANSPORT_FAULTS": "drop=2"}, "MAESTRO_TRANSPORT_FAULTS: "),
    ],
)
def test_up_refuses_what_its_children_would_refuse_before_it_starts_anything(
    tmp_path: Path, text: str, environ: dict[str, str], told: str
) -> None:
    config = tmp_path / "map.toml"
    config.write_text(text)
    ran = subprocess.run(
        [sys.executable, "-m", "maestro_py", "up", "--data-dir", str(tmp_path / "data"), "--config", str(config)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert 2 == ran.returncode, ran.stderr
    assert ran.stderr.startswith("maestro: ")
    assert told in ran.stderr
    assert "" == ran.stdout
    assert not (tmp_path / "data").exists()


def test_a_worker_whose_file_is_wrong_ends_with_the_status_of_wrong_usage(
    empty_database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "map.toml").write_text("[concurrency]\nspark = 0\n")
    ran = subprocess.run(
        [sys.executable, "-m", "maestro_py", "worker", "--config", str(tmp_path / "map.toml")],
        env={**os.environ, "MAESTRO_DATABASE_URL": empty_database_url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert 2 == ran.returncode
    assert "map.toml: concurrency.spark: at least 1, not 0" in ran.stderr


def test_the_database_goes_up_and_down(empty_database_url: str) -> None:
    ran = [
        subprocess.run(
            [sys.executable, "-m", "maestro_py", "db", *arguments],
            env={**os.environ, "MAESTRO_DATABASE_URL": empty_database_url},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for arguments in (["upgrade"], ["downgrade", "base"])
    ]

    assert ran[0].startswith("the database is at revision 0")
    assert "the database is at revision none\n" == ran[1]
