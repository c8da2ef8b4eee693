"""Keep one `maestro up` running in a data directory, and stop it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

from maestro_py.parent import die_with_parent

#: Workers may finish what they run; then everything is stopped in order.
_STOP_SECONDS: Final = 60.0
#: Somebody may kill `maestro up` itself once or twice to see what happens; more often, something is wrong.
_MOST_RESTARTS: Final = 5
#: Settings of the user's own service would lead the demo there; how to find Kafka is the same everywhere.
_FOREIGN_SETTINGS: Final = "MAESTRO_"
_SHARED_SETTINGS: Final = "MAESTRO_KAFKA"


class ServiceFailed(Exception):
    """`maestro up` ended, and starting it again would not help."""


class Service:
    """
    A `maestro up` of our own.

    Args:
        data_directory: Holds the database and the log; both survive us.
        options: For `maestro up`, besides its port and data directory.
        variables: What its processes find in their environment, besides ours.
        say: Told, in sentences, what a user may want to know.
    """

    def __init__(
        self,
        data_directory: Path,
        options: Sequence[str],
        variables: dict[str, str],
        say: Callable[[str], None],
    ) -> None:
        self._data_directory = data_directory
        self._options = tuple(options)
        self._variables = variables
        self._say = say
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._log_begin = 0  # what earlier demos said stands before it
        self._restarts = 0

    @property
    def url(self) -> str:
        """Return the address of the API; it stays the same when `maestro up` is started again."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> Path:
        """Return the file that collects what all processes say."""
        return self._data_directory / "maestro.log"

    def start(self) -> None:
        """Start it; `url` answers some time later."""
        # Not private: as root the embedded PostgreSQL runs under another account, which must get in.
        self._data_directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Appended to: a demo that still runs in this directory may be writing, too, and we are about to be refused.
        self._log = self.log.open("ab")
        self._log_begin = self._log.tell()
        self._launch()

    def keep_running(self) -> None:
        """
        Start `maestro up` again if somebody killed it.

        Raises:
            ServiceFailed: It ended by itself, or is killed again and again.
        """
        assert self._process is not None, "start comes first"
        status = self._process.poll()
        if status is None:
            return
        if status >= 0:
            raise ServiceFailed(f"maestro up ended with status {status}")
        name = signal.Signals(-status).name
        if self._restarts == _MOST_RESTARTS:
            raise ServiceFailed(f"maestro up was killed by {name}, the {self._restarts + 1}th time")
        self._restarts += 1
        self._say(f"maestro up was killed by {name}; it is started again and goes on from the database")
        self._launch()

    def stop(self) -> None:
        """Stop everything in order; Ctrl-C meanwhile hurries it."""
        process, self._process = self._process, None
        if process is None:
            return
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_SECONDS)
            except KeyboardInterrupt:
                continue  # a second SIGINT makes it hurry
            except subprocess.TimeoutExpired:
                process.kill()
        if self._log is not None:
            self._log.close()

    def last_words(self, lines: int = 20) -> str:
        """Return the end of what our processes have said."""
        said = self.log.read_bytes()[self._log_begin :].decode(errors="replace")
        return "\n".join(said.splitlines()[-lines:])

    def _launch(self) -> None:
        place = ("--port", str(self._port), "--data-dir", str(self._data_directory), "--log-format", "text")
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_FOREIGN_SETTINGS) or name.startswith(_SHARED_SETTINGS)
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "maestro_py", "up", *place, *self._options],
            env={**inherited, **self._variables},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, and we stop it in order
            preexec_fn=die_with_parent(signal.SIGTERM),
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
