"""
Start programs under the guard, and hear of their ends.

The guard (`maestro_py.workers.guard`) is one small process beside the worker.  A program costs one fork of it, which
is cheap because it is small; its output comes through a pipe that this process reads.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from maestro_py.model.errors import MaestroError
from maestro_py.workers.guard import HEADER, LEASE

_CHUNK: Final = 1 << 16
#: A guard that does not end by itself when its worker lets go is killed after this long, in seconds.
_GUARD_PATIENCE_SECONDS: Final = 10.0


class NotStarted(MaestroError):
    """The program could not be started; the text says why, and *is_users_fault* whether another machine would help."""

    def __init__(self, reason: str, *, is_users_fault: bool = False) -> None:
        super().__init__(reason)
        self.is_users_fault = is_users_fault


class Ended(NamedTuple):
    """How a program ended."""

    status: int  #: Its exit status; the negative number of the signal that ended it.
    by_lease: bool = False  #: The guard killed it, because the worker's lease was over.
    guard_gone: bool = False  #: The guard itself ended, and the program was killed.


class GuardedProcess:
    """A program that runs in a process group of its own."""

    def __init__(self, processes: GuardedProcesses, number: int, pid: int, ended: asyncio.Future[Ended]) -> None:
        self._processes = processes
        self._number = number
        self.pid = pid  #: Also the id of its process group.
        self.ended = ended  #: Done when the program has ended and nothing of its group is left.

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group; nothing happens if it has ended."""
        if not self.ended.done():
            self._processes.signal_group(self._number, number)

    async def end(self, grace_seconds: float) -> Ended:
        """Have the group end: SIGTERM, and SIGKILL after the grace; return how it ended."""
        self.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait([self.ended], timeout=grace_seconds)
        finally:
            # Also for a caller that is cancelled meanwhile; nothing happens if it has ended.
            self.send_signal(signal.SIGKILL)
        return await asyncio.shield(self.ended)


class GuardedProcesses:
    """The local programs of one worker, and their guard."""

    def __init__(self) -> None:
        self._scratch: Path | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._lease_fd = -1
        self._lease_lock = threading.Lock()
        self._outgoing: deque[tuple[memoryview, list[int]]] = deque()
        self._incoming = bytearray()
        self._last_number = 0
        self._starting: dict[int, asyncio.Future[GuardedProcess]] = {}
        self._running: dict[int, GuardedProcess] = {}
        self._is_closed = False

    @property
    def scratch(self) -> Path:
        """Return a directory for this worker's files, which the guard deletes when the worker is gone."""
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="maestro-worker-"))
        return self._scratch

    def open(self) -> None:
        """Start the guard; programs may be spawned at once."""
        self._reap_guard()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        lease_read, lease_write = os.pipe()
        ends = (theirs.fileno(), lease_read)
        try:
            self._guard = subprocess.Popen(
                # -I -S: a fraction of the start of an ordinary interpreter, and nothing of the user's is loaded.
                [sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py")), *map(str, ends), self.scratch],
                pass_fds=ends,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,  # Ctrl-C in a terminal is for the worker alone
            )
        finally:
            theirs.close()
            os.close(lease_read)
        ours.setblocking(False)
        os.set_blocking(lease_write, False)
        self._control, self._lease_fd = ours, lease_write
        asyncio.get_running_loop().add_reader(ours.fileno(), self._on_readable)

    def _reap_guard(self) -> None:
        """Forget a guard that was killed: a new one takes its place."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()
            guard.wait()

    async def close(self) -> None:
        """Let go of the guard, which kills what still runs; return when it has ended."""
        self._is_closed = True
        guard = self._guard
        self._let_go()
        if guard is not None:
            try:
                await asyncio.to_thread(guard.wait, _GUARD_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                guard.kill()

    def renew(self, allowed_ms: int) -> None:
        """Let the programs run for *allowed_ms* from now on; callable from any thread."""
        # The lock: the number of a descriptor that is closed meanwhile may be given to a connection.
        with self._lease_lock:
            if self._lease_fd >= 0:
                # Full: the guard has newer records than it has read.  Broken: it is about to be replaced.
                with contextlib.suppress(OSError):
                    os.write(self._lease_fd, LEASE.pack(allowed_ms))

    async def spawn(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        output: int,
        given_input: int | None = None,
    ) -> GuardedProcess:
        """
        Start a program in a process group of its own.

        Args:
            argv: Found on the PATH of *environment*.
            environment: All of it.
            directory: Where it runs.
            output: The descriptor for what it prints; still the caller's to close.
            given_input: The descriptor of its standard input; None: nothing to read.

        Raises:
            NotStarted: there is no such program, or the worker's lease is over.
        """
        if self._is_closed:
            raise NotStarted("the worker is shutting down")
        if self._control is None:
            self.open()
        self._last_number += 1
        number = self._last_number
        starting: asyncio.Future[GuardedProcess] = asyncio.get_running_loop().create_future()
        self._starting[number] = starting
        fds = [output] if given_input is None else [output, given_input]
        request = {"op": "spawn", "id": number, "argv": list(argv), "env": dict(environment), "fds": len(fds)}
        self._send({**request, "cwd": str(directory)}, [os.dup(fd) for fd in fds])
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_kill_unwanted)
            raise

    def signal_group(self, number: int, signal_number: signal.Signals) -> None:
        """Send a signal to the group of the program *number*."""
        self._send({"op": "signal", "id": number, "signal": int(signal_number)}, [])

    def _send(self, request: dict[str, Any], fds: list[int]) -> None:
        body = json.dumps(request).encode("utf-8", "surrogateescape")
        self._outgoing.append((memoryview(HEADER.pack(len(body)) + body), fds))
        if len(self._outgoing) == 1:
            self._flush()

    def _flush(self) -> None:
        control = self._control
        if control is None:
            return
        loop = asyncio.get_running_loop()
        while self._outgoing:
            data, fds = self._outgoing.popleft()
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            try:
                sent = control.sendmsg([data], rights)
            except BlockingIOError:
                self._outgoing.appendleft((data, fds))
                loop.add_writer(control.fileno(), self._flush)
                return
            except OSError:
                self._outgoing.appendleft((data, fds))
                self._let_go()
                return
            for fd in fds:
                os.close(fd)
            if sent < len(data):
                self._outgoing.appendleft((data[sent:], []))
        loop.remove_writer(control.fileno())

    def _on_readable(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._let_go()
            return
        self._incoming += data
        while len(self._incoming) >= HEADER.size:
            (length,) = HEADER.unpack_from(self._incoming)
            if len(self._incoming) < HEADER.size + length:
                break
            answer = json.loads(self._incoming[HEADER.size : HEADER.size + length])
            del self._incoming[: HEADER.size + length]
            self._on_answer(answer)

    def _on_answer(self, answer: dict[str, Any]) -> None:
        number = answer["id"]
        if "status" in answer:
            process = self._running.pop(number)
            process.ended.set_result(Ended(answer["status"], by_lease=answer["by_lease"]))
            return
        starting = self._starting.pop(number)
        if "error" in answer:
            starting.set_exception(NotStarted(answer["error"], is_users_fault=answer["is_users_fault"]))
            starting.exception()  # a caller that was cancelled meanwhile does not ask
            return
        process = GuardedProcess(self, number, answer["pid"], asyncio.get_running_loop().create_future())
        self._running[number] = process
        starting.set_result(process)

    def _let_go(self) -> None:
        """Forget the guard; it ends the groups.  If it has ended itself, they are ended from here."""
        control, self._control = self._control, None
        if control is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(control.fileno())
        loop.remove_writer(control.fileno())
        control.close()
        with self._lease_lock:
            os.close(self._lease_fd)
            self._lease_fd = -1
        for _, fds in self._outgoing:
            for fd in fds:
                os.close(fd)
        self._outgoing.clear()
        self._incoming.clear()
        for starting in self._starting.values():
            starting.set_exception(NotStarted("the guard of the worker's programs ended"))
            starting.exception()
        self._starting.clear()
        running, self._running = list(self._running.values()), {}
        for process in running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.ended.set_result(Ended(-signal.SIGKILL, guard_gone=True))


def _kill_unwanted(starting: asyncio.Future[GuardedProcess]) -> None:
    """End a program whose caller was cancelled while it was being started."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result().send_signal(signal.SIGKILL)
