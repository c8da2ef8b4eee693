"""
Apache Kafka as our own child: one broker that is its own controller, for laptops and tests.

It holds hints only, so its end is never waited for: it is killed with us, and its data may be deleted at any time.
`EmbeddedKafka.start` must be called from a thread that lives as long as the process (`maestro_py.parent`).
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final, Self
from uuid import uuid4

from maestro_py.parent import die_with_parent
from maestro_py.supervisor.data_directory import lock, make_data_directory
from maestro_py.supervisor.errors import EmbeddedKafkaFailed
from maestro_py.supervisor.exits import described, ended
from maestro_py.supervisor.foreign_server import EndWatcher, free_port, last_words, put_away
from maestro_py.supervisor.kafka_jars import find_jars, find_java

#: For one machine and small records.
SETTINGS: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    # A broker that was killed may not come back before its former self is taken for dead.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "1000",
    "metadata.max.idle.interval.ms": "0",  # an idle laptop has nobody to whom it must prove that it lives
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.segment.bytes": str(16 << 20),
}

#: What a broker may take to become ready: 2 s on a quiet machine.
READY_SECONDS: Final = 120.0

_JAVA_OPTIONS: Final = (
    "-Xmx512m",
    "-XX:+UseSerialGC",  # small heap, few cores: the collector that takes least from the others
    "-XX:TieredStopAtLevel=1",  # starts in half the time
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)
_LOG4J: Final = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""
_POLL_SECONDS: Final = 0.02
_RETRY_SECONDS: Final = 0.2
_PORT_TAKEN: Final = "Address already in use"
_JAVA_TOO_OLD: Final = "UnsupportedClassVersionError"
#: The folder of the broker's own files.
_DATA: Final = "data"


class EmbeddedKafka:
    """
    A broker of ours in *directory*, listening on 127.0.0.1 only.

    Args:
        directory: Made if missing; nothing in it needs to be kept.
        port: 0 chooses a free one, which stays the same until `stop`.
        protocol: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; all but the first need *settings*.
        settings: Over `SETTINGS`, by Kafka's names.
        environ: Where Java, Maven and the cache are found.
        say: Told, in sentences, what a user may want to know.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        protocol: str = "PLAINTEXT",
        settings: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._directory = directory.expanduser().absolute()
        self._wanted_port = port
        self._port = 0
        self._is_known = False  #: Whether somebody may have been told the port: then it stays.
        self._protocol = protocol
        self._settings = {**SETTINGS, **(settings or {})}
        self._environ = dict(os.environ if environ is None else environ)
        self._say = say
        self._java = self._jars = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: EndWatcher | None = None
        self._lock: IO[str] | None = None
        self._log_offset = 0
        self._began = self._launched = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The broker's process."""
        return self._running.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is alive; a paused one is."""
        return self._process is not None and self._process.poll() is None

    @property
    def port(self) -> int:
        """The TCP port; 0 before the first start."""
        return self._port

    @property
    def servers(self) -> str:
        """The address, as MAESTRO_KAFKA takes it."""
        return f"127.0.0.1:{self._port}"

    @property
    def log(self) -> Path:
        """The file that collects what the broker says."""
        return self._directory / "server.log"

    def prepare(self) -> None:
        """
        Do what may take long the first time: find Java, fetch the jars.  `begin_start` does it too if need be.

        Raises:
            EmbeddedKafkaFailed: Java or Maven is missing, or the jars cannot be fetched.
        """
        self._java = find_java(self._environ)
        self._jars = find_jars(self._environ, self._say)

    def start(self) -> str:
        """
        Start the broker and return its `servers` once it answers: 3 s the first time, 2 s later.

        Raises:
            DataDirectoryInUse: Another process runs a broker in this directory.
            EmbeddedKafkaFailed: It does not start; the text ends with the broker's own words.
        """
        try:
            self.begin_start()
            while not self.is_ready():
                time.sleep(_POLL_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self.servers

    def begin_start(self) -> None:
        """Start the broker without waiting for it: `is_ready` then tells."""
        if self.is_running:
            return
        if self._lock is None:
            if self._jars == Path():
                self.prepare()
            make_data_directory(self._directory)
            refusal = f"another process ({{pid}}) runs Kafka in {self._directory}"
            self._lock = lock(self._directory / "lock", refusal)
        self._began = time.monotonic()
        self._launch()

    def is_ready(self) -> bool:
        """
        Return whether a broker that `begin_start` started takes connections.

        Raises:
            EmbeddedKafkaFailed: It ended, or is not ready in time.
        """
        status = self._running.poll()
        if status is not None:
            said = last_words(self.log, self._log_offset)
            if _PORT_TAKEN not in said or self._wanted_port != 0 or self._is_known:
                raise _failed(f"Kafka {described(status)}", said)
            if time.monotonic() > self._launched + _RETRY_SECONDS:
                self._port = 0  # somebody took the port between our look and the broker's: choose another
                self._launch()
            return False
        # Its socket opens as the last thing of its start.
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            self._is_known = True
            return True
        if time.monotonic() > self._began + READY_SECONDS:
            raise _failed(f"Kafka is not ready after {READY_SECONDS:.0f} s", last_words(self.log, self._log_offset))
        return False

    async def ended(self) -> int:
        """Return the status of the process once it has ended."""
        return await ended(self._running)

    def stop(self, within_seconds: float = 10.0) -> None:
        """Stop in order, or by force after *within_seconds*; the next start may choose another port."""
        if self.is_running:
            self.resume()
            self._running.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._running.wait(within_seconds)
        self.kill()
        self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        self._port = 0
        self._is_known = False

    def kill(self) -> None:
        """SIGKILL the broker, as a machine that fails would; `start` brings it back at the same address."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None

    def pause(self) -> None:
        """Stop the broker in the middle of whatever it does (SIGSTOP): its connections stay, and nobody answers."""
        self._running.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused broker go on."""
        self._running.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Kill the broker and delete all it knows, topics included, as the loss of its disk would."""
        self.kill()
        shutil.rmtree(self._directory / _DATA, ignore_errors=True)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise EmbeddedKafkaFailed("the embedded Kafka is not started")
        return self._process

    def _launch(self) -> None:
        self._launched = time.monotonic()
        if self._port == 0:
            self._port = self._wanted_port or free_port()
        controller_port = free_port()
        data = self._directory / _DATA
        (self._directory / "log4j2.properties").write_text(_LOG4J)
        put_away(self.log)
        if not (data / "meta.properties").exists():
            self._format(data, controller_port)
        properties = self._write_properties(data, controller_port)
        with self.log.open("ab") as log:
            self._log_offset = log.tell()
            self._process = subprocess.Popen(
                self._command("kafka.Kafka", str(properties)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                env=self._environ,
                start_new_session=True,  # Ctrl-C in the terminal is for us
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        self._watcher = EndWatcher(self._process.pid, signal.SIGKILL)

    def _format(self, data: Path, controller_port: int) -> None:
        """Make the files of a new cluster; a crash in between leaves nothing that looks like them."""
        unfinished = data.with_suffix(".new")
        for remains in (data, unfinished):
            shutil.rmtree(remains, ignore_errors=True)
        properties = self._write_properties(unfinished, controller_port)
        cluster_id = base64.urlsafe_b64encode(uuid4().bytes).rstrip(b"=").decode()
        ran = subprocess.run(
            # Behind "=", for an id may begin with a dash.
            self._command("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", f"--config={properties}"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=self._directory,
            env=self._environ,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
        if ran.returncode != 0:
            raise _failed(f"Kafka's storage tool {described(ran.returncode)}", ran.stdout + ran.stderr)
        unfinished.rename(data)

    def _write_properties(self, data: Path, controller_port: int) -> Path:
        listener = f"{self._protocol}://127.0.0.1:{self._port}"
        settings = {
            **self._settings,
            "listeners": f"{listener},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": listener,
            "inter.broker.listener.name": self._protocol,
            "listener.security.protocol.map": f"{self._protocol}:{self._protocol},CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": f"{self._settings['node.id']}@127.0.0.1:{controller_port}",
            "log.dirs": str(data),
        }
        path = self._directory / "server.properties"
        path.touch(mode=0o600)  # it may hold passwords
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return path

    def _command(self, main: str, *arguments: str) -> list[str]:
        return [
            str(self._java),
            *_JAVA_OPTIONS,
            f"-Dlog4j2.configurationFile={self._directory / 'log4j2.properties'}",
            "-cp",
            f"{self._jars}{os.sep}*",
            main,
            *arguments,
        ]


def _failed(what: str, said: str) -> EmbeddedKafkaFailed:
    if _JAVA_TOO_OLD in said:
        return EmbeddedKafkaFailed(
            "Kafka needs Java 17 or newer, and this one is older: install openjdk-17-jre-headless, or set MAESTRO_KAFKA"
        )
    return EmbeddedKafkaFailed(f"{what}: {said.strip()}")
