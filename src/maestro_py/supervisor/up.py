"""
`maestro up`: PostgreSQL and every process of the service on one machine, under one parent.

Started in the order Kafka if it is wanted, database, schema, everything else; stopped in the order api, signal
service, workers (which finish or hand back what they run), engines, Kafka, database.  Whatever dies in between is
started again, and said so.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TextIO

from maestro_py.model.statuses import ProcessKind
from maestro_py.supervisor.children import Child, ChildSpec
from maestro_py.supervisor.console import Console
from maestro_py.supervisor.data_directory import lock, make_data_directory
from maestro_py.supervisor.embedded_kafka import EmbeddedKafka
from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from maestro_py.supervisor.errors import SupervisorError
from maestro_py.supervisor.exits import described
from maestro_py.supervisor.kafka_jars import KAFKA_VERSION

#: How long each kind of process may take to stop in order, in the order in which they are stopped.
STOP_WITHIN_SECONDS: Final[Mapping[str, float]] = {"api": 5.0, "signal": 5.0, "worker": 30.0, "engine": 10.0}

_POLL_SECONDS: Final = 0.05
_KAFKA_RETRY_SECONDS: Final = 10.0
#: How long everybody may take to begin before we say for whom we wait, and until we say so again.
_PATIENCE_SECONDS: Final = 4.0
_REMINDER_SECONDS: Final = 10.0


class RollCall(Protocol):
    """Tells which of our children do not do their work yet."""

    def absent(self, expected: Mapping[str, tuple[ProcessKind, int]]) -> list[str]:
        """Return, in words, what is missing; *expected* is the kind and number of the process of each name."""
        ...

    def close(self) -> None:
        """Let the database go."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What the command line says about `maestro up`."""

    data_directory: Path
    #: Brings the database at a URL to the newest schema.
    migrate: Callable[[str], None]
    #: Asks the database at a URL who works.
    roll_call: Callable[[str], RollCall]
    #: A PostgreSQL that somebody else runs; None starts the embedded one in *data_directory*.
    database_url: str | None = None
    #: What carries hints: ``postgres`` or ``kafka``.
    transport: str = "postgres"
    #: A Kafka that somebody else runs, host:port; None starts the embedded one when the transport is ``kafka``.
    kafka: str | None = None
    host: str = "127.0.0.1"
    #: 0 chooses a free one.
    port: int = 8080
    #: Of the first process that serves metrics; the others have the next ones.  0: none does.
    metrics_port: int = 0
    engines: int = 1
    workers: int = 1
    #: Of each worker; None leaves it to the worker.
    slots: int | None = None
    config: Path | None = None
    code: Path | None = None
    #: What the children find in their environment, besides what we tell them.
    environ: Mapping[str, str] = field(default_factory=dict)
    #: What runs ``maestro <command>``.
    command: tuple[str, ...] = (sys.executable, "-m", "maestro_py")
    #: See `Console`.
    log_format: str = "auto"
    out: TextIO = field(default_factory=lambda: sys.stdout)


async def run_up(options: UpOptions) -> None:
    """
    Run everything until SIGINT, SIGTERM or SIGHUP, then stop it in order; a second signal hurries.

    Must be awaited in the main thread, whose end the kernel tells to the children.

    Raises:
        DataDirectoryInUse: Another `maestro up` runs on the data directory.
        SupervisorError: Something cannot be started; what was started is stopped again.
    """
    make_data_directory(options.data_directory)
    refusal = (
        f"another `maestro up` (process {{pid}}) runs on {options.data_directory}:"
        " stop it first, or give this one its own --data-dir"
    )
    with lock(options.data_directory / "up.lock", refusal):
        await _Up(options).run()


class _Up:
    def __init__(self, options: UpOptions) -> None:
        self._options = options
        self._console = Console(options.out, options.environ, options.log_format)
        self._say = self._console.say
        self._port = options.port
        self._postgres: EmbeddedPostgres | None = None
        self._kafka: EmbeddedKafka | None = None
        self._children: list[Child] = []
        self._metrics: dict[str, int] = {}  #: Where each child serves its metrics.
        #: End by themselves once their child is stopped.
        self._running: list[asyncio.Task[None]] = []
        #: Go on until they are cancelled.
        self._keeping: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._hurried = False
        self._failure: Exception | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self._on_signal)
        try:
            await self._start_everything()
            await self._stop.wait()
        finally:
            await self._stop_everything()
            for number in numbers:
                loop.remove_signal_handler(number)
        if self._failure is not None:
            raise self._failure

    def _on_signal(self) -> None:
        if not self._stop.is_set():
            self._stop.set()
            return
        self._hurried = True
        self._say("hurrying: what has not stopped in a second is killed")
        for child in self._children:
            child.hurry()

    def _task(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run *work*; an error in it stops everything and becomes ours."""

        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001, RUF100 - raised again by `run`, after the stop
                self._failure = self._failure or error
                self._stop.set()

        return asyncio.create_task(guarded())

    async def _start_everything(self) -> None:
        self._port = _checked_port(self._options.host, self._options.port)
        if self._options.transport == "kafka" and self._options.kafka is None:
            await self._begin_kafka()
        url = self._options.database_url or await self._start_postgres()
        if not self._stop.is_set():
            await asyncio.to_thread(self._options.migrate, url)
        if self._kafka is not None and not self._stop.is_set():
            await self._finish_kafka(self._kafka)
        if not self._stop.is_set():
            self._start_children(url)
            self._keeping.append(self._task(self._announce(self._options.roll_call(url))))

    async def _begin_kafka(self) -> None:
        """Start Kafka, which then gets ready while PostgreSQL is made."""
        self._kafka = EmbeddedKafka(
            self._options.data_directory / "kafka", environ=self._options.environ, say=self._say
        )
        await asyncio.to_thread(self._kafka.prepare)
        if not self._stop.is_set():
            self._kafka.begin_start()

    async def _finish_kafka(self, server: EmbeddedKafka) -> None:
        await self._kafka_ready(server)
        self._say(f"Kafka {KAFKA_VERSION} serves on {server.servers}, for MAESTRO_KAFKA names no other")
        self._keeping.append(self._task(self._keep_kafka(server)))

    async def _keep_kafka(self, server: EmbeddedKafka) -> None:
        """Start Kafka again whenever it ends.  It is nobody's end if that fails: hints are lost, nothing else."""
        while True:
            self._say(f"Kafka {described(await server.ended())}; it is started again")
            try:
                server.begin_start()
                await self._kafka_ready(server)
            except SupervisorError as error:
                self._say(f"{error}; everything goes on without it, and it is tried again")
                await asyncio.sleep(_KAFKA_RETRY_SECONDS)
            else:
                self._say("Kafka serves again")

    async def _kafka_ready(self, server: EmbeddedKafka) -> None:
        while not server.is_ready():  # noqa: ASYNC110 - only trying to connect tells, and nobody notifies of it
            await asyncio.sleep(_POLL_SECONDS)

    async def _start_postgres(self) -> str:
        server = EmbeddedPostgres(self._options.data_directory, say=self._say)
        self._postgres = server
        server.begin_start()
        await self._postgres_ready(server)
        self._say(
            f"PostgreSQL 18 serves on 127.0.0.1:{server.port}, database and user maestro,"
            f" password in {server.password_file}"
        )
        self._keeping.append(self._task(self._keep_postgres(server)))
        return server.url

    async def _keep_postgres(self, server: EmbeddedPostgres) -> None:
        while True:
            status = await server.ended()
            self._say(f"PostgreSQL {described(status)}; it is started again")
            server.kill()  # what is left of it
            server.begin_start()
            await self._postgres_ready(server)
            self._say("PostgreSQL serves again")

    async def _postgres_ready(self, server: EmbeddedPostgres) -> None:
        while not server.is_ready():  # noqa: ASYNC110 - the server's file tells, and nobody notifies of it
            await asyncio.sleep(_POLL_SECONDS)

    def _start_children(self, url: str) -> None:
        options = self._options
        self._add("engine", options.engines, url, {})
        of_workers = {
            "MAESTRO_SLOTS": options.slots,
            "MAESTRO_CONFIG": options.config,
            "MAESTRO_CODE": options.code,
        }
        self._add("worker", options.workers, url, of_workers)
        self._add("signal", 1, url, {})
        self._add("api", 1, url, {"MAESTRO_HOST": options.host, "MAESTRO_PORT": self._port})

    def _add(self, kind: str, count: int, url: str, settings: Mapping[str, object]) -> None:
        told = {name: str(value) for name, value in settings.items() if value is not None}
        beside_metrics = kind == "api" or not self._options.metrics_port
        for number in range(1, count + 1):
            name = kind if kind in ("api", "signal") else f"{kind}-{number}"
            spec = ChildSpec(
                name=name,
                argv=(*self._options.command, kind),
                environment={
                    **self._options.environ,
                    "PYTHONUNBUFFERED": "1",
                    "MAESTRO_LOG_FORMAT": self._console.log_format,
                    "MAESTRO_DATABASE_URL": url,
                    "MAESTRO_TRANSPORT": self._options.transport,
                    "MAESTRO_KAFKA": self._options.kafka or (self._kafka.servers if self._kafka is not None else ""),
                    # Each its own: with one for all of them only the first could begin.
                    "MAESTRO_METRICS_PORT": "0" if beside_metrics else str(self._next_metrics_port(name)),
                    **told,
                },
                stop_within_seconds=STOP_WITHIN_SECONDS[kind],
            )
            child = Child(spec, self._console.author(name), self._say)
            self._children.append(child)
            self._running.append(self._task(child.run()))

    def _next_metrics_port(self, name: str) -> int:
        port = self._options.metrics_port + len(self._metrics)
        self._metrics[name] = port
        return port

    async def _announce(self, roll_call: RollCall) -> None:
        """Say where the API is, once it is there and everybody behind it does its work."""
        host = _reachable(self._options.host)
        try:
            await self._all_present(roll_call)
        finally:
            roll_call.close()
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(host, self._port)
                writer.close()
                break
            await asyncio.sleep(_POLL_SECONDS)
        shown = f"[{host}]" if ":" in host else host
        if self._metrics:
            self._say("metrics: " + ", ".join(f"{name} on port {port}" for name, port in self._metrics.items()))
        self._say(f"maestro is up: http://{shown}:{self._port}  (the API is described at /docs; Ctrl-C stops it)")

    async def _all_present(self, roll_call: RollCall) -> None:
        """Return once every child works as the others see it; say what is missing if that takes long."""
        say_at = time.monotonic() + _PATIENCE_SECONDS
        while absent := await asyncio.to_thread(self._absent, roll_call):
            if time.monotonic() > say_at:
                self._say(f"not yet up: {', '.join(absent)}")
                say_at = time.monotonic() + _REMINDER_SECONDS
            await asyncio.sleep(_POLL_SECONDS)

    def _absent(self, roll_call: RollCall) -> list[str]:
        expected: dict[str, tuple[ProcessKind, int]] = {}
        for child in self._children:
            if (pid := child.pid) is None:
                return [f"{child.spec.name} is not started"]
            expected[child.spec.name] = (ProcessKind(child.spec.name.partition("-")[0]), pid)
        return roll_call.absent(expected)

    async def _stop_everything(self) -> None:
        for task in self._keeping:
            task.cancel()
        if self._children:
            self._say("stopping: api, signal service, workers, engines, servers (Ctrl-C again hurries)")
        for kind in STOP_WITHIN_SECONDS:
            await asyncio.gather(
                *(child.stop() for child in self._children if child.spec.name.partition("-")[0] == kind)
            )
        await asyncio.gather(*self._running, *self._keeping, return_exceptions=True)
        if self._kafka is not None:
            # It holds nothing that would be worth the time of an orderly end.
            await asyncio.to_thread(self._kafka.stop, 0.0)
        if self._postgres is not None:
            await asyncio.to_thread(self._postgres.stop, 1.0 if self._hurried else 30.0)
        if self._children or self._postgres is not None:
            self._say("stopped")


def _reachable(host: str) -> str:
    """Return the address by which this machine reaches a server that listens on *host*."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound


def _checked_port(host: str, port: int) -> int:
    """Return *port*, or a free one for 0, after a look whether the API will be able to listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SupervisorError(
                f"the API cannot listen on {host}:{port} ({error.strerror}): choose another by --port or --host"
            ) from error
        free: int = probe.getsockname()[1]
        return free
