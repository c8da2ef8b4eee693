"""A worker knows its step types by entry points, and offers itself by their keys."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest
import structlog

from maestro_py.ports.step_type import DONE, ENTRY_POINT_GROUP, StepContext, StepReport, StepTask
from maestro_py.workers.backends import NO_CONFIG, WorkerConfig, parse_config
from maestro_py.workers.registry import (
    LocalBackend,
    Registry,
    StepTypeInvalid,
    describe,
    installed_step_types,
    load_step_types,
)
from maestro_py.workers.steps.bench_noop import BenchNoopStep
from maestro_py.workers.steps.shell import ShellStep


class JobStep:
    """A step type of another package."""

    kind = "job"

    async def run(self, task: StepTask, context: StepContext) -> StepReport:
        return DONE

    async def attach(self, task: StepTask, handle: dict[str, Any], context: StepContext) -> StepReport:
        return DONE


def a_task(step_type: str, step_id: str = "s", image: str | None = None) -> StepTask:
    own = {} if image is None else {step_type.lower(): {"image": image}}
    return StepTask("w", 1, 1, step_id, 1, step_type, own)


def a_registry(config: WorkerConfig = NO_CONFIG) -> Registry:
    return Registry([BenchNoopStep(), ShellStep(), JobStep()], config)


def test_our_own_types_come_by_entry_points() -> None:
    """What we ship is found in the way in which everybody's types are found."""
    assert {"bench_noop", "python", "shell"} <= {found.kind for found in installed_step_types()}


def test_a_type_that_cannot_be_imported_is_said_and_left_out() -> None:
    """The worker serves the others: the library of one type is no reason to run none."""
    broken = EntryPoint("spark", "maestro_py_spark_that_nobody_installed:SparkStep", ENTRY_POINT_GROUP)
    with structlog.testing.capture_logs() as logs:
        found = load_step_types([broken, EntryPoint("shell", "maestro_py.workers.steps.shell:ShellStep", "g")])

    assert ["shell"] == [step_type.kind for step_type in found]
    assert [("step_type_unavailable", "spark")] == [(line["event"], line["step_type"]) for line in logs]


def test_an_entry_point_has_the_name_of_its_kind() -> None:
    """Otherwise definitions and workers would call it differently."""
    misnamed = EntryPoint("bash", "maestro_py.workers.steps.shell:ShellStep", ENTRY_POINT_GROUP)

    with pytest.raises(StepTypeInvalid, match="its kind is 'shell', its entry point is named 'bash'"):
        load_step_types([misnamed])


def test_a_type_is_instant_or_is_not() -> None:
    """A type that could be run in two ways is refused."""
    with pytest.raises(StepTypeInvalid, match="exactly one of the methods run and run_now"):
        load_step_types([EntryPoint("both", "tests.unit.workers.confused_step:ConfusedStep", ENTRY_POINT_GROUP)])


def test_two_types_of_one_name_are_refused() -> None:
    """Which of two packages would run a step must not be a matter of chance."""
    with pytest.raises(StepTypeInvalid, match="two packages install the step type 'shell'"):
        Registry([ShellStep(), ShellStep()])


def test_native_types_are_found_by_name() -> None:
    """An installed type runs the attempts of its name, an unknown name nothing."""
    registry = a_registry()

    assert isinstance(registry.find(a_task("shell")), ShellStep)
    assert registry.find(a_task("spark")) is None
    assert registry.instant("bench_noop") is not None
    assert registry.instant("shell") is None


def test_only_types_that_can_attach_are_attachable() -> None:
    """The claim says so in the row, and whoever judges an attempt lost believes it."""
    assert ["job"] == a_registry().attachable_types


def test_a_mapped_type_is_offered_by_what_it_is_mapped_by() -> None:
    """Native types give their bare names, backends their image or step."""
    config = parse_config({"backend": [{"type": "spark", "image": "etl:1", "function": "a:b"}]})
    registry = a_registry(config)

    assert ["bench_noop", "job", "shell", "spark:image=etl:1"] == registry.backend_keys
    assert ["bench_noop", "job", "shell", "spark"] == registry.step_types
    assert isinstance(registry.find(a_task("spark", image="etl:1")), LocalBackend)
    assert registry.find(a_task("spark", image="etl:2")) is None


def test_a_backend_goes_before_the_installed_type() -> None:
    """A configuration may take over a type that is installed, also an attachable or an instant one."""
    backends = [{"type": name, "command": "true"} for name in ("job", "bench_noop")]
    registry = a_registry(parse_config({"backend": backends}))

    assert isinstance(registry.find(a_task("job")), LocalBackend)
    assert [] == registry.attachable_types
    assert registry.instant("bench_noop") is None


def test_limited_types_are_claimed_by_themselves() -> None:
    """One group of keys for each limited type, one for all others."""
    groups = a_registry(parse_config({"concurrency": {"job": 2}})).key_groups()

    assert [(("bench_noop", "shell"), None), (("job",), 2)] == [(group.keys, group.concurrency) for group in groups]


def test_a_worker_describes_what_it_serves() -> None:
    """The engine and the API learn it from the worker's row."""
    info = describe(a_registry(), ["default"], slots=8, busy=3)

    assert {
        "queues": ["default"],
        "step_types": ["bench_noop", "job", "shell"],
        "backend_keys": ["bench_noop", "job", "shell"],
        "slots": 8,
        "busy": 3,
    } == info
