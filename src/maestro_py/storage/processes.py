"""
The table ``process``: beat in it from a thread of its own, and judge the others by it.

Leases are compared with the database's clock only.  Whoever sees that a lease is over terminates the sessions of that
process before anything of it is taken over: one that was stopped inside a transaction holds its locks through every
session timeout (DESIGN section 4).
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple, NoReturn
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, Connection, errors
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from maestro_py.model.errors import StoreUnavailable
from maestro_py.model.ids import new_uid
from maestro_py.model.statuses import ProcessKind
from maestro_py.ports.process_beat import LiveProcess
from maestro_py.storage.connections import TCP_USER_TIMEOUT_MS, Database, application_name, connection_arguments

#: The row of a dead process is kept for this long, in ms, so that a person can still see it.
DEAD_ROW_KEPT_MS: Final = 60_000
#: Exit status of a process that stopped itself because it was stuck (``EX_SOFTWARE``).
STUCK_STATUS: Final = 70

_JUDGE_INTERVAL_SECONDS: Final = 1.0

_BEAT: Final = """
INSERT INTO process (id, kind, host, pid, beat_at, lease_ms, info)
VALUES (%(id)s, %(kind)s, %(host)s, %(pid)s, clock_timestamp(), %(lease_ms)s, %(info)s)
ON CONFLICT (id) DO UPDATE SET beat_at = clock_timestamp(), info = excluded.info
"""

_EXPIRED: Final = """
SELECT id FROM process
WHERE beat_at + lease_ms * interval '1 millisecond' < clock_timestamp()
  AND lease_ms <= %(beaten_ms)s AND id <> %(judge)s AND kind = ANY(%(kinds)s)
ORDER BY id
"""

_TERMINATE: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = ANY(%s) AND pid <> pg_backend_pid()
"""

_LIVE: Final = """
SELECT id, info FROM process
WHERE kind = %s AND beat_at + lease_ms * interval '1 millisecond' >= clock_timestamp()
ORDER BY id
"""

_FORGET: Final = """
DELETE FROM process p
WHERE p.id = ANY(%(dead)s)
  AND p.beat_at + (p.lease_ms + %(kept_ms)s) * interval '1 millisecond' < clock_timestamp()
  AND NOT EXISTS (SELECT FROM engine_partition e WHERE e.owner = p.id)
  AND NOT EXISTS (SELECT FROM step_attempt a WHERE a.worker = p.id AND a.dispatch = 'CLAIMED')
"""


def exit_stuck(reason: str) -> NoReturn:
    """End this process at once and say why: whatever is stuck in it would not let it end in order."""
    sys.stderr.write(f"maestro: this process ends itself: {reason}\n")
    sys.stderr.flush()
    os._exit(STUCK_STATUS)


class _Pulse(NamedTuple):
    """What the beating thread knows, replaced as a whole: readers in other threads see no half of it."""

    answered_at: float  #: When the newest answered beat was sent, in monotonic seconds.
    since: float | None = None  #: When the first of the unbroken row of answered beats was sent; None in a gap.
    away_since: float | None = None  #: When the present outage of the server was noticed.


class Beat:
    """
    The beat of this process: a thread and a connection of its own, so that no busy loop or pool delays it.

    Args:
        url: ``postgresql://…``
        kind: What the process is.
        lease_ms: Others may call the process dead when its newest beat is older than this.
        interval_ms: Time between two beats.
        outage_grace_ms: A server that is away counts towards no lease for this long.
        may_beat: Asked before each beat, in the beating thread; while it answers False there is none.
        on_stuck: Called with the reason when *may_beat* has answered False for a whole lease.
    """

    def __init__(
        self,
        url: str,
        kind: ProcessKind,
        *,
        lease_ms: int,
        interval_ms: int = 1_000,
        outage_grace_ms: int = 60_000,
        may_beat: Callable[[], bool] = lambda: True,
        on_stuck: Callable[[str], object] = exit_stuck,
    ) -> None:
        self.process_id: Final = new_uid()
        self.kind: Final = kind
        self.name: Final = application_name(kind, self.process_id)
        self._url = url
        self._lease = lease_ms / 1000
        self._interval = interval_ms / 1000
        # One beat that is late is no gap, whatever the settings are.
        self._gap = max(2 * self._interval, self._lease / 3)
        self._outage_grace = outage_grace_ms / 1000
        self._may_beat = may_beat
        self._on_stuck = on_stuck
        self._row = {
            "id": self.process_id,
            "kind": str(kind),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "lease_ms": lease_ms,
        }
        self._info: Mapping[str, Any] = {}
        self._connection: Connection[TupleRow] | None = None
        self._pulse = _Pulse(time.monotonic())
        self._forbidden_since: float | None = None
        self._looked_at = 0.0
        self._answered = threading.Event()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def start(self) -> None:
        """Begin to beat; the row is there when `ready` returns."""
        self._pulse = _Pulse(time.monotonic())
        self._thread.start()

    async def ready(self) -> None:
        """Return once the first beat was answered: from then on the process may claim and acquire."""
        while not await asyncio.to_thread(self._answered.wait, 0.5):
            pass

    def stop(self, within_seconds: float = 3.0) -> None:
        """Stop beating and delete the row, which gives everything back that is still held in its name."""
        self._stopping.set()
        self._hurry.set()
        if self._thread.is_alive():
            self._thread.join(within_seconds)

    def set_info(self, info: Mapping[str, Any]) -> None:
        """Describe the process with *info* (a JSON object) from its next beat on, which the first *info* hastens."""
        is_first = not self._info
        self._info = dict(info)
        if is_first:
            # Nobody hands work to a process that says nothing of itself.
            self._hurry.set()

    def last_answered_ms_ago(self) -> int:
        """Return how many ms ago the newest answered beat was sent; before the first, since the start."""
        return int((time.monotonic() - self._pulse.answered_at) * 1000)

    def server_away(self) -> bool:
        """Say whether the server is starting, stopping or refuses, for less than the outage grace so far."""
        away_since = self._pulse.away_since
        return away_since is not None and time.monotonic() - away_since < self._outage_grace

    def beaten_without_gap_for_ms(self) -> int:
        """Return for how many ms the beats have been answered without a gap; 0 in a gap."""
        pulse = self._pulse
        if pulse.since is None or time.monotonic() - pulse.answered_at > self._gap:
            return 0
        return int((pulse.answered_at - pulse.since) * 1000)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._is_allowed():
                had_connection = self._connection is not None
                failure = self._beat()
                if failure is not None and had_connection:
                    # The link may have broken while the server is fine: that is no gap.
                    failure = self._beat()
                if failure is not None:
                    self._note_failure(failure)
            self._hurry.wait(self._interval)
            if not self._stopping.is_set():
                self._hurry.clear()
        self._delete_row()

    def _is_allowed(self) -> bool:
        now = time.monotonic()
        overslept = now - self._looked_at > self._gap
        self._looked_at = now
        if self._may_beat():
            self._forbidden_since = None
            return True
        # After a pause of the whole process (SIGSTOP, a sleeping laptop) its loop gets time to catch up.
        if self._forbidden_since is None or overslept:
            self._forbidden_since = now
        elif now - self._forbidden_since > self._lease:
            self._on_stuck(f"its loop did not tick, or a batch stayed open, for {self._lease:.1f} s")
            self._forbidden_since = None
        return False

    def _beat(self) -> Exception | None:
        sent = time.monotonic()
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.execute(_BEAT, self._row | {"info": Jsonb(self._info)})
        except (psycopg.Error, OSError) as exc:
            self._disconnect()
            return exc
        pulse = self._pulse
        gap = pulse.since is None or sent - pulse.answered_at > self._gap
        self._pulse = _Pulse(sent, sent if gap else pulse.since)
        self._answered.set()
        return None

    def _note_failure(self, failure: Exception) -> None:
        pulse = self._pulse
        away_since = None
        if is_away(failure):
            away_since = time.monotonic() if pulse.away_since is None else pulse.away_since
        self._pulse = _Pulse(pulse.answered_at, None, away_since)

    def _connect(self) -> Connection[TupleRow]:
        arguments = connection_arguments(self.name)
        lease_ms = int(self._lease * 1000)
        # A beat is worth no flush of the log: the commit of any claim or acquisition makes it durable too.
        arguments["options"] += f" -c synchronous_commit=off -c statement_timeout={max(500, lease_ms // 2)}"
        arguments["tcp_user_timeout"] = min(TCP_USER_TIMEOUT_MS, lease_ms)
        arguments["connect_timeout"] = 2
        return psycopg.connect(self._url, **arguments)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _delete_row(self) -> None:
        with suppress(psycopg.Error):  # the end of the lease does the same, only later
            if self._connection is not None:
                self._connection.execute("DELETE FROM process WHERE id = %s", (self.process_id,))
        self._disconnect()


def is_away(exc: BaseException) -> bool:
    """
    Say whether *exc* means that the server is starting, stopping or refuses to be reached.

    A connection attempt that ran into its timeout does not: nobody can tell a swallowed packet from a process that is
    cut off, and a process that is cut off must not outlive its lease.
    """
    if isinstance(exc, errors.AdminShutdown | errors.CrashShutdown | errors.CannotConnectNow):
        return True
    if isinstance(exc, errors.ConnectionTimeout):
        return False
    return isinstance(exc, OSError) or (isinstance(exc, psycopg.OperationalError) and exc.sqlstate is None)


async def expired(
    conn: AsyncConnection[TupleRow],
    judge: UUID,
    beaten_ms: int,
    kinds: Collection[ProcessKind] = tuple(ProcessKind),
) -> list[UUID]:
    """
    Return the processes of *kinds* whose lease is over, in order of their ids.

    Args:
        conn: Outside a transaction that began long ago.
        judge: The process that asks; it never judges itself.
        beaten_ms: For how long it has beaten without a gap; longer leases it does not judge.
        kinds: Whom it asks about.
    """
    cursor = await conn.execute(_EXPIRED, {"beaten_ms": beaten_ms, "judge": judge, "kinds": [str(k) for k in kinds]})
    return [row[0] for row in await cursor.fetchall()]


async def terminate_backends(conn: AsyncConnection[TupleRow], process_ids: Collection[UUID]) -> int:
    """Terminate exactly the sessions of these processes, whatever their kind, and return how many there were."""
    if not process_ids:
        return 0
    names = [application_name(kind, process_id) for process_id in process_ids for kind in ProcessKind]
    row = await (await conn.execute(_TERMINATE, (names,))).fetchone()
    return int(row[0]) if row else 0


async def forget_dead(conn: AsyncConnection[TupleRow], dead: Collection[UUID]) -> None:
    """Delete the rows of these processes, those that died long ago and in whose name nothing is held any more."""
    await conn.execute(_FORGET, {"dead": list(dead), "kept_ms": DEAD_ROW_KEPT_MS})


async def live_workers(conn: AsyncConnection[TupleRow]) -> list[LiveProcess]:
    """Return the workers whose lease is not over, with what they wrote of themselves."""
    return await _live(conn, ProcessKind.WORKER)


async def live_engines(conn: AsyncConnection[TupleRow]) -> list[LiveProcess]:
    """Return the engines whose lease is not over, with what they wrote of themselves."""
    return await _live(conn, ProcessKind.ENGINE)


async def _live(conn: AsyncConnection[TupleRow], kind: ProcessKind) -> list[LiveProcess]:
    cursor = await conn.execute(_LIVE, (str(kind),))
    return [LiveProcess(*row) for row in await cursor.fetchall()]


class PostgresJudge:
    """Ends the sessions of dead processes; every process of ours runs one (an engine's `Ownership` is its judge)."""

    def __init__(self, database: Database, beat: Beat) -> None:
        self._database = database
        self._beat = beat

    async def judge(self) -> list[UUID]:
        """Terminate the sessions of every process whose lease is over, and return these processes."""
        beaten_ms = self._beat.beaten_without_gap_for_ms()
        async with self._database.connection() as conn:
            dead = await expired(conn, self._beat.process_id, beaten_ms)
            await terminate_backends(conn, dead)
        return dead

    async def run(self) -> None:
        """Judge once a second, until cancelled; a database that is away is waited for."""
        while True:
            with suppress(StoreUnavailable):  # nobody's death
                await self.judge()
            await asyncio.sleep(_JUDGE_INTERVAL_SECONDS)
