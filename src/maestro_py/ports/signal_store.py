"""
The port to the signals: announcing them, and moving the cursors of the triggers that wait for them.

A *cursor* is one (trigger, signal name) of one workflow: every signal before its ``next_seq`` has been matched.  It
moves in the transaction that stores the runs it starts, so a signal starts each of its runs once, whoever is killed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec

from maestro_py.admission import StartRequest, StartResult
from maestro_py.model.definition import Workflow
from maestro_py.model.errors import MaestroError

#: The value of a signal's parameter: text or a whole number, never a boolean (specification 8.1).
SignalValue = str | int


class Contended(MaestroError):
    """Another transaction holds rows for longer than we care to wait.  Do something else, then try again."""

    def __init__(self, workflow_id: str | None = None) -> None:
        super().__init__(f"another transaction holds the rows of workflow {workflow_id or '(any)'}")
        self.workflow_id = workflow_id  #: None: it is not known which one was waited for.


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """A signal that somebody announces."""

    name: str
    params: Mapping[str, SignalValue] = {}
    payload: Mapping[str, Any] = {}  #: Whatever else came with it; never matched.
    request_id: str | None = None  #: None: name and params tell one announcement from another.
    request_time_ms: int  #: UTC epoch ms, as the announcer says.


class SignalInstance(msgspec.Struct, frozen=True, kw_only=True):
    """A signal as it is stored (specification 8.1)."""

    name: str
    seq_id: int  #: From 1 in each name, without gaps, in the order of the commits.
    instance_id: str  #: The request id, or a name-based UUID of name and params.
    params: Mapping[str, SignalValue]
    payload: Mapping[str, Any]
    request_time_ms: int
    create_time_ms: int


class Signal(NamedTuple):
    """What matching reads of a signal."""

    seq_id: int
    params: Mapping[str, SignalValue]


class ActiveVersion(NamedTuple):
    """The version of a workflow that a signal starts."""

    workflow_version: int
    definition_uid: UUID
    owner: str | None  #: As the workflow's properties say.


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """A cursor that is behind, with its row and its workflow's row locked by the transaction that read it."""

    workflow_id: str
    trigger_uuid: str
    name: str
    trigger: Mapping[str, Any]  #: As in specification 8.3.
    next_seq: int
    active: ActiveVersion | None  #: None: the workflow is gone, deactivated or deaf to signals.


class CursorTransaction(Protocol):
    """One transaction over cursors of one name; it commits when its block ends well."""

    async def take(self, name: str, limit: int, resting: Collection[str]) -> list[Cursor]:
        """
        Lock and return at most *limit* cursors of *name* that are behind, the furthest behind first.

        Never waits: what others hold is left out, and so are the workflows *resting*.
        """
        ...

    async def take_contended(self, name: str, resting: Collection[str]) -> list[Cursor]:
        """
        Wait for one cursor of *name* that is behind but held by somebody, and return it; empty: nobody is behind.

        Raises:
            Contended: it stayed locked; let its workflow rest.
        """
        ...

    async def signals(self, name: str, from_seq: int, limit: int) -> list[Signal]:
        """Return at most *limit* signals of *name*, from *from_seq* on, in order."""
        ...

    async def definitions(self, uids: Collection[UUID]) -> dict[UUID, Workflow]:
        """Return the definitions of *uids*."""
        ...

    async def start(self, requests: Sequence[StartRequest], now_ms: int) -> list[StartResult]:
        """Admit and store the runs, stamped *now_ms* (UTC epoch ms); return what became of each, in order."""
        ...

    async def move(self, cursors: Sequence[tuple[Cursor, int]]) -> None:
        """Set the next sequence number of each cursor."""
        ...

    async def unsubscribe(self, cursors: Sequence[Cursor]) -> None:
        """Delete the rows of *cursors*: their workflows are gone, deactivated or deaf to signals."""
        ...

    async def settle(self, name: str) -> bool:
        """Delete what of *name* every cursor has passed, and say whether anything is still pending."""
        ...


class SignalStore(Protocol):
    """What the signal service needs of PostgreSQL; each method may raise `StoreUnavailable`."""

    def transaction(self) -> AbstractAsyncContextManager[CursorTransaction]:
        """Open a transaction; it may raise `Contended`, and then has done nothing."""
        ...

    async def pending_names(self) -> list[str]:
        """Return the names that have signals which some cursor may not have passed."""
        ...
