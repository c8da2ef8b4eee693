"""
Run the statements of one SQL step on its database.  Called in a warm process of the worker, not in the worker itself:
a driver that hangs hangs that process, which can be killed.

The statements run in a thread, so that the main thread is free to hear SIGTERM, by which the worker cancels: it then
has the database break off what it is doing, and ends the process.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import sqlalchemy
from sqlalchemy import event, exc
from sqlalchemy.pool import NullPool

from maestro_py.model.statuses import Outcome
from maestro_py.workers.steps.sql_rows import KeptRows, bound_value
from maestro_py.workers.steps.sql_script import Statement, one_statement, split_statements

#: A script file above this is refused, in bytes.
SCRIPT_LIMIT_BYTES: Final = 4 << 20
#: How often the database is asked again to break off a statement, in seconds: it may have been between two.
_CANCEL_AGAIN_SECONDS: Final = 0.1
_CONNECT_SECONDS: Final = 30
#: PostgreSQL breaks off a statement by itself when it notices, this often, that whoever asked for it is gone.
_NOTICE_MS: Final = 1_000
_FETCHED_ROWS: Final = 500

#: SQLSTATEs, by their beginnings, after which another try may fare better: connection, transaction rolled back,
#: resources, operator's intervention, system; and a lock that was not free.  But not: the statement was cancelled.
_PASSING_STATES: Final = ("08", "40", "53", "57", "58", "55P03")
_CANCELLED_STATE: Final = "57014"
_PASSING_SQLITE: Final = re.compile(r"SQLITE_(BUSY|LOCKED|IOERR|FULL|CANTOPEN|NOMEM|PROTOCOL)")
_DRIVERS: Final = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
_SECRET_KEY: Final = re.compile(r"pass|pwd|secret|token", re.IGNORECASE)


class SqlFailed(Exception):
    """The step failed; the text says why."""

    def __init__(self, outcome: Outcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


class _Cancelled(BaseException):
    """SIGTERM came."""


def run(
    url: str, text: str, statements: Sequence[str], script: str, parameters: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """
    Run statements in one transaction and return the outcome, a message and the outputs.

    Args:
        url: Of the database, for SQLAlchemy.
        text: Statements, with semicolons between them.
        statements: Or one statement each.
        script: Or the path of a file of them, relative to the directory of the user's code.
        parameters: Bound where a statement has ``:name``.
        name: By which the database can tell whose session it is.
    """
    session = _Session(name)
    hidden = _Hidden(url)
    done = threading.Event()
    report: dict[str, Any] = {}

    def work() -> None:
        try:
            report.update(
                outcome=Outcome.DONE.value, message="", outputs=session.run(url, text, statements, script, parameters)
            )
        except SqlFailed as failure:
            report.update(outcome=failure.outcome.value, message=hidden.in_text(str(failure)), outputs=None)
        except Exception as error:
            sys.stdout.write(hidden.in_text(traceback.format_exc()))
            message = hidden.in_text(f"{type(error).__name__}: {error}")
            report.update(outcome=Outcome.PLATFORM_ERROR.value, message=message, outputs=None)
        finally:
            done.set()

    before = signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        threading.Thread(target=work, name="sql", daemon=True).start()
        done.wait()
    except _Cancelled:
        _end_process(session, done)
    finally:
        signal.signal(signal.SIGTERM, before)
    return report


class _Session:
    """The statements of one step on their way through the database."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._break_off: Callable[[], object] | None = None

    def break_off(self) -> bool:
        """Have the database break off what it does for us; False: there is no way to, but to go."""
        if self._break_off is None:
            return False
        with suppress(Exception):  # the connection may just have been closed
            self._break_off()
        return True

    def run(
        self, url: str, text: str, statements: Sequence[str], script: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Run everything, and return the outputs."""
        engine = self._engine(url)
        dialect = engine.dialect.name
        if script:
            text = _read_script(script)
        parsed = [one_statement(one, dialect) for one in statements] or split_statements(text, dialect)
        _check(parsed, parameters)
        try:
            with engine.connect() as connection:
                self._break_off = _breaker(connection)
                outputs: dict[str, Any] = {}
                with connection.begin():
                    for number, statement in enumerate(parsed, 1):
                        outputs = _execute(connection, statement, number, len(parsed), parameters)
        except exc.DBAPIError as error:
            raise SqlFailed(_outcome_of(error), f"the database: {_message_of(error)}") from error
        finally:
            self._break_off = None
        return outputs

    def _engine(self, url: str) -> sqlalchemy.Engine:
        try:
            parsed = sqlalchemy.make_url(url)
            parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
            engine = sqlalchemy.create_engine(parsed, poolclass=NullPool, hide_parameters=True)
        except (ImportError, exc.NoSuchModuleError) as error:
            message = f"this worker has no driver for {parsed.drivername!r}: {error}"
            raise SqlFailed(Outcome.FATAL_ERROR, message) from error
        except (exc.ArgumentError, ValueError) as error:
            raise SqlFailed(Outcome.FATAL_ERROR, f"the url of the database cannot be used: {error}") from error
        if engine.dialect.is_async:
            raise SqlFailed(Outcome.FATAL_ERROR, f"{parsed.drivername!r} is a driver for asyncio; name another")
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _leave_transactions_to_us)
            event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        elif engine.dialect.driver == "psycopg":
            event.listen(engine, "do_connect", self._name_session)
            event.listen(engine, "connect", _notice_our_end)
        return engine

    def _name_session(self, dialect: Any, record: Any, args: Any, kwargs: dict[str, Any]) -> None:
        kwargs.setdefault("connect_timeout", _CONNECT_SECONDS)
        kwargs.setdefault("application_name", self._name)


class _Hidden:
    """What may appear in no message and no log."""

    def __init__(self, url: str) -> None:
        try:
            parsed = sqlalchemy.make_url(url)
        except (exc.ArgumentError, ValueError):
            self._secrets = {url}
            return
        # As it stands in the URL, and as it is meant.
        self._secrets = {parsed.password or "", *re.findall(r"://[^@/]*?:([^@]*)@", url)}
        for key, value in parsed.query.items():
            if _SECRET_KEY.search(key):
                self._secrets.update([value] if isinstance(value, str) else value)
        self._secrets.discard("")

    def in_text(self, text: str) -> str:
        """Return *text* without it."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def _on_sigterm(_: int, __: FrameType | None) -> NoReturn:
    raise _Cancelled


def _end_process(session: _Session, done: threading.Event) -> NoReturn:
    """End this process once the database has let go; whoever sent SIGTERM sends SIGKILL if that takes too long."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while session.break_off() and not done.wait(_CANCEL_AGAIN_SECONDS):
        pass
    sys.stdout.flush()
    os._exit(128 + signal.SIGTERM)


def _breaker(connection: sqlalchemy.Connection) -> Callable[[], object] | None:
    """Return what breaks off a statement of *connection* from another thread, if its driver has a way."""
    driver = connection.connection.driver_connection
    # psycopg, over a connection of its own: an older libpq has only the second of the two; sqlite3.
    for method in ("cancel_safe", "cancel", "interrupt"):
        found: Callable[[], object] | None = getattr(driver, method, None)
        if callable(found):
            return found
    return None


def _leave_transactions_to_us(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # otherwise sqlite3 commits what it takes for no part of a transaction


def _notice_our_end(connection: Any, _: Any) -> None:
    # Not before PostgreSQL 14, nor on every system: then the statement ends when it ends.
    with suppress(Exception):
        connection.autocommit = True
        connection.execute(f"SET client_connection_check_interval = {_NOTICE_MS}")
    connection.autocommit = False


def _read_script(script: str) -> str:
    try:
        with Path(script).open("rb") as file:
            data = file.read(SCRIPT_LIMIT_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise SqlFailed(Outcome.FATAL_ERROR, f"the script {script} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SqlFailed(Outcome.FATAL_ERROR, f"the script {script} is no text in UTF-8: {error}") from error
    if len(data) > SCRIPT_LIMIT_BYTES:
        raise SqlFailed(Outcome.FATAL_ERROR, f"the script {script} has more than {SCRIPT_LIMIT_BYTES >> 20} MiB")
    return text


def _check(statements: Sequence[Statement], parameters: Mapping[str, Any]) -> None:
    """Refuse what need not be tried."""
    if not statements:
        raise SqlFailed(Outcome.FATAL_ERROR, "there is no statement in the step")
    used: set[str] = set()
    for number, statement in enumerate(statements, 1):
        if statement.controls_transaction:
            message = (
                f"statement {number}, {statement.title}: all statements of a step are one transaction, as they are"
            )
            raise SqlFailed(Outcome.FATAL_ERROR, message)
        used.update(statement.binds)
        if missing := [name for name in statement.binds if name not in parameters]:
            message = f"statement {number}, {statement.title}: binds :{missing[0]}, which parameters do not have"
            raise SqlFailed(Outcome.FATAL_ERROR, message)
    if unused := sorted(parameters.keys() - used):
        raise SqlFailed(Outcome.FATAL_ERROR, f"no statement binds :{unused[0]}, which parameters have")


def _execute(
    connection: sqlalchemy.Connection, statement: Statement, number: int, count: int, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    began = time.monotonic()
    try:
        outputs = _outputs(connection, statement, parameters)
    except exc.SQLAlchemyError as error:
        where = f"statement {number} of {count}, {statement.title}"
        raise SqlFailed(_outcome_of(error), f"{where}: {_message_of(error)}") from error
    seconds = time.monotonic() - began
    rows = outputs["row_count"]
    sys.stdout.write(f"statement {number} of {count}, {statement.title}: {rows} rows, {seconds:.3f} s\n")
    sys.stdout.flush()
    return outputs


def _outputs(connection: sqlalchemy.Connection, statement: Statement, parameters: Mapping[str, Any]) -> dict[str, Any]:
    is_postgres = connection.dialect.name == "postgresql"
    spread = statement.spreads
    bound = sqlalchemy.text(statement.escaped()).bindparams(
        *(sqlalchemy.bindparam(name, expanding=True) for name in spread if isinstance(parameters[name], list))
    )
    values = {
        name: parameters[name]
        if name in spread and isinstance(parameters[name], list)
        else bound_value(parameters[name], has_arrays=is_postgres)
        for name in statement.binds
    }
    # A cursor in the database, where that is possible: the whole result need not fit into our memory.
    options = {"stream_results": True, "max_row_buffer": _FETCHED_ROWS} if is_postgres and statement.only_reads else {}
    with connection.execute(bound, values, execution_options=options) as result:
        if not result.returns_rows:
            return {"row_count": max(result.rowcount, 0), "columns": [], "rows": [], "truncated": False}
        kept = KeptRows(list(result.keys()))
        for row in result:
            kept.add(row)
    return {"row_count": kept.count, "columns": kept.columns, "rows": kept.rows, "truncated": kept.is_truncated}


def _outcome_of(error: exc.SQLAlchemyError) -> Outcome:
    """Say whose fault it is: the platform's if another time it may go well."""
    if not isinstance(error, exc.DBAPIError):
        return Outcome.USER_ERROR
    state = getattr(error.orig, "sqlstate", None)
    sqlite = getattr(error.orig, "sqlite_errorname", None)
    if state is not None:
        is_passing = state.startswith(_PASSING_STATES) and state != _CANCELLED_STATE
    elif sqlite is not None:
        is_passing = _PASSING_SQLITE.match(sqlite) is not None
    else:
        is_passing = error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError)
    return Outcome.PLATFORM_ERROR if is_passing else Outcome.USER_ERROR


def _message_of(error: exc.SQLAlchemyError) -> str:
    """Return what the driver says: SQLAlchemy would add the statement and the values."""
    cause = getattr(error, "orig", None)
    return str(cause if cause is not None else error.args[0] if error.args else error).strip()
