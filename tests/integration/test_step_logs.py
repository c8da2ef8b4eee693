"""Logs are chunk rows, readable while the step runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from maestro_py.ports.worker_store import LogChunk
from maestro_py.storage.connections import Database
from maestro_py.storage.step_logs import LogPiece, read_logs, write_logs

RUN = uuid4()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, "test") as database:
        yield database


async def write(database: Database, *chunks: LogChunk) -> None:
    async with database.transaction() as conn:
        await write_logs(conn, chunks)


async def read(database: Database, run: UUID = RUN, *, after: int = 0, limit: int = 100) -> list[LogPiece]:
    async with database.connection() as conn:
        return await read_logs(conn, 1, run, "s", 1, after=after, limit=limit)


def chunk(seq: int, text: str, *, token: int = 1, drop: tuple[int, int] = (0, 0)) -> LogChunk:
    return LogChunk(1, str(RUN), "s", 1, token, seq, 1_000 + seq, text, *drop)


async def test_a_reader_goes_on_where_it_stopped(database: Database) -> None:
    """The position of the last chunk is all that it has to keep."""
    await write(database, chunk(1, "a"), chunk(2, "b"))
    first = await read(database)
    await write(database, chunk(3, "c"))
    then = await read(database, after=first[-1].position)

    assert ["a", "b"] == [piece.text for piece in first]
    assert [("c", 1_003)] == [(piece.text, piece.create_time_ms) for piece in then]


async def test_a_reader_gets_a_page_at_a_time(database: Database) -> None:
    """At most as many chunks as it asked for."""
    await write(database, *(chunk(seq, str(seq)) for seq in range(1, 6)))
    page = await read(database, limit=2)
    rest = await read(database, after=page[-1].position)

    assert ["1", "2"] == [piece.text for piece in page]
    assert ["3", "4", "5"] == [piece.text for piece in rest]


async def test_the_log_of_a_second_claim_follows_the_first(database: Database) -> None:
    """The numbers begin again, the positions do not."""
    await write(database, chunk(1, "first worker"), chunk(1, "second worker", token=2))
    pieces = await read(database)

    assert ["first worker", "second worker"] == [piece.text for piece in pieces]
    assert pieces[0].position < pieces[1].position
    assert ["second worker"] == [piece.text for piece in await read(database, after=pieces[0].position)]


async def test_a_repeated_write_changes_nothing(database: Database) -> None:
    """A commit whose answer was lost is simply repeated."""
    for _ in range(2):
        await write(database, chunk(1, "a"), chunk(2, "b"))

    assert ["a", "b"] == [piece.text for piece in await read(database)]


async def test_the_middle_of_a_long_log_is_deleted_again(database: Database) -> None:
    """The notice takes the place of what left the window."""
    await write(database, *(chunk(seq, str(seq)) for seq in (1, 3, 4, 5)))
    await write(database, chunk(2, "cut", drop=(3, 4)))

    assert ["1", "cut", "5"] == [piece.text for piece in await read(database)]


async def test_another_run_has_another_log(database: Database) -> None:
    """The key is the whole attempt."""
    await write(database, chunk(1, "a"))

    assert [] == await read(database, uuid4())
