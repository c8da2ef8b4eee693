"""The local cluster's files are valid, and say nothing that the command line or the settings would refuse."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from compose_spec import PyCompose
from typer.testing import CliRunner

from maestro_py.cli import app
from maestro_py.settings import Settings

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text().replace("${MAESTRO_DB_PASSWORD:?choose a password}", "secret")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "maestro-py"}


def command_lines() -> list[list[str]]:
    """Return every command line of ours in the file, without the word ``maestro``."""
    lines = []
    for service in OURS.values():
        if service.get("entrypoint"):
            lines += [shlex.split(part)[1:] for part in service["command"][0].split("&&")]
        else:
            lines.append(service["command"])
    return lines


def test_the_file_is_valid_compose_and_refers_to_nothing_undefined() -> None:
    # YAML merge keys are resolved first, as docker compose does.
    PyCompose.from_json(json.dumps(yaml.safe_load(TEXT))).validate()


def test_each_process_of_the_service_is_there() -> None:
    assert {"migrate", "api", "engine", "worker", "signal"} == set(OURS)
    assert {"engine": 2, "worker": 2} == {
        name: service["deploy"]["replicas"] for name, service in OURS.items() if "deploy" in service
    }


@pytest.mark.parametrize("line", command_lines(), ids=" ".join)
def test_the_command_line_accepts_each_command(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing stops where the command would begin to work, so nothing is started."""
    parsed: list[dict[str, Any]] = []

    def note(self: typer.core.TyperCommand, ctx: typer.Context) -> None:
        parsed.append(dict(ctx.params))

    monkeypatch.setattr(typer.core.TyperCommand, "invoke", note)
    result = CliRunner().invoke(app, line, env={"MAESTRO_DATABASE_URL": "postgresql://x/y", "MAESTRO_KAFKA": "k:9092"})

    assert 0 == result.exit_code, result.output
    assert 1 == len(parsed)


@pytest.mark.parametrize("name", OURS)
def test_the_settings_know_each_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in OURS[name]["environment"].items():
        assert variable.removeprefix("MAESTRO_").lower() in Settings.model_fields
        monkeypatch.setenv(variable, value)

    settings = Settings.from_environment()

    assert ("kafka", "kafka:9092") == (settings.transport, settings.kafka)


@pytest.mark.parametrize("name", OURS)
def test_a_container_of_ours_can_change_nothing_but_its_scratch(name: str) -> None:
    service = OURS[name]

    assert service["read_only"] is True
    assert "10001" == service["user"]
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]


@pytest.mark.parametrize("name", ["engine", "worker", "signal"])
def test_health_is_asked_where_the_settings_say_that_it_is_served(name: str) -> None:
    service = OURS[name]
    port = service["environment"]["MAESTRO_METRICS_PORT"]

    assert f"127.0.0.1:{port}/readyz" in service["healthcheck"]["test"][-1]
    assert "0.0.0.0" == service["environment"]["MAESTRO_METRICS_HOST"]
    assert "ports" not in service


def test_nothing_is_published_beyond_this_machine() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]

    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_image_copies_only_files_that_exist_and_that_the_build_context_has() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().split()
    copied = [source for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.M) for source in line.split()[:-1]]

    assert copied
    assert all((ROOT / source).exists() and source not in ignored for source in copied)
