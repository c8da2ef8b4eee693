"""
Keep Python processes warm and call functions in them: what they imported stays imported.

Each member runs one call at a time, in a process group of its own under the guard, so a call that is cancelled or
crashes takes nothing with it but its own member.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

import msgspec

from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import DONE, StepReport, StepTask
from maestro_py.workers.code_watch import CodeWatch
from maestro_py.workers.commands import OutputPipe, failure_of
from maestro_py.workers.guarded import Ended, GuardedProcess, GuardedProcesses, NotStarted
from maestro_py.workers.pool_member import HEADER, Answer, Call

#: When no call has ended for this long and others wait, the members are busy with long ones: one more is started.
_PATIENCE_SECONDS: Final = 0.25
_LAST_WORDS_BYTES: Final = 2_000
#: A member beyond the pool's size that had nothing to do for this long is ended.
_IDLE_SECONDS: Final = 30.0

WriteLog = Callable[[bytes], None]
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Answer)


def call_of(
    task: StepTask,
    function: str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] = MappingProxyType({}),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Call:
    """Return the request to call ``module:function`` for *task*."""
    return Call(
        function,
        task.plain_params,
        task.workflow_id,
        task.instance_id,
        task.run_id,
        task.step_id,
        task.attempt,
        task.idempotency_key,
        list(args),
        dict(kwargs),
        dict(environment),
    )


def _discard(_: bytes) -> None:
    """Drop what a member prints between calls: it belongs to no attempt."""


class _Member(asyncio.Protocol):
    """One warm process, from this side."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.idle_since = 0.0
        self.ready = asyncio.Event()  #: Set when it has said that it takes calls.
        self.process: GuardedProcess
        self.output: OutputPipe
        self._transport: asyncio.Transport | None = None
        self._incoming = bytearray()
        self._answer: asyncio.Future[Answer | None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (called by asyncio)."""
        # Not an isinstance: uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take in a piece of an answer (called by asyncio)."""
        self._incoming += data
        while len(self._incoming) >= HEADER.size:
            (length,) = HEADER.unpack_from(self._incoming)
            if len(self._incoming) < HEADER.size + length:
                break
            body = bytes(self._incoming[HEADER.size : HEADER.size + length])
            del self._incoming[: HEADER.size + length]
            if not body:
                self.ready.set()
            elif self._answer is not None and not self._answer.done():
                self._answer.set_result(_DECODER.decode(body))

    def connection_lost(self, exc: Exception | None) -> None:
        """Have the call end without an answer: the process is gone (called by asyncio)."""
        self.ready.set()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    @property
    def is_connected(self) -> bool:
        """Say whether the connection was made, whatever became of it."""
        return self._transport is not None

    @property
    def is_alive(self) -> bool:
        """Say whether the process can take a call."""
        return self._transport is not None and not self._transport.is_closing() and not self.process.ended.done()

    async def call(self, call: Call, write_log: WriteLog) -> Answer | Ended:
        """Return the answer to *call*, or how the process ended instead."""
        self._answer = asyncio.get_running_loop().create_future()
        self.output.send_to(write_log)
        body = _ENCODER.encode(call)
        assert self._transport is not None
        self._transport.write(HEADER.pack(len(body)) + body)
        answer = await self._answer
        if answer is None:
            self.process.send_signal(signal.SIGKILL)  # it may have closed only the socket
            ended = await asyncio.shield(self.process.ended)
            self.output.drain()
            return ended
        self.output.drain()
        self.output.send_to(_discard)
        return answer

    def close(self) -> None:
        """Close this side; the process, if it still lives, ends when it notices."""
        if self._transport is not None:
            self._transport.close()
        self.output.close()


class FunctionPool:
    """
    Warm Python processes of one worker.

    Args:
        processes: Starts them under the guard.
        environment: All of the members' environment.
        directory: Where they run, and first on their module path.
        watch: Tells when the user's code has changed; older members are then replaced.
        size: Members that are kept warm.
        limit: Members at most: long calls may take up to this many.
        cancel_grace_ms: Between SIGTERM and SIGKILL of a member whose call is cancelled.
    """

    def __init__(
        self,
        processes: GuardedProcesses,
        environment: dict[str, str],
        directory: Path,
        watch: CodeWatch,
        *,
        size: int,
        limit: int,
        cancel_grace_ms: int,
    ) -> None:
        self._processes = processes
        self._environment = environment
        self._directory = directory
        self._watch = watch
        self._size = size
        self._limit = max(size, limit)
        self._cancel_grace = cancel_grace_ms / 1000
        self._idle: list[_Member] = []
        self._waiting: deque[asyncio.Future[_Member]] = deque()
        self._count = 0  # members that live or are being started
        self._being_started = 0
        self._last_end = time.monotonic()
        self._growth: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False
        self.calls = 0  #: Calls since the start.

    def open(self) -> None:
        """Start the members; calls may be made at once."""
        for _ in range(self._size - self._count):
            self._add_member()

    async def close(self) -> None:
        """End the idle members; busy ones end when their calls are cancelled."""
        self._is_closed = True
        if self._growth is not None:
            self._growth.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for member in self._idle:
            member.process.send_signal(signal.SIGKILL)
            member.close()
        self._idle.clear()

    async def call(
        self,
        call: Call,
        write_log: WriteLog,
        last_lines: Callable[[], str],
        on_begin: Callable[[], object] = lambda: None,
    ) -> StepReport:
        """
        Do *call*; what the function returns are the outputs.

        *on_begin* is called when a process has been found for it.

        Cancellation ends the process that runs the call, with its whole group.
        """
        try:
            member = await self._acquire()
            while not member.is_alive:  # it has just been killed, before it was given anything to do
                self._discard(member)
                member = await self._acquire()
        except NotStarted as exc:
            return StepReport(Outcome.PLATFORM_ERROR, None, f"no Python process could be started: {exc}")
        self.calls += 1
        on_begin()
        try:
            answer = await member.call(call, write_log)
        except asyncio.CancelledError:
            await member.process.end(self._cancel_grace)
            self._discard(member)
            raise
        if isinstance(answer, Ended):
            self._discard(member)
            failure = failure_of(answer, last_lines())
            return failure or StepReport(Outcome.USER_ERROR, None, "the function ended its process")
        self._release(member)
        if answer.outcome is Outcome.DONE and answer.outputs is None:
            return DONE
        outputs = None if answer.outputs is None else msgspec.json.decode(answer.outputs)
        return StepReport(answer.outcome, outputs, answer.message)

    async def _acquire(self) -> _Member:
        generation = self._watch.generation()
        while self._idle:
            member = self._idle.pop()
            if member.is_alive and member.generation == generation:
                return member
            member.process.send_signal(signal.SIGTERM)
            self._discard(member)
        waiter: asyncio.Future[_Member] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._count < self._size:
            self._add_member()
        elif self._growth is None:
            self._watch_growth()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._release(waiter.result())
            raise

    def _release(self, member: _Member) -> None:
        self._last_end = time.monotonic()
        if self._is_closed or not member.is_alive or member.generation != self._watch.generation():
            member.process.send_signal(signal.SIGTERM)
            self._discard(member)
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(member)
                return
        member.idle_since = time.monotonic()
        self._idle.append(member)
        if self._count > self._size:
            asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._retire, member, member.idle_since)

    def _discard(self, member: _Member) -> None:
        """Forget a member that has ended or was told to, and start another one if somebody waits or few are left."""
        member.close()
        self._count -= 1
        if not self._is_closed and self._count < self._size:
            self._add_member()

    def _retire(self, member: _Member, idle_since: float) -> None:
        if member in self._idle and member.idle_since == idle_since and self._count > self._size:
            self._idle.remove(member)
            member.process.send_signal(signal.SIGTERM)
            self._discard(member)

    def _watch_growth(self) -> None:
        self._growth = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._maybe_grow)

    def _maybe_grow(self) -> None:
        self._growth = None
        if not self._waiting or self._is_closed:
            return
        # One that is being started will serve somebody soon, although on a busy machine that outlasts our patience.
        is_stuck = not self._being_started and time.monotonic() - self._last_end >= _PATIENCE_SECONDS
        if self._count < self._limit and is_stuck:
            self._add_member()
        self._watch_growth()

    def _add_member(self) -> None:
        self._count += 1
        self._being_started += 1
        task = asyncio.ensure_future(self._start_member())
        self._tasks.add(task)
        task.add_done_callback(self._on_started)

    def _on_started(self, task: asyncio.Task[Any]) -> None:
        self._being_started -= 1
        self._tasks.discard(task)

    async def _start_member(self) -> None:
        member = _Member(self._watch.generation())
        said = bytearray()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        read_end, write_end = os.pipe()
        member.output = OutputPipe(read_end, said.extend)
        argv = [sys.executable, "-m", "maestro_py.workers.pool_member"]
        try:
            member.process = await self._processes.spawn(
                argv, self._environment, self._directory, write_end, theirs.fileno()
            )
            await asyncio.get_running_loop().create_unix_connection(lambda: member, sock=ours)
            theirs.close()  # or its end would not be noticed here
            await member.ready.wait()
            if not member.is_alive:
                member.output.drain()
                last_words = said[-_LAST_WORDS_BYTES:].decode(errors="replace").strip()
                raise NotStarted(f"a Python process ended as it began:\n{last_words}")
            member.output.send_to(_discard)
        except BaseException as exc:
            if not member.is_connected:
                ours.close()  # otherwise the transport does
            member.close()
            self._count -= 1
            if isinstance(exc, NotStarted):
                self._fail_waiting(exc)
                return
            raise
        finally:
            theirs.close()
            os.close(write_end)
        self._release(member)

    def _fail_waiting(self, exc: NotStarted) -> None:
        """Tell one that waits that there will be no process; if others are still alive, they serve it instead."""
        if self._count > 0:
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(exc)
