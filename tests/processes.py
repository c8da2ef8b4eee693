"""Look at processes that are not children of the test."""

from __future__ import annotations

import os
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Return whether *pid* runs; a zombie, which only waits to be counted, does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:  # gone this moment, or a system without /proc
        return not Path("/proc").exists()


def descendants(pid: int) -> dict[int, int]:
    """Return the processes below *pid*, itself not among them, with the process group of each (Linux)."""
    below: dict[int, list[tuple[int, int]]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name stands in brackets and may hold anything: what follows the last one is regular.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # gone this moment
                continue
            below.setdefault(int(fields[1]), []).append((int(entry.name), int(fields[2])))
    found: dict[int, int] = {}
    wanted = [pid]
    while wanted:
        for child, group in below.get(wanted.pop(), ()):
            found[child] = group
            wanted.append(child)
    return found


def cpu_seconds(pid: int) -> float:
    """Return the processor time of *pid*, and of its children that have ended, so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
