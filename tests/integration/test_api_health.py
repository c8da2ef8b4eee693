"""What whoever runs the process sees: probes, metrics, the Host header, and errors that are ours."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from tests.api_scene import WORKFLOWS, Scene, api_scene


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        yield scene


async def test_a_process_over_a_migrated_database_is_alive_and_ready(api: Scene) -> None:
    assert {"status": "ok"} == await api.get("/livez")
    assert {"status": "ok"} == await api.get("/readyz")


async def test_a_process_without_its_schema_is_alive_but_not_ready(empty_database_url: str) -> None:
    async with api_scene(empty_database_url) as api:
        await api.get("/livez")
        assert "maestro db upgrade" in (await api.get("/readyz", 503))["message"]


async def test_a_process_with_an_old_schema_is_not_ready(api: Scene) -> None:
    await api.execute("UPDATE alembic_version SET version_num = '0000'")

    assert "0000" in (await api.get("/readyz", 503))["message"]


@pytest.mark.slow
async def test_while_the_database_is_away_requests_are_told_to_come_back_and_then_served(
    private_postgres: EmbeddedPostgres,
) -> None:
    async with api_scene(private_postgres.url) as api:
        await api.push()
        private_postgres.kill()
        await api.get("/livez")
        assert "the database is away" in (await api.get("/readyz", 503))["message"]
        away = await api.start(expected=503)
        assert ("SERVICE_UNAVAILABLE", True) == (away["status"], away["retryable"])

        private_postgres.start()
        await api.get("/readyz")
        assert "CREATED" == (await api.start())["status"]


async def test_requests_are_counted_by_route_and_not_by_path(api: Scene) -> None:
    await api.get(f"{WORKFLOWS}/one/overview", 404)
    await api.get(f"{WORKFLOWS}/two/overview", 404)

    text = (await api.client.get("/metrics")).text

    route = f"{WORKFLOWS}/{{workflow_id}}/overview"
    assert f'maestro_api_requests_total{{code="404",method="GET",route="{route}"}} 2.0' in text
    assert "maestro_hints_dropped_total 0.0" in text


async def test_methods_that_callers_make_up_are_counted_as_one(api: Scene) -> None:
    """Else whoever sends them makes the process grow."""
    for number in range(3):
        await api.client.request(f"MADEUP{number}", "/livez")

    metrics = (await api.client.get("/metrics")).text

    assert 'method="other"' in metrics
    assert "MADEUP" not in metrics


async def test_every_route_is_described(api: Scene) -> None:
    paths = (await api.get("/openapi.json"))["paths"]

    assert f"{WORKFLOWS}/{{workflow_id}}/versions/{{version}}/actions/start" in paths
    assert all(operation.get("description") for path in paths.values() for operation in path.values())
    assert 200 == (await api.client.get("/docs")).status_code


async def test_routes_have_titles_short_names_and_groups_that_are_described(api: Scene) -> None:
    """What /docs shows, and what generated clients call their methods."""
    described = await api.get("/openapi.json")
    operations = [operation for path in described["paths"].values() for operation in path.values()]

    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert not [name for name in names if len(name) > 25 or "api_v3" in name]
    assert {"list_instances", "batch_start", "end_instance"} <= set(names)
    titles = [operation["summary"] for operation in operations]
    assert "Return the latest attempt of every step of an instance" in titles
    assert not [title for title in titles if not 2 <= len(title.split()) <= 20]
    assert {tag for operation in operations for tag in operation["tags"]} == {tag["name"] for tag in described["tags"]}


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "10.1.2.3", "ours.example:1"]
)
async def test_requests_for_our_names_and_for_addresses_are_served(database_url: str, host: str) -> None:
    async with api_scene(database_url, allowed_hosts=("ours.example",)) as api:
        assert 200 == (await api.client.get("/livez", headers={"host": host})).status_code


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[evil]"])
async def test_a_request_for_another_name_is_refused(api: Scene, host: str) -> None:
    """A page on another site can make its own name point here, and must not be served for it."""
    answer = await api.client.get("/livez", headers={"host": host})

    assert (400, "BAD_REQUEST") == (answer.status_code, answer.json()["status"])


async def test_an_error_that_is_ours_is_told_without_its_details(api: Scene) -> None:
    await api.push()
    await api.execute("ALTER TABLE workflow RENAME COLUMN internal_id TO secret_column")

    error = await api.get(f"{WORKFLOWS}/wf/overview", 500)

    assert {"status", "message"} == error.keys()
    assert "INTERNAL_ERROR" == error["status"]
    assert "secret_column" not in error["message"]
