"""Notice that the user's code has changed, so that warm processes that imported the old one are renewed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

#: Folders that hold no code of the user's, or so much of others' that looking would cost more than it gives.
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})
_MOST_FILES: Final = 5_000
_FRESH_SECONDS: Final = 0.2
#: Looking takes at most one part in this many of the time.
_SHARE: Final = 20


class CodeWatch:
    """
    Counts the states of a directory of Python modules.

    Args:
        directory: Looked at with all that is below it; None: nothing ever changes.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._seen = _fingerprint(directory) if directory else 0
        self._next_look = 0.0
        self._generation = 0

    def generation(self) -> int:
        """Return a number that grows when a module was changed, added or deleted; at most a fifth of a second late."""
        if self._directory is None:
            return 0
        began = time.monotonic()
        if began >= self._next_look:
            seen = _fingerprint(self._directory)
            if seen != self._seen:
                self._seen = seen
                self._generation += 1
            ended = time.monotonic()
            self._next_look = ended + max(_FRESH_SECONDS, _SHARE * (ended - began))
        return self._generation


def _fingerprint(directory: Path) -> int:
    files: list[tuple[str, int, int]] = []
    folders = [str(directory)]
    while folders and len(files) < _MOST_FILES:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:
            continue  # deleted this moment
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _SKIPPED:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.name.endswith(".py"):
                try:
                    found = entry.stat()
                except OSError:
                    continue
                files.append((entry.path, found.st_mtime_ns, found.st_size))
    return hash(tuple(sorted(files)))
