"""The data directory of `maestro up`, and the locks that keep it to one owner."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from maestro_py.supervisor.errors import DataDirectoryInUse


def make_data_directory(path: Path) -> None:
    """Make *path* if it is missing; nobody else may look inside."""
    # Under root the unprivileged account that runs PostgreSQL has to pass through to its own folder, which is closed.
    path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)


def lock(path: Path, refusal: str) -> IO[str]:
    """
    Return the file *path*, locked until it is closed or this process ends, with our process number inside.

    Raises:
        DataDirectoryInUse: Somebody else holds it; *refusal* is the text, ``{pid}`` in it that process.
    """
    stream = path.open("a+")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        pid = stream.read().strip() or "unknown"
        stream.close()
        raise DataDirectoryInUse(refusal.replace("{pid}", pid)) from None
    stream.truncate(0)
    stream.write(f"{os.getpid()}\n")
    stream.flush()
    return stream
