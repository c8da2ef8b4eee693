"""
End with the parent.  Two independent means, because either alone has a hole.

On Linux the kernel sends a signal when the *thread* that started a process ends (`die_with_parent`), at once
and whatever the process is doing.  Everywhere, the parent holds the write end of a pipe whose read end the
child inherits; when the parent is gone, however it went, the pipe reads as ended (`watch_parent`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Final

#: Names the inherited descriptor of the pipe that ends with the parent.
PARENT_FD: Final = "MAESTRO_PARENT_FD"

#: What `watch_parent` lets a process do in peace after its parent has gone.
GRACE_SECONDS: Final = 2.0

_PR_SET_PDEATHSIG: Final = 1
_ORPHANED: Final = 113  # an exit status of our own, easy to find in a log


def die_with_parent(signal_number: signal.Signals) -> Callable[[], None] | None:
    """
    Return a ``preexec_fn`` that has the kernel send *signal_number* to the new process when its parent ends.

    The kernel means the thread that forks: start the process from one that lives as long as its process.
    None where there is no such thing (macOS), so that ``subprocess`` takes its faster way.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded here: after the fork only plain calls are safe
    parent_pid = os.getpid()

    def ask_the_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
        if os.getppid() != parent_pid:  # it ended before we asked, and no signal will come
            os._exit(_ORPHANED)

    return ask_the_kernel


def watch_parent(environ: Mapping[str, str], grace_seconds: float = GRACE_SECONDS) -> None:
    """
    End this process when the parent that *environ* speaks of ends; do nothing if it names none.

    First SIGTERM, the ordinary way to stop; after *grace_seconds* the process exits whatever it is doing.
    """
    named = environ.get(PARENT_FD)
    if not named:
        return
    descriptor = int(named)
    os.set_inheritable(descriptor, False)  # or our own children would seem to be watching too
    threading.Thread(target=_end_with, args=(descriptor, grace_seconds), name="watch-parent", daemon=True).start()


def _end_with(descriptor: int, grace_seconds: float) -> None:
    while True:
        try:
            if not os.read(descriptor, 1024):
                break
        except InterruptedError:  # pragma: no cover - Python retries by itself; an odd platform may not
            continue
        except OSError:
            break
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(grace_seconds)
    os._exit(_ORPHANED)
