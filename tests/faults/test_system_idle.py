"""An idle system costs next to nothing."""

from __future__ import annotations

import time

import pytest

from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from maestro_py.testing.waiting import wait_until
from tests.processes import cpu_seconds, descendants
from tests.system import running_system

SECONDS = 10
#: Of one core; the aim is 5 % and is measured by the benchmarks, this is only a bound of sanity.
BOUND = 0.25


@pytest.mark.slow
def test_a_system_without_work_leaves_the_machine_alone(private_postgres: EmbeddedPostgres) -> None:
    """What an API, an engine, a worker, a signal service and PostgreSQL use together in ten seconds is printed."""
    with running_system(private_postgres.url) as system:
        system.start_all(signals=1)
        system.push({"workflow_id": "one", "steps": [{"id": "s", "type": "shell", "command": "true"}]})
        system.start_run("one")
        system.wait_ended("one")
        settled_at = time.monotonic() + 3
        wait_until(lambda: time.monotonic() >= settled_at)

        roots = {kind: processes[0].pid for kind, processes in system.processes.items()}
        roots["postgres"] = private_postgres.pid
        before = used(roots)
        began = time.monotonic()
        wait_until(lambda: time.monotonic() >= began + SECONDS, SECONDS + 5)
        took = time.monotonic() - began
        shares = {kind: (after - before[kind]) / took for kind, after in used(roots).items()}

    told = ", ".join(f"{kind} {share:.1%}" for kind, share in shares.items())
    print(f"\nidle, of one core: {sum(shares.values()):.1%} ({told})")  # noqa: T201  # what the test is for
    assert sum(shares.values()) < BOUND


def used(roots: dict[str, int]) -> dict[str, float]:
    """Return the processor seconds so far of each process with all that is below it."""
    return {kind: sum(cpu_seconds(pid) for pid in (root, *descendants(root))) for kind, root in roots.items()}
