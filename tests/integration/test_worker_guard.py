"""The guard starts programs in groups of their own, and ends every one of them when its worker may not go on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from maestro_py.testing.waiting import wait_until_async
from maestro_py.workers.guarded import Ended, GuardedProcess, GuardedProcesses, NotStarted
from tests.processes import is_alive

ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture
async def processes() -> AsyncIterator[GuardedProcesses]:
    processes = GuardedProcesses()
    processes.open()
    yield processes
    await processes.close()


@pytest.fixture
def output(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "output", os.O_CREAT | os.O_RDWR)
    yield fd
    os.close(fd)


def said(output: int) -> str:
    return os.pread(output, 10_000, 0).decode()


async def spawn(processes: GuardedProcesses, output: int, command: str, directory: str = "/") -> GuardedProcess:
    return await processes.spawn(["sh", "-c", command], ENVIRONMENT, Path(directory), output)


async def test_a_program_leads_a_group_of_its_own(processes: GuardedProcesses, output: int) -> None:
    """Its environment and its directory are what was asked for, and its status comes back."""
    program = await spawn(processes, output, "echo $$ $(pwd) ${HOME-none}; exit 7", "/tmp")

    assert Ended(7) == await program.ended
    assert f"{program.pid} /tmp none\n" == said(output)


async def test_a_program_reads_what_it_is_given(processes: GuardedProcesses, output: int, tmp_path: Path) -> None:
    """Standard input is empty, unless a descriptor is handed over."""
    (tmp_path / "given").write_text("hello\n")
    with (tmp_path / "given").open() as given:
        program = await processes.spawn(["cat"], ENVIRONMENT, Path("/"), output, given.fileno())
        await program.ended
    await (await processes.spawn(["cat"], ENVIRONMENT, Path("/"), output)).ended

    assert "hello\n" == said(output)


@pytest.mark.parametrize(
    ("argv", "directory"),
    [
        (["no-such-program-of-ours"], "/"),
        (["true"], "/no-such-folder"),
        (["echo", "a\0b"], "/"),
        (["true", "x" * 200_000], "/"),
    ],
    ids=["no program", "no directory", "a NUL", "too long"],
)
async def test_what_cannot_be_started_is_the_users_fault(
    processes: GuardedProcesses, output: int, argv: list[str], directory: str
) -> None:
    """The text says what was wrong; another machine would not help."""
    with pytest.raises(NotStarted) as caught:
        await processes.spawn(argv, ENVIRONMENT, Path(directory), output)

    assert caught.value.is_users_fault
    assert str(caught.value)


async def test_many_programs_at_once(processes: GuardedProcesses, output: int) -> None:
    """Each has its own end."""
    programs = await asyncio.gather(*(spawn(processes, output, f"exit {n}") for n in range(50)))
    ends = await asyncio.gather(*(program.ended for program in programs))

    assert [Ended(n) for n in range(50)] == ends


async def test_a_large_request_goes_through(processes: GuardedProcesses, output: int) -> None:
    """The environment of a step may be larger than what a socket takes at once."""
    environment = {**ENVIRONMENT, **{f"V{n}": "x" * 30_000 for n in range(40)}}
    program = await processes.spawn(["sh", "-c", "echo ${#V39}"], environment, Path("/"), output)

    assert Ended(0) == await program.ended
    assert "30000\n" == said(output)


async def test_ending_a_program_gives_it_time(processes: GuardedProcesses, output: int) -> None:
    """SIGTERM first; SIGKILL when the grace is over."""
    polite = await spawn(processes, output, "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done")
    deaf = await spawn(processes, output, "trap '' TERM; echo ready; while :; do sleep 0.01; done")
    await wait_until_async(lambda: said(output).count("ready") == 2)

    assert Ended(3) == await polite.end(5)
    assert Ended(-signal.SIGKILL) == await deaf.end(0.05)


async def test_a_caller_that_is_cancelled_leaves_no_program_behind(processes: GuardedProcesses, output: int) -> None:
    """Also if the program was just being started."""
    for turns in range(4):
        starting = asyncio.ensure_future(spawn(processes, output, "echo $$; exec sleep 600"))
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
    last = await spawn(processes, output, "true")
    await last.ended

    await wait_until_async(lambda: not any(is_alive(int(pid)) for pid in said(output).split()))


async def test_the_lease_is_enforced(processes: GuardedProcesses, output: int) -> None:
    """As long as it is renewed programs run; then they are killed, and none is started until it is renewed again."""
    processes.renew(60_000)
    program = await spawn(processes, output, "sleep 600")
    processes.renew(100)

    assert Ended(-signal.SIGKILL, by_lease=True) == await program.ended
    with pytest.raises(NotStarted, match="the worker's lease is over") as caught:
        await spawn(processes, output, "true")
    assert not caught.value.is_users_fault
    processes.renew(60_000)
    assert Ended(0) == await (await spawn(processes, output, "true")).ended


async def test_closing_ends_everything(output: int) -> None:
    """The programs, what has left their groups, the guard itself, and the directory of the worker."""
    processes = GuardedProcesses()
    processes.open()
    scratch = processes.scratch
    program = await spawn(processes, output, "setsid sh -c 'echo $$; exec sleep 600' & echo $$ $PPID; wait")
    await wait_until_async(lambda: len(said(output).split()) == 3)
    await processes.close()

    assert program.ended.done()
    for pid in said(output).split():
        assert not is_alive(int(pid))
    assert not scratch.exists()
    with pytest.raises(NotStarted, match="shutting down"):
        await spawn(processes, output, "true")


async def test_a_guard_that_is_killed_is_replaced_by_the_next_spawn(processes: GuardedProcesses, output: int) -> None:
    """Its programs are killed, and the callers learn why."""
    program = await spawn(processes, output, "echo $PPID; exec sleep 600")
    await wait_until_async(lambda: said(output))
    os.kill(int(said(output)), signal.SIGKILL)

    assert Ended(-signal.SIGKILL, guard_gone=True) == await program.ended
    await wait_until_async(lambda: not is_alive(program.pid))
    assert Ended(0) == await (await spawn(processes, output, "true")).ended
