"""The log of an attempt keeps its head and its tail, and says what it cut."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from maestro_py.workers.attempt_log import CHUNK_BYTES, AttemptLog, LogEntry

LIMIT = 2_000


class Table:
    """The rows that the entries of a log make."""

    def __init__(self) -> None:
        self.rows: dict[int, str] = {}

    def write(self, entries: list[LogEntry]) -> None:
        for entry in entries:
            for seq in range(entry.drop_from, entry.drop_to + 1):
                self.rows.pop(seq, None)
            self.rows[entry.seq] = entry.text

    @property
    def text(self) -> str:
        return "".join(self.rows[seq] for seq in sorted(self.rows))


def test_a_short_log_is_kept_whole() -> None:
    """Below the limit nothing is cut and nothing added."""
    log, table = AttemptLog(LIMIT), Table()
    log.write(b"one\n")
    table.write(log.take(tail=False))
    log.confirm()
    log.write(b"two\n")
    table.write(log.take(tail=True, final=True))

    assert "one\ntwo\n" == table.text
    assert 0 == log.cut_bytes


def test_the_middle_of_a_long_log_is_cut_and_said() -> None:
    """The first and the last half of the limit are there, between them the number of bytes that are not."""
    log, table = AttemptLog(LIMIT), Table()
    data = b"".join(b"%06d\n" % number for number in range(1_000))
    log.write(data)
    table.write(log.take(tail=True, final=True))

    assert table.text.startswith(data[: LIMIT // 2].decode())
    assert table.text.endswith(data[-LIMIT // 2 :].decode())
    assert f"\n[... {len(data) - LIMIT} bytes cut ...]\n" in table.text


def test_what_was_not_confirmed_is_returned_again() -> None:
    """A write that failed is repeated with the same numbers."""
    log = AttemptLog(LIMIT)
    log.write(b"one\n")
    first = log.take(tail=True)
    log.write(b"two\n")

    assert first == log.take(tail=True)
    log.confirm()
    assert [LogEntry(2, "two\n")] == log.take(tail=True)


def test_an_incomplete_character_waits_for_its_rest() -> None:
    """A UTF-8 character that arrives in two pieces is one character in the log."""
    log, table = AttemptLog(LIMIT), Table()
    euro = "€".encode()
    log.write(b"a" + euro[:2])
    table.write(log.take(tail=False))
    log.confirm()
    log.write(euro[2:] + b"b")
    table.write(log.take(tail=True, final=True))

    assert "a€b" == table.text


def test_bytes_that_are_no_text_are_replaced() -> None:
    """NUL and broken UTF-8 become the replacement character: PostgreSQL holds neither."""
    log, table = AttemptLog(LIMIT), Table()
    log.write(b"a\0b\xff\xc3")
    table.write(log.take(tail=True, final=True))

    assert "a\ufffdb\ufffd\ufffd" == table.text


def test_the_last_lines_are_at_hand_for_a_message() -> None:
    """They are the end of the output, whatever was cut."""
    log = AttemptLog(LIMIT)
    for number in range(10_000):
        log.write(b"%d\n" % number)

    assert "9997\n9998\n9999" == log.last_lines(3)


@given(
    st.lists(
        st.one_of(
            st.binary(min_size=1, max_size=900).map(lambda data: data.hex().encode()),
            st.sampled_from(["confirmed", "failed", "with tail"]),
        ),
        max_size=40,
    )
)
def test_whatever_comes_in_whatever_pieces_head_and_tail_are_kept(story: list[bytes | str]) -> None:
    """
    At the end the table holds the head and the tail of the output, and the notice accounts for every other byte.

    At no time does it hold more than the limit, but for the chunk that is just being written and the notice.
    """
    log, table, written = AttemptLog(LIMIT), Table(), b""
    for event in story:
        if isinstance(event, bytes):
            log.write(event)
            written += event
        else:
            entries = log.take(tail=event == "with tail")
            if event != "failed":
                table.write(entries)
                log.confirm()
        assert len(table.text) <= LIMIT + 60
    table.write(log.take(tail=True, final=True))

    text = table.text
    notice = re.search(r"\n\[\.\.\. (\d+) bytes cut \.\.\.\]\n", text)
    if notice is None:
        assert written.decode() == text
    else:
        head, tail = text[: notice.start()], text[notice.end() :]
        assert written.startswith(head.encode())
        assert written.endswith(tail.encode())
        assert LIMIT // 2 == len(head)
        assert len(written) == len(head) + len(tail) + int(notice[1])
        assert len(tail) > LIMIT // 2 - 1_800  # a chunk leaves the window whole


def test_a_chunk_has_a_bounded_size() -> None:
    """However much was written at once, each row stays small enough to be read on its own."""
    log = AttemptLog(1 << 20)
    log.write(b"x" * 500_000)
    entries = log.take(tail=True, final=True)

    assert all(len(entry.text) <= CHUNK_BYTES for entry in entries)
    assert 500_000 == sum(len(entry.text) for entry in entries)
