"""The step type ``sql``: statements on any database that SQLAlchemy reaches, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import StepContext, StepReport, StepTask, StepTypeConfig
from maestro_py.workers.steps.own_words import WordWrong, check_words, list_word, object_word, one_of, text_word

#: Where the statements run: `maestro_py.workers.steps.sql_session`.
_SESSION: Final = "maestro_py.workers.steps.sql_session:run"
_WORK: Final = ("sql", "statements", "script")
_DATABASE: Final = ("url", "connection")
_WORDS: Final = frozenset({*_WORK, *_DATABASE, "parameters"})


class SqlStep:
    """
    Run SQL.  It runs again if the worker dies before it has reported: write statements that may run twice.

    Parameters (``params["sql"]``), one of the first two and one of the next three:
        url: Of the database, as SQLAlchemy writes it.
        connection: Name of one that the worker's configuration has, so that no definition holds a password.
        sql: Statements, with semicolons between them.
        statements: A list of them, one each.
        script: Path of a file of them, relative to the directory of the user's code.
        parameters: An object; bound where a statement has ``:name``, never spliced into its text.

    Outputs, of the last statement: ``row_count``; ``columns``, and ``rows``, objects, of which 1,000 or 1 MiB are kept;
    ``truncated`` says whether that is not all.
    """

    kind: Final = "sql"

    def __init__(self) -> None:
        self._connections: Mapping[str, str] = {}

    def configure(self, config: StepTypeConfig) -> None:
        """Take over the connections."""
        self._connections = config.connections

    async def run(self, task: StepTask, context: StepContext) -> StepReport:
        """Run the statements in a process of their own, and say how they ended."""
        own = task.own_params
        try:
            check_words(self.kind, own, _WORDS)
            arguments = _arguments(own)
            database = one_of(self.kind, own, _DATABASE)
            place = text_word(own, database)
        except WordWrong as exc:
            return exc.report
        if database == "connection":
            if place not in self._connections:
                # Another worker may have it; this one may be given it.
                return StepReport(Outcome.PLATFORM_ERROR, None, f"this worker has no connection {place!r} configured")
            place = self._connections[place]
        name = f"maestro-step {task.idempotency_key}"
        return _unpacked(await context.call_function(_SESSION, kwargs={**arguments, "url": place, "name": name}))


def _arguments(own: Mapping[str, Any]) -> dict[str, Any]:
    one_of("sql", own, _WORK)
    statements = list_word(own, "statements")
    if not all(isinstance(statement, str) and statement.strip() for statement in statements):
        raise WordWrong("statements must be a list of texts")
    return {
        "text": text_word(own, "sql"),
        "statements": statements,
        "script": text_word(own, "script"),
        "parameters": object_word(own, "parameters"),
    }


def _unpacked(report: StepReport) -> StepReport:
    """Return the report that the session returned; any other tells of the process in which it ran."""
    if report.outcome is not Outcome.DONE or report.outputs is None:
        # What ends the process, from outside or by its memory, says nothing against the statements.
        return StepReport(Outcome.PLATFORM_ERROR, None, report.message or "the session ended without a result")
    told = report.outputs
    return StepReport(Outcome(told["outcome"]), told["outputs"], told["message"])
