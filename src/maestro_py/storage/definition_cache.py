"""Load definitions, and keep the decoded ones: a version never changes, so what is kept is never stale."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from maestro_py.model.definition import Workflow, decode_workflow
from maestro_py.model.errors import NotFound
from maestro_py.storage.retries import Connection

#: Returns the documents of definitions.
_LOAD: Final = "SELECT definition_uid, definition::text FROM workflow_version WHERE definition_uid = ANY(%s)"


class DefinitionCache:
    """The most recently used definitions of one process, *size* of them at most."""

    def __init__(self, size: int = 256) -> None:
        self._size = size
        self._kept: OrderedDict[UUID, Workflow] = OrderedDict()

    async def load(self, conn: Connection, uids: Iterable[UUID]) -> dict[UUID, Workflow]:
        """
        Return the definitions of *uids*; those not kept are read by one statement.

        Raises:
            NotFound: a definition does not exist.
        """
        wanted = set(uids)
        found = {uid: self._kept[uid] for uid in wanted if uid in self._kept}
        missing = list(wanted - found.keys())
        if missing:
            cursor = await conn.execute(_LOAD, (missing,))
            found |= {uid: decode_workflow(document) for uid, document in await cursor.fetchall()}
        if len(found) < len(wanted):
            raise NotFound(f"definitions do not exist: {sorted(map(str, wanted - found.keys()))}")
        self._keep(found)
        return found

    def _keep(self, found: dict[UUID, Workflow]) -> None:
        for uid, workflow in found.items():
            self._kept[uid] = workflow
            self._kept.move_to_end(uid)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
