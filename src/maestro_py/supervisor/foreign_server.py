"""What every server that is not ours, but our child, needs: a free port, a bounded log, and an end when we end."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

_LOG_LIMIT_BYTES: Final = 10 * 1024 * 1024
_LAST_WORDS_BYTES: Final = 4_000


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def put_away(log: Path) -> None:
    """Rename a *log* that has become large to ``.log.1``, over its predecessor."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > _LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))


def last_words(log: Path, offset: int) -> str:
    """Return the end of what was written to *log* after *offset*."""
    with log.open("rb") as stream:
        stream.seek(offset)
        return stream.read()[-_LAST_WORDS_BYTES:].decode(errors="replace")


class EndWatcher:
    """
    Sends *number* to *pid* when this process ends, where the kernel does not (`maestro_py.parent.die_with_parent`).

    It is a shell whose input is a pipe that only we hold open; on Linux it is nothing.
    """

    def __init__(self, pid: int, number: signal.Signals) -> None:
        self._shell: subprocess.Popen[bytes] | None = None
        if sys.platform != "linux":
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", f'read -r _; kill -{int(number)} "$0"', str(pid)],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )

    def close(self) -> None:
        """Watch no more."""
        if self._shell is not None:
            self._shell.kill()
            self._shell.wait()
            if self._shell.stdin is not None:
                self._shell.stdin.close()
