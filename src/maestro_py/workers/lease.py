"""
Keep the lease: local steps may run only as long as nobody else can be told to start them again.

The worker's beat renews the lease.  At two thirds of it without an answer the local steps are killed, by the guard,
so also when this process is stopped.  A server that is away is nobody's death and counts towards no lease.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from maestro_py.ports.process_beat import ProcessBeat

_TICK_SECONDS: Final = 0.25


def until_kill_ms(lease_ms: int) -> int:
    """Return for how many ms after an answered beat what this worker was given is certainly its own."""
    return 2 * lease_ms // 3


def allowed_ms(answered_ms_ago: int, server_away: bool, lease_ms: int) -> int:
    """
    Return for how many ms from now local steps may go on; 0 or less: not any more.

    Args:
        answered_ms_ago: Age of the newest beat that the server answered.
        server_away: Whether the server is starting, stopping or unreachable, within the outage grace.
        lease_ms: After so long without a beat, others may take the attempts over.
    """
    until_kill = until_kill_ms(lease_ms)
    return until_kill if server_away else until_kill - answered_ms_ago


class LeaseKeeper:
    """
    Passes the lease on to the guard, from a thread of its own: a busy event loop is no reason to kill anything.

    Args:
        beat: The beat of this process.
        lease_ms: The worker's lease.
        renew: Tells the guard for how many ms from now the steps may go on; called in the thread.
    """

    def __init__(self, beat: ProcessBeat, lease_ms: int, renew: Callable[[int], None]) -> None:
        self._beat = beat
        self._lease_ms = lease_ms
        self._renew = renew
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    @property
    def is_over(self) -> bool:
        """Say whether the local steps have to end."""
        return self._allowed_ms() <= 0

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing; the guard ends what still runs when the time it was given is over."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _allowed_ms(self) -> int:
        return allowed_ms(self._beat.last_answered_ms_ago(), self._beat.server_away(), self._lease_ms)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._renew(self._allowed_ms())
            self._stopping.wait(_TICK_SECONDS)
