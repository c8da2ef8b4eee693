"""
One child: an operating system process of ours that is started, listened to, started again, and stopped.

It is the leader of a session and a process group of its own, so that Ctrl-C in the terminal reaches the supervisor
alone, and whatever it leaves behind in its group can be ended with it.  It learns of our end by a pipe, and on
Linux from the kernel (`maestro_py.parent`); `Child.run` must therefore run in the main thread's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from maestro_py.parent import PARENT_FD, die_with_parent
from maestro_py.supervisor.errors import ChildMisconfigured
from maestro_py.supervisor.exits import described, ended

#: The status of wrong usage, as the command line gives it: starting the child again would change nothing.
MISCONFIGURED: Final = 2

_FIRST_BACKOFF_SECONDS: Final = 0.5
_LONGEST_BACKOFF_SECONDS: Final = 10.0
_HEALTHY_AFTER_SECONDS: Final = 20.0
_LONGEST_LINE: Final = 64 * 1024
_LAST_WORDS_SECONDS: Final = 1.0
_HURRIED_SECONDS: Final = 1.0
#: Lines that are kept of what a child said, and what the command line begins with when it refuses.
_LAST_WORDS: Final = 10
_REFUSAL: Final = "maestro: "


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What to run, and how patiently to stop it."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    #: Between SIGTERM and SIGKILL.
    stop_within_seconds: float


class Child:
    """
    A process kept alive until `stop`.

    Args:
        spec: What to run.
        line: Told each line of its output.
        say: Told, in a sentence, when it dies and is started again.
    """

    def __init__(self, spec: ChildSpec, line: Callable[[str], None], say: Callable[[str], None]) -> None:
        self.spec = spec
        self._line = line
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process of the moment; None while there is none."""
        return self._process.pid if self._process is not None else None

    async def run(self) -> None:
        """
        Start the process, copy its output, and start it again whenever it ends, until `stop`.

        Raises:
            ChildMisconfigured: It ended with the status of wrong usage.
        """
        backoff = _FIRST_BACKOFF_SECONDS
        while not self._stopping.is_set():
            started = time.monotonic()
            status = await self._run_once()
            if self._stopping.is_set():
                return
            if status == MISCONFIGURED:
                raise ChildMisconfigured(f"{self.spec.name} cannot run with these settings{self._reason()}")
            if time.monotonic() - started > _HEALTHY_AFTER_SECONDS:
                backoff = _FIRST_BACKOFF_SECONDS
            self._say(f"{self.spec.name} {described(status)}; it is started again in {backoff:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF_SECONDS)

    async def stop(self) -> None:
        """Stop for good: SIGTERM, and SIGKILL after the time the spec allows, or a second after `hurry`."""
        self._stopping.set()
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        patience = asyncio.ensure_future(self._hurry.wait())
        end = asyncio.ensure_future(ended(process))
        await asyncio.wait({patience, end}, timeout=self.spec.stop_within_seconds, return_when=asyncio.FIRST_COMPLETED)
        if not end.done() and patience.done():
            await asyncio.wait({end}, timeout=_HURRIED_SECONDS)
        if not end.done():
            if not patience.done():
                self._say(f"{self.spec.name} did not stop in {self.spec.stop_within_seconds:g} s; it is killed")
            _kill_group(process.pid)
            await end
        patience.cancel()

    def _reason(self) -> str:
        """Return what it said last of itself, as the end of a sentence."""
        words = list(self._last_words)
        begins = [number for number, line in enumerate(words) if line.startswith(_REFUSAL)]
        said = [line.removeprefix(_REFUSAL) for line in words[begins[-1] :]] if begins else words[-1:]
        return ": " + "\n".join(said) if said else "; see its lines above"

    def hurry(self) -> None:
        """Let `stop` wait for a second at most."""
        self._hurry.set()

    async def _run_once(self) -> int:
        output, output_of_child = os.pipe()
        ends_with_us, held_by_us = os.pipe()
        try:
            self._process = process = subprocess.Popen(  # noqa: ASYNC220 - must fork in this thread, and returns at once
                self.spec.argv,
                env={**self.spec.environment, PARENT_FD: str(ends_with_us)},
                stdin=subprocess.DEVNULL,
                stdout=output_of_child,
                stderr=output_of_child,
                pass_fds=(ends_with_us,),
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        except BaseException:
            os.close(output)
            os.close(held_by_us)
            raise
        finally:
            os.close(output_of_child)
            os.close(ends_with_us)
        copying = asyncio.create_task(self._copy(output))
        try:
            return await ended(process)
        finally:
            self._process = None
            # What it left in its group would hold its port or its files against its successor.
            _kill_group(process.pid)
            os.close(held_by_us)
            # Somebody outside its group may hold its output open for ever.
            await asyncio.wait({copying}, timeout=_LAST_WORDS_SECONDS)
            copying.cancel()

    async def _copy(self, output: int) -> None:
        async for line in _lines(output):
            self._last_words.append(line)
            self._line(line)


async def _lines(descriptor: int) -> AsyncIterator[str]:
    """Yield the lines that come out of *descriptor*; a line without end is cut."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    try:
        rest = b""
        while chunk := await reader.read(_LONGEST_LINE):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace").rstrip("\r")
            if len(rest) > _LONGEST_LINE:
                yield rest.decode(errors="replace")
                rest = b""
        if rest:
            yield rest.decode(errors="replace")
    finally:
        transport.close()


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
