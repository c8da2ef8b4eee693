"""How a process ended, and waiting for it without a thread and without losing who started it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Final

_POLL_SECONDS: Final = 0.1


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Return the status of *process* once it has ended, as `subprocess` gives it: negative for a signal."""
    if sys.platform == "linux" and process.poll() is None:
        # A descriptor that becomes readable at the end: no polling, and no thread that would be the parent.
        descriptor = os.pidfd_open(process.pid)
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        loop.add_reader(descriptor, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
    while (status := process.poll()) is None:  # noqa: ASYNC110 - other systems have nothing better
        await asyncio.sleep(_POLL_SECONDS)
    return status


def described(status: int) -> str:
    """Return what the exit *status* means, as the end of a sentence about the process."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
