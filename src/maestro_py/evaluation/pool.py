"""
A pool of processes that evaluate heavy expressions.

Members are started when there is work for them.  One that dies is replaced and its document given to another; one that
takes longer than the wall limit is killed.  A document whose members die again and again is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Mapping
from typing import Final

import structlog

from maestro_py.evaluation.frames import HEADER, LONGEST, framed
from maestro_py.parent import die_with_parent
from maestro_py.ports.evaluator import EvaluationAborted, EvaluatorBusy

_log = structlog.get_logger(__name__)

#: Documents that may wait for one pool.
WAITING_LIMIT: Final = 10_000
#: An evaluation that takes longer is ended, in seconds (specification 4.9).
WALL_SECONDS: Final = 120.0
#: A document whose members died this often is given up.
_TRIES: Final = 3
#: Settings, among them secrets, have no place in a member.
_PRIVATE_PREFIX: Final = "MAESTRO_"


class EvaluationPool:
    """
    Evaluates documents in processes that end with this one.

    Args:
        environment: Of this process; the members get it without our settings.
        size: Members at most.
        wall_seconds: How long one evaluation may take.
        waiting_limit: Documents that may wait.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        size: int = 2,
        wall_seconds: float = WALL_SECONDS,
        waiting_limit: int = WAITING_LIMIT,
    ) -> None:
        self._environment = {name: value for name, value in environment.items() if not name.startswith(_PRIVATE_PREFIX)}
        self._free = asyncio.Semaphore(size)
        self._wall_seconds = wall_seconds
        self._waiting_limit = waiting_limit
        self._idle: list[asyncio.subprocess.Process] = []
        self._busy: set[asyncio.subprocess.Process] = set()
        self._waiting = 0
        self._is_closed = False

    @property
    def pids(self) -> list[int]:
        """The processes of the members that live."""
        return [member.pid for member in (*self._idle, *self._busy) if member.returncode is None]

    @property
    def busy_pids(self) -> list[int]:
        """The processes of the members that are evaluating something."""
        return [member.pid for member in self._busy if member.returncode is None]

    async def evaluate(self, document: bytes) -> bytes:
        """
        Return the answer to *document*.

        Raises:
            EvaluatorBusy: too many wait already, or the pool is closed.
            EvaluationAborted: it took too long, or its processes died.
        """
        if self._is_closed or self._waiting >= self._waiting_limit:
            raise EvaluatorBusy(f"{self._waiting} evaluations wait already")
        self._waiting += 1
        try:
            async with self._free:
                for _ in range(_TRIES):
                    answer = await self._try(document)
                    if answer is not None:
                        return answer
        finally:
            self._waiting -= 1
        raise EvaluationAborted(f"the processes that evaluated it ended {_TRIES} times before they could answer")

    async def close(self) -> None:
        """End all members; who waits for an answer gets none."""
        self._is_closed = True
        await asyncio.gather(*(_end(member) for member in (*self._idle, *self._busy)))
        self._idle.clear()

    async def _try(self, document: bytes) -> bytes | None:
        """Return the answer of one member, or None if the member died of whatever cause."""
        member = await self._member()
        self._busy.add(member)
        is_done = False
        try:
            async with asyncio.timeout(self._wall_seconds):
                answer = await _exchange(member, document)
            is_done = True
            return answer
        except TimeoutError:
            raise EvaluationAborted(f"it took longer than {self._wall_seconds:g} seconds") from None
        except (OSError, asyncio.IncompleteReadError):
            if self._is_closed:
                raise EvaluatorBusy("the pool is closed") from None
            _log.warning("evaluation_member_died", pid=member.pid)
            return None
        finally:
            self._busy.discard(member)
            if is_done and not self._is_closed:
                self._idle.append(member)
            else:
                await _end(member)

    async def _member(self) -> asyncio.subprocess.Process:
        while self._idle:
            member = self._idle.pop()
            if member.returncode is None:
                return member
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "maestro_py.evaluation.member"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
            limit=1 << 20,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )


async def _exchange(member: asyncio.subprocess.Process, document: bytes) -> bytes:
    assert member.stdin is not None
    assert member.stdout is not None
    member.stdin.write(framed(document))
    await member.stdin.drain()
    (length,) = HEADER.unpack(await member.stdout.readexactly(HEADER.size))
    if length > LONGEST:
        raise OSError(f"an answer of {length} bytes")
    return await member.stdout.readexactly(length)


async def _end(member: asyncio.subprocess.Process) -> None:
    if member.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            member.kill()
    await member.wait()
