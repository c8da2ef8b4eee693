"""The few lines of HTTP that serve metrics, against clients of every kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from prometheus_client import Metric
from prometheus_client.registry import Collector

from maestro_py.metrics import server
from maestro_py.metrics.families import counter
from maestro_py.metrics.server import CannotServeMetrics, MetricsServer


class Numbers(Collector):
    """Counts how often it was asked to refresh."""

    def __init__(self) -> None:
        self.refreshed = 0
        self.is_stuck = False

    async def refresh(self) -> None:
        self.refreshed += 1
        if self.is_stuck:
            await asyncio.Event().wait()

    def collect(self) -> Iterator[Metric]:
        yield counter("maestro_refreshed", "How often.", self.refreshed)


class Served:
    def __init__(self) -> None:
        self.numbers = Numbers()
        self.problem: str | None = None
        self.port = 0

    async def ask(self, path: str, method: str = "GET") -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=10) as client:
            return await client.request(method, path)

    async def say(self, request: bytes) -> bytes:
        """Send *request* as it stands and return everything that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        try:
            return await asyncio.wait_for(reader.read(), 5)
        except ConnectionResetError:  # closed with something of ours unread
            return b""
        finally:
            writer.close()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    async with MetricsServer("127.0.0.1", 0, served.numbers, lambda: served.problem) as serving:
        served.port = serving.port
        yield served


async def test_metrics_are_refreshed_for_each_answer_and_written_in_the_format_of_prometheus(served: Served) -> None:
    first, second = await served.ask("/metrics"), await served.ask("/metrics?name[]=x")

    assert first.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE maestro_refreshed_total counter\nmaestro_refreshed_total 1.0\n" in first.text
    assert "maestro_refreshed_total 2.0\n" in second.text
    assert "process_cpu_seconds_total" in first.text


async def test_health_is_told_without_looking_at_any_number(served: Served) -> None:
    assert (200, "ok\n") == ((await served.ask("/livez")).status_code, (await served.ask("/readyz")).text)
    served.problem = "the database is away"

    answer = await served.ask("/readyz")

    assert (503, "the database is away\n") == (answer.status_code, answer.text)
    assert 200 == (await served.ask("/livez")).status_code
    assert 0 == served.numbers.refreshed


async def test_everything_else_is_refused(served: Served) -> None:
    assert 404 == (await served.ask("/")).status_code
    assert 405 == (await served.ask("/metrics", "POST")).status_code
    head = await served.ask("/livez", "HEAD")
    assert (200, "3", b"") == (head.status_code, head.headers["content-length"], head.content)


async def test_nonsense_and_endless_headers_are_hung_up_on(served: Served) -> None:
    assert b"405" in await served.say(b"\r\n\r\n")
    assert b"" == await served.say(b"GET /livez HTTP/1.1\r\n" + b"x" * (64 << 10))
    assert 200 == (await served.ask("/livez")).status_code


async def test_whoever_is_slow_is_hung_up_on_and_keeps_nobody_waiting(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_PATIENCE_SECONDS", 0.2)
    slow = asyncio.create_task(served.say(b"GET /livez"))
    served.numbers.is_stuck = True
    stuck = asyncio.create_task(served.say(b"GET /metrics HTTP/1.1\r\n\r\n"))

    assert 200 == (await served.ask("/livez")).status_code
    assert (b"", b"") == (await slow, await stuck)


async def test_only_so_many_are_served_at_a_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_AT_ONCE", 2)
    waiting = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(2)]
    await asyncio.sleep(0)

    assert b"" == await served.say(b"GET /livez HTTP/1.1\r\n\r\n")

    for reader, writer in waiting:
        writer.write(b"GET /livez HTTP/1.1\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
        writer.close()
    assert 200 == (await served.ask("/livez")).status_code


async def test_a_port_that_is_taken_is_an_error_of_ours(served: Served) -> None:
    with pytest.raises(CannotServeMetrics, match=f"cannot listen on 127.0.0.1:{served.port}"):
        await MetricsServer("127.0.0.1", served.port, Numbers(), lambda: None).__aenter__()
