"""While no engine works, an API takes on only so much; whoever comes back when one does is served."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from typing import Any

import pytest

from maestro_py.client import MaestroClient, ServerRefused
from maestro_py.testing.waiting import wait_until
from tests.system import BOTH_TRANSPORTS, OsProcess, System

LIMIT = 200
#: An API looks at what waits once in so many seconds; whoever is refused is told to come back later than that.
LOOK_SECONDS = 1.0


def starts(count: int) -> list[dict[str, Any]]:
    return [{"initiator": {"type": "MANUAL"}, "request_id": str(uuid.uuid4())} for _ in range(count)]


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_a_burst_without_engines_is_refused_beyond_the_limit_and_served_when_one_has_come(system: System) -> None:
    """Promise 1: what was accepted runs once; what was refused was not stored, and the same is accepted later."""
    system.start("api", backlog_limit=LIMIT)
    system.start("worker")
    system.wait_ready(apis=1, workers=1)
    strategy = {"rule": "PARALLEL", "workflow_concurrency": 1_000}
    system.push({"workflow_id": "burst", "run_strategy": strategy, "steps": [{"id": "work", "type": "bench_noop"}]})
    engines: list[OsProcess] = []
    ended = "SELECT count(*) FROM workflow_instance WHERE status = 'SUCCEEDED'"

    def start_an_engine(_: float) -> None:
        """Instead of sleeping for all of the time: by then there is an engine, and it has caught up."""
        looks_again_at = time.monotonic() + LOOK_SECONDS
        if not engines:
            engines.append(system.start("engine"))
        wait_until(lambda: system.query(ended) == [(LIMIT,)], 30, seen=system.logs)
        wait_until(lambda: system.query("SELECT count(*) FROM engine_inbox") == [(0,)], 30, seen=system.logs)
        wait_until(lambda: time.monotonic() > looks_again_at)

    refused = starts(30)
    with MaestroClient(system.api_url(), "ana", sleep=start_an_engine) as client:
        results = client.batch_start("burst", "active", starts(LIMIT))
        assert Counter({"CREATED": LIMIT}) == Counter(result["status"] for result in results)
        answer = system.call("POST", "/workflows/burst/versions/active/actions/batch-start", {"requests": refused})
        assert (429, True) == (answer.status_code, answer.json()["retryable"])
        assert [(LIMIT,)] == system.query("SELECT count(*) FROM workflow_instance")

        results = client.batch_start("burst", "active", refused)

    assert Counter({"CREATED": len(refused)}) == Counter(result["status"] for result in results)
    wait_until(lambda: system.query(ended) == [(LIMIT + len(refused),)], 30, seen=system.logs)


@pytest.mark.slow
def test_a_client_gives_up_when_it_was_refused_again_and_again(system: System) -> None:
    system.start("api", backlog_limit=1)
    system.wait_ready(apis=1)
    system.push({"workflow_id": "burst", "run_strategy": "PARALLEL", "steps": [{"id": "a", "type": "NoOp"}]})
    pauses: list[float] = []
    with MaestroClient(system.api_url(), "ana", sleep=pauses.append) as client:
        client.start("burst", "active", {}, str(uuid.uuid4()), "ana")

        with pytest.raises(ServerRefused, match="too many events wait for engines"):
            client.start("burst", "active", {}, str(uuid.uuid4()), "ana")

        assert 2 == len(pauses)
        assert all(2 <= pause <= 5 for pause in pauses)
        # Stopping what waits is never refused.
        assert "burst" == client.end("stop", "burst", 1)["workflow_id"]
