"""
PostgreSQL as our own child: started from the binaries of a wheel, gone when we are gone, its data kept.

`EmbeddedPostgres.start` must be called from a thread that lives as long as the process: on Linux the kernel
ends the server with the thread that started it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Final, Self

from maestro_py.parent import die_with_parent
from maestro_py.supervisor.data_directory import lock, make_data_directory
from maestro_py.supervisor.errors import EmbeddedPostgresFailed
from maestro_py.supervisor.exits import described, ended
from maestro_py.supervisor.foreign_server import EndWatcher, free_port, last_words, put_away
from maestro_py.supervisor.postgres_binaries import account_for, find_binaries
from maestro_py.supervisor.postgres_cluster import (
    DATABASE,
    USER,
    Cluster,
    as_account,
    clear_remains,
    cluster_folder,
    environment,
    pid_file_lines,
    place_cluster,
    prepare_cluster,
)

#: For a machine that runs everything: two cores, a few gigabytes.  Durability is never traded.
SETTINGS: Final[Mapping[str, str]] = {
    "cluster_name": "maestro",
    "max_connections": "200",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "wal_buffers": "16MB",
    "wal_compression": "on",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "log_checkpoints": "off",
    "jit": "off",  # short statements only: compiling one costs more than running it
    "max_parallel_workers_per_gather": "0",  # the cores belong to the processes of maestro
    # The inbox and the attempts turn over completely within minutes: many small vacuums, not one large one.
    "autovacuum_naptime": "10s",
    "autovacuum_max_workers": "2",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.05",
    "autovacuum_vacuum_cost_delay": "1ms",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

#: What a server may take to become ready; after a crash it replays up to *max_wal_size* of its log.
READY_SECONDS: Final = 180.0

_POLL_SECONDS: Final = 0.02
_SOCKET_PATH_LIMIT: Final = 100  # of 103 on macOS and 107 on Linux

#: The last words of a server that may start a moment later: the processes of a killed one are not gone yet.
_REMAINS: Final = "pre-existing shared memory block"
_REMAINS_SECONDS: Final = 20.0
_RETRY_SECONDS: Final = 0.2
_PORT_TAKEN: Final = "could not bind"


class EmbeddedPostgres:
    """
    A PostgreSQL 18 server of ours in *data_directory*, listening on 127.0.0.1 only.

    Args:
        data_directory: Made if missing; the data survives there.
        port: 0 chooses a free one, which stays the same until `stop`.
        settings: Over `SETTINGS`, by PostgreSQL's names.
        say: Told, in sentences, what a user may want to know.
    """

    def __init__(
        self,
        data_directory: Path,
        *,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._data_directory = data_directory.expanduser().absolute()
        self._wanted_port = port
        self._port = 0
        self._settings = {**SETTINGS, **(settings or {})}
        self._say = say
        self._cluster: Cluster | None = None
        self._binaries = Path()
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
        """The server's main process."""
        if self._process is None:
            raise EmbeddedPostgresFailed("the embedded PostgreSQL is not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the main process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def port(self) -> int:
        """The TCP port; 0 before the first start."""
        return self._port

    @property
    def url(self) -> str:
        """The address of the database ``maestro``, password included, by TCP."""
        return f"postgresql://{USER}:{self._made.password}@127.0.0.1:{self._port}/{DATABASE}"

    @property
    def socket_url(self) -> str | None:
        """The same by unix socket; None if the path of the data directory is too long for one."""
        if not self._has_socket:
            return None
        folder = self._made.socket_folder
        return f"postgresql://{USER}:{self._made.password}@/{DATABASE}?host={folder}&port={self._port}"

    @property
    def password_file(self) -> Path:
        """The file with the password, for whoever wants to look inside by another tool."""
        return self._made.password_file

    @property
    def log(self) -> Path:
        """The file that collects what the server says."""
        return self._made.log

    def start(self) -> str:
        """
        Start the server and return its `url` once it answers: 0.7 s the first time, 0.2 s later.

        Raises:
            DataDirectoryInUse: Another process runs a server on this data directory.
            EmbeddedPostgresFailed: It does not start; the text ends with the server's own words.
        """
        try:
            self.begin_start()
            while not self.is_ready():
                time.sleep(_POLL_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self.url

    def begin_start(self) -> None:
        """Start the server without waiting for it: `is_ready` then tells, and retries what passes by itself."""
        if self.is_running:
            return
        if self._cluster is None:
            self._prepare()
        clear_remains(self._made, self._say)
        self._began = time.monotonic()
        self._launch()

    def is_ready(self) -> bool:
        """
        Return whether a server that `begin_start` started takes connections.

        Raises:
            EmbeddedPostgresFailed: It ended, or is not ready in time.
        """
        assert self._process is not None, "begin_start comes first"
        status = self._process.poll()
        if status is not None:
            said = self._said()
            if not self._may_pass(said):
                raise EmbeddedPostgresFailed(f"PostgreSQL {described(status)}: {said.strip()}")
            if time.monotonic() > self._launched + _RETRY_SECONDS:
                self._launch()
            return False
        lines = pid_file_lines(self._made)
        if len(lines) >= 8 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready":
            return True
        if time.monotonic() > self._began + READY_SECONDS:
            raise EmbeddedPostgresFailed(f"PostgreSQL is not ready after {READY_SECONDS:.0f} s: {self._said().strip()}")
        return False

    async def ended(self) -> int:
        """Return the status of the main process once it has ended."""
        assert self._process is not None, "begin_start comes first"
        return await ended(self._process)

    def stop(self, within_seconds: float = 30.0) -> None:
        """
        Stop in order: connections are ended and everything is on disk.  Harder means after *within_seconds*.
        """
        process = self._process
        if process is not None:
            for number, seconds in ((signal.SIGINT, within_seconds), (signal.SIGQUIT, 10.0)):
                if process.poll() is not None:
                    break
                process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
            self.kill()
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
            self._cluster = None
        self._port = 0

    def kill(self) -> None:
        """SIGKILL the server with all its processes, as a machine that fails would; `start` brings it back."""
        process = self._process
        if process is not None:
            helpers = _children_of(process.pid) if process.poll() is None else []
            process.kill()
            for pid in helpers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None

    def restart(self) -> str:
        """Stop in order, start again on the same port, and return the `url`."""
        port = self._port
        self.stop()
        self._port = port
        return self.start()

    @property
    def _made(self) -> Cluster:
        if self._cluster is None:
            raise EmbeddedPostgresFailed("the embedded PostgreSQL is not started")
        return self._cluster

    @property
    def _has_socket(self) -> bool:
        return len(os.fsencode(self._made.socket_folder / f".s.PGSQL.{self._port}")) <= _SOCKET_PATH_LIMIT

    def _prepare(self) -> None:
        make_data_directory(self._data_directory)
        account = account_for(cluster_folder(self._data_directory) / "cluster")
        folder = place_cluster(self._data_directory, account, self._say)
        self._lock = lock(folder / "lock", f"another process ({{pid}}) runs PostgreSQL in {folder}")
        try:
            self._binaries = find_binaries(account, self._say)
            self._cluster = prepare_cluster(folder, self._binaries, account)
        except BaseException:
            self._lock.close()
            self._lock = None
            raise

    def _launch(self) -> None:
        self._launched = time.monotonic()
        cluster = self._made
        if self._port == 0:
            self._port = self._wanted_port or free_port()
        settings = {
            **self._settings,
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": str(cluster.socket_folder) if self._has_socket else "",
        }
        put_away(cluster.log)
        with cluster.log.open("ab") as log:
            self._log_offset = log.tell()
            self._process = subprocess.Popen(
                [
                    str(self._binaries / "postgres"),
                    "-D",
                    str(cluster.data),
                    *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cluster.folder,
                env=environment(),
                start_new_session=True,  # Ctrl-C in the terminal is for us: we stop it in order
                # SIGINT is PostgreSQL's fast shutdown.
                preexec_fn=die_with_parent(signal.SIGINT),
                **as_account(cluster.account),  # type: ignore[call-overload]  # (as in postgres_cluster)
            )
        self._watcher = EndWatcher(self._process.pid, signal.SIGINT)

    def _said(self) -> str:
        return last_words(self._made.log, self._log_offset)

    def _may_pass(self, said: str) -> bool:
        if time.monotonic() > self._began + _REMAINS_SECONDS:
            return False
        if _PORT_TAKEN in said and self._wanted_port == 0:
            self._port = 0  # somebody took the port between our look and the server's: choose another
            return True
        return _REMAINS in said


def _children_of(pid: int) -> list[int]:
    """Return the processes whose parent is *pid*."""
    return [child for child, parent in _processes() if parent == pid]


def _processes() -> Iterator[tuple[int, int]]:
    """Yield (process, its parent) of this machine."""
    if sys.platform == "linux":
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, ValueError):
                    # The name stands in brackets and may hold anything: what follows the last one is regular.
                    after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                    yield int(entry.name), int(after_name[1])
        return
    listed = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        pid, parent = line.split()
        yield int(pid), int(parent)
