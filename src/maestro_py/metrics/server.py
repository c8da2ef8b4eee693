"""
Serve ``/metrics``, ``/livez`` and ``/readyz`` on a port of the process's own.

A few lines of HTTP in the loop of the process: a process whose loop does not turn is not alive, and says so by its
silence.  It answers GET and HEAD, one request a connection, to a few connections at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from maestro_py.model.errors import MaestroError

#: How long reading a request, what it needs from the database, and writing the answer may take together, in seconds.
_PATIENCE_SECONDS: Final = 5.0
_REQUEST_BYTES: Final = 8 << 10
#: Connections at a time; more are closed.
_AT_ONCE: Final = 16
_TEXT: Final = "text/plain; charset=utf-8"

_log = structlog.get_logger()


class CannotServeMetrics(MaestroError):
    """The port for metrics cannot be bound: somebody else has it, or the host is not one of this machine's."""


class Source(Collector, Protocol):
    """What the process counts."""

    async def refresh(self) -> None:
        """Read what has to be read before `collect`."""
        ...


class _Answer(NamedTuple):
    status: HTTPStatus
    body: bytes
    content_type: str = _TEXT


class MetricsServer:
    """
    Serves as long as its block lasts.

    Args:
        host: Address to bind.
        port: Port to bind; 0: any free one.
        source: What is counted; gets a registry of its own.
        problem: Returns why the process is not ready, None if it is.
    """

    def __init__(self, host: str, port: int, source: Source, problem: Callable[[], str | None]) -> None:
        self._host = host
        self._port = port
        self._source = source
        self._problem = problem
        self._registry = CollectorRegistry()
        self._registry.register(source)
        ProcessCollector(registry=self._registry)
        self._connections = 0

    async def __aenter__(self) -> Self:
        try:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            listener = socket.create_server((self._host, self._port), family=family)
        except OSError as exc:
            raise CannotServeMetrics(f"cannot listen on {self._host}:{self._port}: {exc.strerror or exc}") from exc
        self.port: int = listener.getsockname()[1]  #: Where it listens.
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=_REQUEST_BYTES)
        _log.info("metrics_served", host=self._host, port=self.port)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= _AT_ONCE:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._answer(reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # Whoever asked has gone, or asks for what is not here.
        finally:
            self._connections -= 1
            with contextlib.suppress(OSError):
                writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
        answer = await self._answer_to(method, path)
        lines = (
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(answer.body)}",
            "Connection: close",
        )
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if method == b"HEAD" else answer.body))
        await writer.drain()

    async def _answer_to(self, method: bytes, path: str) -> _Answer:
        if method not in (b"GET", b"HEAD"):
            return _Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET\n")
        match path:
            case "/livez":
                return _Answer(HTTPStatus.OK, b"ok\n")
            case "/readyz":
                problem = self._problem()
                if problem is not None:
                    return _Answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{problem}\n".encode())
                return _Answer(HTTPStatus.OK, b"ok\n")
            case "/metrics":
                await self._source.refresh()
                return _Answer(HTTPStatus.OK, generate_latest(self._registry), CONTENT_TYPE_LATEST)
        return _Answer(HTTPStatus.NOT_FOUND, b"there are /metrics, /livez and /readyz\n")
