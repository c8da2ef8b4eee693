"""Bad input is refused with the right status and the path of what is wrong, and nothing is stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api_scene import WORKFLOWS, Scene, api_scene

START = f"{WORKFLOWS}/wf/versions/active/actions/start"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url, body_limit_bytes=4096, max_steps=5) as scene:
        yield scene


async def refused(api: Scene, path: str, body: bytes | str, expected: int = 400, method: str = "POST") -> Any:
    """Return the error that *body* is answered with, after a look at its shape."""
    answer = await api.client.request(method, path, content=body, headers={"user": "ana"})
    assert expected == answer.status_code, answer.text
    assert "application/json" == answer.headers["content-type"]
    error = answer.json()
    assert error.keys() <= {"status", "message", "errors", "retryable"}
    return error


STEP = {"id": "a", "type": "NoOp"}
WRONG_DEFINITIONS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "an unknown step type": ({"steps": [{"id": "a", "type": "warp"}]}, {"steps[0].type"}),
    "an unknown field": ({"steps": [STEP], "colour": "red"}, {"colour"}),
    "an unknown field of a step": ({"steps": [{**STEP, "colour": "red"}]}, {"steps[0].colour"}),
    "a wrong type": ({"steps": [{**STEP, "retries": "many"}]}, {"steps[0].retries"}),
    "duplicate ids": ({"steps": [STEP, STEP]}, {"steps[1].id"}),
    "a dependency on nothing": ({"steps": [{**STEP, "dependencies": ["z"]}]}, {"steps[0].dependencies[0]"}),
    "no steps": ({"steps": []}, {"steps"}),
    "a parameter that names nothing": ({"steps": [STEP], "params": {"p": "${nowhere}"}}, {"params.p"}),
    "several things at once": (
        {"steps": [{"id": "a", "type": 5}, {"id": "maestro_b", "type": "NoOp"}], "owner": 3},
        {"steps[0].type", "steps[1].id", "owner"},
    ),
}


@pytest.mark.parametrize("name", WRONG_DEFINITIONS)
async def test_a_wrong_definition_names_every_wrong_field_and_stores_nothing(api: Scene, name: str) -> None:
    fields, paths = WRONG_DEFINITIONS[name]

    for method, path in (("POST", WORKFLOWS), ("PUT", f"{WORKFLOWS}/actions/validate")):
        error = await refused(api, path, json.dumps({"workflow_id": "wf", **fields}), method=method)
        assert "BAD_REQUEST" == error["status"]
        assert paths == {line.split(": ")[0] for line in error["errors"]}
    assert [] == await api.rows("SELECT 1 FROM workflow UNION ALL SELECT 1 FROM workflow_version")


async def test_an_unknown_step_type_that_is_nearly_known_is_guessed(api: Scene) -> None:
    error = await refused(api, WORKFLOWS, json.dumps({"workflow_id": "wf", "steps": [{"id": "a", "type": "pyhton"}]}))

    assert error["errors"] == [
        "steps[0].type: step type 'pyhton' is unknown, and no worker serves it; did you mean 'python'?"
    ]


async def test_a_native_definition_s_errors_have_native_paths(api: Scene) -> None:
    body: dict[str, Any] = {
        "properties": {"owner": "olga", "run_strategy": "LAST_ONLY"},
        "workflow": {"id": "wf", "steps": [{"step": {"id": "a", "type": "warp"}}]},
    }
    error = await refused(api, WORKFLOWS, json.dumps(body))
    assert ["properties.run_strategy"] == [line.split(": ")[0] for line in error["errors"]]

    del body["properties"]["run_strategy"]
    error = await refused(api, WORKFLOWS, json.dumps(body))
    assert ["workflow.steps[0].step.type"] == [line.split(": ")[0] for line in error["errors"]]

    body["workflow"]["steps"] = [{"step": {"id": "a", "type": "NoOp"}}]
    body["workflow"]["params"] = {"p": {"type": "STRING", "value": "${q}"}, "q": {"type": "STRING", "value": "${p}"}}
    error = await refused(api, WORKFLOWS, json.dumps(body))
    assert ["workflow.params.p"] == [line.split(": ")[0] for line in error["errors"]]


async def test_a_cycle_is_told_with_the_steps_that_are_in_it(api: Scene) -> None:
    steps = [{"id": i, "type": "NoOp", "dependencies": [d]} for i, d in (("a", "c"), ("b", "a"), ("c", "b"))]

    error = await refused(api, WORKFLOWS, json.dumps({"workflow_id": "wf", "steps": steps}))

    assert all(f"{step}" in error["message"] for step in ("a", "b", "c"))
    assert "cycle" in error["message"].lower()


@pytest.mark.parametrize("path", [WORKFLOWS, START, "/api/v3/signals"])
async def test_malformed_json_is_told_with_line_and_column(api: Scene, path: str) -> None:
    error = await refused(api, path, '{\n  "workflow_id": oops\n}')

    assert "line 2, column 18" in error["message"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'"text"', b"\xff\xfe", b'{"a": 1, "a": 2}', b'{"initiator": "\\u0000"}']
)
@pytest.mark.parametrize("path", [WORKFLOWS, START, "/api/v3/signals"])
async def test_a_body_that_is_no_object_of_the_expected_kind_is_a_bad_request(
    api: Scene, path: str, body: bytes
) -> None:
    await refused(api, path, body)


async def test_a_definition_with_more_steps_than_allowed_is_refused(api: Scene) -> None:
    steps = [{"id": f"s{number}", "type": "NoOp"} for number in range(6)]

    error = await refused(api, WORKFLOWS, json.dumps({"workflow_id": "wf", "steps": steps}))

    assert "5" in error["message"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "initiator"),
        ({"initiator": {"type": "FOREACH"}}, "initiator.type"),
        ({"initiator": {"type": "MANUAL"}, "request_id": "once"}, "request_id"),
        ({"initiator": {"type": "MANUAL"}, "request_time": -1}, "request_time"),
        ({"initiator": {"type": "MANUAL"}, "persist_failed_run": "yes"}, "persist_failed_run"),
        ({"initiator": {"type": "MANUAL"}, "run_param": {}}, "run_param"),
        ({"initiator": {"type": "MANUAL"}, "run_params": {"p": {"type": "LONK", "value": 1}}}, "run_params.p.type"),
        ({"initiator": {"type": "MANUAL"}, "run_params": {"maestro": 1}}, "run_params.maestro"),
        ({"initiator": {"type": "MANUAL"}, "runtime_tags": ["a", "a"]}, "runtime_tags"),
    ],
)
async def test_a_wrong_start_names_the_field_and_starts_nothing(api: Scene, body: dict[str, Any], path: str) -> None:
    await api.push()

    error = await refused(api, START, json.dumps(body))

    assert any(line.startswith(path) for line in error["errors"]), error
    assert [] == await api.rows("SELECT 1 FROM workflow_instance")


async def test_a_start_without_a_caller_is_refused_with_the_original_s_words(api: Scene) -> None:
    await api.push()

    answer = await api.client.post(START, json={"initiator": {"type": "MANUAL"}})

    assert 400 == answer.status_code
    assert "the user name cannot be null" in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"params": {}}, "name"),
        ({"name": "maestro_x"}, "name"),
        ({"name": "a", "params": {"p": True}}, "params.p"),
        ({"name": "a", "params": {"p": 1.5}}, "params.p"),
        ({"name": "a", "params": {"p": {"value": 1}}}, "params.p"),
        ({"name": "a", "params": [1]}, "params"),
        ({"name": "a", "request_id": 7}, "request_id"),
    ],
)
async def test_a_wrong_signal_names_the_field_and_is_not_stored(api: Scene, body: dict[str, Any], path: str) -> None:
    error = await refused(api, "/api/v3/signals", json.dumps(body))

    assert any(line.startswith(path) for line in error["errors"]), error
    assert [] == await api.rows("SELECT 1 FROM signal_instance")


@pytest.mark.parametrize("path", [WORKFLOWS, START, "/api/v3/signals"])
async def test_a_body_over_the_limit_is_refused_before_it_is_parsed(api: Scene, path: str) -> None:
    """It is no JSON at all, and nobody notices."""
    error = await refused(api, path, b"x" * 4097, expected=413)

    assert "4096" in error["message"]


async def test_a_body_that_does_not_say_its_length_is_counted_while_it_comes(api: Scene) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    answer = await api.client.post(WORKFLOWS, content=endless(), headers={"user": "ana"})

    assert 413 == answer.status_code
    assert "REQUEST_ENTITY_TOO_LARGE" == answer.json()["status"]


async def test_a_body_at_the_limit_is_read(api: Scene) -> None:
    body = json.dumps({"workflow_id": "wf", "steps": [STEP]}).encode()
    answer = await api.client.post(WORKFLOWS, content=body + b" " * (4096 - len(body)))

    assert 200 == answer.status_code, answer.text


@pytest.mark.parametrize("path", [WORKFLOWS, START])
async def test_yaml_is_refused_by_name(api: Scene, path: str) -> None:
    headers = {"user": "ana", "content-type": "application/yaml"}
    answer = await api.client.post(path, content=b"workflow:\n  id: wf\n", headers=headers)

    assert 415 == answer.status_code
    assert "YAML is not supported yet" in answer.json()["message"]
    assert 415 == (await api.client.post(f"{WORKFLOWS}/yaml", content=b"", headers=headers)).status_code


async def test_what_does_not_exist_is_told_in_the_same_shape(api: Scene) -> None:
    assert "NOT_FOUND" == (await refused(api, "/api/v3/nothing", b"", 404))["status"]
    assert "METHOD_NOT_ALLOWED" == (await refused(api, "/livez", b"", 405))["status"]
    assert "BAD_REQUEST" == (await refused(api, f"{WORKFLOWS}?limit=many", b"", 400, "GET"))["status"]


@pytest.mark.parametrize("path", ["/wf%00/overview", "?cursor=%00", "/wf/instances/1/runs/1/steps/a%00"])
async def test_an_address_with_a_character_that_cannot_be_stored_is_a_bad_request(api: Scene, path: str) -> None:
    await refused(api, WORKFLOWS + path, b"", 400, "GET")


async def test_a_page_of_another_site_cannot_push(api: Scene) -> None:
    body = json.dumps({"workflow_id": "wf", "steps": [STEP]})

    answer = await api.client.post(WORKFLOWS, content=body, headers={"origin": "https://evil.example"})

    assert (403, "FORBIDDEN") == (answer.status_code, answer.json()["status"])
    assert [] == await api.rows("SELECT 1 FROM workflow")
