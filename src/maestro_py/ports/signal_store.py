"""
The port to the signals: announcing them, and moving the cursors of the triggers that wait for them.

A *cursor* is one (trigger, signal name) of one workflow: every signal before its ``next_seq`` has been matched.  It
moves in the transaction that stores the runs it starts, so a signal starts each of its runs once, whoever is killed.

What is to be started is computed between a look, which holds nothing, and that transaction, which moves a cursor only
if it still is what the look has seen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
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


class DropReason(StrEnum):
    """Why a signal that matched started nothing."""

    CONDITION_FALSE = "CONDITION_FALSE"
    CONDITION_FAILED = "CONDITION_FAILED"  #: It could not be evaluated, or gave neither true nor false.
    DUPLICATE = "DUPLICATE"  #: The request id that the trigger made of it had started a run before.


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """A signal that matched a trigger and started nothing."""

    signal_id: int  #: Its number.
    reason: DropReason
    message: str
    time: int  #: UTC epoch ms.


class Drops(msgspec.Struct, frozen=True, kw_only=True):
    """What a cursor tells of the signals that started nothing."""

    counts: dict[DropReason, int] = {}
    latest: tuple[Drop, ...] = ()  #: A few, the newest first.


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """A cursor that is behind, as it was when it was read."""

    workflow_id: str
    trigger_uuid: str
    name: str
    trigger: Mapping[str, Any]  #: As in specification 8.3.
    next_seq: int
    active: ActiveVersion | None  #: None: the workflow is gone, deactivated or deaf to signals.
    drops: Drops = Drops()

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others of its name."""
        return self.workflow_id, self.trigger_uuid


class Move(NamedTuple):
    """How a cursor moves."""

    cursor: Cursor
    next_seq: int
    drops: Drops
    claim_ms: int = 0  #: Others leave the cursor alone for so long: somebody evaluates what its next signal starts.


class Look(NamedTuple):
    """What a look at a name has found."""

    cursors: list[Cursor]  #: At most as many as were asked for, those furthest behind first.
    signals: list[Signal]  #: From the first that any of them has not passed, in order.


class CursorTransaction(Protocol):
    """One transaction over cursors of one name; it commits when its block ends well."""

    async def hold(self, cursors: Sequence[Cursor], *, claimed: bool = False) -> list[Cursor]:
        """
        Lock the rows of *cursors* and their workflows, and return those that still are what they were.

        Several are not waited for: what others hold is left out.  So is what has been claimed since it was seen,
        unless they are *claimed* by whoever calls.

        Raises:
            Contended: it is one, and it stayed locked; let its workflow rest.
        """
        ...

    async def start(self, requests: Sequence[StartRequest], now_ms: int) -> list[StartResult]:
        """Admit and store the runs, stamped *now_ms* (UTC epoch ms); return what became of each, in order."""
        ...

    async def move(self, moves: Sequence[Move]) -> None:
        """Move cursors that are held; the claims of earlier moves end."""
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

    async def look(self, name: str, limit: int, resting: Collection[str], signals_limit: int) -> Look:
        """
        Return cursors of *name* that are behind and claimed by nobody, and the signals that they have not passed.

        Nothing is locked when it returns.  It never waits: what others hold is left out, and so are the workflows
        *resting*.
        """
        ...

    async def await_contended(self, name: str, resting: Collection[str]) -> Cursor | None:
        """
        Wait until somebody lets go of a cursor of *name* that is behind, and return it; None: there is none.

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

    async def claim(self, cursors: Collection[Cursor], for_ms: int) -> None:
        """Have others leave *cursors* alone for *for_ms* from now, those of them that have not moved; 0: no longer."""
        ...

    async def pending_names(self) -> list[str]:
        """Return the names that have signals which some cursor may not have passed."""
        ...
