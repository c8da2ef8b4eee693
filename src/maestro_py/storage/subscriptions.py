"""Subscribe the signal triggers of a workflow's active version, in the transaction that makes it active."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from maestro_py.admission import trigger_uuid
from maestro_py.storage.retries import Connection

#: Returns the subscriptions that the workflow has.  Its row is locked, so nobody else changes them.
_CURRENT: Final = "SELECT trigger_uuid, name FROM signal_trigger WHERE workflow_id = %s"

#: Deletes subscriptions by their keys, locked in the order of the keys.
_DELETE: Final = """
WITH gone AS (
    SELECT t.workflow_id, t.trigger_uuid, t.name
    FROM unnest(%s::text[], %s::text[]) AS g(trigger_uuid, name)
    JOIN signal_trigger t ON t.workflow_id = %s AND t.trigger_uuid = g.trigger_uuid AND t.name = g.name
    ORDER BY t.workflow_id, t.trigger_uuid, t.name FOR UPDATE OF t
)
DELETE FROM signal_trigger t USING gone g
WHERE t.workflow_id = g.workflow_id AND t.trigger_uuid = g.trigger_uuid AND t.name = g.name
"""

#: Makes the rows of names that nobody has announced yet, so that there is something to lock.
_NAME: Final = """
INSERT INTO signal_name (name) SELECT n FROM unnest(%s::text[]) AS u(n) ORDER BY n ON CONFLICT (name) DO NOTHING
"""

#: Returns the last number of each name.
# FOR SHARE: an announcer numbers its signal under the exclusive lock, so what it announces is either before our
# cursor or after it, never missed (DESIGN section 3).
_SHARE: Final = "SELECT name, last_seq FROM signal_name WHERE name = ANY(%s) ORDER BY name FOR SHARE"

#: Inserts subscriptions whose cursors stand behind everything announced so far.
_INSERT: Final = """
INSERT INTO signal_trigger (workflow_id, trigger_uuid, name, trigger, next_seq)
SELECT %s, r.trigger_uuid, r.name, r.trigger, r.next_seq
FROM json_to_recordset(%s::json) AS r(trigger_uuid text, name text, trigger jsonb, next_seq bigint)
"""


async def subscribe(conn: Connection, workflow_id: str, triggers: Sequence[Mapping[str, Any]]) -> None:
    """
    Make *triggers* the subscriptions of the workflow, in the caller's transaction, which holds the workflow's row.

    A trigger that has not changed keeps its cursor; a new one sees no history, only what is announced from now on.
    """
    wanted = {(trigger_uuid(trigger), name): trigger for trigger in triggers for name in trigger["definitions"]}
    cursor = await conn.execute(_CURRENT, (workflow_id,))
    current = {(uuid, name) for uuid, name in await cursor.fetchall()}
    gone = sorted(current - wanted.keys())
    if gone:
        await conn.execute(_DELETE, ([uuid for uuid, _ in gone], [name for _, name in gone], workflow_id))
    fresh = sorted(wanted.keys() - current)
    if not fresh:
        return
    names = sorted({name for _, name in fresh})
    await conn.execute(_NAME, (names,))
    cursor = await conn.execute(_SHARE, (names,))
    last_seq: dict[str, int] = dict(await cursor.fetchall())
    rows = [
        {"trigger_uuid": uuid, "name": name, "trigger": wanted[uuid, name], "next_seq": last_seq[name] + 1}
        for uuid, name in fresh
    ]
    await conn.execute(_INSERT, (workflow_id, msgspec.json.encode(rows).decode()))
