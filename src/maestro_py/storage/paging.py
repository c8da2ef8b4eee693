"""Keyset pages, newest first: the part of SQL that every paged list shares."""

from __future__ import annotations

from typing import Any, Final, LiteralString

from maestro_py.ports.api_records import PageRequest
from maestro_py.storage.retries import Connection

#: By direction (forward: towards older ids) and by whether there is a cursor: which rows a page takes, in which order.
_CLAUSES: Final[dict[tuple[bool, bool], LiteralString]] = {
    (True, False): "true ORDER BY {key} DESC{then} LIMIT %(size)s",
    (True, True): "{key} < %(cursor)s ORDER BY {key} DESC{then} LIMIT %(size)s",
    (False, False): "true ORDER BY {key} ASC{then} LIMIT %(size)s",
    (False, True): "{key} > %(cursor)s ORDER BY {key} ASC{then} LIMIT %(size)s",
}


def page_clause(key: LiteralString, page: PageRequest, then: LiteralString = "") -> LiteralString:
    """
    Return the condition, order and limit of a page, the end of a statement.

    Args:
        key: The column that is the id of a row.
        page: Which page.
        then: What orders the rows of one id.
    """
    clause = _CLAUSES[page.forward, page.cursor is not None]
    return clause.format(key=key, then=f", {then}" if then else "")


def page_parameters(page: PageRequest) -> dict[str, Any]:
    """Return the parameters that `page_clause` names."""
    return {"size": page.size} if page.cursor is None else {"size": page.size, "cursor": page.cursor}


async def ends_of(conn: Connection, statement: LiteralString, *parameters: object) -> tuple[int, int]:
    """Return the lowest and highest id that *statement* finds, zeros if it finds none."""
    cursor = await conn.execute(statement, parameters)
    oldest, newest = (await cursor.fetchall())[0]
    return oldest or 0, newest or 0
