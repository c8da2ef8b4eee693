"""Count requests and starts; every app has a registry of its own, so several may live in one process."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from maestro_py.api.pressure import Pressure
from maestro_py.api.starts import Starter
from maestro_py.ports.transport import Transport

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The counters of one app."""

    def __init__(self, starter: Starter, pressure: Pressure, transport: Transport) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "maestro_api_requests",
            "Requests answered.",
            ("method", "route", "code"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "maestro_api_request_seconds",
            "Time from a request to the end of its answer.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.registry.register(_Counted(starter, pressure, transport))


class _Counted(Collector):
    """Reads counters that others keep, when somebody asks."""

    def __init__(self, starter: Starter, pressure: Pressure, transport: Transport) -> None:
        self._starter = starter
        self._pressure = pressure
        self._transport = transport

    def collect(self) -> Iterator[Metric]:
        backlog = GaugeMetricFamily(
            "maestro_api_backlog", "What waited at the newest look, counted up to the limit.", labels=("for",)
        )
        backlog.add_metric(("engine",), self._pressure.seen.events)
        backlog.add_metric(("signal",), self._pressure.seen.signals)
        yield backlog
        yield CounterMetricFamily(
            "maestro_api_starts", "Runs asked for, duplicates included.", value=self._starter.started
        )
        yield CounterMetricFamily(
            "maestro_api_start_transactions", "Transactions that started runs.", value=self._starter.batches
        )
        yield CounterMetricFamily(
            "maestro_hints_dropped", "Hints dropped; each costs a sweep.", value=self._transport.hints_dropped
        )


class Measured:
    """Counts the requests that pass through *app*."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note its route, code and duration."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        code = 500
        began = time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            # The route, not the path: paths are as many as there are runs.
            route = getattr(scope.get("route"), "path", "none")
            # Callers may make methods up, and each would be counted for ever.
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, code).inc()
            self._metrics.seconds.labels(method, route).observe(time.perf_counter() - began)
