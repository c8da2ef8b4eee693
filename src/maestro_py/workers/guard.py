"""
The guard: starts the local steps of one worker, and ends every one of them when the worker is gone.

A small process of its own, run by its path with nothing but the standard library.  It holds one end of a socket whose
other end only the worker has; when the worker ends, however it ends, the socket reads as closed, and the guard kills
every process group it started and whatever descends from them.  It also holds the worker's lease: a worker that is
stopped or cut off does not renew it, and its steps are killed before somebody else may start them again.

Frames in both directions are four bytes of length and a JSON object.  From the worker:
``{"op": "spawn", "id", "argv", "env", "cwd", "fds"}`` with as many descriptors attached (output, input), and
``{"op": "signal", "id", "signal"}``.  To the worker: ``{"id", "pid"}``, ``{"id", "error", "is_users_fault"}``,
``{"id", "status", "by_lease"}``.
"""

from __future__ import annotations

import array
import contextlib
import errno
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import Any

HEADER = struct.Struct("!I")
LEASE = struct.Struct("!q")  # ms from now for which the steps may go on

_CHUNK = 1 << 16
_MAX_FDS = 4


class Guard:
    """The loop of the guard: *control* and *lease* are the guard's ends of the worker's descriptors."""

    def __init__(self, control: socket.socket, lease: int) -> None:
        self._control = control
        self._lease = lease
        self._incoming = bytearray()
        self._fds: list[int] = []
        self._outgoing = bytearray()
        self._groups: dict[int, int] = {}  # id given by the worker -> process group
        self._ids: dict[int, int] = {}  # the reverse
        self._ended_by_lease: set[int] = set()
        self._lease_until: float | None = None  # monotonic seconds; None before the first renewal
        self._wake_read, wake_write = os.pipe()
        for fd in (self._wake_read, wake_write, lease):
            os.set_blocking(fd, False)
        # A handler rather than SIG_IGN: what is ignored stays ignored in the programs we start.
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

    def run(self) -> None:
        """Serve the worker until it is gone, then end what it left."""
        self._control.setblocking(False)
        poll = select.poll()
        poll.register(self._lease, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while True:
            poll.register(self._control, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
            ready = dict(poll.poll(self._patience_ms()))
            if ready.pop(self._wake_read, 0):
                os.read(self._wake_read, _CHUNK)
                self._reap()
            if self._lease in ready and not self._renew():
                break
            self._enforce_lease()
            if self._control.fileno() in ready and not self._serve():
                break
            self._flush()
        self._end_everything()

    def _patience_ms(self) -> int | None:
        if self._lease_until is None or not self._groups:
            return None
        return max(0, int((self._lease_until - time.monotonic()) * 1000) + 1)

    def _renew(self) -> bool:
        data = os.read(self._lease, _CHUNK)
        if len(data) >= LEASE.size:
            # Each write is one record and atomic; only the newest counts.
            (allowed_ms,) = LEASE.unpack(data[-LEASE.size :])
            self._lease_until = time.monotonic() + allowed_ms / 1000
        return bool(data)

    def _enforce_lease(self) -> None:
        if self._lease_is_over():
            for group in self._groups.values():
                self._ended_by_lease.add(group)
                _kill_group(group, signal.SIGKILL)

    def _lease_is_over(self) -> bool:
        return self._lease_until is not None and time.monotonic() >= self._lease_until

    def _serve(self) -> bool:
        try:
            data, ancillary, _, _ = self._control.recvmsg(_CHUNK, socket.CMSG_SPACE(_MAX_FDS * 4))
        except BlockingIOError:
            return True
        except OSError:
            return False
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
                self._fds.extend(fds)
        self._incoming += data
        while len(self._incoming) >= HEADER.size:
            (length,) = HEADER.unpack_from(self._incoming)
            if len(self._incoming) < HEADER.size + length:
                break
            request = json.loads(self._incoming[HEADER.size : HEADER.size + length])
            del self._incoming[: HEADER.size + length]
            self._obey(request)
        return bool(data)

    def _obey(self, request: dict[str, Any]) -> None:
        if request["op"] == "signal":
            group = self._groups.get(request["id"])
            if group is not None:
                _kill_group(group, request["signal"])
            return
        fds, self._fds = self._fds[: request["fds"]], self._fds[request["fds"] :]
        try:
            if self._lease_is_over():
                raise OSError("the worker's lease is over")
            pid = _spawn(request, fds)
        except (OSError, ValueError) as exc:
            self._tell({"id": request["id"], "error": str(exc), "is_users_fault": _is_users_fault(exc)})
        else:
            self._groups[request["id"]] = pid
            self._ids[pid] = request["id"]
            self._tell({"id": request["id"], "pid": pid})
        finally:
            for fd in fds:
                os.close(fd)

    def _reap(self) -> None:
        while True:
            try:
                # WNOWAIT: while the leader is a zombie its number cannot be given to anybody else.
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            if pid in self._ids:
                _kill_group(pid, signal.SIGKILL)  # what the step left running in its group ends with it
            _, status = os.waitpid(pid, 0)
            if pid in self._ids:
                number = self._ids.pop(pid)
                del self._groups[number]
                by_lease = pid in self._ended_by_lease
                self._ended_by_lease.discard(pid)
                self._tell({"id": number, "status": os.waitstatus_to_exitcode(status), "by_lease": by_lease})

    def _tell(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self._outgoing += HEADER.pack(len(body)) + body

    def _flush(self) -> None:
        if self._outgoing:
            with contextlib.suppress(OSError):
                del self._outgoing[: self._control.send(self._outgoing)]

    def _end_everything(self) -> None:
        signal.set_wakeup_fd(-1)
        for group in self._groups.values():
            _kill_group(group, signal.SIGKILL)
        # Where the guard adopts orphans (Linux), also those that left their group are its children in the end.
        while True:
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return


def _spawn(request: dict[str, Any], fds: list[int]) -> int:
    """Start a program as the leader of a new process group and return its id."""
    process = subprocess.Popen(
        request["argv"],
        env=request["env"],
        cwd=request["cwd"],
        stdin=fds[1] if len(fds) > 1 else subprocess.DEVNULL,
        stdout=fds[0],
        stderr=fds[0],
        process_group=0,
    )
    process.returncode = 0  # we reap by waitpid; the object must not try to
    return process.pid


def _is_users_fault(exc: OSError | ValueError) -> bool:
    """Say whether a program was not started because of what was asked for, rather than for want of resources."""
    return isinstance(exc, ValueError) or exc.errno in (
        errno.ENOENT,
        errno.EACCES,
        errno.ENOTDIR,
        errno.ENOEXEC,
        errno.E2BIG,
    )


def _kill_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _children() -> list[int]:
    """Return the children of this process, where the system tells; elsewhere the groups have been killed."""
    try:
        with open("/proc/thread-self/children") as file:  # noqa: PTH123  # pathlib would cost 10 ms at the start
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _adopt_orphans() -> None:
    """Have what our children leave behind become our children, rather than those of process 1 (Linux)."""
    if sys.platform == "linux":
        import ctypes  # after the fork of no step, and only once

        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def main(control_fd: int, lease_fd: int, scratch: str) -> None:
    """Guard the steps of the worker that holds the other ends; delete *scratch*, its directory, when it is gone."""
    _adopt_orphans()
    for fd in (control_fd, lease_fd):
        os.set_inheritable(fd, False)
    Guard(socket.socket(fileno=control_fd), lease_fd).run()
    import shutil  # only now: it costs 10 ms at the start otherwise

    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
