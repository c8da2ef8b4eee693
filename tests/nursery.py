"""
Start processes of the service in a tenth of the time: forks of one that has imported everything and done nothing else.

Importing is three quarters of what a process needs to start, and a fault test starts half a dozen.  Everything else is
as ``python -m`` has it: a session, an environment and a log of its own, `__main__` run from its first line to its end.
Tests of the command line itself start it by that.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]

#: What the processes import, their step types aside; none of it does anything when it is imported.
_MODULES: Final = ("maestro_py.cli", "maestro_py.bootstrap", "maestro_py.running", "uvicorn", "uvloop")


class Nursery:
    """The process that forks, as its user sees it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nursery", str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self._socket = ours
        self._lines = ours.makefile("rwb", buffering=0)
        self._lock = threading.Lock()

    def start(self, module: str, arguments: list[str], environ: Mapping[str, str], log: Path) -> int:
        """Run *module* with *arguments* in *environ*, what it says being appended to *log*; return its process id."""
        asked = {"module": module, "arguments": arguments, "environ": dict(environ), "log": str(log)}
        return int(self._ask(asked))

    def poll(self, pid: int) -> int | None:
        """Return the exit status of a process, or minus the signal that ended it; None: it runs."""
        status: int | None = self._ask({"pid": pid})
        return status

    def close(self) -> None:
        """End the process that forks, and whatever it has forked that still runs."""
        self._lines.close()
        self._socket.close()
        self._process.wait(10)

    def _ask(self, question: dict[str, Any]) -> Any:
        with self._lock:
            self._lines.write(json.dumps(question).encode() + b"\n")
            answer = self._lines.readline()
        if not answer:
            raise RuntimeError(f"the process that starts processes has ended: {self._process.wait(10)}")
        return json.loads(answer)


@cache
def nursery() -> Nursery:
    """Return the one of this test process, which ends with it."""
    made = Nursery()
    atexit.register(made.close)
    return made


# --- the process that forks ----------------------------------------------------------------------------------


def _preload() -> None:
    for name in _MODULES:
        import_module(name)
    for step_type in entry_points(group="maestro_py.step_types"):
        step_type.load()
    # What was imported stays, and the pages on which it lies are shared.
    gc.collect()
    gc.freeze()
    assert threading.active_count() == 1, "a fork takes no other thread along"


def _serve(listening: socket.socket) -> dict[str, Any] | None:
    """Answer until the user is gone, and return None; in a process that was forked return what it shall be."""
    running: set[int] = set()
    with listening, listening.makefile("rwb", buffering=0) as lines:
        for line in lines:
            asked = json.loads(line)
            if "pid" in asked:
                pid, status = os.waitpid(asked["pid"], os.WNOHANG)
                running.discard(pid)
                answer = os.waitstatus_to_exitcode(status) if pid else None
            else:
                answer = os.fork()
                if answer == 0:
                    return dict(asked)
                running.add(answer)
            lines.write(json.dumps(answer).encode() + b"\n")
    for pid in running:
        os.kill(pid, 9)
    return None


def _become(asked: Mapping[str, Any]) -> None:
    """Be ``python -m module``, as far as it can tell."""
    os.setsid()
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    os.environ.clear()
    os.environ.update(asked["environ"])
    sys.argv = [asked["module"], *asked["arguments"]]
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _preload()
    if (birth := _serve(socket.socket(fileno=int(sys.argv[1])))) is not None:
        _become(birth)
