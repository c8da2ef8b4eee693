"""
Every error that one room raises and another catches.

MaestroError
 ├─ DefinitionInvalid        the definition or request is wrong: the caller's move
 ├─ NotFound                 the thing named does not exist
 ├─ Conflict                 something else was first: look again, then decide
 │   ├─ DuplicateSignal
 │   └─ AlreadyExists
 ├─ Unprocessable            well-formed, but refused (a disabled trigger, say)
 ├─ ParamError               a parameter cannot be evaluated
 ├─ OverBudget               expressions need more work than may be done here: have it done elsewhere
 ├─ StaleInstance            another process changed the instance first: load again, decide afresh
 ├─ Fenced                   this engine no longer owns the partition: drop everything, release
 ├─ InvalidTransition        an event that the table does not know in this status: our bug
 ├─ BadRow                   a value or constraint refused a row: find the guilty, quarantine it
 ├─ RowContended             a row stayed locked by somebody else: go on with the others
 ├─ StoreUnavailable         PostgreSQL is away: nobody's fault, try again later
 └─ Misconfigured            a process was given what it cannot work with: the operator's move
"""

from __future__ import annotations

from collections.abc import Sequence


class MaestroError(Exception):
    """Base of all our errors; its text is fit for a person."""


class Misconfigured(MaestroError):
    """The process cannot run with what it was given; starting it again would change nothing."""


class FieldError:
    """One wrong field: *path* as the author wrote it (``steps[2].timeout``) and what is wrong with it."""

    __slots__ = ("message", "path")

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def __repr__(self) -> str:
        return f"FieldError({self.path!r}, {self.message!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldError) and (self.path, self.message) == (other.path, other.message)

    def __hash__(self) -> int:
        return hash((self.path, self.message))


class DefinitionInvalid(MaestroError):
    """The document is wrong; *errors* names every wrong field.  Nothing was stored."""

    def __init__(self, message: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


class NotFound(MaestroError):
    """The workflow, version, instance, run, step or signal named does not exist."""


class Conflict(MaestroError):
    """Something else was first.  Look again, then decide."""


class DuplicateSignal(Conflict):
    """A signal of this name and request id (or params) was announced before."""


class AlreadyExists(Conflict):
    """A row with this key is there already."""


class Unprocessable(MaestroError):
    """The request is well-formed but refused in the present state of things."""


class ParamError(MaestroError):
    """A parameter cannot be evaluated; *path* names it."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message


class OverBudget(MaestroError):
    """Expressions need more work than may be done where they were met.  Have it done elsewhere."""


class StaleInstance(MaestroError):
    """Another process changed an instance first.  Load it again and decide afresh."""


class Fenced(MaestroError):
    """Another engine owns the partition now.  Drop what is held in memory and release it."""


class InvalidTransition(MaestroError):
    """The transition table has no row for this event in this status."""


class BadRow(MaestroError):
    """PostgreSQL refused a value or a constraint was violated (SQLSTATE classes 22 and 23)."""


class RowContended(MaestroError):
    """A row stayed locked by somebody else for longer than we wait.  Go on with the other runs."""


class StoreUnavailable(MaestroError):
    """PostgreSQL is starting, stopping or unreachable.  Try again later."""
