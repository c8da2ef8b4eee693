"""
Store signals, and read them.

An announcer holds the row of the signal's name while it numbers and stores its signals, so numbers have no gaps and
become visible in their order; a subscriber that holds a share lock on that row misses none (DESIGN section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from maestro_py.model.errors import DuplicateSignal
from maestro_py.model.ids import name_based_uuid
from maestro_py.ports.signal_store import Announcement, SignalInstance, SignalValue

Connection = AsyncConnection[TupleRow]

#: Makes the rows of names never heard of.  In order, as every batch meets the names in the same order.
_NAME: Final = """
INSERT INTO signal_name (name) SELECT name FROM unnest(%s::text[]) AS n(name) ORDER BY name
ON CONFLICT (name) DO NOTHING
"""

#: Locks the names: their announcers pass one after the other, subscribers (FOR SHARE) wait.
_LOCK: Final = "SELECT name FROM signal_name WHERE name = ANY(%s) ORDER BY name FOR NO KEY UPDATE"

#: Stores the signals that are no duplicates and returns the position of each in the batch, with its number.
#: A statement of its own after the lock: it must see what the announcers before us committed.
_STORE: Final = """
WITH asked AS MATERIALIZED (
    SELECT * FROM ROWS FROM (json_to_recordset(%(batch)s::json) AS (
        name text, instance_id text, params jsonb, payload jsonb, request_time_ms bigint)
    ) WITH ORDINALITY AS a(name, instance_id, params, payload, request_time_ms, position)
), fresh AS (
    -- Of equal ones in the batch the first counts.
    SELECT DISTINCT ON (a.name, a.instance_id) a.*
    FROM asked a
    -- No NOT EXISTS: without statistics the planner would read the whole table for it.
    WHERE (SELECT s.seq_id FROM signal_instance s WHERE s.name = a.name AND s.instance_id = a.instance_id) IS NULL
    ORDER BY a.name, a.instance_id, a.position
), numbered AS MATERIALIZED (
    SELECT f.*, (SELECT n.last_seq FROM signal_name n WHERE n.name = f.name)
                + row_number() OVER (PARTITION BY f.name ORDER BY f.position) AS seq_id
    FROM fresh f
), counted AS (
    UPDATE signal_name n SET last_seq = (SELECT max(m.seq_id) FROM numbered m WHERE m.name = n.name)
    WHERE n.name = ANY(ARRAY(SELECT DISTINCT m.name FROM numbered m))
), pending AS (
    INSERT INTO signal_pending (name, seq_id) SELECT name, seq_id FROM numbered
), stored AS (
    INSERT INTO signal_instance (name, seq_id, instance_id, params, payload, request_time_ms, create_time_ms)
    SELECT name, seq_id, instance_id, params, payload, request_time_ms, %(now_ms)s FROM numbered
)
SELECT position, seq_id FROM numbered
"""

_COLUMNS: Final = "name, seq_id, instance_id, params, payload, request_time_ms, create_time_ms"

#: Returns one signal.
_READ: Final = f"SELECT {_COLUMNS} FROM signal_instance WHERE name = %s AND seq_id = %s"  # noqa: S608  # our own text

#: Returns the newest signal of a name.
_READ_LATEST: Final = f"SELECT {_COLUMNS} FROM signal_instance WHERE name = %s ORDER BY seq_id DESC LIMIT 1"  # noqa: S608  # our own text


def instance_id_of(name: str, params: Mapping[str, SignalValue], request_id: str | None) -> str:
    """Return what tells one announcement from its repetition: the request id, else *name* and *params*."""
    if request_id is not None:
        return request_id
    return name_based_uuid(msgspec.json.encode({"name": name, "params": params}, order="sorted").decode())


async def announce(
    conn: Connection,
    name: str,
    params: Mapping[str, SignalValue],
    request_id: str | None,
    request_time_ms: int,
    payload: Mapping[str, Any],
    now_ms: int,
) -> SignalInstance:
    """
    Store one signal and return it; in a transaction of its own, unless the caller is inside one.

    The caller hints the signal service after the commit.

    Args:
        conn: Any connection of ours.
        name: Of the signal.
        params: What triggers may match.
        request_id: None: *name* and *params* tell announcements apart.
        request_time_ms: UTC epoch ms, as the announcer says.
        payload: What else comes with the signal.
        now_ms: UTC epoch ms.

    Raises:
        DuplicateSignal: the same was announced before; nothing is stored.
    """
    announcement = Announcement(
        name=name, params=params, payload=payload, request_id=request_id, request_time_ms=request_time_ms
    )
    [answer] = await announce_all(conn, [announcement], now_ms)
    if isinstance(answer, DuplicateSignal):
        raise answer
    return answer


async def announce_all(
    conn: Connection, announcements: Sequence[Announcement], now_ms: int
) -> list[SignalInstance | DuplicateSignal]:
    """
    Store many signals by one commit; return for each, in order, its row, or that it was announced before.

    In a transaction of its own, unless the caller is inside one.

    Args:
        conn: Any connection of ours.
        announcements: Of any names; of equal ones the first counts.
        now_ms: UTC epoch ms.
    """
    ids = [instance_id_of(a.name, a.params, a.request_id) for a in announcements]
    names = sorted({a.name for a in announcements})
    batch = [
        {
            "name": a.name,
            "instance_id": instance_id,
            "params": a.params,
            "payload": a.payload,
            "request_time_ms": a.request_time_ms,
        }
        for a, instance_id in zip(announcements, ids, strict=True)
    ]
    document = msgspec.json.encode(batch).decode()
    # One round trip, so the names stay locked only for as long as the server needs, its COMMIT included.
    async with conn.pipeline(), conn.transaction():
        await conn.execute(_NAME, (names,), prepare=True)
        await conn.execute(_LOCK, (names,), prepare=True)
        stored = await conn.execute(_STORE, {"batch": document, "now_ms": now_ms}, prepare=True)
    numbers: dict[int, int] = dict(await stored.fetchall())
    return [
        _instance(a, instance_id, numbers[position], now_ms) if position in numbers else _duplicate(a, instance_id)
        for position, (a, instance_id) in enumerate(zip(announcements, ids, strict=True), start=1)
    ]


async def read_signal(conn: Connection, name: str, seq_id: int | None) -> SignalInstance | None:
    """Return the signal with *seq_id* in *name*, or with None the newest one; None if there is none."""
    if seq_id is None:
        cursor = await conn.execute(_READ_LATEST, (name,))
    else:
        cursor = await conn.execute(_READ, (name, seq_id))
    row = await cursor.fetchone()
    if row is None:
        return None
    name, seq_id, instance_id, params, payload, request_time_ms, create_time_ms = row
    return SignalInstance(
        name=name,
        seq_id=seq_id,
        instance_id=instance_id,
        params=params,
        payload=payload,
        request_time_ms=request_time_ms,
        create_time_ms=create_time_ms,
    )


def _instance(announcement: Announcement, instance_id: str, seq_id: int, now_ms: int) -> SignalInstance:
    return SignalInstance(
        name=announcement.name,
        seq_id=seq_id,
        instance_id=instance_id,
        params=announcement.params,
        payload=announcement.payload,
        request_time_ms=announcement.request_time_ms,
        create_time_ms=now_ms,
    )


def _duplicate(announcement: Announcement, instance_id: str) -> DuplicateSignal:
    said = "request id" if announcement.request_id is not None else "name and params, whose id is"
    return DuplicateSignal(f"signal {announcement.name!r} was announced before with the same {said} {instance_id!r}")
