"""
The API process: serves the HTTP surface, and like every process ends what dead ones left behind in the database.

It keeps nothing between requests, so any number of these may run.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
import uvicorn

from maestro_py.api.app import ApiOptions, create_app
from maestro_py.model.errors import MaestroError
from maestro_py.ports.api_store import ApiStore
from maestro_py.ports.clock import Clock
from maestro_py.ports.evaluator import IN_THREAD, Evaluator
from maestro_py.ports.process_beat import Judge, ProcessBeat
from maestro_py.ports.transport import Transport

#: How long requests under way may go on after a stop, in seconds.
_DRAIN_SECONDS: Final = 5
_BACKLOG: Final = 2048

_log = structlog.get_logger()


class CannotListen(MaestroError):
    """The address cannot be bound: somebody else has the port, or the host is not one of this machine's."""


class ApiProcess:
    """
    Serves the API.

    Args:
        store: Open.
        transport: Open; takes the hints of what is stored here.
        beat: Of this process.
        judge: Ends what dead processes hold: an API that was stopped inside a start would wedge its workflows.
        clock: Stamps what is stored and shown.
        options: Where to listen, and the limits.
        evaluator: Evaluates expressions that are too heavy for the loop; closed by whoever made it.
    """

    def __init__(
        self,
        store: ApiStore,
        transport: Transport,
        beat: ProcessBeat,
        judge: Judge,
        clock: Clock,
        options: ApiOptions,
        evaluator: Evaluator = IN_THREAD,
    ) -> None:
        self._beat = beat
        self._judge = judge
        self._options = options
        self._server = _Server(
            uvicorn.Config(
                create_app(store, transport, clock, options, evaluator),
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_DRAIN_SECONDS,
            )
        )
        self._stopping = False

    async def run(self) -> None:
        """
        Serve until `stop` is called; requests under way are then finished first.

        Raises:
            CannotListen: the address cannot be bound.
        """
        listener = _listener(self._options.host, self._options.port)
        port = listener.getsockname()[1]
        self._beat.set_info({"host": self._options.host, "port": port})
        _log.info("api_listening", host=self._options.host, port=port)
        judging = asyncio.create_task(self._judge.run())
        try:
            if not self._stopping:
                await self._server.serve(sockets=[listener])
        finally:
            judging.cancel()
            listener.close()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping = True
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: whoever composed the process handles signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as exc:
        raise CannotListen(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
