"""What an operator configures reaches the step types that it concerns, and is refused early if it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import DONE, StepContext, StepReport, StepTask, StepTypeConfig
from maestro_py.settings import Settings, SettingsInvalid
from maestro_py.workers.backends import ConfigInvalid, parse_config, read_config
from maestro_py.workers.registry import StepTypeInvalid, configure
from maestro_py.workers.steps.bench_noop import BenchNoopStep
from maestro_py.workers.steps.http import HttpStep
from tests.unit.workers.recording_context import RecordingContext, a_task

SECRET: Final = "postgresql://etl:geheim@db/warehouse"


class PickyStep:
    """A step type of another package that wants something configured."""

    kind = "picky"

    def configure(self, config: StepTypeConfig) -> None:
        if "mine" not in config.connections:
            raise ValueError("there is no connection 'mine'")

    async def run(self, task: StepTask, context: StepContext) -> StepReport:
        return DONE


async def test_http_steps_reach_what_the_setting_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_HTTP_ALLOW", "api.example:443, [::1]:80")
    step = HttpStep()
    configure([BenchNoopStep(), step], StepTypeConfig(http_allow=Settings().http_allow))
    report = await step.run(a_task("http", {"url": "http://example.com"}), RecordingContext())

    assert Outcome.FATAL_ERROR is report.outcome
    assert "is not among the hosts" in report.message


@pytest.mark.parametrize("value", ["*.example.com", "http://a", "a,b c"])
def test_a_wrong_host_names_its_variable(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_HTTP_ALLOW", value)

    with pytest.raises(SettingsInvalid, match="MAESTRO_HTTP_ALLOW"):
        Settings.from_environment()


def test_a_type_that_cannot_use_its_configuration_is_named() -> None:
    configure([PickyStep()], StepTypeConfig(connections={"mine": SECRET}))

    with pytest.raises(StepTypeInvalid, match=r"'picky' cannot use its configuration: there is no connection 'mine'"):
        configure([PickyStep()], StepTypeConfig())


def test_connections_are_read_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "worker.toml"
    file.write_text(f'[connections]\nwarehouse = "{SECRET}"\n')

    assert {"warehouse": SECRET} == read_config(file).connections


@pytest.mark.parametrize(
    ("connections", "said"),
    [({"a": "no url"}, r"connections\.a: write the URL"), ({"a": 3}, "Expected `str`"), ([], "Expected `object`")],
)
def test_wrong_connections_are_said(connections: object, said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        parse_config({"connections": connections})


def test_what_is_shown_of_a_configuration_has_no_password() -> None:
    config = parse_config({"connections": {"warehouse": SECRET}})
    shown = f"{config!r} {StepTypeConfig(connections=config.connections)!r}"

    assert "warehouse" in shown
    assert "geheim" not in shown
