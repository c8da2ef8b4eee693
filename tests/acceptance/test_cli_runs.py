"""Start runs from a file, stop and kill them, by the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_py.client import MaestroClient, ServerRefused
from tests.recording_server import RecordingServer, maestro

BATCH = "POST /workflows/hello/versions/default/actions/batch-start"
CREATED = {"workflow_instance_id": 1, "status": "CREATED"}
BUSY = {"status": "TOO_MANY_REQUESTS", "message": "too many events wait", "retryable": True}


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    recording = RecordingServer()
    yield recording
    recording.close()


def sent(server: RecordingServer) -> list[list[dict[str, object]]]:
    """Return the requests of each batch that was sent."""
    return [json.loads(body)["requests"] for _, _, body in server.requests]


def test_an_instance_is_stopped_or_killed_and_the_answer_says_what_became_of_it(server: RecordingServer) -> None:
    server.answers["PUT /workflows/hello/instances/7/actions/stop"] = (
        200,
        {"completed": True, "workflow_instance_status": "SUCCEEDED"},
    )
    server.answers["PUT /workflows/hello/instances/8/actions/kill"] = (
        200,
        {"completed": False, "workflow_instance_status": "IN_PROGRESS"},
    )

    stopped, killed = maestro(server.url, "stop", "hello", "7"), maestro(server.url, "kill", "hello", "8")

    assert ("hello instance 7: SUCCEEDED; the stop came too late\n", 0) == (stopped.stdout, stopped.returncode)
    assert 0 == killed.returncode
    accepted = "the kill is accepted, and it ends as soon as its steps have"
    assert f"hello instance 8: IN_PROGRESS; {accepted}\n" == killed.stdout


def test_an_instance_that_ended_as_asked_needs_no_explanation(server: RecordingServer) -> None:
    server.answers["PUT /workflows/hello/instances/7/actions/kill"] = (
        200,
        {"completed": True, "workflow_instance_status": "FAILED"},
    )

    assert "hello instance 7: FAILED\n" == maestro(server.url, "kill", "hello", "7").stdout


def test_without_a_number_every_unfinished_instance_is_ended(server: RecordingServer) -> None:
    said = "Terminated [3] queued instances and terminating [1] running instances"
    server.answers["PUT /workflows/hello/actions/stop"] = (202, {"message": said})

    ran = maestro(server.url, "stop", "hello")

    told = (
        "hello: 3 queued instances STOPPED, 1 running; the stop is accepted, and they end as soon as their steps have"
    )
    assert (f"{told}\n", 0) == (ran.stdout, ran.returncode)


def test_a_workflow_is_activated_and_deactivated(server: RecordingServer) -> None:
    server.answers["PUT /workflows/hello/versions/latest/actions/activate"] = (200, {"workflow_version_id": 4})
    server.answers["PUT /workflows/hello/actions/deactivate"] = (200, {"workflow_version_id": 0})

    ran = [maestro(server.url, verb, "hello").stdout for verb in ("activate", "deactivate")]

    assert ["hello version 4 is active\n", "hello has no active version\n"] == ran


def test_each_line_of_a_file_starts_a_run_with_an_id_of_its_own(server: RecordingServer, tmp_path: Path) -> None:
    """Empty lines ask for nothing, and a file of more lines than a call takes is sent in several."""
    file = tmp_path / "days.jsonl"
    lines = [json.dumps({"run_params": {"day": day}}) for day in range(1_001)]
    file.write_text("\n\n".join([*lines, '{"request_id": "mine"}']))
    server.answers[BATCH] = [(200, {"results": [CREATED] * 1_000}), (200, {"results": [CREATED, CREATED]})]

    ran = maestro(server.url, "start", "hello", "--batch", str(file))

    assert ("hello: 1002 created\n", 0) == (ran.stdout, ran.returncode)
    first, second = sent(server)
    assert [{"day": day} for day in range(1_001)] == [request["run_params"] for request in [*first, second[0]]]
    assert "mine" == second[1]["request_id"]
    assert 1_002 == len({request["request_id"] for request in first + second})
    assert {"type": "MANUAL"} == first[0]["initiator"]


def test_a_line_that_starts_nothing_is_named_and_the_others_are_started(server: RecordingServer) -> None:
    wrong = {"errors": ["requests[1].run_params.n: must be a whole number"], "status": "BAD_REQUEST"}
    known = {"workflow_instance_id": 0, "status": "DUPLICATED"}
    server.answers[BATCH] = (200, {"results": [CREATED, {"error": wrong}, known]})

    ran = maestro(
        server.url, "start", "hello", "--batch", "-", stdin='{}\nno JSON\n{"run_params": {"n": "x"}}\n[]\n{}\n'
    )

    assert 1 == ran.returncode
    assert "hello: 1 created, 1 known by their request ids, 3 failed\n" == ran.stdout
    said = ran.stderr.splitlines()
    assert said[0].startswith("line 2: is no JSON")
    assert ["line 4: must be an object", "line 3: run_params.n: must be a whole number"] == said[1:]


def test_a_line_that_may_fare_better_later_is_sent_again_with_its_id(server: RecordingServer) -> None:
    away = {"error": {"status": "SERVICE_UNAVAILABLE", "message": "the database is away", "retryable": True}}
    server.answers[BATCH] = [(200, {"results": [CREATED, away]}), (200, {"results": [CREATED]})]

    ran = maestro(server.url, "start", "hello", "--batch", "-", stdin="{}\n{}\n")

    assert ("hello: 2 created\n", 0) == (ran.stdout, ran.returncode)
    first, second = sent(server)
    assert first[1:] == second


def test_a_file_goes_with_no_option_of_a_single_start(server: RecordingServer) -> None:
    ran = maestro(server.url, "start", "hello", "--batch", "-", "--wait")

    assert 2 == ran.returncode
    assert [] == server.requests


def test_a_server_that_is_too_busy_is_asked_again_when_it_says_and_then_given_up(server: RecordingServer) -> None:
    """Nothing was done of what it refused, so asking again is safe; 30 seconds are the longest that we wait."""
    server.headers[429] = {"retry-after": "3"}
    server.answers["POST /signals"] = [(429, BUSY), (429, BUSY), (200, {"seq_id": 1})]
    pauses: list[float] = []
    with MaestroClient(server.url, "ana", sleep=pauses.append) as client:
        assert {"seq_id": 1} == client.announce("ready", {}, "id")
        assert [3, 3] == pauses

        server.headers[429] = {"retry-after": "3600"}
        server.answers["POST /signals"] = (429, BUSY)
        with pytest.raises(ServerRefused, match="too many events wait"):
            client.announce("ready", {}, "id")
        assert [30, 30] == pauses[2:]
    assert 1 == len({body for _, _, body in server.requests})


def test_other_refusals_are_told_at_once(server: RecordingServer) -> None:
    server.answers["POST /signals"] = (503, {"status": "SERVICE_UNAVAILABLE", "message": "away", "retryable": True})
    with MaestroClient(server.url, "ana", sleep=lambda _: None) as client, pytest.raises(ServerRefused):
        client.announce("ready", {}, "id")

    assert 1 == len(server.requests)
