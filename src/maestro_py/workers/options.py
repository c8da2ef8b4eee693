"""What an operator may choose about a worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """The choices, with the defaults of `maestro_py.settings`."""

    queues: tuple[str, ...] = ("default",)  #: From which it takes work.
    slots: int = 8  #: Attempts that run at a time.
    pool_size: int = 0  #: Python processes that are kept warm; 0: one a core.
    code: Path | None = None  #: The directory of the user's code.
    lease_ms: int = 4_000  #: Past this without a beat, others take its attempts over.
    beat_interval_ms: int = 1_000  #: How often it compares what it runs with the table.
    sweep_interval_ms: int = 1_500  #: The most that a lost hint costs.
    drain_ms: int = 30_000  #: How long running attempts may go on once it is told to stop.
    cancel_grace_ms: int = 1_000  #: Between SIGTERM and SIGKILL of a cancelled step.
    log_limit_bytes: int = 1 << 20  #: What is kept of the log of one attempt.
    http_allow: tuple[str, ...] = ()  #: The hosts that http steps may reach; none: public ones.
