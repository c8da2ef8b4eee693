"""
Stands for the command ``maestro``: children that do nothing but live, and an ``up`` over them.

    python -m tests.acceptance.fake_maestro up DIRECTORY PORT
    python -m tests.acceptance.fake_maestro engine|worker|signal|api

Each child writes to the file FAKE_EVENTS a line when it starts, with the servers it was told, and when it is stopped.
FAKE_STUBBORN names the kinds that pay no heed to SIGTERM, FAKE_IDLE those that never begin their work, and
FAKE_MISCONFIGURED those that end at once with the status of wrong usage.  FAKE_METRICS_PORT is the first port for
metrics, and FAKE_LOG_FORMAT says what the log is like.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from maestro_py.model.statuses import ProcessKind
from maestro_py.parent import watch_parent
from maestro_py.supervisor.errors import SupervisorError
from maestro_py.supervisor.up import UpOptions, run_up


def _record(text: str) -> None:
    # One short write to a file opened for appending does not mix with those of others.
    with Path(os.environ["FAKE_EVENTS"]).open("a") as events:
        events.write(f"{text}\n")


def _child(kind: str) -> None:
    if kind in os.environ.get("FAKE_MISCONFIGURED", "").split():
        sys.stderr.write("maestro: MAESTRO_SLOTS: 0 is too few\n  give at least one\n")
        sys.exit(2)
    stopped = threading.Event()
    if kind in os.environ.get("FAKE_STUBBORN", "").split():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    watch_parent(os.environ)
    _record(f"{kind} {os.getpid()} started {os.environ['MAESTRO_DATABASE_URL']} {os.environ['MAESTRO_KAFKA']}")
    _record(f"{kind} {os.getpid()} measures {os.environ['MAESTRO_METRICS_PORT']}")
    sys.stdout.write(f"a line of the {kind}\n")
    if kind == "api":
        listener = socket.create_server((os.environ["MAESTRO_HOST"], int(os.environ["MAESTRO_PORT"])))
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    while not stopped.wait(0.05):  # a wait without end would keep Python from running the signal's handler
        pass
    _record(f"{kind} {os.getpid()} stopped")


def _accept(listener: socket.socket) -> None:
    while True:
        listener.accept()[0].close()


class _Started:
    """Believes that a child works when it has written that it started."""

    def absent(self, expected: Mapping[str, tuple[ProcessKind, int]]) -> list[str]:
        started = {tuple(line.split()[:2]) for line in Path(os.environ["FAKE_EVENTS"]).read_text().splitlines()}
        idle = os.environ.get("FAKE_IDLE", "").split()
        return [
            f"{name} is idle"
            for name, (kind, pid) in expected.items()
            if (str(kind), str(pid)) not in started or kind in idle
        ]

    def close(self) -> None:
        _record(f"roll {os.getpid()} closed")


def _up(directory: Path, port: int) -> None:
    options = UpOptions(
        data_directory=directory,
        migrate=lambda url: _record(f"migrate {os.getpid()} {url}"),
        roll_call=lambda _: _Started(),
        transport=os.environ.get("MAESTRO_TRANSPORT", "postgres"),
        kafka=os.environ.get("MAESTRO_KAFKA"),
        port=port,
        log_format=os.environ.get("FAKE_LOG_FORMAT", "text"),
        metrics_port=int(os.environ.get("FAKE_METRICS_PORT", "0")),
        engines=2,
        workers=2,
        environ=os.environ,
        command=(sys.executable, "-m", "tests.acceptance.fake_maestro"),
    )
    try:
        asyncio.run(run_up(options))
    except SupervisorError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    if sys.argv[1] == "up":
        _up(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        _child(sys.argv[1])
