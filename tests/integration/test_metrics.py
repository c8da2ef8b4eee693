"""Each process serves what it counts on a port of its own, and the page in docs tells what it means."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

import httpx2
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from maestro_py.testing.waiting import wait_until
from tests.system import System, free_port, running_system

PAGE: Final = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
DOCUMENTED: Final = frozenset(re.findall(r"^\| `(maestro_\w+)` \|", PAGE, re.MULTILINE))
KINDS: Final = ("engine", "worker", "signal")


class Ports:
    """Where the processes of a system serve their metrics."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.of: dict[str, int] = {}

    def start(self, kind: str, **settings: str) -> None:
        self.of[kind] = free_port()
        self.system.start(kind, module="maestro_py", metrics_port=self.of[kind], **settings)

    def get(self, kind: str, path: str) -> httpx2.Response:
        return httpx2.get(f"http://127.0.0.1:{self.of[kind]}{path}", timeout=10)

    def families(self, kind: str) -> dict[str, Metric]:
        """Return what a process counts, by the names under which it is exposed."""
        text = self.get(kind, "/metrics").text if kind != "api" else self._of_api()
        found = list(text_string_to_metric_families(text))
        return {f"{one.name}_total" if one.type == "counter" else one.name: one for one in found}

    def value(self, process: str, name: str, **labels: str) -> float:
        """Return a value; 0 if there is none yet."""
        for sample in self.families(process).get(name, Metric(name, "", "gauge")).samples:
            if sample.name in (name, f"{name}_count") and labels.items() <= sample.labels.items():
                return sample.value
        return 0.0

    def _of_api(self) -> str:
        return httpx2.get(f"{self.system.api_url()}/metrics", timeout=10).text


@pytest.fixture
def ports(system: System) -> Ports:
    """A system whose processes serve metrics."""
    ports = Ports(system)
    system.start("api")
    for kind in KINDS:
        ports.start(kind)
    system.wait_ready(apis=1, engines=1, workers=1, signals=1)
    return ports


@pytest.mark.slow
def test_the_processes_serve_what_they_count_and_the_page_names_all_of_it(ports: Ports) -> None:
    system = ports.system
    step = {"id": "work", "type": "shell", "command": "true"}
    system.push({"workflow_id": "wf", "trigger": {"type": "signal", "signal_name": "ready"}, "steps": [step]})
    system.push({"workflow_id": "unserved", "steps": [step | {"queue": "nobodys"}]})
    system.announce("ready")
    assert "SUCCEEDED" == system.wait_ended("wf")
    system.start_run("unserved")

    exposed = {name for kind in ("api", *KINDS) for name in ports.families(kind) if name.startswith("maestro_")}
    assert {name for name in exposed if not name.endswith("_created")} == DOCUMENTED
    for kind in KINDS:
        assert {"process_cpu_seconds_total", "process_resident_memory_bytes"} <= ports.families(kind).keys()
        assert 1 == ports.value(kind, "maestro_process_info", kind=kind)
        assert 0 <= ports.value(kind, "maestro_lease_age_seconds") < ports.value(kind, "maestro_lease_seconds")
    wait_until(lambda: ports.value("engine", "maestro_queue_waiting", queue="nobodys") == 1, 10)
    assert 0 < ports.value("engine", "maestro_queue_waiting_oldest_seconds", queue="nobodys") < 60
    assert 64 == ports.value("engine", "maestro_engine_partitions")
    assert 1 == ports.value("engine", "maestro_step_changes_total", status="SUCCEEDED")
    assert 1 == ports.value("engine", "maestro_run_changes_total", status="SUCCEEDED")
    for name in ("run_seconds", "step_seconds", "step_overhead_seconds"):
        assert 1 == ports.value("engine", f"maestro_{name}")
    assert 2 == ports.value("engine", "maestro_run_start_delay_seconds")
    assert 0 < ports.value("engine", "maestro_engine_commit_seconds") <= 20
    assert 8 == ports.value("worker", "maestro_worker_slots")
    assert 1 == ports.value("worker", "maestro_worker_claim_to_start_seconds")
    assert 1 == ports.value("worker", "maestro_worker_reports_total", fate="applied")
    assert 1 == ports.value("signal", "maestro_signal_runs_started_total")
    assert 1 == ports.value("api", "maestro_api_starts_total")


@pytest.mark.slow
def test_what_only_sweeps_find_is_counted(system: System) -> None:
    """With every hint lost, everything that comes from another process is found by a sweep."""
    ports = Ports(system)
    faults = {"transport_faults": "seed=1,drop=1", "sweep_interval_ms": "500"}
    system.start("api", module="maestro_py", **faults)
    for kind in KINDS:
        ports.start(kind, **faults)
    system.wait_ready(apis=1, engines=1, workers=1, signals=1)
    step = {"id": "work", "type": "bench_noop"}
    system.push({"workflow_id": "wf", "trigger": {"type": "signal", "signal_name": "ready"}, "steps": [step]})
    system.announce("ready")
    assert "SUCCEEDED" == system.wait_ended("wf")

    # The start and the report.
    assert 2 == ports.value("engine", "maestro_sweep_finds_total")
    assert 1 == ports.value("worker", "maestro_sweep_finds_total")
    assert 1 == ports.value("signal", "maestro_sweep_finds_total")
    assert ports.value("worker", "maestro_hints_dropped_total") > 0


@pytest.mark.slow
def test_a_process_says_that_its_database_is_away_and_serves_all_the_same(private_postgres: EmbeddedPostgres) -> None:
    leases = {"engine_lease_ms": 1_500, "worker_lease_ms": 1_500, "service_lease_ms": 1_500}
    with running_system(private_postgres.url, **leases) as system:
        ports = Ports(system)
        for kind in KINDS:
            ports.start(kind)
        system.wait_ready(engines=1, workers=1, signals=1)
        assert {200} == {ports.get(kind, path).status_code for kind in KINDS for path in ("/livez", "/readyz")}

        private_postgres.kill()

        for kind in KINDS:
            wait_until(lambda kind=kind: ports.get(kind, "/readyz").status_code == 503, 10)  # type: ignore[misc]
            assert "answered no beat" in ports.get(kind, "/readyz").text
            assert 200 == ports.get(kind, "/livez").status_code
            wait_until(lambda kind=kind: ports.value(kind, "maestro_database_away") == 1, 10)  # type: ignore[misc]
        began = time.monotonic()
        assert "maestro_queue_offered" not in ports.families("engine")
        assert time.monotonic() - began < 4

        private_postgres.start()
        for kind in KINDS:
            wait_until(lambda kind=kind: ports.get(kind, "/readyz").status_code == 200, 20)  # type: ignore[misc]
        wait_until(lambda: "maestro_queue_offered" in ports.families("engine"), 10)


@pytest.mark.slow
def test_a_port_that_is_taken_is_refused_with_the_name_of_the_setting(system: System) -> None:
    ports = Ports(system)
    ports.start("signal")
    system.wait_ready(signals=1)

    second = system.start("worker", metrics_port=ports.of["signal"])

    assert 2 == second.wait(30)
    assert "MAESTRO_METRICS_PORT: cannot listen on 127.0.0.1" in second.log.read_text()
