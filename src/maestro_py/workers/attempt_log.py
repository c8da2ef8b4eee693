"""
Keep the output of one attempt within its bound: its head, its tail, and what was cut between them.  Pure.

The head is written as it comes.  What follows is the tail, a window that moves: chunks that leave it are deleted
again, and a notice in their place says how many bytes were cut.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

#: The text of one chunk is at most this long, in bytes.
CHUNK_BYTES: Final = 64 << 10
#: How much of the end of the output stays at hand for messages, in bytes.
_LAST_BYTES: Final = 4 << 10


class LogEntry(NamedTuple):
    """A chunk to be written: *text* under the number *seq*; the chunks *drop_from* to *drop_to* are deleted."""

    seq: int
    text: str
    drop_from: int = 0
    drop_to: int = 0


class AttemptLog:
    """
    The output of one attempt.

    Args:
        limit_bytes: What is kept of it, half for the head and half for the tail.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._head_room = limit_bytes // 2
        self._tail_room = limit_bytes - self._head_room
        self._head = bytearray()
        self._tail = bytearray()
        self._tail_chunks: deque[tuple[int, int]] = deque()  # seq and bytes of what the window holds in the table
        self._tail_written = 0
        self._notice_seq = 0  # 0 until the head is full
        self._cut = 0
        self._cut_told = 0
        self._next_seq = 1
        self._unconfirmed: list[LogEntry] = []
        self._last = b""

    def write(self, data: bytes) -> None:
        """Take in a piece of output."""
        self._last = (self._last + data)[-_LAST_BYTES:]
        if self._head_room:
            taken = data[: self._head_room]
            self._head_room -= len(taken)
            self._head += taken
            data = data[len(taken) :]
        if data:
            self._tail += data
            if len(self._tail) > self._tail_room:
                excess = len(self._tail) - self._tail_room
                del self._tail[:excess]
                self._cut += excess

    @property
    def cut_bytes(self) -> int:
        """Return how many bytes of the middle are gone."""
        return self._cut

    def last_lines(self, count: int) -> str:
        """Return the last *count* lines of the output, for a message."""
        text = self._last.decode(errors="replace").strip()
        return "\n".join(text.splitlines()[-count:])

    @property
    def is_dirty(self) -> bool:
        """Say whether `take` would return anything."""
        return bool(self._head or self._tail or self._unconfirmed)

    def take(self, *, tail: bool, final: bool = False) -> list[LogEntry]:
        """
        Return what is to be written; the same again until `confirm` is called.

        Args:
            tail: Whether the moving window takes part: less often than the head, since it is written over and over.
            final: Whether the output has ended: nothing is held back.
        """
        if self._unconfirmed and not final:
            return list(self._unconfirmed)
        self._take_head(final)
        if tail or final:
            self._take_tail(final)
        return list(self._unconfirmed)

    def confirm(self) -> None:
        """Forget what the last `take` returned: it is durable."""
        self._unconfirmed.clear()

    def _take_head(self, final: bool) -> None:
        is_full = not self._head_room
        while size := _whole_characters(self._head, everything=final or (is_full and bool(self._tail))):
            self._emit(bytes(self._head[:size]))
            del self._head[:size]
        if is_full and not self._head and not self._notice_seq:
            self._notice_seq = self._next_seq
            self._next_seq += 1

    def _take_tail(self, final: bool) -> None:
        if not self._notice_seq:
            return
        dropped = self._shrink_window()
        while size := _whole_characters(self._tail, everything=final):
            self._tail_chunks.append((self._next_seq, size))
            self._tail_written += size
            self._emit(bytes(self._tail[:size]))
            del self._tail[:size]
        if self._cut != self._cut_told:
            self._cut_told = self._cut
            notice = f"\n[... {self._cut} bytes cut ...]\n"
            self._unconfirmed.append(LogEntry(self._notice_seq, notice, *dropped))

    def _shrink_window(self) -> tuple[int, int]:
        """Let chunks go until the rest and the new output fit; return the range to be deleted, (0, 0) for none."""
        first = last = 0
        while self._tail_chunks and self._tail_written + len(self._tail) > self._tail_room:
            last, size = self._tail_chunks.popleft()
            first = first or last
            self._tail_written -= size
            self._cut += size
        return first, last

    def _emit(self, data: bytes) -> None:
        # PostgreSQL text holds no NUL.
        text = data.decode(errors="replace").replace("\0", "\ufffd")
        self._unconfirmed.append(LogEntry(self._next_seq, text))
        self._next_seq += 1


def _whole_characters(data: bytearray, *, everything: bool) -> int:
    """Return how many bytes from the start make one chunk without an incomplete UTF-8 character at its end."""
    size = min(len(data), CHUNK_BYTES)
    if size == len(data) and everything:
        return size
    for back in range(1, min(3, size) + 1):
        byte = data[size - back]
        if byte & 0xC0 == 0xC0:  # the first byte of a character
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return size - back if length > back else size
        if byte < 0x80:
            break
    return size
